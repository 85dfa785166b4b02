package classify

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// slowBody brings a byte now and then, until its context ends.
type slowBody struct {
	ctx    context.Context
	every  time.Duration
	n      int
	closed bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(b.every)
	defer timer.Stop()
	select {
	case <-timer.C:
		b.n--
		p[0] = 'x'
		return 1, nil
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	}
}

func (b *slowBody) Close() error { b.closed = true; return nil }

func TestAttemptTimeoutCoversTheBody(t *testing.T) {
	for _, tt := range []struct {
		name     string
		status   int
		media    string
		encoding string
		bytes    int // one a second
		timeout  bool
	}{
		{"in time", 200, "application/json", "", 8, false},
		{"late", 200, "application/json", "", 20, true},
		{"a stream lasts", 200, "text/event-stream", "", 1000, false},
		{"with parameters", 200, "Text/Event-Stream; charset=utf-8; charset=x", "", 1000, false},
		{"encoded", 200, "text/event-stream", "gzip", 1000, false},
		{"another status", 201, "text/event-stream", "", 1000, false},
		{"named alike", 200, "text/event-streams", "", 20, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var body *slowBody
				n := 0
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					if n++; n == 1 {
						return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"30"}}, Body: http.NoBody, Request: r}, nil
					}
					body = &slowBody{ctx: r.Context(), every: time.Second, n: tt.bytes}
					h := http.Header{"Content-Type": {tt.media}, "X-Request-Id": {"r2"}}
					if tt.encoding != "" {
						h.Set("Content-Encoding", tt.encoding)
					}
					return &http.Response{StatusCode: tt.status, Header: h, Body: body, Request: r}, nil
				})
				tr := &Transport{Base: base, AttemptTimeout: 10 * time.Second}
				start := time.Now()
				resp, err := tr.RoundTrip(get(t, t.Context()))
				require.NoError(t, err, "the time of an attempt does not run while waiting")
				require.GreaterOrEqual(t, time.Since(start), 30*time.Second)
				start = time.Now()
				got, err := io.ReadAll(resp.Body)
				if !tt.timeout {
					require.NoError(t, err)
					require.Len(t, got, tt.bytes)
				} else {
					require.Equal(t, 10*time.Second, time.Since(start))
					e, ok := errors.AsType[*Error](err)
					require.True(t, ok)
					require.Equal(t, StopBegun, e.Stop)
					require.Equal(t, errcodes.ClassTimeout, e.Decision.Class)
					require.True(t, e.Timeout())
					require.Len(t, e.Attempts, 2)
					require.Equal(t, 503, e.Attempts[0].Status)
					require.Equal(t, "r2", e.Attempts[1].RequestID)
				}
				require.NoError(t, resp.Body.Close())
				require.True(t, body.closed)
			})
		})
	}
}

// The deadline of the caller is not the attempt's, whoever comes first.
func TestAttemptTimeoutAndTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &slowBody{ctx: r.Context(), every: time.Minute, n: 1}, Request: r}, nil
		})
		resp, err := (&Transport{Base: base, AttemptTimeout: 10 * time.Second}).RoundTrip(get(t, ctx))
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.Equal(t, context.DeadlineExceeded, err)
		require.NoError(t, resp.Body.Close())
	})
}

// An attempt that was late, and whose caller left before it noticed, ended because the caller left.
func TestAttemptTimeoutAndACallerWhoLeft(t *testing.T) {
	lateOrGone := func(ctx context.Context) error {
		<-ctx.Done()
		<-time.After(10 * time.Second) // it notices late itself
		return ctx.Err()
	}
	for name, base := range map[string]roundTripFunc{
		"before the headers": func(r *http.Request) (*http.Response, error) { return nil, lateOrGone(r.Context()) },
		"in the body": func(r *http.Request) (*http.Response, error) {
			body := readerFunc(func([]byte) (int, error) { return 0, lateOrGone(r.Context()) })
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(15*time.Second, cancel)
				resp, err := (&Transport{Base: base, AttemptTimeout: 10 * time.Second}).RoundTrip(get(t, ctx))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					require.NoError(t, resp.Body.Close())
				}
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, errcodes.ClassTimeout)
				require.NotContains(t, err.Error(), "the time of one attempt")
			})
		})
	}
}

// The attempts of an answer that breaks off are numbered one by one, also where a base between two Transports makes its requests anew.
func TestAttemptTimeoutNumbersAttempts(t *testing.T) {
	for _, anew := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			inner := &Transport{AttemptTimeout: 10 * time.Second, Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &slowBody{ctx: r.Context(), every: time.Minute, n: 1}, Request: r}, nil
			})}
			n := 0
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if n++; n == 1 {
					return nil, io.EOF
				}
				if anew {
					r = get(t, t.Context())
				}
				return inner.RoundTrip(r)
			})
			resp, err := (&Transport{Base: base}).RoundTrip(get(t, t.Context()))
			require.NoError(t, err)
			_, err = io.ReadAll(resp.Body)
			require.NoError(t, resp.Body.Close())
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.NotEmpty(t, e.Attempts)
			for i, a := range e.Attempts {
				require.Equal(t, i+1, a.N, "%t", anew)
			}
		})
	}
}

// The context of an attempt ends with it, however it ends, so that nothing hangs on to it; and the connection behind a 101 is handed out as it is, for as
// long as it lasts.
func TestAttemptTimeoutEnds(t *testing.T) {
	type connection struct{ io.ReadWriteCloser }
	for _, tt := range []struct {
		name  string
		base  func(*http.Request) (*http.Response, error)
		lasts bool
	}{
		{"no answer", func(*http.Request) (*http.Response, error) { return nil, errBroken }, false},
		{"no body", func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		}, false},
		{"a body that is not read to its end", func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("x")), Request: r}, nil
		}, false},
		{"a stream that is not read to its end", func(r *http.Request) (*http.Response, error) {
			h := http.Header{"Content-Type": {"text/event-stream"}}
			return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(chunk)), Request: r}, nil
		}, false},
		{"another protocol", func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 101, Body: connection{}, Request: r}, nil
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent *http.Request
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					sent = r
					return tt.base(r)
				})
				resp, err := (&Transport{Base: base, AttemptTimeout: 10 * time.Second, MaxAttempts: 1}).RoundTrip(get(t, t.Context()))
				if tt.lasts {
					require.NoError(t, err)
					require.IsType(t, connection{}, resp.Body)
					<-time.After(time.Hour)
					require.NoError(t, sent.Context().Err())
					return
				}
				if err == nil {
					require.NoError(t, resp.Body.Close())
				}
				require.ErrorIs(t, context.Cause(sent.Context()), context.Canceled)
			})
		})
	}
}

// The Error names the deadline of a client, whose text is all that net/http keeps.
func TestClientTimeoutIsNamed(t *testing.T) {
	const named = "it is http.Client.Timeout, which spans all attempts and waits"
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)
	client := slow.Client()
	base := client.Transport
	client.Transport, client.Timeout = &Transport{Base: base}, 50*time.Millisecond
	_, err := client.Get(slow.URL)
	require.ErrorContains(t, err, named)
	// net/http cancels the request a moment before or after the deadline of its context: then "the deadline comes before the
	// end of the wait" stands there, else "the deadline has passed".
	require.ErrorContains(t, err, "the deadline ")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	// A deadline of the caller is not called so.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client.Timeout = 0
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, slow.URL, http.NoBody)
	require.NoError(t, err)
	_, err = client.Do(req)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.NotContains(t, e.Error(), "http.Client.Timeout")
	require.ErrorContains(t, e, "the deadline has passed")
	client.CloseIdleConnections()
}

// An attempt that runs out of time before it has a connection has sent nothing: a POST goes out again.
func TestAttemptTimeoutWhileConnecting(t *testing.T) {
	for _, tt := range []struct {
		name     string
		base     func(end <-chan struct{}) http.RoundTripper
		attempts int
		safety   Safety
		rule     string
	}{
		{"no connection", func(end <-chan struct{}) http.RoundTripper {
			return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				<-end // net/http dials on for the next request
				return nil, net.ErrClosed
			}}
		}, 4, NotSent, netDial.rule},
		{"no answer", func(<-chan struct{}) http.RoundTripper {
			return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				go io.Copy(io.Discard, there)
				return here, nil
			}}
		}, 1, MaybeExecuted, netTimeout.rule},
		{"a base that tells nothing", func(<-chan struct{}) http.RoundTripper {
			return roundTripFunc(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
		}, 1, MaybeExecuted, netTimeout.rule},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				defer synctest.Wait()
				defer close(end)
				_, err := (&Transport{Base: tt.base(end), AttemptTimeout: time.Second}).RoundTrip(post(t, t.Context(), "{}"))
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Len(t, e.Attempts, tt.attempts)
				require.Equal(t, tt.safety, e.Decision.Safety)
				require.Equal(t, tt.rule, e.Decision.Rule)
				require.True(t, e.Timeout())
			})
		})
	}
}

// A Transport further down learns when the attempt ends, and begins no wait that cannot: the refusal comes back at once.
func TestAttemptTimeoutAroundATransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"Retry-After": "30", "X-Request-Id": "req_1"}}}}
		tr := &Transport{AttemptTimeout: 1500 * time.Millisecond, Base: &Transport{Base: s}}
		start := time.Now()
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Zero(t, time.Since(start))
		require.Len(t, s.times, 1)
		e := ErrorOf(resp)
		require.NotNil(t, e)
		require.Equal(t, StopDeadline, e.Stop)
		require.Equal(t, "req_1", e.Decision.RequestID)
	})
}

// What lasts longer than the attempt shows no deadline of it; what the caller set stays.
func TestAttemptTimeoutShowsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		near, cancelNear := context.WithTimeout(t.Context(), time.Second)
		defer cancelNear()
		for _, tt := range []struct {
			name          string
			ctx           context.Context
			media         string
			during, after time.Duration // 0: none
		}{
			{"an answer", t.Context(), "application/json", time.Minute, time.Minute},
			{"a stream", t.Context(), "text/event-stream", time.Minute, 0},
			{"a stream with a later deadline", far, "text/event-stream", time.Minute, time.Hour},
			{"an earlier deadline", near, "application/json", time.Second, time.Second},
		} {
			start := time.Now()
			shown := func(ctx context.Context) time.Duration {
				if end, ok := ctx.Deadline(); ok {
					return end.Sub(start)
				}
				return 0
			}
			var sent *http.Request
			resp, err := (&Transport{AttemptTimeout: time.Minute, Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				sent = r
				require.Equal(t, tt.during, shown(sent.Context()), tt.name)
				return &http.Response{
					StatusCode: 200, Header: http.Header{"Content-Type": {tt.media}}, Body: io.NopCloser(strings.NewReader("x")), Request: r,
				}, nil
			})}).RoundTrip(get(t, tt.ctx))
			require.NoError(t, err)
			require.Equal(t, tt.after, shown(sent.Context()), tt.name)
			require.NoError(t, resp.Body.Close())
		}
	})
}

// A connection's error that wraps io.EOF is not the end of a body.
func TestAttemptTimeoutAndAnErrorThatWrapsEOF(t *testing.T) {
	for _, tr := range []*Transport{{AttemptTimeout: time.Minute}, {StreamErrors: true}} {
		broken := &net.OpError{Op: "read", Net: "tcp", Err: io.EOF}
		tr.Base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
			body := io.NopCloser(io.MultiReader(strings.NewReader(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}`+"\n\n"), iotest.ErrReader(broken)))
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, Request: r}, nil
		})
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, broken)
		require.NoError(t, resp.Body.Close())
	}
}
