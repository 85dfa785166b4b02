package classify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// lateBody brings its only byte at once, and after a while what end returns.
type lateBody struct {
	ctx   context.Context
	after time.Duration
	end   func() error
	begun bool
}

func (b *lateBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		p[0] = 'x'
		return 1, nil
	}
	timer := time.NewTimer(b.after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0, b.end()
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	}
}

func (*lateBody) Close() error { return nil }

// opaque hides the type of a body, as a RoundTripper between two Transports may.
func opaque(rt http.RoundTripper) http.RoundTripper {
	return roundTripFunc(func(r *http.Request) (*http.Response, error) {
		resp, err := rt.RoundTrip(r)
		if resp != nil {
			resp.Body = struct{ io.ReadCloser }{resp.Body}
		}
		return resp, err
	})
}

// net/http writes the trailers into the response that it made when the end of the body is read. While that is read ahead, the caller has a
// response that nobody else writes into: the trailers come with its own Read.
func TestTrailersComeWithTheCallersRead(t *testing.T) {
	quick := &Classifier{BodyTimeout: 20 * time.Millisecond}
	one := func(rt http.RoundTripper) http.RoundTripper {
		return &Transport{Base: rt, MaxAttempts: 1, Classifier: quick}
	}
	for name, around := range map[string]func(http.RoundTripper) http.RoundTripper{
		"one Transport":       one,
		"two":                 func(rt http.RoundTripper) http.RoundTripper { return one(one(rt)) },
		"two, one asks again": func(rt http.RoundTripper) http.RoundTripper { return &Transport{Base: one(rt), Classifier: quick} },
		"two, apart":          func(rt http.RoundTripper) http.RoundTripper { return one(opaque(one(rt))) },
	} {
		for _, announced := range []http.Header{nil, {"X-Sum": nil}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
						resp := &http.Response{StatusCode: 400, Header: http.Header{}, Trailer: announced.Clone(), Request: r}
						resp.Body = &lateBody{ctx: r.Context(), after: time.Second, end: func() error {
							if resp.Trailer == nil {
								resp.Trailer = make(http.Header)
							}
							resp.Trailer["X-Sum"] = []string{"1"}
							return io.EOF
						}}
						return resp, nil
					})
					resp, err := around(base).RoundTrip(get(t, t.Context()))
					require.NoError(t, err)
					for range 100 {
						<-time.After(20 * time.Millisecond) // the end arrives meanwhile
						require.Equal(t, announced, resp.Trailer)
					}
					body, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.Equal(t, "x", string(body))
					require.Equal(t, http.Header{"X-Sum": {"1"}}, resp.Trailer)
					require.NoError(t, resp.Body.Close())
					require.NotNil(t, ErrorOf(resp))
				})
			})
		}
	}
}

// Whatever net/http adds to a response, the copy that is handed out has it.
func TestHandedOutHasEveryField(t *testing.T) {
	whole := &http.Response{}
	for _, f := range reflect.ValueOf(whole).Elem().Fields() {
		switch f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		default:
			require.Equal(t, reflect.Interface, f.Kind()) // the body
		}
	}
	whole.Body = &heldBody{resp: whole, declared: whole.Trailer, done: make(chan struct{})}
	out := handedOut(whole)
	require.NotSame(t, whole, out)
	require.Equal(t, whole, out)
}

// The error of a body that ran out of time tells of the response as it came, not of what its receiver has made of it meanwhile.
func TestAttemptTimeoutLeavesTheResponseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 503, Header: http.Header{"X-Request-Id": {"r1"}}, Request: r,
				Body: &lateBody{ctx: r.Context(), after: time.Hour},
			}, nil
		})
		tr := &Transport{Base: base, MaxAttempts: 1, AttemptTimeout: time.Second, Classifier: &Classifier{BodyTimeout: 20 * time.Millisecond}}
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		for range 100 {
			<-time.After(20 * time.Millisecond)
			resp.Header.Set("X-Request-Id", "mine")
			resp.StatusCode = 200
		}
		_, err = io.ReadAll(resp.Body)
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Equal(t, "r1", e.Decision.RequestID)
		require.Equal(t, 503, e.Attempts[0].Status)
		require.NoError(t, resp.Body.Close())
	})
}

// The time of an attempt may end in the moment in which Base fails for a reason of its own.
func TestAttemptTimeoutAtTheSameTime(t *testing.T) {
	const limit = time.Second
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			base := roundTripFunc(func(*http.Request) (*http.Response, error) {
				<-time.After(limit)
				return nil, io.ErrUnexpectedEOF
			})
			_, err := (&Transport{Base: base, MaxAttempts: 1, AttemptTimeout: limit}).RoundTrip(get(t, t.Context()))
			require.Error(t, err)
		})
	}
}

// A body that panics, as that of a handler in the same process does, panics where it is asked for: in RoundTrip, or in the caller's Read if that was
// not waited for. It does not end the process, nothing is lost before it, and the body is closed.
func TestBodyThatPanics(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		after  time.Duration
		inRead bool
	}{
		{"at once", 400, 0, false},
		{"at once, to be sent again", 503, 0, false},
		{"behind what was waited for", 400, time.Second, true},
		{"while the rest is drained", 503, 300 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var spy *spyBody
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					spy = &spyBody{Reader: &lateBody{ctx: r.Context(), after: tt.after, end: func() error { panic(http.ErrAbortHandler) }}}
					return &http.Response{StatusCode: tt.status, Header: http.Header{}, Body: spy, Request: r}, nil
				})
				tr := &Transport{Base: base, Classifier: &Classifier{BodyTimeout: 20 * time.Millisecond}}
				call := func() (resp *http.Response) {
					resp, err := tr.RoundTrip(get(t, t.Context()))
					require.NoError(t, err)
					return resp
				}
				if !tt.inRead {
					require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { call() })
					require.Positive(t, spy.closed)
					return
				}
				resp := call()
				p := make([]byte, 9)
				n, err := resp.Body.Read(p)
				require.NoError(t, err)
				require.Equal(t, "x", string(p[:n]))
				for range 2 {
					require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { _, _ = resp.Body.Read(p) })
				}
				require.NoError(t, resp.Body.Close())
			})
		})
	}
}
