package classify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// spyBody is a body that cannot be read again.
type spyBody struct {
	io.Reader

	closed int
}

func (b *spyBody) Close() error { b.closed++; return nil }

func TestBufferBody(t *testing.T) {
	const text = `{"model":"m"}`
	for _, tt := range []struct {
		name     string
		limit    int64
		length   int64
		attempts int
		stop     Stop
	}{
		{"off", 0, -1, 1, StopBody},
		{"exact", int64(len(text)), -1, 4, StopAttempts},
		{"one too long", int64(len(text)) - 1, -1, 1, StopBody},
		{"known to be too long", int64(len(text)) - 1, int64(len(text)), 1, StopBody},
		{"known", 1 << 20, int64(len(text)), 4, StopAttempts},
		{"unknown, stated as 0", 1 << 20, 0, 4, StopAttempts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 503}}}
				body := &spyBody{Reader: iotest.OneByteReader(strings.NewReader(text))}
				req := post(t, t.Context(), "")
				req.Body, req.GetBody, req.ContentLength = body, nil, tt.length
				resp, err := (&Transport{Base: s, BufferBody: tt.limit}).RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, tt.stop, ErrorOf(resp).Stop)
				require.Len(t, s.bodies, tt.attempts)
				for _, b := range s.bodies {
					require.Equal(t, text, b)
				}
				require.Positive(t, body.closed)
				require.Nil(t, req.GetBody, "the caller's request is not changed")
				require.Equal(t, tt.length, req.ContentLength)
			})
		})
	}
}

func TestBufferBodyOfAnEmptyBody(t *testing.T) {
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		require.Equal(t, http.NoBody, r.Body)
		require.Zero(t, r.ContentLength)
		return okResponse, nil
	})
	req := post(t, t.Context(), "")
	req.Body, req.GetBody, req.ContentLength = &spyBody{Reader: strings.NewReader("")}, nil, -1
	_, err := (&Transport{Base: base, BufferBody: 10}).RoundTrip(req)
	require.NoError(t, err)
}

func TestBufferBodyThatFails(t *testing.T) {
	disk := errors.New("disk")
	s := &fakeServer{script: []answer{{status: 200}}}
	body := &spyBody{Reader: iotest.ErrReader(disk)}
	req := post(t, t.Context(), "")
	req.Body, req.GetBody, req.ContentLength = body, nil, -1
	resp, err := (&Transport{Base: s, BufferBody: 10}).RoundTrip(req)
	require.Nil(t, resp)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, errcodes.ClassUnknown, e.Decision.Class)
	require.Equal(t, errcodes.RetryNever, e.Decision.Retry)
	require.Equal(t, NotSent, e.Decision.Safety)
	require.Equal(t, StopNever, e.Stop)
	require.Empty(t, e.Attempts)
	require.ErrorIs(t, err, disk)
	require.EqualError(t, err, "classify: unknown: reading the request body: disk; sending the same request again cannot help")
	require.Equal(t, 1, body.closed)
	require.Empty(t, s.times, "nothing was sent")

	// A reader that heeds the context of the call is cancelled with it.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(disk)
	req = post(t, ctx, "")
	req.Body, req.GetBody, req.ContentLength = io.NopCloser(iotest.ErrReader(context.Cause(ctx))), nil, -1
	_, err = (&Transport{Base: s, BufferBody: 10, Observer: doneFunc(func(d *DoneEvent) { require.Equal(t, StopCanceled, d.Err.Stop) })}).RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, errcodes.ClassCanceled)
}

// A body with GetBody is never copied, however large, and is the same byte for byte each time.
func TestLargeBodiesAreNotCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		n := 0
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			got, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, got))
			return okResponse, nil
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://api.test/", bytes.NewReader(body))
		require.NoError(t, err)
		_, err = (&Transport{Base: base, BufferBody: 1 << 30}).RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
	okBase := roundTripFunc(func(*http.Request) (*http.Response, error) { return okResponse, nil })
	tr := &Transport{Base: okBase, BufferBody: 1 << 30, Gate: &Pacer{}, Budget: &TokenBucket{}, StreamErrors: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://api.test/", bytes.NewReader(make([]byte, 1<<20)))
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = tr.RoundTrip(req) }), "with everything on")
}

// A body that fails with what a connection fails with is no connection that failed: its request was on its way.
func TestBodyThatFailsLikeAConnection(t *testing.T) {
	var handled atomic.Int32
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		handled.Add(1)
		io.Copy(io.Discard, r.Body)
	})
	causes := []error{
		&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, &net.DNSError{Err: "no such host", Name: "x", IsTimeout: true},
		syscall.ECONNREFUSED, &net.OpError{Op: "proxyconnect", Err: io.EOF}, io.ErrUnexpectedEOF, errors.New("disk"),
		&Error{Decision: Decision{Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff, Safety: NotSent}, Stop: StopBudget}, // a response's
	}
	whole := func(cause error) io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, 100<<10)), iotest.ErrReader(cause))
	}
	bodies := map[string]func(error) io.ReadCloser{
		"a type of the caller's": func(cause error) io.ReadCloser { return &spyBody{Reader: whole(cause)} },
		"behind io.NopCloser":    func(cause error) io.ReadCloser { return io.NopCloser(whole(cause)) },
	}
	sent := int32(0)
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(handler)
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		for _, cause := range causes {
			for name, body := range bodies {
				for _, again := range []bool{false, true} {
					for _, limit := range []time.Duration{0, time.Minute} {
						if _, judged := errors.AsType[*Error](cause); judged && again && name == "behind io.NopCloser" {
							continue // it looks like a body of http.NewRequest, and like an error of a Transport further down
						}
						sent++
						name := fmt.Sprintf("%v, %s, HTTP/2 %t, GetBody %t, limit %v", cause, name, h2, again, limit)
						req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body(cause))
						require.NoError(t, err)
						if again {
							req.GetBody = func() (io.ReadCloser, error) { return body(cause), nil }
						}
						_, err = (&Transport{Base: srv.Client().Transport, NewBackOff: atOnce, AttemptTimeout: limit}).RoundTrip(req)
						require.ErrorIs(t, err, cause, name)
						var e *Error
						require.ErrorAs(t, err, &e, name)
						require.NotEqual(t, cause, error(e), name)
						require.Len(t, e.Attempts, 1, name)
						require.Equal(t, MaybeExecuted, e.Decision.Safety, name)
					}
				}
			}
		}
		srv.Client().CloseIdleConnections()
		srv.Close()
	}
	require.LessOrEqual(t, handled.Load(), sent)
}

// A body of the caller's does not keep a request from being sent again when there was no connection.
func TestForeignBodyAndARefusedConnection(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String(), &spyBody{Reader: strings.NewReader("{}")})
	require.NoError(t, err)
	req.GetBody = func() (io.ReadCloser, error) { return &spyBody{Reader: strings.NewReader("{}")}, nil }
	_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Attempts, 4)
	require.Equal(t, NotSent, e.Decision.Safety)
}

// A context that ends while the body is read ends the call: it is no fault of the body.
func TestForeignBodyAndTheContext(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	body := readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, ctx.Err()
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, srv.URL, body)
	require.NoError(t, err)
	_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, StopCanceled, e.Stop)
	require.Equal(t, MaybeExecuted, e.Decision.Safety)
}
