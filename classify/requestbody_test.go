package classify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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

// A body that its context cut short was not sent, and one of just the limit is kept.
func TestBufferBodyAtItsBounds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	req := post(t, ctx, "")
	req.Body, req.GetBody, req.ContentLength = io.NopCloser(iotest.ErrReader(errBroken)), nil, -1
	_, err := (&Transport{Base: &fakeServer{}, BufferBody: 10}).RoundTrip(req)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, StopCanceled, e.Stop)
	require.Equal(t, errcodes.ClassCanceled, e.Decision.Class)
	require.Equal(t, NotSent, e.Decision.Safety)

	s := &fakeServer{script: []answer{{status: 503}, {status: 200}}}
	req = post(t, t.Context(), "")
	req.Body, req.GetBody, req.ContentLength = io.NopCloser(strings.NewReader("{}")), nil, 2
	resp, err := (&Transport{Base: s, BufferBody: 2, NewBackOff: atOnce}).RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, []string{"{}", "{}"}, s.bodies)
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

// A client that leaves a reverse proxy in the middle of its upload has cancelled the call: its body ends with an error of its own.
func TestBufferBodyOfAClientThatLeaves(t *testing.T) {
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 200}}}
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				req := post(t, ctx, "")
				req.GetBody, req.ContentLength = nil, -1
				req.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
					<-ctx.Done()
					return 0, io.ErrUnexpectedEOF
				}))
				_, err := (&Transport{Base: s, BufferBody: 1 << 20}).RoundTrip(req)
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, StopCanceled, e.Stop)
				require.Equal(t, NotSent, e.Decision.Safety)
				require.ErrorIs(t, err, tt.class)
				require.ErrorIs(t, err, tt.is)
				require.Empty(t, s.times)
			})
		})
	}

	var got error
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "api.test"})
	proxy.Transport = &Transport{BufferBody: 1 << 20}
	left := make(chan struct{})
	proxy.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) {
		got = err
		close(left)
	}
	front := httptest.NewServer(proxy)
	defer front.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", front.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	<-left
	require.ErrorIs(t, got, errcodes.ClassCanceled)
	require.ErrorIs(t, got, context.Canceled)
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

// A body is sent whole or not at all: one that was read before is not an empty one.
func TestBufferBodyOfAnotherLength(t *testing.T) {
	const text = `{"model":"m"}`
	for _, tt := range []struct {
		name   string
		limit  int64
		length int64
		text   string
		want   string // of the error; "" for none
	}{
		{"the largest limit", math.MaxInt64, -1, text, ""},
		{"the largest limit, known", math.MaxInt64, int64(len(text)), text, ""},
		{"one below it", math.MaxInt64 - 1, -1, text, ""},
		{"read before", 1 << 20, int64(len(text)), "", "its ContentLength is 13, and it has 0 bytes"},
		{"read in part", 1 << 20, int64(len(text)), text[6:], "its ContentLength is 13, and it has 7 bytes"},
		{"longer", 1 << 20, 5, text, "its ContentLength is 5, and it has more bytes"},
		{"longer than the limit too", 6, 5, text, "its ContentLength is 5, and it has more bytes"},
		{"far too long to make room for", math.MaxInt64, math.MaxInt64, text, "its ContentLength is 9223372036854775807, and it has 13 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeServer{script: []answer{{status: 200}}}
			body := &spyBody{Reader: strings.NewReader(tt.text)}
			req := post(t, t.Context(), "")
			req.Body, req.GetBody, req.ContentLength = body, nil, tt.length
			resp, err := (&Transport{Base: s, BufferBody: tt.limit}).RoundTrip(req)
			require.Equal(t, 1, body.closed)
			if tt.want == "" {
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, []string{text}, s.bodies)
				return
			}
			require.ErrorContains(t, err, tt.want)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, localBody.rule, e.Decision.Rule)
			require.Equal(t, NotSent, e.Decision.Safety)
			require.Equal(t, StopNever, e.Stop)
			require.Empty(t, s.times)
		})
	}
}

// stuckBody is a body whose reader hangs until it is closed, or for good.
type stuckBody struct {
	closes  chan struct{}
	deaf    chan struct{} // nil if closing ends the read
	closed  atomic.Int32
	ongoing atomic.Int32
}

func (b *stuckBody) Read([]byte) (int, error) {
	b.ongoing.Add(1)
	defer b.ongoing.Add(-1)
	if b.deaf != nil {
		<-b.deaf
		return 0, io.EOF
	}
	<-b.closes
	return 0, http.ErrBodyReadAfterClose
}

func (b *stuckBody) Close() error {
	if b.closed.Add(1) == 1 {
		close(b.closes)
	}
	return nil
}

// A caller that gives up is not kept waiting by its own reader.
func TestBufferBodyEndsWithTheContext(t *testing.T) {
	left := errors.New("the user left")
	for _, tt := range []struct {
		name  string
		end   func(*http.Request) *http.Request // after a second
		deaf  bool
		is    error
		class errcodes.Class
	}{
		{"deadline", func(r *http.Request) *http.Request {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			context.AfterFunc(ctx, cancel)
			return r.WithContext(ctx)
		}, false, context.DeadlineExceeded, errcodes.ClassTimeout},
		{"deadline, and a reader that nothing wakes", func(r *http.Request) *http.Request {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			context.AfterFunc(ctx, cancel)
			return r.WithContext(ctx)
		}, true, context.DeadlineExceeded, errcodes.ClassTimeout},
		{"cancelled with a cause", func(r *http.Request) *http.Request {
			ctx, cancel := context.WithCancelCause(r.Context())
			time.AfterFunc(time.Second, func() { cancel(left) })
			return r.WithContext(ctx)
		}, false, left, errcodes.ClassCanceled},
		{"Cancel of the request", func(r *http.Request) *http.Request {
			c := make(chan struct{})
			r.Cancel = c //nolint:staticcheck // http.Client.Timeout sets it
			time.AfterFunc(time.Second, func() { close(c) })
			return r
		}, false, context.Canceled, errcodes.ClassCanceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 200}}}
				body := &stuckBody{closes: make(chan struct{})}
				if tt.deaf {
					body.deaf = make(chan struct{})
				}
				req := post(t, t.Context(), "")
				req.Body, req.GetBody, req.ContentLength = body, nil, -1
				req = tt.end(req)
				start := time.Now()
				_, err := (&Transport{Base: s, BufferBody: 1 << 20}).RoundTrip(req)
				require.Equal(t, time.Second, time.Since(start))
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, StopCanceled, e.Stop)
				require.Equal(t, tt.class, e.Decision.Class)
				require.Equal(t, NotSent, e.Decision.Safety)
				require.ErrorIs(t, err, tt.is)
				synctest.Wait() // for whoever closes it, which takes as long as the read where Close waits for that
				require.EqualValues(t, 1, body.closed.Load())
				require.Empty(t, s.times)
				if tt.deaf {
					close(body.deaf)
				}
				synctest.Wait()
				require.Zero(t, body.ongoing.Load(), "nobody reads on")
			})
		})
	}
}

// trailerBody fills in the trailer of its request when it ends.
type trailerBody struct {
	io.Reader

	trailer http.Header
}

func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		b.trailer.Set("X-Sum", "abc")
	}
	return n, err
}

func (*trailerBody) Close() error { return nil }

func TestBufferBodyKeepsTrailers(t *testing.T) {
	for _, text := range []string{"hello", ""} {
		for _, limit := range []int64{0, 2, 1 << 20} {
			var got []string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if !assert.NoError(t, err) {
					return
				}
				got = append(got, string(b)+" "+r.Trailer.Get("X-Sum"))
				if len(got) == 1 {
					w.Header().Set("Retry-After-Ms", "1")
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			trailer := http.Header{"X-Sum": nil}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, &trailerBody{strings.NewReader(text), trailer})
			require.NoError(t, err)
			req.Trailer = trailer
			resp, err := (&Transport{Base: srv.Client().Transport, BufferBody: limit}).RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			want := []string{text + " abc"}
			if int64(len(text)) <= limit && limit > 0 {
				want = append(want, want[0])
			}
			require.Equal(t, want, got)
			srv.Close()
		}
	}
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
	for name, body := range map[string]func() io.ReadCloser{
		"a type of the caller's": func() io.ReadCloser { return &spyBody{Reader: strings.NewReader("{}")} },
		"several behind one": func() io.ReadCloser {
			return io.NopCloser(io.MultiReader(strings.NewReader("{"), strings.NewReader("}")))
		},
		"a file behind NopCloser": func() io.ReadCloser { return io.NopCloser(os.Stdin) },
		"a buffer":                func() io.ReadCloser { return io.NopCloser(bufio.NewReader(strings.NewReader("{}"))) },
	} {
		for _, limit := range []time.Duration{0, time.Minute} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String(), body())
			require.NoError(t, err)
			_, err = (&Transport{Base: base, NewBackOff: atOnce, AttemptTimeout: limit}).RoundTrip(req)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, StopBody, e.Stop, name)
			require.Equal(t, NotSent, e.Decision.Safety, name)

			req.Body = body()
			req.GetBody = func() (io.ReadCloser, error) { return body(), nil }
			_, err = (&Transport{Base: base, NewBackOff: atOnce, AttemptTimeout: limit}).RoundTrip(req)
			require.ErrorAs(t, err, &e)
			require.Len(t, e.Attempts, 4, name)
			require.Equal(t, NotSent, e.Decision.Safety, name)
		}
	}
	// What looks in all like a body of http.NewRequest, and is none, may have failed by itself: nobody looked. A file has not: its errors are of files.
	for _, tt := range []struct {
		body io.Reader
		stop Stop
	}{{io.MultiReader(strings.NewReader("{}")), StopUnsafe}, {os.Stdin, StopAttempts}} {
		body := func() (io.ReadCloser, error) { return io.NopCloser(tt.body), nil }
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String(), http.NoBody)
		require.NoError(t, err)
		req.Body, err = body()
		require.NoError(t, err)
		req.GetBody, req.ContentLength = body, 2
		_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, tt.stop, e.Stop)
	}
}

// A file that cannot be read is a fault of the request's body, whatever took it along.
func TestFileBodyThatFails(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	closed := func() (io.ReadCloser, error) {
		f, err := os.Open("requestbody.go")
		if err == nil {
			err = f.Close()
		}
		return f, err
	}
	body, err := closed()
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, body)
	require.NoError(t, err)
	req.GetBody = closed
	_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Attempts, 1)
	require.Equal(t, localBody.rule, e.Decision.Rule)
	require.ErrorIs(t, err, fs.ErrClosed)
}

// A body that panics does so where the caller can recover, whether or not the call can be cancelled, and is closed.
func TestBufferBodyOfABodyThatPanics(t *testing.T) {
	for _, cancelable := range []bool{false, true} {
		ctx := context.Background()
		if cancelable {
			ctx = t.Context()
		}
		body := &spyBody{Reader: readerFunc(func([]byte) (int, error) { panic(http.ErrAbortHandler) })}
		req := post(t, ctx, "")
		req.Body, req.GetBody, req.ContentLength = body, nil, -1
		require.PanicsWithValue(t, http.ErrAbortHandler, func() { _, _ = (&Transport{Base: &fakeServer{}, BufferBody: 10}).RoundTrip(req) })
		require.Equal(t, 1, body.closed)
	}
}

// A body whose Close waits for its Read, as that of a server's request does, does not keep a caller that gives up either.
func TestBufferBodyOfABodyThatClosesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body := &lateCloser{read: make(chan struct{}), closed: make(chan struct{})}
		req := post(t, ctx, "")
		req.Body, req.GetBody, req.ContentLength = body, nil, -1
		start := time.Now()
		_, err := (&Transport{Base: &fakeServer{}, BufferBody: 10}).RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		<-body.closed
	})
}

// lateCloser is a body that reads for ten seconds, and can be closed only behind that.
type lateCloser struct{ read, closed chan struct{} }

func (b *lateCloser) Read([]byte) (int, error) {
	<-time.After(10 * time.Second)
	close(b.read)
	return 0, io.EOF
}

func (b *lateCloser) Close() error {
	<-b.read
	close(b.closed)
	return nil
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
