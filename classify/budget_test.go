package classify

import (
	"context"
	"io"
	"math"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// spend makes calls until n of them have ended, and returns how many requests that took.
func spend(t *testing.T, tr *Transport, s *fakeServer, n int) int {
	t.Helper()
	before := len(s.times)
	for range n {
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	return len(s.times) - before
}

func TestBudgetIsOnByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503, body: `{"error":{"message":"down"}}`}}}
		tr := &Transport{Base: s}
		require.Equal(t, 100+10, spend(t, tr, s, 100), "an outage sees each call once, and the burst")

		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		e := ErrorOf(resp)
		require.Equal(t, StopBudget, e.Stop)
		require.ErrorContains(t, e, "stopped locally: the retry budget of this client is spent")
		require.ErrorContains(t, e, "down")
		require.ErrorIs(t, e, errcodes.ClassOverloaded)
		require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"error":{"message":"down"}}`, string(body), "the provider's answer is kept")
		require.NoError(t, resp.Body.Close())

		// Five calls that are served pay for one retry.
		s.script = []answer{{status: 200}}
		spend(t, tr, s, 5)
		s.script = []answer{{status: 503}}
		require.Equal(t, 2+1, spend(t, tr, s, 2))

		// So do five that are refused for what they ask.
		s.script = []answer{{status: 404}}
		spend(t, tr, s, 5)
		s.script = []answer{{status: 503}}
		require.Equal(t, 2+1, spend(t, tr, s, 2))
		require.Equal(t, s.open, s.closed)
	})
}

func TestBudgetOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		require.Equal(t, 400, spend(t, &Transport{Base: s, Budget: Unlimited{}}, s, 100))
		s.script = []answer{{status: 503}}
		require.Equal(t, 50, spend(t, &Transport{Base: s, Budget: &TokenBucket{Burst: -1}}, s, 50))
	})
}

func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		b := &TokenBucket{Burst: 4, Ratio: 0.5}
		require.InDelta(t, 4, b.Left(), 0)
		require.Equal(t, 4, spend(t, &Transport{Base: s, Budget: b}, s, 1))
		require.InDelta(t, 1, b.Left(), 0)
		require.Equal(t, 2, spend(t, &Transport{Base: s, Budget: b}, s, 1))
		require.Zero(t, b.Left())
		s.script = []answer{{status: 200}}
		spend(t, &Transport{Base: s, Budget: b}, s, 100)
		require.InDelta(t, 4, b.Left(), 0, "it does not overflow")
		require.Zero(t, (&TokenBucket{Burst: -1}).Left())
	})
}

// A retry that is never sent costs nothing: the caller leaves while waiting, the body cannot be had again, nothing is to be changed, a hook panics.
// A nil *TokenBucket, as an optional field holds it, is no Budget: there is one of one's own. A nil *Pacer holds nothing back.
func TestBudgetAndGateThatAreTypedNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, last := range []int{200, 503} {
			s := &fakeServer{script: []answer{{status: 200}, {status: 503, header: map[string]string{"Retry-After": "1"}}, {status: last}}}
			tr := &Transport{Base: s, Budget: (*TokenBucket)(nil), Gate: (*Pacer)(nil)}
			first := spend(t, tr, s, 1)
			require.Equal(t, 1, first)
			want := 100 + 10 // the calls, and the burst
			if last == 200 {
				want = 100 + 1
			}
			require.Equal(t, want, spend(t, tr, s, 100))
		}
		n := 0
		p := &Policy{Budget: (*TokenBucket)(nil), Signal: sdkSignal}
		for range 20 {
			_, err := Do(t.Context(), p, func(context.Context) (int, error) { n++; return 0, &sdkError{status: 503} })
			require.Error(t, err)
		}
		require.Equal(t, 20+10, n)
		_, err := Do(t.Context(), p, func(context.Context) (int, error) { return 0, nil })
		require.NoError(t, err)
	})
	var b *TokenBucket
	b.Deposit(t.Context(), BudgetDeposit{})
	require.True(t, b.Withdraw(t.Context(), &BudgetWithdrawal{}))
	require.True(t, math.IsInf(b.Left(), 1))
}

func TestBudgetRefunds(t *testing.T) {
	for name, spoil := range map[string]func(*Transport, *http.Request, context.CancelFunc){
		"canceled": func(tr *Transport, _ *http.Request, cancel context.CancelFunc) {
			tr.Observer = observerFunc(func(e *AttemptEvent) {
				if !e.Last {
					go cancel()
				}
			})
		},
		"body": func(_ *Transport, r *http.Request, _ context.CancelFunc) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }
		},
		"panic": func(tr *Transport, _ *http.Request, _ context.CancelFunc) {
			tr.Observer = observerFunc(func(*AttemptEvent) { panic("hook") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"Retry-After": "5"}}}}
				b := &TokenBucket{}
				tr := &Transport{Base: s, Budget: b}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := post(t, ctx, "{}")
				spoil(tr, req, cancel)
				func() {
					defer func() { _ = recover() }()
					resp, err := tr.RoundTrip(req)
					if err == nil {
						resp.Body.Close()
					}
				}()
				require.Len(t, s.times, 1)
				require.InDelta(t, 10, b.Left(), 0)
				require.Equal(t, s.open, s.closed)
			})
		})
	}
}

type observerFunc func(*AttemptEvent)

func (f observerFunc) Attempt(_ context.Context, e *AttemptEvent) { f(e) }
func (observerFunc) Done(context.Context, *DoneEvent)             {}

// ledger is a Budget that writes down what it is told.
type ledger struct {
	mu       sync.Mutex
	deposits []BudgetDeposit
	asked    []BudgetWithdrawal
	grant    bool
}

func (l *ledger) Deposit(_ context.Context, d BudgetDeposit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deposits = append(l.deposits, d)
}

func (l *ledger) Withdraw(_ context.Context, w *BudgetWithdrawal) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, *w)
	return l.grant
}

func TestBudgetOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"Retry-After": "7"}}, {status: 200}}}
		l := &ledger{grant: true}
		tr := &Transport{Base: s, Budget: l}
		require.Equal(t, 2, spend(t, tr, s, 1))
		require.Len(t, l.asked, 1)
		require.Equal(t, 503, l.asked[0].Attempt.Status)
		require.Equal(t, "http://api.test/v1/models", l.asked[0].Request.URL.String())
		require.Equal(t, "7s", l.asked[0].Wait.String())
		require.Equal(t, []BudgetDeposit{{}}, l.deposits)
		require.Equal(t, 1, spend(t, tr, s, 1))
		require.Equal(t, []BudgetDeposit{{}, {}}, l.deposits)
	})
}

// What each end of a call puts in, and which retries are paid for.
func TestBudgetDepositsAndWithdrawals(t *testing.T) {
	served, refund := BudgetDeposit{}, BudgetDeposit{Refund: true}
	for name, tt := range map[string]struct {
		script    []answer
		gate      Gate
		timeout   time.Duration
		deposits  []BudgetDeposit
		withdrawn int
	}{
		"served":                   {script: []answer{{status: 200}}, deposits: []BudgetDeposit{served}},
		"refused for what it asks": {script: []answer{{status: 400}}, deposits: []BudgetDeposit{served}},
		"not found":                {script: []answer{{status: 404}}, deposits: []BudgetDeposit{served}},
		"rate limited":             {script: []answer{{status: 429}}, withdrawn: 3},
		"down":                     {script: []answer{{status: 503}}, withdrawn: 3},
		"fault of the server":      {script: []answer{{status: 500}}, withdrawn: 1},
		"no answer":                {script: []answer{{err: io.EOF}}, withdrawn: 3},
		"served at last":           {script: []answer{{status: 503}, {status: 200}}, deposits: []BudgetDeposit{served}, withdrawn: 1},
		"refused at last":          {script: []answer{{status: 503}, {status: 400}}, deposits: []BudgetDeposit{served}, withdrawn: 1},
		"given up in flight":       {script: []answer{{status: 200, took: time.Hour}}, timeout: time.Second},
		"given up in the wait":     {script: []answer{{status: 503}}, timeout: 2500 * time.Millisecond, withdrawn: 2, deposits: []BudgetDeposit{refund}},
		"paced":                    {script: []answer{{status: 429}, {status: 429}, {status: 200}}, gate: &script{pace: Paced}, deposits: []BudgetDeposit{served}},
		"parked":                   {script: []answer{{status: 503}, {status: 503}, {status: 200}}, gate: &script{pace: Parked}, deposits: []BudgetDeposit{served}},
		"a gate that does not pace": {script: []answer{{status: 503}, {status: 200}}, gate: &script{},
			deposits: []BudgetDeposit{served}, withdrawn: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{grant: true}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.timeout > 0 {
					// Not a deadline: nobody knows of it before it comes.
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(tt.timeout, cancel)
				}
				resp, err := (&Transport{Base: &fakeServer{script: tt.script}, Budget: l, Gate: tt.gate}).RoundTrip(get(t, ctx))
				cancel()
				if err == nil {
					require.NoError(t, resp.Body.Close())
				}
				require.Equal(t, tt.deposits, l.deposits)
				require.Len(t, l.asked, tt.withdrawn)
			})
		})
	}
}

// Do accounts as a Transport does.
func TestBudgetOfDo(t *testing.T) {
	served, refund := BudgetDeposit{}, BudgetDeposit{Refund: true}
	down, refused := &sdkError{status: 503}, &sdkError{status: 400}
	for name, tt := range map[string]struct {
		script    []error
		gone      time.Duration
		deposits  []BudgetDeposit
		withdrawn int
	}{
		"served":                   {script: []error{nil}, deposits: []BudgetDeposit{served}},
		"served at last":           {script: []error{down, nil}, deposits: []BudgetDeposit{served}, withdrawn: 1},
		"refused for what it asks": {script: []error{refused}, deposits: []BudgetDeposit{served}},
		"refused at last":          {script: []error{down, refused}, deposits: []BudgetDeposit{served}, withdrawn: 1},
		"down":                     {script: []error{down}, withdrawn: 3},
		"given up in the wait":     {script: []error{down}, gone: 2500 * time.Millisecond, withdrawn: 2, deposits: []BudgetDeposit{refund}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.gone > 0 {
					time.AfterFunc(tt.gone, cancel)
				}
				l, n := &ledger{grant: true}, 0
				_, err := Do(ctx, &Policy{Signal: sdkSignal, Budget: l}, func(context.Context) (int, error) {
					n++
					return n, tt.script[min(n, len(tt.script))-1]
				})
				require.Equal(t, tt.script[len(tt.script)-1] == nil, err == nil)
				require.Equal(t, tt.deposits, l.deposits)
				require.Len(t, l.asked, tt.withdrawn)
			})
		})
	}
}

// Each Transport accounts with its own budget, also for what one further down concluded.
func TestBudgetOverAnotherTransport(t *testing.T) {
	for status, want := range map[int][]BudgetDeposit{200: {{}}, 400: {{}}, 402: {{}}, 429: nil} {
		synctest.Test(t, func(t *testing.T) {
			inner, outer := &ledger{}, &ledger{}
			tr := &Transport{Base: &Transport{Base: &fakeServer{script: []answer{{status: status}}}, Budget: inner}, Budget: outer}
			resp, err := tr.RoundTrip(get(t, t.Context()))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, want, inner.deposits, status)
			require.Equal(t, want, outer.deposits, status)
		})
	}
}

// However many are the first at once, there is one bucket.
func TestBudgetIsMadeOnce(t *testing.T) {
	for range 20_000 {
		b, own := &TokenBucket{Burst: 1}, &atomic.Value{}
		var ready, granted atomic.Int32
		var made [2]Budget
		var wg sync.WaitGroup
		for i := range made {
			wg.Go(func() {
				together := func(n int32) {
					for ready.Add(1); ready.Load() < n; {
						runtime.Gosched()
					}
				}
				together(2)
				if b.Withdraw(t.Context(), nil) {
					granted.Add(1)
				}
				together(4)
				made[i] = budgetOr(nil, own)
			})
		}
		wg.Wait()
		require.Equal(t, int32(1), granted.Load())
		require.Same(t, made[0], made[1])
	}
}

// The observer is told that the budget, and not the server, ended a call.
func TestBudgetTellsTheObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"X-Request-Id": "req_3"}}}}
		spend(t, &Transport{Base: s, Budget: &TokenBucket{Burst: -1}, Observer: r}, s, 1)
		require.Len(t, r.done, 1)
		require.Equal(t, StopBudget, r.done[0].Err.Stop)
		require.Equal(t, "req_3", r.done[0].Err.Decision.RequestID)
		require.Len(t, r.done[0].Attempts, 1)
		require.Len(t, r.attempts, 1)
		require.True(t, r.attempts[0].Last)
	})
}
