package classify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// doOnce returns what a Do that may repeat anything makes of an operation that always fails with err, and how often it was called.
func doOnce(t *testing.T, p *Policy, err error) (*Error, int) {
	t.Helper()
	calls := 0
	_, got := Do(t.Context(), p, func(context.Context) (int, error) { calls++; return 0, err })
	e, ok := errors.AsType[*Error](got)
	require.True(t, ok)
	require.ErrorIs(t, got, err)
	return e, calls
}

func decodeError(text string) error {
	var v struct{ N int }
	return json.NewDecoder(strings.NewReader(text)).Decode(&v)
}

// What shows nothing of a network is no failure of one, and is paid for once.
func TestDoErrorsOfTheOperation(t *testing.T) {
	_, notFound := os.Open("testdata/no such file")
	require.Error(t, notFound)
	_, badURL := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://[", nil)
	require.Error(t, badURL)
	_, tooLong := io.ReadAll(http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("123")), 1))
	require.Error(t, tooLong)
	for _, tt := range []struct {
		name string
		err  error
		rule string
	}{
		{"text", errors.New("dial tcp: connection refused"), opUnknown.rule},
		{"syntax", decodeError("<html>"), opUnknown.rule},
		{"type", fmt.Errorf("decoding: %w", decodeError(`{"N":"x"}`)), opUnknown.rule},
		{"joined", errors.Join(errors.New("a"), errors.New("b")), opUnknown.rule},
		{"file", notFound, opUnknown.rule},
		{"file, by errno", &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}, opUnknown.rule},
		{"url.Parse", fmt.Errorf("request: %w", badURL), opUnknown.rule},
		{"a bound of the program", tooLong, opUnknown.rule},

		{"cut short", decodeError(`{"N":`), netEOF.rule},
		{"nothing", decodeError(""), netEOF.rule},
		{"http.Client", &url.Error{Op: "Post", URL: "https://a.test", Err: errors.New("what")}, netUnknown.rule},
		{"errno", os.NewSyscallError("sendto", syscall.EHOSTUNREACH), netUnknown.rule},
		{"socket", &net.OpError{Op: "write", Err: errors.New("what")}, netUnknown.rule},
		{"protocol", fmt.Errorf("x: %w", http.ErrNotMultipart), netUnknown.rule},
		{"protocol, joined", errors.Join(errors.New("x"), http.ErrNotMultipart), netUnknown.rule},
		{"ech", &tls.ECHRejectionError{}, netUnknown.rule},
		{"canceled", context.Canceled, netCanceled.rule},
		{"deadline", fmt.Errorf("x: %w", context.DeadlineExceeded), netTimeout.rule},
		{"reset", syscall.ECONNRESET, netReset.rule},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, calls := doOnce(t, &Policy{ReplayAmbiguous: true}, tt.err)
				require.Equal(t, tt.rule, e.Decision.Rule)
				if tt.rule != opUnknown.rule {
					return
				}
				require.Equal(t, 1, calls)
				require.Equal(t, StopNever, e.Stop)
				require.Equal(t, errcodes.ClassUnknown, e.Decision.Class)
				require.Equal(t, errcodes.RetryNever, e.Decision.Retry)
				require.Equal(t, 1, e.Decision.MaxAttempts)
				require.NotEmpty(t, e.Decision.Advice)
				require.False(t, e.Temporary())
			})
		})
	}
}

// A Signal that says nothing of a failure leaves it to the kind of the error.
func TestDoSignalOfASuccess(t *testing.T) {
	p := &Policy{ReplayAmbiguous: true, Signal: func(error) Signal { return Signal{Status: 200} }}
	e, calls := doOnce(t, p, errors.New("the answer has no choices"))
	require.Equal(t, 1, calls)
	require.Equal(t, opUnknown.rule, e.Decision.Rule)
}

// For a Transport an error of its base is one of the transport, whatever its kind.
func TestTransportErrorsAreOfTheTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{err: errors.New("what")}}}
		_, err := (&Transport{Base: s}).RoundTrip(get(t, t.Context()))
		require.ErrorIs(t, err, errcodes.ClassNetwork)
		require.Len(t, s.times, 2)

		// A Do around it believes the Transport.
		e, _ := doOnce(t, &Policy{ReplayAmbiguous: true}, err)
		require.Equal(t, netUnknown.rule, e.Decision.Rule)
	})
}

// A failure of its own says nothing about the server, so it pays nothing into the budget.
func TestDoErrorsOfTheOperationDepositNothing(t *testing.T) {
	b := &TokenBucket{}
	require.True(t, b.Withdraw(t.Context(), &BudgetWithdrawal{}))
	doOnce(t, &Policy{Budget: b}, errors.New("what"))
	require.InDelta(t, 9, b.Left(), 0)
}

func TestDoPermanent(t *testing.T) {
	decoding := decodeError("<html>")
	limited := &sdkError{status: 429, header: http.Header{"Retry-After": {"2"}}}
	for _, tt := range []struct {
		name  string
		err   error
		class errcodes.Class
		rule  string
		wait  time.Duration
	}{
		{"of the program", backoff.Permanent(decoding), errcodes.ClassUnknown, opUnknown.rule, 0},
		{"wrapped", fmt.Errorf("x: %w", backoff.Permanent(limited)), errcodes.ClassRateLimited, rulePermanent, 2 * time.Second},
		{"joined", errors.Join(backoff.Permanent(errors.New("x")), limited), errcodes.ClassRateLimited, rulePermanent, 2 * time.Second},
		{"of the network", backoff.Permanent(io.EOF), errcodes.ClassNetwork, rulePermanent, 0},
		{"twice", backoff.Permanent(backoff.Permanent(&sdkError{status: 502})), errcodes.ClassServerError, rulePermanent, 0},
		{"final anyway", backoff.Permanent(&sdkError{status: 402}), errcodes.ClassBilling, "status", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r := &recorder{}
				e, calls := doOnce(t, &Policy{Signal: sdkSignal, ReplayAmbiguous: true, Observer: r}, tt.err)
				require.Equal(t, 1, calls)
				require.Equal(t, start, time.Now())
				require.Equal(t, StopNever, e.Stop)
				require.Equal(t, tt.class, e.Decision.Class)
				require.Equal(t, tt.rule, e.Decision.Rule)
				require.Equal(t, errcodes.RetryNever, e.Decision.Retry)
				require.Equal(t, 1, e.Decision.MaxAttempts)
				require.Equal(t, tt.wait, e.Decision.Wait)
				require.Equal(t, tt.wait > 0, e.RetryAt.Equal(start.Add(tt.wait)))
				require.Len(t, e.Attempts, 1)
				require.Len(t, r.attempts, 1)
				require.True(t, r.attempts[0].Last)
				require.Len(t, r.done, 1)

				// Loops of that library around this one end as well.
				_, ok := errors.AsType[*backoff.PermanentError](error(e))
				require.True(t, ok)
			})
		})
	}

	// What was wrapped is found, whether or not it was an error of the transport.
	e, _ := doOnce(t, nil, backoff.Permanent(decoding))
	require.ErrorIs(t, e, decoding)
	syntax, ok := errors.AsType[*json.SyntaxError](error(e))
	require.True(t, ok)
	require.EqualValues(t, 1, syntax.Offset)

	// It counts after failures that were not final, too.
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		_, err := Do(t.Context(), &Policy{Signal: sdkSignal}, func(context.Context) (int, error) {
			if calls++; calls < 3 {
				return 0, limited
			}
			return 0, backoff.Permanent(limited)
		})
		require.Equal(t, 3, calls)
		require.ErrorIs(t, err, limited)
	})
}

// When a Gate gave a time, the Error of a Do around its Transport has it as well.
func TestDoRetryAtOfAGate(t *testing.T) {
	at := time.Now().Add(time.Hour)
	inner := &Error{Decision: Decision{Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff}, Stop: StopGate, RetryAt: at}
	e, calls := doOnce(t, nil, inner)
	require.Equal(t, 1, calls)
	require.Equal(t, StopNested, e.Stop)
	require.Equal(t, at, e.RetryAt)
}

// A server of HTTP/2 that says GOAWAY in the middle of a body is met by whoever reads the body, as an error of a type that is not exported.
func TestDoGoAwayInABody(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		served <- goAway(conn)
	}()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	_, err = Do(t.Context(), nil, func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String(), nil)
		if err != nil {
			return "", err
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	})
	require.NoError(t, l.Close())
	require.NoError(t, <-served)
	require.ErrorContains(t, err, "GOAWAY")
	require.ErrorIs(t, err, errcodes.ClassNetwork)
}

// goAway answers the first request of an HTTP/2 connection with half an answer and the end of the connection.
func goAway(conn net.Conn) error {
	in := bufio.NewReader(conn)
	if _, err := in.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		return err
	}
	const headers, headSize = 1, 9
	for kind := byte(0); kind != headers; {
		head := make([]byte, headSize)
		if _, err := io.ReadFull(in, head); err != nil {
			return err
		}
		if _, err := in.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			return err
		}
		kind = head[3]
	}
	_, err := conn.Write([]byte("" +
		"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + // SETTINGS
		"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88" + // HEADERS: :status 200
		"\x00\x00\x01\x00\x00\x00\x00\x00\x01x" + // DATA
		"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02")) // GOAWAY: the last stream is 1, INTERNAL_ERROR
	return err
}
