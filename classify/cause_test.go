package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// reports is a Gate that keeps what it is told.
type reports []GateReport

func (*reports) Admit(context.Context, Admission) (Pass, error) { return Pass{}, nil }

func (r *reports) Report(_ context.Context, report GateReport) Pace {
	*r = append(*r, report)
	return Unpaced
}

// listed is an error that cannot be compared.
type listed []string

func (l listed) Error() string { return strings.Join(l, ", ") }

// endings are the ways in which a context ends while a call is under way, with what follows.
var endings = []struct {
	name  string
	end   func(context.Context) (context.Context, context.CancelFunc) // after a second
	class errcodes.Class
	is    error
}{
	{"canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Second, cancel)
		return ctx, cancel
	}, errcodes.ClassCanceled, context.Canceled},
	{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Second)
	}, errcodes.ClassTimeout, context.DeadlineExceeded},
	{"canceled with a cause", canceledWith(errTab), errcodes.ClassCanceled, context.Canceled},
	{"deadline with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, time.Second, errTab)
	}, errcodes.ClassTimeout, context.DeadlineExceeded},
	{"canceled with a cause that cannot be compared", canceledWith(listed{"a", "b"}), errcodes.ClassCanceled, context.Canceled},
	{"canceled with the failure of another call", canceledWith(errSibling), errcodes.ClassCanceled, context.Canceled},
	{"canceled with an error that wraps the failure of another call", canceledWith(fmt.Errorf("sibling: %w", errSibling)), errcodes.ClassCanceled, context.Canceled},
}

var (
	errTab     = errors.New("the user closed the tab")
	errSibling = &Error{
		Decision: Decision{Class: errcodes.ClassRateLimited, Retry: errcodes.RetryBackoff, Status: 429, Rule: "status"}, Stop: StopWait,
		Attempts: []Attempt{{N: 1, Status: 429}},
	}
)

func canceledWith(cause error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Second, func() { cancel(cause) })
		return ctx, func() { cancel(nil) }
	}
}

// However the context of a call ends, the call was cancelled or ran out of time: net/http returns the cause, and the cause is nobody's answer.
func TestCauseIsNoAnswer(t *testing.T) {
	asIs := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context()) // as net/http does
	})
	inWords := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, fmt.Errorf("the line is dead: %s", context.Cause(r.Context()))
	})
	for _, tt := range endings {
		for name, base := range map[string]http.RoundTripper{"as it is": asIs, "in words": inWords, "over another Transport": &Transport{Base: asIs}} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := tt.end(t.Context())
					defer cancel()
					var told reports
					var done *DoneEvent
					observer := doneFunc(func(d *DoneEvent) { done = d })
					_, err := (&Transport{Base: base, Gate: &told, Observer: observer}).RoundTrip(get(t, ctx))
					e, ok := errors.AsType[*Error](err)
					require.True(t, ok)
					require.Equal(t, tt.class, e.Decision.Class)
					require.Equal(t, StopCanceled, e.Stop)
					require.NotSame(t, errSibling, e)
					require.ErrorIs(t, err, tt.is)
					require.Len(t, told, 1)
					require.Equal(t, tt.class, told[0].Failure.Decision.Class)
					if name == "over another Transport" {
						require.Nil(t, done, "the inner one's observer is told")
						return
					}
					require.Same(t, e, done.Err)
					require.ErrorIs(t, e.Attempts[0].Err, tt.is)
				})
			})
		}
		t.Run(tt.name+"/operation", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				_, err := Do(ctx, &Policy{Signal: sdkSignal}, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, context.Cause(ctx)
				})
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.NotSame(t, errSibling, e)
				require.Equal(t, StopCanceled, e.Stop)
				require.ErrorIs(t, err, tt.is)
				require.Len(t, e.Attempts, 1)
				if _, list := context.Cause(ctx).(listed); !list {
					require.Equal(t, tt.class, e.Decision.Class)
				}
			})
		})
		t.Run(tt.name+"/stream", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					body := io.MultiReader(strings.NewReader(chunk), readerFunc(func([]byte) (int, error) {
						<-r.Context().Done()
						return 0, context.Cause(r.Context())
					}))
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(body), Request: r}, nil
				})
				resp, err := (&Transport{Base: base, StreamErrors: true}).RoundTrip(get(t, ctx))
				require.NoError(t, err)
				_, err = io.ReadAll(resp.Body)
				require.NoError(t, resp.Body.Close())
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.NotSame(t, errSibling, e)
				require.Equal(t, StopBegun, e.Stop)
				if _, list := context.Cause(ctx).(listed); !list {
					require.Equal(t, tt.class, e.Decision.Class)
					require.ErrorIs(t, err, tt.is)
				}
			})
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type doneFunc func(*DoneEvent)

func (doneFunc) Attempt(context.Context, *AttemptEvent) {}

func (f doneFunc) Done(_ context.Context, e *DoneEvent) { f(e) }

// The real net/http does return the cause.
func TestCauseOfNetHTTP(t *testing.T) {
	arrived := make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(handler)
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		client := srv.Client()
		client.Transport = &Transport{Base: client.Transport}
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-arrived
			cancel(errSibling)
		}()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, http.NoBody)
		require.NoError(t, err)
		_, err = client.Do(req)
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.NotSame(t, errSibling, e)
		require.Equal(t, errcodes.ClassCanceled, e.Decision.Class)
		require.ErrorIs(t, err, context.Canceled)
		if !h2 { // net/http hands on no cause there
			require.ErrorIs(t, err, errSibling)
		}
		client.CloseIdleConnections()
		srv.Close()
	}
}
