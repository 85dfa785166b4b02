package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// sdkError is what a client library makes of a response.
type sdkError struct {
	status int
	header http.Header
	body   string
}

func (e *sdkError) Error() string { return "sdk: " + http.StatusText(e.status) }

func sdkSignal(err error) Signal {
	e, ok := errors.AsType[*sdkError](err)
	if !ok {
		return Signal{}
	}
	return Signal{Status: e.status, Header: e.header, Body: []byte(e.body)}
}

func TestDo(t *testing.T) {
	limited := &sdkError{status: 429, header: http.Header{"Retry-After": {"2"}, "X-Request-Id": {"req_1"}}}
	quota := &sdkError{status: 429, body: `{"error":{"code":"insufficient_quota","message":"spent"}}`}
	failed := &sdkError{status: 500}
	for _, tt := range []struct {
		name     string
		script   []error
		policy   Policy
		deadline time.Duration
		attempts int
		waits    []time.Duration
		stop     Stop // StopNone: success
	}{
		{"at once", []error{nil}, Policy{}, 0, 1, nil, StopNone},
		{"after two waits", []error{limited, limited, nil}, Policy{}, 0, 3, []time.Duration{2 * time.Second, 2 * time.Second}, StopNone},
		{"quota", []error{quota}, Policy{}, 0, 1, nil, StopNever},
		{"500 twice", []error{failed}, Policy{}, 0, 2, []time.Duration{time.Second}, StopClass},
		{"500, 429, 500", []error{failed, limited, failed}, Policy{}, 0, 3, []time.Duration{time.Second, 2 * time.Second}, StopClass},
		{"deadline", []error{limited}, Policy{}, time.Second, 1, nil, StopDeadline},
		{"too long", []error{limited}, Policy{MaxWait: time.Second}, 0, 1, nil, StopWait},
		{"attempts", []error{limited}, Policy{MaxAttempts: 2}, 0, 2, []time.Duration{2 * time.Second}, StopAttempts},
		{"budget", []error{limited}, Policy{Budget: &TokenBucket{Burst: -1}}, 0, 1, nil, StopBudget},
		{"backoff", []error{failed}, Policy{NewBackOff: func() backoff.BackOff { return &backoff.StopBackOff{} }}, 0, 1, nil, StopBackOff},
		{"no answer", []error{io.EOF}, Policy{}, 0, 1, nil, StopUnsafe},
		{"no answer, idempotent", []error{io.EOF, nil}, Policy{ReplayAmbiguous: true}, 0, 2, []time.Duration{time.Second}, StopNone},
		{"foreign", []error{errors.New("what")}, Policy{}, 0, 1, nil, StopNever},
		{"foreign, idempotent", []error{errors.New("what")}, Policy{ReplayAmbiguous: true}, 0, 1, nil, StopNever},
		{"of an http.Client", []error{&url.Error{Op: "Get", Err: errors.New("what")}}, Policy{ReplayAmbiguous: true}, 0, 2, []time.Duration{time.Second}, StopClass},
		{"permanent", []error{backoff.Permanent(limited)}, Policy{}, 0, 1, nil, StopNever},
		{"a Transport gave up", []error{&Error{Decision: Decision{Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff}, Stop: StopAttempts}}, Policy{}, 0, 1, nil, StopNested},
		{"a stream refused at once", []error{&Error{Decision: Decision{Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff}, Stop: StopBegun}, nil}, Policy{}, 0, 2, []time.Duration{time.Second}, StopNone},
		{"a stream broke off", []error{&Error{Decision: Decision{Class: errcodes.ClassNetwork, Retry: errcodes.RetryBackoff, Safety: MaybeExecuted}, Stop: StopBegun}}, Policy{}, 0, 1, nil, StopUnsafe},
		{"must be changed", []error{&sdkError{status: 504, body: `{"error":{"message":"m","type":"timeout_error"}}`}},
			Policy{Classifier: &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}}}, 0, 1, nil, StopUnchanged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				r := &recorder{}
				tt.policy.Signal, tt.policy.Observer = sdkSignal, r
				var times []time.Time
				got, err := Do(ctx, &tt.policy, func(ctx context.Context) (int, error) {
					require.Equal(t, len(times), ResendCount(ctx))
					times = append(times, time.Now())
					n := len(times)
					return n, tt.script[min(n, len(tt.script))-1]
				})
				require.Len(t, times, tt.attempts)
				require.Equal(t, tt.attempts, got, "the value that came last")
				require.Len(t, tt.waits, len(times)-1)
				for i, w := range tt.waits {
					pause := times[i+1].Sub(times[i])
					require.GreaterOrEqual(t, pause, w)
					require.LessOrEqual(t, pause, w+min(w/10, time.Second))
				}
				if tt.stop == StopNone {
					require.NoError(t, err)
					require.Len(t, r.done, min(tt.attempts-1, 1))
					return
				}
				e, ok := err.(*Error)
				require.True(t, ok)
				require.Equal(t, tt.stop.String(), e.Stop.String())
				require.Len(t, e.Attempts, tt.attempts)
				require.ErrorIs(t, err, tt.script[min(tt.attempts, len(tt.script))-1])
				require.Len(t, r.attempts, tt.attempts)
				require.Len(t, r.done, 1)
				require.Same(t, e, r.done[0].Err)
			})
		})
	}
}

func TestDoWithoutPolicy(t *testing.T) {
	got, err := Do(t.Context(), nil, func(context.Context) (string, error) { return "x", nil })
	require.NoError(t, err)
	require.Equal(t, "x", got)
	_, err = Do(t.Context(), nil, func(context.Context) (string, error) { return "", context.Canceled })
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, errcodes.ClassCanceled)
}

func TestDoCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the user left")
		p := &Policy{Signal: sdkSignal, Budget: &TokenBucket{}}
		time.AfterFunc(3*time.Second, func() { cancel(cause) })
		start := time.Now()
		_, err := Do(ctx, p, func(context.Context) (int, error) {
			return 0, &sdkError{status: 503, header: http.Header{"Retry-After": {"30"}}}
		})
		require.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, "sdk: Service Unavailable")
		require.ErrorIs(t, err, errcodes.ClassOverloaded)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, StopCanceled, e.Stop)
		require.False(t, e.RetryAt.IsZero())
		bucket, ok := p.Budget.(*TokenBucket)
		require.True(t, ok)
		require.InDelta(t, 10, bucket.Left(), 0)
	})
}

// The budget of a Policy is on by default and shared by its calls.
func TestDoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		p := &Policy{Signal: sdkSignal}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := Do(t.Context(), p, func(context.Context) (int, error) {
					n.Add(1)
					return 0, &sdkError{status: 503}
				})
				require.Error(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, int32(110), n.Load())
	})
}

// A loop around a Transport does not multiply its attempts, whether or not a response arrives.
func TestDoAroundATransport(t *testing.T) {
	for _, script := range [][]answer{{{status: 503}}, {{err: io.EOF}}} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{script: script}
			client := &http.Client{Transport: &Transport{Base: s}}
			_, err := Do(t.Context(), &Policy{Signal: sdkSignal, ReplayAmbiguous: true}, func(ctx context.Context) (string, error) {
				resp, err := client.Do(get(t, ctx))
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				return "", &sdkError{status: resp.StatusCode, header: resp.Header}
			})
			require.Error(t, err)
			require.Len(t, s.times, 4)
		})
	}
}

// One of the two loops retries, and the Error says so only where it is not Do itself.
func TestDoAroundATransportThatDecides(t *testing.T) {
	for _, tt := range []struct {
		name        string
		maxAttempts int // of the Transport
		script      []answer
		requests    int
		stop        Stop
	}{
		{"the Transport retries", 0, []answer{{status: 503}}, 4, StopNested},
		{"the Transport retries a little", 2, []answer{{status: 503}}, 2, StopNested},
		{"Do retries", 1, []answer{{status: 503}}, 4, StopAttempts},
		{"Do retries, no answer", 1, []answer{{err: io.EOF}}, 4, StopAttempts},
		{"Do retries, with success", 1, []answer{{status: 503}, {status: 503}, {status: 200}}, 3, StopNone},
		{"nobody retries", 0, []answer{{status: 400}}, 1, StopNever},
		{"nobody could", 1, []answer{{status: 400}}, 1, StopNever},
		{"the second one is final", 1, []answer{{status: 503}, {status: 402}}, 2, StopNever},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: tt.script}
				client := &http.Client{Transport: &Transport{Base: s, MaxAttempts: tt.maxAttempts}}
				_, err := Do(t.Context(), &Policy{ReplayAmbiguous: true}, func(ctx context.Context) (string, error) {
					resp, err := client.Do(get(t, ctx))
					if err != nil {
						return "", err
					}
					defer resp.Body.Close()
					if e := ErrorOf(resp); e != nil {
						return "", fmt.Errorf("of the operation: %w", e)
					}
					return "", nil
				})
				require.Len(t, s.times, tt.requests)
				if tt.stop == StopNone {
					require.NoError(t, err)
					return
				}
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, tt.stop, e.Stop)
			})
		})
	}
}

// A Do within the operation of another leaves the retries to that one from its second attempt on.
func TestDoInsideDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := &Policy{Signal: sdkSignal, Budget: Unlimited{}}, 0
		_, err := Do(t.Context(), p, func(ctx context.Context) (int, error) {
			_, err := Do(ctx, p, func(context.Context) (int, error) {
				n++
				return 0, &sdkError{status: 503}
			})
			require.Error(t, err)
			return 0, &sdkError{status: 503} // it says nothing of the loop within
		})
		require.Error(t, err)
		require.Equal(t, 4+3, n)
	})
}

func TestDoSuccessAllocatesNothing(t *testing.T) {
	p := &Policy{}
	op := func(context.Context) (int, error) { return 1, nil }
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if n, err := Do(ctx, p, op); n != 1 || err != nil {
			t.Fail()
		}
	}))
}

func TestDoLetsPanicsPass(t *testing.T) {
	require.PanicsWithValue(t, "op", func() {
		_, _ = Do(t.Context(), nil, func(context.Context) (int, error) { panic("op") })
	})
}
