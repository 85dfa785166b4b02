package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/pacing"
)

func TestPacerRefusesLocally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := answer{status: 503, header: map[string]string{"Retry-After": "30", "X-Request-Id": "req_9"}, body: `{"error":{"message":"back in half a minute"}}`}
		s := &fakeServer{script: []answer{down}}
		r := &recorder{}
		tr := &Transport{Base: s, Gate: &Pacer{}, Observer: r, MaxAttempts: 1}
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())

		// The server said to stay away for longer than a first attempt waits.
		r.done = nil
		start := time.Now()
		body := &closeSpy{}
		req := post(t, t.Context(), "{}")
		req.Body = body
		resp, err = tr.RoundTrip(req)
		require.Nil(t, resp)
		require.Zero(t, time.Since(start))
		require.Len(t, s.times, 1, "nothing was sent")
		require.True(t, body.closed)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, StopGate, e.Stop)
		require.Empty(t, e.Attempts)
		require.Equal(t, NotSent, e.Decision.Safety)
		require.Equal(t, errcodes.RetryBackoff, e.Decision.Retry)
		require.Zero(t, e.Decision.Status)
		require.Equal(t, start.Add(30*time.Second), e.RetryAt)
		require.ErrorIs(t, err, errcodes.ClassOverloaded)
		require.ErrorContains(t, err, "refused locally, nothing was sent")
		var refused *GateError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "closed", refused.Reason)
		require.Equal(t, "req_9", refused.Last.Decision.RequestID)
		require.Equal(t, "back in half a minute", refused.Last.Decision.Message)
		require.Equal(t, []DoneEvent{{Err: e}}, r.done)

		// Other hosts and other keys are not concerned.
		s.script = []answer{{status: 200}}
		req = get(t, t.Context())
		req.Header.Set("Authorization", "Bearer other")
		resp, err = tr.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	})
}

// Each refusal of a Pacer is an error of its own type, says why and that it is local, carries what the provider said last, and reaches
// the observer; and nothing was sent.
func TestPacerRefusals(t *testing.T) {
	slower := answer{status: 429, header: map[string]string{"Retry-After": "1", "X-Request-Id": "req_9"}, body: `{"error":{"message":"ten a minute"}}`}
	down := answer{status: 503, header: map[string]string{"Retry-After": "2", "X-Request-Id": "req_9"}, body: `{"error":{"message":"ten a minute"}}`}
	for _, tt := range []struct {
		reason         string
		first          answer
		pacer          *Pacer
		after          time.Duration // the refusal
		ahead          int           // callers before it
		deadline, gone time.Duration
		took           time.Duration
		stop           Stop
		class          errcodes.Class
	}{
		{reason: "queue_full", first: down, pacer: &Pacer{QueueSize: 1, MaxWait: 5 * time.Second}, ahead: 1, stop: StopGate, class: errcodes.ClassOverloaded},
		{reason: "queue_wait", first: slower, pacer: &Pacer{MaxWait: time.Second}, after: time.Second, ahead: 1, stop: StopGate, class: errcodes.ClassRateLimited},
		{reason: "closed", first: down, pacer: &Pacer{MaxWait: time.Second}, stop: StopGate, class: errcodes.ClassOverloaded},
		{reason: "deadline", first: slower, pacer: &Pacer{}, after: time.Second, ahead: 1, deadline: time.Second, stop: StopGate, class: errcodes.ClassRateLimited},
		{reason: "canceled", first: down, pacer: &Pacer{MaxWait: 5 * time.Second}, gone: time.Second, took: time.Second, stop: StopCanceled, class: errcodes.ClassOverloaded},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := []answer{tt.first, {status: 200}}
				if tt.first.status == http.StatusTooManyRequests {
					script = slices.Insert(script, 1, tt.first) // one alone may be chance
				}
				s := &fakeServer{script: script}
				one := &Transport{Base: s, Gate: tt.pacer, MaxAttempts: 1}
				var resp *http.Response
				var err error
				for range len(script) - 1 {
					resp, err = one.RoundTrip(get(t, t.Context()))
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
				}
				<-time.After(tt.after)
				var wg sync.WaitGroup
				for range tt.ahead {
					wg.Go(func() {
						if resp, err := one.RoundTrip(get(t, t.Context())); err == nil {
							resp.Body.Close()
						}
					})
				}
				synctest.Wait()
				requests := func() int {
					s.mu.Lock()
					defer s.mu.Unlock()
					return len(s.times)
				}
				sent := requests()

				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
				}
				if tt.gone > 0 {
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(tt.gone, cancel)
				}
				defer cancel()
				r := &recorder{}
				client := &http.Client{Transport: &Transport{Base: s, Gate: tt.pacer, Observer: r}}
				began := time.Now()
				resp, err = client.Do(get(t, ctx))
				require.Nil(t, resp)
				require.Equal(t, tt.took, time.Since(began))
				require.Equal(t, sent, requests(), "nothing was sent")
				var e *Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, tt.stop, e.Stop)
				require.ErrorIs(t, err, tt.class)
				var refused *GateError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, tt.reason, refused.Reason)
				require.Equal(t, "req_9", refused.Last.Decision.RequestID)
				require.ErrorContains(t, err, "refused locally, nothing was sent")
				require.ErrorContains(t, err, "ten a minute", "what the provider said last")
				require.Equal(t, tt.deadline > 0, errors.Is(err, context.DeadlineExceeded))
				require.Equal(t, tt.gone > 0, errors.Is(err, context.Canceled))
				if tt.reason != "canceled" {
					require.True(t, e.RetryAt.After(began))
				}
				require.Len(t, r.done, 1)
				require.Equal(t, e, r.done[0].Err)
				require.Empty(t, r.attempts)
				wg.Wait()
			})
		})
	}
}

type closeSpy struct{ closed bool }

func (*closeSpy) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closeSpy) Close() error           { c.closed = true; return nil }

// A herd behind a rate limit: all are served, with few attempts more than it takes. A retry that is paced spends no budget and tells how long
// it was held. What was seen before the first refusal must not matter: nothing, or quiet traffic, whose successes say nothing
// about what the server can do.
func TestPacerPaces(t *testing.T) {
	for _, tt := range []struct {
		name         string
		quiet, crowd int
		most         int
	}{
		{"herd", 0, 200, 400},
		{"herd after quiet traffic", 20, 180, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &limitedServer{rate: 20}
				r := &recorderSync{}
				b := &TokenBucket{Burst: 1, Ratio: -1} // pays for one retry: when the first call is refused nobody knows of others
				tr := &Transport{Base: s, Gate: &Pacer{}, Budget: b, Observer: r}
				var wg sync.WaitGroup
				call := func() error {
					resp, err := tr.RoundTrip(get(t, t.Context()))
					if err != nil {
						return err
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						return ErrorOf(resp)
					}
					return nil
				}
				errs := make([]error, tt.quiet+tt.crowd)
				for i := range errs {
					if i == tt.quiet {
						wg.Wait() // all of these are served, and the bucket is empty
					}
					wg.Go(func() { errs[i] = call() })
				}
				wg.Wait()
				require.NoError(t, errors.Join(errs...))
				t.Logf("%d requests", s.requests)
				require.LessOrEqual(t, s.requests, tt.most)
				require.Positive(t, r.queued)
			})
		})
	}
}

// limitedServer serves so many requests a second.
type limitedServer struct {
	mu       sync.Mutex
	rate     float64
	tokens   float64
	last     time.Time
	requests int
}

func (s *limitedServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.take() {
		<-time.NewTimer(50 * time.Millisecond).C
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	}
	<-time.NewTimer(5 * time.Millisecond).C
	h := http.Header{"Retry-After": {"1"}}
	return &http.Response{StatusCode: 429, Header: h, Body: http.NoBody, Request: r}, nil
}

func (s *limitedServer) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.last.IsZero() {
		s.tokens = s.rate
	} else {
		s.tokens = min(s.tokens+now.Sub(s.last).Seconds()*s.rate, s.rate)
	}
	s.last = now
	s.requests++
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

type recorderSync struct {
	mu     sync.Mutex
	queued time.Duration
}

func (*recorderSync) Attempt(context.Context, *AttemptEvent) {}

func (r *recorderSync) Done(_ context.Context, e *DoneEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queued += e.Queued
}

// While the server is down callers wait, one a second looks, and none is lost.
func TestPacerParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &outage{until: time.Now().Add(20 * time.Second)}
		tr := &Transport{Base: s, Gate: &Pacer{Park: time.Minute}, NewBackOff: nil}
		var wg sync.WaitGroup
		const callers = 50
		codes := make([]int, callers)
		for i := range callers {
			wg.Go(func() {
				<-time.NewTimer(time.Duration(i) * 200 * time.Millisecond).C
				resp, err := tr.RoundTrip(get(t, t.Context()))
				if err == nil {
					codes[i] = resp.StatusCode
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
		for i, code := range codes {
			require.Equal(t, 200, code, "caller %d", i)
		}
		require.Less(t, s.failed, 50)
	})
}

type outage struct {
	mu     sync.Mutex
	until  time.Time
	failed int
}

func (s *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		s.failed++
		return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
}

// script is a Gate that does as told.
type script struct {
	admit   func(Admission) (Pass, error)
	pace    Pace
	reports []GateReport
	admits  []Admission
}

func (s *script) Admit(_ context.Context, a Admission) (Pass, error) {
	s.admits = append(s.admits, a)
	if s.admit != nil {
		return s.admit(a)
	}
	return Pass{Ticket: len(s.admits)}, nil
}

func (s *script) Report(_ context.Context, r GateReport) Pace {
	s.reports = append(s.reports, r)
	return s.pace
}

func TestGateIsToldOfEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503, took: time.Second}, {err: io.EOF}, {status: 200}, {status: 200}}}
		g := &script{}
		tr := &Transport{Base: s, Gate: g}
		start := time.Now()
		require.Equal(t, 3, spend(t, tr, s, 1))
		require.Equal(t, 1, spend(t, tr, s, 1))
		require.Len(t, g.reports, 4)
		for i, r := range g.reports {
			require.Equal(t, i+1, r.Ticket)
			require.Equal(t, i < 2, r.Failure != nil)
			require.NotNil(t, r.Request)
		}
		require.Equal(t, 503, g.reports[0].Failure.Status)
		require.ErrorIs(t, g.reports[1].Failure.Err, io.EOF)
		require.True(t, g.admits[0].FirstFailed.IsZero())
		require.Equal(t, start.Add(time.Second), g.admits[1].FirstFailed)
		require.Equal(t, start.Add(time.Second), g.admits[2].FirstFailed)
		require.True(t, g.admits[3].FirstFailed.IsZero())
	})
}

// When a retry is refused, the response that it was for is still there.
func TestGateRefusesARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := `{"error":{"message":"busy"}}`
		errFull := errors.New("full")
		g := &script{admit: func(a Admission) (Pass, error) {
			if a.FirstFailed.IsZero() {
				return Pass{}, nil
			}
			return Pass{}, errFull
		}}
		s := &fakeServer{script: []answer{{status: 503, body: busy}}}
		b := &TokenBucket{}
		resp, err := (&Transport{Base: s, Gate: g, Budget: b}).RoundTrip(post(t, t.Context(), "{}"))
		require.NoError(t, err)
		require.Equal(t, 503, resp.StatusCode)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, busy, string(got))
		require.NoError(t, resp.Body.Close())
		e := ErrorOf(resp)
		require.Equal(t, StopGate, e.Stop)
		require.ErrorIs(t, e, errFull)
		require.ErrorContains(t, e, "stopped locally")
		require.Equal(t, "busy", e.Decision.Message)
		require.InDelta(t, 10, b.Left(), 0, "refunded")
		require.Equal(t, s.open, s.closed)

		// Where no response arrived there is an error, with both causes.
		s = &fakeServer{script: []answer{{err: io.EOF}}}
		resp, err = (&Transport{Base: s, Gate: g}).RoundTrip(get(t, t.Context()))
		require.Nil(t, resp)
		require.ErrorIs(t, err, io.EOF)
		require.ErrorIs(t, err, errFull)
	})
}

func TestGateUnderACancelledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g := &script{admit: func(Admission) (Pass, error) {
			<-ctx.Done()
			return Pass{}, ctx.Err()
		}}
		_, err := (&Transport{Base: &fakeServer{}, Gate: g}).RoundTrip(post(t, ctx, "{}"))
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, StopCanceled, e.Stop)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, e.Timeout())
	})
}

// A call that was held and then served is told of, although it succeeded at once.
func TestGateHoldsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &script{admit: func(Admission) (Pass, error) { return Pass{Queued: 3 * time.Second}, nil }}
		r := &recorder{}
		s := &fakeServer{script: []answer{{status: 200}}}
		resp, err := (&Transport{Base: s, Gate: g, Observer: r}).RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Len(t, r.done, 1)
		require.Equal(t, 3*time.Second, r.done[0].Queued)
		require.Equal(t, 3*time.Second, AttemptsOf(resp)[0].Queued)
		require.Nil(t, ErrorOf(resp))
	})
}

// Whether or not the gate of the outer of two held a call, the inner one's conclusion and history are those of the call, and nobody speaks of a veto that no
// server sent.
func TestGateOverAnotherTransport(t *testing.T) {
	const second = time.Second
	busy := answer{status: 503, header: map[string]string{"Retry-After-Ms": "1"}}
	between := func(base http.RoundTripper) http.RoundTripper {
		return roundTripFunc(func(r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil {
				err = fmt.Errorf("between: %w", err)
			}
			return resp, err
		})
	}
	for _, tt := range []struct {
		name     string
		script   []answer
		attempts int
		stop     Stop
		response bool
	}{
		{"served at once", []answer{{status: 200}}, 1, StopNone, true},
		{"served in the end", []answer{busy, busy, busy, {status: 200}}, 4, StopNone, true},
		{"refused", []answer{busy}, 4, StopAttempts, true},
		{"vetoed", []answer{{status: 503, header: map[string]string{"X-Should-Retry": "false"}}}, 1, StopVeto, true},
		{"not found", []answer{{status: 404}}, 1, StopNever, true},
		{"no answer", []answer{{err: io.EOF}}, 4, StopAttempts, false},
	} {
		for _, queued := range []time.Duration{0, second} {
			for name, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
				"directly": func(base http.RoundTripper) http.RoundTripper { return base }, "with another between": between,
			} {
				t.Run(tt.name+"/"+queued.String()+"/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &fakeServer{script: tt.script}
						g := &script{admit: func(Admission) (Pass, error) { return Pass{Ticket: 1, Queued: queued}, nil }}
						r := &recorder{}
						resp, err := (&Transport{Base: wrap(&Transport{Base: s}), Gate: g, Observer: r}).RoundTrip(get(t, t.Context()))
						require.Len(t, s.times, tt.attempts)
						require.Len(t, g.reports, 1)
						e, _ := errors.AsType[*Error](err)
						var history []Attempt
						if tt.response {
							require.NoError(t, err)
							require.NoError(t, resp.Body.Close())
							e, history = ErrorOf(resp), AttemptsOf(resp)
							if tt.stop != StopNone {
								require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
							}
						} else {
							require.Nil(t, resp)
							history = e.Attempts
							if name != "directly" {
								require.ErrorContains(t, err, "between: ")
							}
						}
						if tt.stop != StopNone {
							require.Equal(t, tt.stop, e.Stop)
							require.Equal(t, tt.stop == StopVeto, e.Decision.Vetoed)
							require.Equal(t, e.Attempts, history)
							require.Equal(t, tt.stop == StopVeto, g.reports[0].Failure.Decision.Vetoed)
						} else {
							require.Nil(t, e)
						}
						if queued == 0 {
							require.Empty(t, r.done, "the inner one's observer is told")
							if tt.name == "served at once" {
								require.Nil(t, history)
								return
							}
						} else {
							require.Equal(t, []DoneEvent{{Attempts: history, Queued: second, Err: e}}, r.done)
							require.Len(t, r.attempts, 1)
							require.True(t, r.attempts[0].Last)
						}
						require.Len(t, history, tt.attempts)
						require.Equal(t, queued, history[0].Queued)
					})
				})
			}
		}
	}
}

// A further attempt that was the inner one's first, because something between had failed before, is followed by others: what the inner one
// sets for libraries is no word of the server.
func TestTransportOverAnotherThatWasNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}, {status: 503}, {status: 200}}}
		inner := &Transport{Base: s}
		failed := false
		token := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if !failed {
				failed = true
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return inner.RoundTrip(r)
		})
		resp, err := (&Transport{Base: token}).RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
		require.Len(t, AttemptsOf(resp), 4)
	})
}

// Nobody was held who went out at once, even while the Pacer has something to do: for another scope, or for the same one with room for all. Not in
// virtual time, in which nothing takes any.
func TestPacerTellsOfNoHoldsThatWereNone(t *testing.T) {
	p, r := &Pacer{}, &recorder{}
	tr := &Transport{Base: &fakeServer{script: []answer{{status: 200}, {status: 200}}}, Gate: p, Observer: r}
	keyed := func(key string) *http.Request {
		req := get(t, t.Context())
		req.Header.Set("Authorization", "Bearer "+key)
		return req
	}
	refused := &Attempt{Decision: Decision{Class: errcodes.ClassRateLimited, Retry: errcodes.RetryBackoff, Status: 429, Wait: time.Second}}
	require.Equal(t, Unpaced, p.Report(t.Context(), GateReport{Request: keyed("one"), Failure: refused}), "nobody else is known")
	require.Equal(t, Paced, p.Report(t.Context(), GateReport{Request: keyed("one"), Failure: refused}))
	pass, err := p.Admit(t.Context(), Admission{Request: keyed("another")})
	require.NoError(t, err)
	require.Zero(t, pass, "there is no ticket of a scope that is not paced")
	for _, key := range []string{"another", "one"} {
		resp, err := tr.RoundTrip(keyed(key))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Nil(t, AttemptsOf(resp), key)
	}
	require.Empty(t, r.done)
}

// A parked attempt is none of MaxAttempts, and only what a wait can mend is parked.
func TestGateParkedAttemptsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := slices.Repeat([]answer{{status: 503}}, 10)
		s := &fakeServer{script: slices.Concat(down, []answer{{status: 200}})}
		g := &script{pace: Parked}
		require.Equal(t, 11, spend(t, &Transport{Base: s, Gate: g, MaxAttempts: 2, Budget: &TokenBucket{Burst: -1}}, s, 1))
		s = &fakeServer{script: []answer{{status: 500}}}
		require.Equal(t, 2, spend(t, &Transport{Base: s, Gate: g}, s, 1))
		s = &fakeServer{script: []answer{{status: 404}}}
		require.Equal(t, 1, spend(t, &Transport{Base: s, Gate: g}, s, 1))
		s = &fakeServer{script: []answer{{err: io.EOF}}}
		_, err := (&Transport{Base: s, Gate: g}).RoundTrip(post(t, t.Context(), "{}"))
		require.Error(t, err)
		require.Len(t, s.times, 1, "what may have been done is not repeated")
	})
}

// Only what an outage explains is parked, and then the first attempt does not count either. Anything else waits its own time and counts.
func TestGateParksOutagesAlone(t *testing.T) {
	for _, tt := range []struct {
		name        string
		failure     answer
		maxAttempts int
		sent        int
		wait        time.Duration // before the second attempt
	}{
		{"an outage, one attempt", answer{status: 503}, 1, 6, 0},
		{"a fault that is worth one more", answer{status: 500}, 4, 2, time.Second},
		{"what may have been executed", answer{err: io.EOF}, 2, 2, time.Second},
		{"a timeout", answer{status: 504}, 2, 2, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: slices.Concat(slices.Repeat([]answer{tt.failure}, 5), []answer{{status: 200}})}
				req := post(t, t.Context(), "{}")
				req.Header.Set("Idempotency-Key", "k")
				resp, err := (&Transport{Base: s, Gate: &script{pace: Parked}, MaxAttempts: tt.maxAttempts}).RoundTrip(req)
				if err == nil {
					require.NoError(t, resp.Body.Close())
				}
				require.Len(t, s.times, tt.sent)
				require.GreaterOrEqual(t, s.waits()[0], tt.wait)
				require.LessOrEqual(t, s.waits()[0], tt.wait+tt.wait/10)
			})
		})
	}
}

// What a failure tells about the server, alone and as one of several in a row.
func TestFailuresThatShowAnOutage(t *testing.T) {
	for _, tt := range []struct {
		d       Decision
		at      pacing.Kind // at once
		several bool        // of them
	}{
		{Decision{Class: errcodes.ClassRateLimited}, pacing.Slower, false},
		{Decision{Class: errcodes.ClassOverloaded}, pacing.Down, false},
		{Decision{Class: errcodes.ClassServerError}, pacing.Down, false},
		{Decision{Class: errcodes.ClassTimeout, Status: 504}, pacing.Unknown, true},
		{Decision{Class: errcodes.ClassTimeout}, pacing.Unknown, true},
		{Decision{Class: errcodes.ClassTimeout, Status: 408}, pacing.Unknown, false}, // it is the client that was slow
		{Decision{Class: errcodes.ClassCanceled}, pacing.Unknown, false},
		{netRefused.decision(), pacing.Down, true},
		{netReset.decision(), pacing.Unknown, true},
		{netTLS.decision(), pacing.Unknown, false}, // of the client's making: no server is down because a name does not exist
		{netNoHost.decision(), pacing.Unknown, false},
		{Decision{Class: errcodes.ClassInvalidRequest}, pacing.OK, false},
	} {
		require.Equal(t, tt.at, kindOfFailure(&tt.d), "%+v", tt.d)
		require.Equal(t, tt.several, looksDown(&tt.d), "%+v", tt.d)
	}
}

// The judgement on a call that the gate refused is that on the provider's last refusal, where the gate knows it.
func TestGateRefusalsAreOfTheLastRefusalsClass(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want errcodes.Class
	}{
		{&GateError{Last: &Error{Decision: Decision{Class: errcodes.ClassRateLimited}}}, errcodes.ClassRateLimited},
		{&GateError{}, errcodes.ClassOverloaded},
		{errBroken, errcodes.ClassOverloaded},
	} {
		g := &script{admit: func(Admission) (Pass, error) { return Pass{}, tt.err }}
		_, err := (&Transport{Base: &fakeServer{}, Gate: g}).RoundTrip(get(t, t.Context()))
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Equal(t, tt.want, e.Decision.Class)
		require.Equal(t, NotSent, e.Decision.Safety)
	}
}

func TestDefaultScope(t *testing.T) {
	a := get(t, t.Context())
	a.Header.Set("Authorization", "Bearer sk-secret-1")
	b := a.Clone(t.Context())
	require.Equal(t, DefaultScope(a), DefaultScope(b))
	require.NotContains(t, DefaultScope(a), "secret")
	b.Header.Set("Authorization", "Bearer sk-secret-2")
	require.NotEqual(t, DefaultScope(a), DefaultScope(b))
	for _, query := range []string{"key=K1", "alt=sse&api_key=K1", "API-Key=K1&x", "subscription-key=K1", "access_token=K1"} {
		b = a.Clone(t.Context())
		b.URL.RawQuery = query
		require.NotContains(t, DefaultScope(b), "K1")
		c := b.Clone(t.Context())
		require.Equal(t, DefaultScope(b), DefaultScope(c))
		c.URL.RawQuery = strings.Replace(query, "K1", "K2", 1)
		require.NotEqual(t, DefaultScope(b), DefaultScope(c), "tenants whose keys are in the query")
	}
	b = a.Clone(t.Context())
	b.URL.RawQuery = "page=2"
	require.Equal(t, DefaultScope(a), DefaultScope(b))
	b = a.Clone(t.Context())
	b.Header.Set("OpenAI-Project", "p")
	require.NotEqual(t, DefaultScope(a), DefaultScope(b))
	b = a.Clone(t.Context())
	b.URL.Host = "other.test"
	b.Host = ""
	require.NotEqual(t, DefaultScope(a), DefaultScope(b))
	b = a.Clone(t.Context())
	b.URL.Host, b.Host = "API.Test", "API.Test"
	require.Equal(t, DefaultScope(a), DefaultScope(b), "hosts are the same in any case")
	require.NotPanics(t, func() { DefaultScope(&http.Request{}) })

	// The server is what the URL names. A name in the Host header can only tell more apart.
	for _, tt := range []struct{ url, host, want string }{
		{"a.test", "", "a.test"},
		{"a.test:80", "a.test:80", "a.test:80"},
		{"A.test", "a.TEST", "a.test"},
		{"10.0.0.1:80", "Front.test", "10.0.0.1:80/front.test"},
		{"", "front.test", "/front.test"},
		{"a.test", strings.Repeat("x", 1000), "a.test/" + strings.Repeat("x", 256)},
	} {
		require.Equal(t, tt.want, DefaultScope(&http.Request{Host: tt.host, URL: &url.URL{Host: tt.url}}))
	}
	require.Equal(t, "unpaced", Pace(9).String())
	require.Equal(t, "parked", Parked.String())
	require.Equal(t, "refused locally, nothing was sent: closed", (&GateError{Reason: "closed"}).Error())
}

// Two servers behind one reverse proxy, which keeps the Host that came in, do not share an outage.
func TestPacerBehindAReverseProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.URL.Host)
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
			if r.URL.Host == "down.test" {
				resp.StatusCode = http.StatusServiceUnavailable
				resp.Header.Set("Retry-After", "30")
			}
			return resp, nil
		})
		tr := &Transport{Base: base, Gate: &Pacer{}, MaxAttempts: 1}
		through := func(backend string) int {
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
			proxy.Transport, proxy.ErrorLog = tr, slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			w := httptest.NewRecorder()
			proxy.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://front.test/", http.NoBody))
			return w.Code
		}
		require.Equal(t, 503, through("down.test"))
		require.Equal(t, 502, through("down.test"), "held back here")
		require.Equal(t, 200, through("up.test"))
		require.Equal(t, []string{"down.test", "up.test"}, sent)
	})
}

// A server that sheds a call while it serves others is not down: nobody is parked, the stated wait is kept, and the attempts count.
func TestPacerParksInAnOutageOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shedder{}
		p := &Pacer{Park: time.Minute}
		tr := &Transport{Base: s, Gate: p}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			for ctx.Err() == nil { // others, ten a second
				resp, err := tr.RoundTrip(get(t, ctx))
				if err == nil {
					resp.Body.Close()
				}
				<-time.After(100 * time.Millisecond)
			}
		})
		<-time.After(time.Second)
		for call := range 3 {
			before := len(s.shed)
			req := get(t, ctx)
			req.URL.Path = "/shed"
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, 503, resp.StatusCode)
			require.Equal(t, StopAttempts, ErrorOf(resp).Stop)
			times := s.shed[before:]
			if call == 0 {
				times = times[1:] // nobody had been served since the first refusal: it looked like an outage
			}
			require.Len(t, times, 4, "call %d", call)
			for i, at := range times[1:] {
				require.GreaterOrEqual(t, at.Sub(times[i]), 5*time.Second, "call %d, attempt %d", call, i+2)
			}
		}
	})
}

// shedder serves everybody but the path /shed.
type shedder struct {
	mu   sync.Mutex
	shed []time.Time
}

func (s *shedder) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path != "/shed" {
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	}
	s.shed = append(s.shed, time.Now())
	return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"5"}}, Body: http.NoBody, Request: r}, nil
}

// tally is a Gate that hands out numbered tickets and counts what is said of each.
type tally struct {
	mu      sync.Mutex
	admits  int
	reports map[any]int
	full    bool // an attempt after the first is kept waiting until its context ends
}

func (g *tally) Admit(ctx context.Context, a Admission) (Pass, error) {
	if g.full && !a.FirstFailed.IsZero() {
		<-ctx.Done()
		return Pass{}, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admits++
	return Pass{Ticket: g.admits}, nil
}

func (g *tally) Report(_ context.Context, r GateReport) Pace {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reports == nil {
		g.reports = map[any]int{}
	}
	g.reports[r.Ticket]++
	return Unpaced
}

type panickyBudget struct{ Unlimited }

func (panickyBudget) Withdraw(context.Context, *BudgetWithdrawal) bool { panic("budget") }

type panickyDone struct{}

func (panickyDone) Attempt(context.Context, *AttemptEvent) {}
func (panickyDone) Done(context.Context, *DoneEvent)       { panic("done") }

// However a call ends, each attempt that the gate let through is reported once.
func TestGateHearsOfEachTicketOnce(t *testing.T) {
	down := answer{status: 503, header: map[string]string{"Retry-After": "5"}}
	for name, tt := range map[string]struct {
		script []answer
		admits int
		spoil  func(*Transport, *tally, *http.Request, context.CancelFunc)
	}{
		"success":             {script: []answer{{status: 200}}, admits: 1},
		"success after waits": {script: []answer{down, down, {status: 200}}, admits: 3},
		"refused":             {script: []answer{{status: 404}}, admits: 1},
		"down":                {script: []answer{down}, admits: 4},
		"no answer":           {script: []answer{{err: io.EOF}}, admits: 4},
		"neither answer nor error": {admits: 2, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.Base = roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }) //nolint:nilnil // that is what is tested
		}},
		"cancelled in flight": {script: []answer{{status: 200, took: time.Hour}}, admits: 1, spoil: func(_ *Transport, _ *tally, _ *http.Request, cancel context.CancelFunc) {
			time.AfterFunc(time.Second, cancel)
		}},
		"cancelled in the wait": {script: []answer{down}, admits: 1, spoil: func(_ *Transport, _ *tally, _ *http.Request, cancel context.CancelFunc) {
			time.AfterFunc(time.Second, cancel)
		}},
		"cancelled in the queue": {script: []answer{down}, admits: 1, spoil: func(_ *Transport, g *tally, _ *http.Request, cancel context.CancelFunc) {
			g.full = true
			time.AfterFunc(time.Minute, cancel)
		}},
		"body cannot be had again": {script: []answer{down}, admits: 1, spoil: func(_ *Transport, _ *tally, r *http.Request, _ context.CancelFunc) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }
		}},
		"stream closed early": {script: []answer{{status: 200, header: map[string]string{"Content-Type": "text/event-stream"}, body: "data: {}\n\n"}}, admits: 1,
			spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) { tr.StreamErrors = true }},
		"observer of attempts panics": {script: []answer{down}, admits: 1, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.Observer = observerFunc(func(*AttemptEvent) { panic("hook") })
		}},
		"observer of the end panics": {script: []answer{{status: 404}}, admits: 1, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.Observer = panickyDone{}
		}},
		"budget panics": {script: []answer{down}, admits: 1, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.Budget = panickyBudget{}
		}},
		"backoff policy panics": {script: []answer{down}, admits: 1, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.NewBackOff = func() backoff.BackOff { panic("policy") }
		}},
		"body panics when it is made again": {script: []answer{down}, admits: 1, spoil: func(_ *Transport, _ *tally, r *http.Request, _ context.CancelFunc) {
			r.GetBody = func() (io.ReadCloser, error) { panic("body") }
		}},
		"change of the request panics": {script: []answer{{status: 413}}, admits: 1, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.MutateRequest = func(*http.Request, Decision) (*http.Request, error) { panic("mutate") }
		}},
		"base panics": {admits: 1, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			tr.Base = roundTripFunc(func(*http.Request) (*http.Response, error) { panic("base") })
		}},
		"base panics later": {script: []answer{down}, admits: 2, spoil: func(tr *Transport, _ *tally, _ *http.Request, _ context.CancelFunc) {
			first := tr.Base
			tr.Base = roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if ResendCount(r.Context()) > 0 {
					panic("base")
				}
				return first.RoundTrip(r)
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &tally{}
				tr := &Transport{Base: &fakeServer{script: tt.script}, Gate: g, IdempotencyKeys: true}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := post(t, ctx, "{}")
				if tt.spoil != nil {
					tt.spoil(tr, g, req, cancel)
				}
				func() {
					defer func() { _ = recover() }()
					resp, err := tr.RoundTrip(req)
					if err == nil {
						resp.Body.Close()
					}
				}()
				require.Equal(t, tt.admits, g.admits)
				require.Len(t, g.reports, g.admits)
				for ticket, n := range g.reports {
					require.Equal(t, 1, n, "ticket %v", ticket)
				}
			})
		})
	}
}

// slowBase is a base whose attempts last until leave is closed.
type slowBase struct{ leave chan struct{} }

func (s slowBase) RoundTrip(*http.Request) (*http.Response, error) {
	<-s.leave
	return nil, io.ErrClosedPipe
}

// A call that a Pacer holds back costs little more than one that waits for its answer: at most 1 KB, of which there are ten thousand.
func TestPacerMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 10_000
		inUse := func() int64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			if raceEnabled {
				return int64(m.HeapInuse) // frames are larger with the race detector
			}
			return int64(m.HeapInuse + m.StackInuse)
		}
		base := slowBase{make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		crowd := func(rt http.RoundTripper) int64 {
			requests := make([]*http.Request, calls)
			for i := range requests {
				requests[i] = post(t, ctx, "")
			}
			client := &http.Client{Transport: rt}
			before := inUse()
			for _, req := range requests {
				go func() {
					if resp, err := client.Do(req); err == nil {
						resp.Body.Close()
					}
				}()
			}
			synctest.Wait()
			return (inUse() - before) / calls
		}
		answer := crowd(base)
		p := &Pacer{QueueSize: calls, Park: 2 * time.Hour}
		p.Report(ctx, GateReport{Request: post(t, ctx, ""), Failure: &Attempt{Decision: Decision{Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff, Wait: time.Hour}}})
		held := crowd(&Transport{Base: base, Gate: p})
		t.Logf("%d bytes for a call that is held back, %d for one that waits for its answer", held, answer)
		require.LessOrEqual(t, held, answer+1<<10)
		cancel()
		close(base.leave)
		<-time.After(3 * time.Hour) // until the scope is forgotten
	})
}

// A request that takes too long is no outage, even if every one of them does: with Park too it is sent no more often than MaxAttempts says, and the call ends.
func TestPacerParksNoSlowRequests(t *testing.T) {
	for name, hang := range map[string]bool{"a gateway that gives up": false, "no answer in time": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				sent := make(map[string]int)
				base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
					mu.Lock()
					sent[req.Header.Get("X-Call")]++
					mu.Unlock()
					if hang {
						<-req.Context().Done()
						return nil, context.Cause(req.Context())
					}
					<-time.After(5 * time.Second)
					return &http.Response{StatusCode: 504, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
				})
				tr := &Transport{Base: base, AttemptTimeout: 10 * time.Second, IdempotencyKeys: true, Gate: &Pacer{Park: 10 * time.Minute}, Budget: Unlimited{}}
				start := time.Now()
				var wg sync.WaitGroup
				for i := range 6 {
					wg.Go(func() {
						req := post(t, t.Context(), "{}")
						req.Header.Set("X-Call", strconv.Itoa(i))
						if resp, err := tr.RoundTrip(req); err == nil {
							resp.Body.Close()
						}
					})
				}
				wg.Wait()
				require.LessOrEqual(t, time.Since(start), 11*time.Minute)
				for _, n := range sent {
					require.LessOrEqual(t, n, 4)
				}
				<-time.After(time.Hour)
			})
		})
	}
}
