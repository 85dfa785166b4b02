package classify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
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

type closeSpy struct{ closed bool }

func (*closeSpy) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closeSpy) Close() error           { c.closed = true; return nil }

// A retry that is paced spends no budget and tells how long it was held.
func TestPacerPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &limitedServer{rate: 20}
		r := &recorderSync{}
		b := &TokenBucket{Burst: -1} // no retry could be paid for
		tr := &Transport{Base: s, Gate: &Pacer{}, Budget: b, Observer: r}
		const callers = 200
		var wg sync.WaitGroup
		errs := make([]error, callers)
		for i := range callers {
			wg.Go(func() {
				resp, err := tr.RoundTrip(get(t, t.Context()))
				if err == nil {
					if resp.StatusCode != http.StatusOK {
						err = ErrorOf(resp)
					}
					resp.Body.Close()
				}
				errs[i] = err
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		require.LessOrEqual(t, s.requests, 2*callers)
		require.Positive(t, r.queued)
	})
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

func TestDefaultScope(t *testing.T) {
	a := get(t, t.Context())
	a.Header.Set("Authorization", "Bearer sk-secret-1")
	b := a.Clone(t.Context())
	require.Equal(t, DefaultScope(a), DefaultScope(b))
	require.NotContains(t, DefaultScope(a), "secret")
	b.Header.Set("Authorization", "Bearer sk-secret-2")
	require.NotEqual(t, DefaultScope(a), DefaultScope(b))
	b = a.Clone(t.Context())
	b.Header.Set("OpenAI-Project", "p")
	require.NotEqual(t, DefaultScope(a), DefaultScope(b))
	b = a.Clone(t.Context())
	b.URL.Host = "other.test"
	b.Host = ""
	require.NotEqual(t, DefaultScope(a), DefaultScope(b))
	require.NotPanics(t, func() { DefaultScope(&http.Request{}) })
	require.Equal(t, "unpaced", Pace(9).String())
	require.Equal(t, "parked", Parked.String())
	require.Equal(t, "refused locally, nothing was sent: closed", (&GateError{Reason: "closed"}).Error())
}
