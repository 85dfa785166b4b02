package pacing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const key = "api.example.com"

var errServer = errors.New("429 too many requests")

// waiting returns how many callers wait in the scope key; 0 if it is forgotten.
func waiting(g *Gate) int {
	g.mu.RLock()
	sc := g.scopes[key]
	g.mu.RUnlock()
	if sc == nil {
		return 0
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.waiting()
}

// parked reports whether the callers of a scope wait for the end of an outage.
func parked(g *Gate, k string) bool {
	sc := g.scope(k, false)
	if sc == nil {
		return false
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.parked
}

// remembered returns the keys of the scopes, in order.
func remembered(g *Gate) []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Sorted(maps.Keys(g.scopes))
}

// activate brings a scope to a rate per second: it takes the second of measuring.
func activate(t *testing.T, g *Gate, rate int) {
	t.Helper()
	require.Equal(t, Unpaced, g.Report(key, Ticket{}, Outcome{Kind: Slower, Wait: time.Second, Err: errServer}), "nobody else is known")
	for range rate {
		g.Report(key, Ticket{}, Outcome{Kind: OK})
	}
	ticket, err := g.Wait(context.Background(), key, time.Time{})
	require.NoError(t, err)
	require.Equal(t, Paced, g.Report(key, ticket, Outcome{Kind: Slower, Wait: time.Second, Err: errServer}), "it serves no more than that")
	<-time.After(time.Second)
	sc := g.scopes[key]
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.tick(time.Now())
	require.InDelta(t, rate, sc.rate(), 1e-6)
}

// shut closes a scope.
func shut(t *testing.T, g *Gate, wait time.Duration) {
	t.Helper()
	want := Unpaced // nobody else is known
	if g.Park > 0 {
		want = Parked
	}
	require.Equal(t, want, g.Report(key, Ticket{}, Outcome{Kind: Down, Wait: wait, Err: errServer}))
}

func shutForAMinute(t *testing.T, g *Gate) {
	t.Helper()
	shut(t, g, time.Minute)
}

// end lets the scopes be forgotten, so that no timer outlives the bubble.
func end(t *testing.T, g *Gate) {
	t.Helper()
	<-time.After(10 * time.Minute)
	synctest.Wait()
	require.False(t, g.Active(), "a scope is forgotten when nothing happens any more")
	require.Empty(t, remembered(g))
}

func TestGateInactive(t *testing.T) {
	var g Gate
	for range 3 {
		require.False(t, g.Active())
		ticket, err := g.Wait(context.Background(), key, time.Time{})
		require.NoError(t, err)
		require.Zero(t, ticket)
		for _, o := range []Outcome{{Kind: OK}, {Kind: Unknown}, {Kind: Down}, {}} {
			require.Equal(t, Unpaced, g.Report(key, ticket, o))
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if g.Active() {
			t.Error("active")
		}
		ticket, _ := g.Wait(context.Background(), key, time.Time{})
		g.Report(key, ticket, Outcome{Kind: OK})
	}))
}

func TestGateOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{MaxWait: time.Minute}
		activate(t, g, 10)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		start := time.Now()
		call := func(i int, since time.Time) {
			wg.Go(func() {
				_, err := g.Wait(context.Background(), key, since)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
				order = append(order, i)
			})
			synctest.Wait()
		}
		for i := range 50 {
			call(i, time.Time{})
		}
		call(1000, start)
		call(1001, start)
		wg.Wait()
		want := []int{0, 1000, 1001}
		for i := 1; i < 50; i++ {
			want = append(want, i)
		}
		require.Equal(t, want, order)
		require.InDelta(t, 3.4, time.Since(start).Seconds(), 1.3, "52 at a rate that grows from 10 a second")
		end(t, g)
	})
}

// A caller who gives up leaves at once, and those behind move up.
func TestGateCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{MaxWait: time.Minute}
		activate(t, g, 10)
		_, err := g.Wait(context.Background(), key, time.Time{})
		require.NoError(t, err)

		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		began := time.Now()
		for range 20 {
			wg.Go(func() {
				_, err := g.Wait(ctx, key, time.Time{})
				if !errors.Is(err, context.Canceled) || !errors.Is(err, errServer) {
					t.Errorf("%v", err)
				}
				if time.Since(began) != 0 {
					t.Errorf("left after %v", time.Since(began))
				}
			})
		}
		synctest.Wait()
		wg.Go(func() {
			if _, err := g.Wait(context.Background(), key, time.Time{}); err != nil {
				t.Error(err)
			}
			if waited := time.Since(began); waited > 100*time.Millisecond {
				t.Errorf("the last one waited %v", waited)
			}
		})
		synctest.Wait()
		require.Equal(t, 21, waiting(g))
		cancel()
		synctest.Wait()
		require.Equal(t, 1, waiting(g))
		wg.Wait()

		_, err = g.Wait(ctx, key, time.Time{})
		require.ErrorIs(t, err, context.Canceled)
		end(t, g)
	})
}

func TestGateRefusals(t *testing.T) {
	second := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	for _, tt := range []struct {
		name     string
		gate     *Gate // nil for the zero Gate
		prepare  func(t *testing.T, g *Gate)
		queued   int
		deadline time.Duration
		reason   Reason
		text     string
	}{
		{
			name: "queue full", gate: &Gate{QueueSize: 3}, queued: 3, reason: QueueFull,
			text: "refused locally, nothing was sent: the queue is full; the server's last refusal: 429 too many requests",
		},
		{name: "turn too late", queued: 21, reason: TooLong, text: "refused locally, nothing was sent: the wait for a turn is too long; the server's last refusal: 429 too many requests"},
		{
			name: "deadline before the turn", queued: 10, deadline: second(0.5), reason: Deadline,
			text: "refused locally, nothing was sent: the deadline comes before the turn; the server's last refusal: 429 too many requests",
		},
		{
			name: "closed", prepare: shutForAMinute, reason: Closed,
			text: "refused locally, nothing was sent: the server said to stay away for longer than the wait allowed; the server's last refusal: 429 too many requests",
		},
		{
			name: "parked for too long", gate: &Gate{Park: 5 * time.Second}, prepare: shutForAMinute,
			reason: Closed, text: "refused locally, nothing was sent: the server said to stay away for longer than the wait allowed; the server's last refusal: 429 too many requests",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := tt.gate
				if g == nil {
					g = &Gate{}
				}
				if tt.prepare == nil {
					activate(t, g, 10)
				} else {
					tt.prepare(t, g)
				}
				sc := g.scopes[key]
				sc.mu.Lock()
				if sc.mode == pacing {
					sc.take(time.Now(), false) // nobody leaves in the meantime
				}
				sc.mu.Unlock()
				began := time.Now()
				stop, cancelQueued := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				for range tt.queued {
					wg.Go(func() { g.Wait(stop, key, began) })
				}
				synctest.Wait()
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
				}
				_, err := g.Wait(ctx, key, time.Time{})
				took := time.Since(began)
				var refusal *Refusal
				require.ErrorAs(t, err, &refusal)
				require.Equal(t, tt.reason, refusal.Reason, "%v", err)
				require.ErrorIs(t, err, errServer)
				require.Equal(t, tt.deadline > 0, errors.Is(err, context.DeadlineExceeded))
				require.Zero(t, took, "at once")
				require.EqualError(t, err, tt.text)
				require.True(t, refusal.RetryAt.After(began))
				cancel()
				cancelQueued()
				wg.Wait()
				end(t, g)
			})
		})
	}
}

// The server goes down while somebody waits for a turn that would have come in time.
func TestGateDeadlineWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{}
		activate(t, g, 10)
		ticket, err := g.Wait(context.Background(), key, time.Time{})
		require.NoError(t, err)
		began := time.Now()
		var wg sync.WaitGroup
		for _, tt := range []struct {
			deadline, took time.Duration
			reason         Reason
		}{
			{800 * time.Millisecond, 800 * time.Millisecond, Canceled},
			{time.Minute, 2 * time.Second, Closed},
		} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), tt.deadline)
				defer cancel()
				_, err := g.Wait(ctx, key, time.Time{})
				var refusal *Refusal
				if !errors.As(err, &refusal) || refusal.Reason != tt.reason || time.Since(began) != tt.took || !errors.Is(err, errServer) {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if tt.reason == Canceled && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		require.Equal(t, 2, waiting(g))
		g.Report(key, ticket, Outcome{Kind: Down, Wait: 30 * time.Second, Err: errServer})
		wg.Wait()
		end(t, g)
	})
}

// A rate that falls while callers wait does not keep them longer than they agreed to.
func TestGateWaitsNoLongerThanMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{}
		activate(t, g, 20)
		began := time.Now()
		var wg sync.WaitGroup
		var refused, admitted atomic.Int32
		for range 40 {
			wg.Go(func() {
				ticket, err := g.Wait(context.Background(), key, time.Time{})
				var refusal *Refusal
				switch {
				case err == nil:
					admitted.Add(1)
					g.Report(key, ticket, Outcome{Kind: Slower, Wait: time.Second, Err: errServer})
				case errors.As(err, &refusal) && (refusal.Reason == TooLong || refusal.Reason == Closed):
					refused.Add(1)
				default:
					t.Error(err)
				}
				if waited := time.Since(began); waited > 2*time.Second {
					t.Errorf("waited %v", waited)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int32(40), refused.Load()+admitted.Load())
		require.Greater(t, refused.Load(), int32(20))
		end(t, g)
	})
}

func TestGatePark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Park: time.Minute, QueueSize: 5000}
		var up atomic.Bool
		var probes atomic.Int32
		var wg sync.WaitGroup
		call := func() {
			for since := (time.Time{}); ; {
				ticket, err := g.Wait(context.Background(), key, since)
				if err != nil {
					t.Error(err)
					return
				}
				if up.Load() {
					g.Report(key, ticket, Outcome{Kind: OK})
					return
				}
				probes.Add(1)
				g.Report(key, ticket, Outcome{Kind: Down, Err: errServer})
				if since.IsZero() {
					since = time.Now()
				}
			}
		}
		for range 1000 {
			wg.Go(call)
			<-time.After(20 * time.Millisecond) // 50 a second
		}
		require.Less(t, probes.Load(), int32(5+21), "five to see that it is down, then one a second")
		require.True(t, parked(g, key))
		require.False(t, parked(g, "other"))
		up.Store(true)
		began := time.Now()
		wg.Wait()
		require.InDelta(t, 20, time.Since(began).Seconds(), 6, "as fast as they came")
		require.False(t, parked(g, key))
		end(t, g)
	})
}

// An outage in which everybody gives up leaves nothing behind.
func TestGateParkGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{Park: 10 * time.Second}
		shut(t, g, time.Second)
		var wg sync.WaitGroup
		var began = time.Now()
		for i := range 100 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				defer cancel()
				if i%2 == 0 {
					ctx = context.Background()
				}
				for since := (time.Time{}); ; {
					ticket, err := g.Wait(ctx, key, since)
					if err != nil {
						return
					}
					g.Report(key, ticket, Outcome{Kind: Down, Err: errServer})
					if since.IsZero() {
						since = time.Now()
					}
				}
			})
		}
		wg.Wait()
		require.InDelta(t, 19, time.Since(began).Seconds(), 1, "ten seconds after the last one's probe failed")
		require.Zero(t, waiting(g))
		end(t, g)
	})
}

func TestGateScopesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{MaxScopes: 3}
		slower := Outcome{Kind: Slower, Wait: time.Second}
		for i := range 10 {
			g.Report(fmt.Sprint(i), Ticket{}, Outcome{Kind: Down, Wait: time.Second})
			<-time.After(time.Millisecond)
		}
		require.Equal(t, []string{"7", "8", "9"}, remembered(g), "the last refused")
		require.Equal(t, int64(3), g.active.Load())

		// Those with somebody waiting stay, and if there are no others the new one is not paced.
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for _, k := range []string{"7", "8", "9"} {
			wg.Go(func() { g.Wait(ctx, k, time.Time{}) })
		}
		synctest.Wait()
		require.Equal(t, Unpaced, g.Report("10", Ticket{}, slower))
		require.Equal(t, []string{"7", "8", "9"}, remembered(g))
		ticket, err := g.Wait(ctx, "10", time.Time{})
		require.NoError(t, err)
		require.Zero(t, ticket)
		cancel()
		wg.Wait()

		// A ticket of a scope that is gone still counts for the one that took its place.
		old := Ticket{scope: &scope{gate: g, gone: true}, seq: 5}
		g.Report("11", old, slower)
		require.Contains(t, remembered(g), "11")
		end(t, g)
	})
}

func TestGateOtherScopesAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{}
		shut(t, g, time.Hour)
		ticket, err := g.Wait(context.Background(), "other", time.Time{})
		require.NoError(t, err)
		require.Zero(t, ticket)
		require.Equal(t, Unpaced, g.Report("other", ticket, Outcome{Kind: OK}))
		require.Len(t, remembered(g), 1)
		end(t, g)
	})
}

// Everything at once, with a server of a random mind: nobody is lost, nobody waits too long, and nothing is left.
func TestGateCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, park := range []time.Duration{0, 20 * time.Second} {
			g := &Gate{Park: park, MaxScopes: 2}
			var wg sync.WaitGroup
			for i := range 400 {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(uint64(i), 0))
					upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
					<-time.After(upTo(20 * time.Second))
					var since time.Time
					for range 4 {
						ctx, cancel := context.WithTimeout(context.Background(), upTo(30*time.Second))
						deadline, _ := ctx.Deadline()
						k := fmt.Sprint(random.IntN(3))
						ticket, err := g.Wait(ctx, k, since)
						if time.Now().After(deadline) {
							t.Errorf("waited beyond the deadline")
						}
						cancel()
						if err != nil {
							if _, ok := errors.AsType[*Refusal](err); !ok {
								t.Errorf("%v", err)
							}
							continue
						}
						<-time.After(upTo(100 * time.Millisecond))
						if since.IsZero() {
							since = time.Now()
						}
						g.Report(k, ticket, Outcome{Kind: Kind(random.IntN(4)), Wait: time.Duration(random.IntN(3)) * time.Second, Err: errServer})
					}
				})
			}
			wg.Wait()
			end(t, g) // a scope with somebody waiting is not forgotten
		}
	})
}

// A caller in the queue costs its goroutine and little more. The runtime starts goroutines with as much stack as they needed lately in
// this process, so the same number of goroutines that wait for nothing is what to compare with, and the least stack is added.
func TestGateMemory(t *testing.T) {
	const callers, leastStack, most = 10_000, 2 << 10, 4 << 10
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if raceEnabled {
			return int64(m.HeapInuse) // frames are larger with the race detector
		}
		return int64(m.HeapInuse + m.StackInuse)
	}
	var wg sync.WaitGroup
	crowd := func(wait func(), ready func() bool) int64 {
		before := inUse()
		for range callers {
			wg.Go(wait)
		}
		require.Eventually(t, ready, 30*time.Second, 10*time.Millisecond)
		return (inUse() - before) / callers
	}

	var idle atomic.Int32
	leave := make(chan struct{})
	bare := crowd(func() {
		idle.Add(1)
		<-leave
	}, func() bool { return idle.Load() == callers })

	g := &Gate{QueueSize: callers, Park: time.Hour}
	g.Report(key, Ticket{}, Outcome{Kind: Down, Wait: time.Hour, Err: errServer})
	ctx, cancel := context.WithCancel(context.Background())
	each := crowd(func() { g.Wait(ctx, key, time.Time{}) }, func() bool { return waiting(g) == callers })

	t.Logf("%d bytes for a goroutine in the queue, %d for one that waits for nothing", each, bare)
	require.LessOrEqual(t, each+leastStack, bare+most)
	close(leave)
	cancel()
	wg.Wait()
	require.Zero(t, waiting(g))
	g.mu.Lock()
	defer g.mu.Unlock()
	require.True(t, g.drop(g.scopes[key]))
}

func TestReason(t *testing.T) {
	for r, want := range map[Reason]string{
		0: "none", QueueFull: "queue_full", TooLong: "queue_wait", Closed: "closed", Deadline: "deadline", Canceled: "canceled", 99: "none",
	} {
		require.Equal(t, want, r.String())
		require.Contains(t, (&Refusal{Reason: r}).Error(), "locally")
	}
	require.NotErrorIs(t, &Refusal{Reason: Closed}, context.DeadlineExceeded)
	require.Empty(t, (&Refusal{}).Unwrap())
}

// What every request pays as long as no server refuses anything.
func BenchmarkGateInactive(b *testing.B) {
	var g Gate
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if g.Active() {
			ticket, _ := g.Wait(ctx, key, time.Time{})
			g.Report(key, ticket, Outcome{Kind: OK})
		}
	}
}

func BenchmarkGateInactiveParallel(b *testing.B) {
	var g Gate
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if g.Active() {
				b.Error("active")
			}
		}
	})
}

// What a request pays while another scope is paced, and while its own is, without having to wait.
func BenchmarkGateActive(b *testing.B) {
	for _, k := range []string{"other", key} {
		b.Run(k, func(b *testing.B) {
			var g Gate
			g.Report(key, Ticket{}, Outcome{Kind: Slower, Wait: time.Second})
			sc := g.scopes[key]
			sc.mode, sc.base = pacing, maxRate
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				ticket, err := g.Wait(ctx, k, time.Now())
				if err != nil {
					b.Fatal(err)
				}
				g.Report(k, ticket, Outcome{Kind: OK})
			}
		})
	}
}
