package pacing

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bucket is a server behind a token bucket. What it serves takes 50 ms, what it refuses 5 ms, and it states a second.
type bucket struct {
	rate, depth float64

	mu       sync.Mutex
	at       time.Time
	have     float64
	attempts int
}

func (b *bucket) serves() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.attempts == 0 {
		b.have = b.depth
	} else {
		b.have = min(b.depth, b.have+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	b.attempts++
	if b.have < 1 {
		return false
	}
	b.have--
	return true
}

// call makes one call: again, after the stated wait, for as long as the gate lets it. It returns the gate's refusal.
func (b *bucket) call(g *Gate) error {
	for since := (time.Time{}); ; {
		ticket, err := g.Wait(context.Background(), key, since)
		if err != nil {
			return err
		}
		if b.serves() {
			<-time.After(50 * time.Millisecond)
			g.Report(key, ticket, Outcome{Kind: OK})
			return nil
		}
		<-time.After(5 * time.Millisecond)
		g.Report(key, ticket, Outcome{Kind: Slower, Wait: time.Second, Err: errServer})
		if since.IsZero() {
			since = time.Now()
		}
		<-time.After(time.Second)
	}
}

// A herd is served to the last caller, with few more attempts than it takes, whatever was seen before the first refusal: nothing, so that
// successes come in after it, or successes alone, so that nothing shows what the server can do.
func TestGateHerd(t *testing.T) {
	for _, tt := range []struct {
		name            string
		server          *bucket
		before, callers int
		refused         int // at once, since there is no room for them
		most            int
	}{
		{"out of nothing", &bucket{rate: 20, depth: 20}, 0, 200, 180, 20},
		{"after successes", &bucket{rate: 20, depth: 20}, 20, 180, 180, 20},
		{"after successes, from a server that does more", &bucket{rate: 100, depth: 20}, 20, 980, 980, 40},
		{"out of nothing, with little to see", &bucket{rate: 100, depth: 5}, 0, 1000, 995, 40},
		{"out of nothing, with nothing to see", &bucket{rate: 20, depth: 1}, 0, 200, 199, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Gate{}
				var wg sync.WaitGroup
				var lost atomic.Int32
				herd := func(callers int) {
					for range callers {
						wg.Go(func() {
							if err := tt.server.call(g); err != nil {
								lost.Add(1)
							}
						})
					}
					wg.Wait()
				}
				herd(tt.before)
				require.False(t, g.Active())
				herd(tt.callers)
				t.Logf("%d attempts, of which %d are needed", tt.server.attempts, tt.before+tt.callers+tt.refused)
				require.Zero(t, lost.Load())
				require.LessOrEqual(t, tt.server.attempts, tt.before+tt.callers+tt.refused+tt.most)
				end(t, g)
			})
		})
	}
}

// Callers who were refused go first, but those who have not had an attempt yet get theirs, in the order in which they came.
func TestGateStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, server := &Gate{MaxWait: time.Minute}, &bucket{rate: 20, depth: 5}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for range 150 {
			wg.Go(func() {
				if err := server.call(g); err != nil {
					t.Error(err)
				}
			})
		}
		<-time.After(time.Second)
		for i := range 200 { // half of what is served
			wg.Go(func() {
				ticket, err := g.Wait(context.Background(), key, time.Time{})
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				kind := OK
				if !server.serves() {
					kind = Slower
				}
				g.Report(key, ticket, Outcome{Kind: kind, Wait: time.Second, Err: errServer})
			})
			<-time.After(100 * time.Millisecond)
		}
		wg.Wait()
		require.Len(t, order, 200)
		require.IsIncreasing(t, order)
		end(t, g)
	})
}
