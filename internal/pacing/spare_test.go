package pacing

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A retry is free where others stand in line, whose turn it takes. Who is alone in a scope, or in one of many, pays for it.
func TestPaceOfLoners(t *testing.T) {
	slower := Outcome{Kind: Slower, Wait: time.Second, Err: errServer}
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{}
		require.Equal(t, Unpaced, g.Report(key, Ticket{}, slower), "nobody else is known")
		require.Equal(t, Paced, g.Report(key, Ticket{}, slower), "the other one has not come back yet")
		<-time.After(1001 * time.Millisecond)
		require.Equal(t, Unpaced, g.Report(key, Ticket{}, slower), "it may be the same one again")
		<-time.After(600 * time.Millisecond)
		require.Equal(t, Paced, g.Report(key, Ticket{}, slower))

		// Callers in line are others, whenever they were refused.
		<-time.After(2 * time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { g.Wait(ctx, key, time.Now()) })
		}
		synctest.Wait()
		require.Positive(t, waiting(g))
		require.Equal(t, Paced, g.Report(key, Ticket{}, slower))
		cancel()
		wg.Wait()
		end(t, g)
	})
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{}
		for i := range 30 {
			for range 2 {
				want := Paced
				if i >= minor {
					want = Unpaced // two of many
				}
				if got := g.Report(fmt.Sprint(i), Ticket{}, slower); got == Paced {
					require.Equal(t, want, got, "scope %d", i)
				}
			}
		}
		end(t, g)
	})
}

// Tenants who call now and then wait through an outage without asking all the time, and come back one after the other.
func TestParkOfLoners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const scopes, outage = 300, 30 * time.Second
		g := &Gate{Park: 10 * time.Minute}
		start := time.Now()
		var mu sync.Mutex
		perSecond := make(map[int]int)
		asked := 0
		var wg sync.WaitGroup
		for i := range scopes {
			wg.Go(func() {
				for since := (time.Time{}); ; {
					ticket, err := g.Wait(context.Background(), fmt.Sprint(i), since)
					if err != nil {
						t.Error(err)
						return
					}
					now := time.Since(start)
					mu.Lock()
					if now < outage {
						asked++
					} else {
						perSecond[int(now/time.Second)]++
					}
					mu.Unlock()
					if now >= outage {
						g.Report(fmt.Sprint(i), ticket, Outcome{Kind: OK})
						return
					}
					if pace := g.Report(fmt.Sprint(i), ticket, Outcome{Kind: Down, Wait: time.Second, Err: errServer}); pace != Parked {
						t.Error(pace)
					}
					if since.IsZero() {
						since = time.Now()
					}
				}
			})
		}
		wg.Wait()
		require.Less(t, asked, scopes+40, "each once, and then a few for all")
		for second, n := range perSecond {
			require.LessOrEqual(t, n, scopes/5, "second %d", second)
		}
		require.Less(t, time.Since(start), outage+time.Minute)
		t.Logf("%d attempts during the outage, all served after %v", asked, time.Since(start))
		end(t, g)
	})
}

func TestSpare(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1_800_000_000, 0).Add(seconds(s)) }
	s := &spare{}
	drain := func(now float64) int {
		for n := 0; ; n++ {
			again, ok := s.take(at(now))
			if !ok {
				require.True(t, again.After(at(now)))
				require.False(t, again.After(at(now).Add(sparePoll)))
				return n
			}
		}
	}
	require.Equal(t, 1, drain(0))
	require.Equal(t, 0, drain(0.9))
	require.Equal(t, 1, drain(1))
	for i := range 30 {
		s.refused(at(1+float64(i)/10), true)
	}
	drain(10)
	s.tokens = 0
	require.Equal(t, 0, drain(13.9), "one in four seconds, and no less")
	require.Equal(t, 1, drain(14))

	s.served(at(14))
	s.served(at(14.5)) // one step a second
	require.Equal(t, 0, drain(15.3))
	require.Equal(t, 1, drain(15.4), "three in four seconds")
	for i := range 10 {
		s.served(at(16 + float64(i)))
	}
	inTwoSeconds := func(from float64) int {
		n := 0
		for i := range 8 {
			n += drain(from + 0.25*float64(i+1))
		}
		return n
	}
	for i := range 5 {
		s.refused(at(26+float64(i)), false) // whoever is refused elsewhere tells nothing about this
	}
	drain(30)
	require.InDelta(t, 11.5, inTwoSeconds(30), 1, "5.75 a second")
	require.Equal(t, 2, drain(60), "and hardly more at once than in the time until a scope asks again")
	for range 5 {
		s.refused(at(60), true)
	}
	require.InDelta(t, 5.75, inTwoSeconds(60), 1, "half, whoever was refused in that second")
}

// A limit that one tenant has reached holds nobody back who waits for the end of an outage elsewhere.
func TestParkOfLonersBesideALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const scopes, outage = 100, 10 * time.Second
		g := &Gate{Park: 2 * time.Minute}
		start := time.Now()
		done := make(chan struct{})
		var wg, noise sync.WaitGroup
		noise.Go(func() {
			for {
				g.Report("limited", Ticket{}, Outcome{Kind: Slower, Err: errServer})
				select {
				case <-done:
					return
				case <-time.After(300 * time.Millisecond):
				}
			}
		})
		for i := range scopes {
			wg.Go(func() {
				for since := (time.Time{}); ; {
					ticket, err := g.Wait(context.Background(), fmt.Sprint(i), since)
					if err != nil {
						t.Error(err)
						return
					}
					if time.Since(start) >= outage {
						g.Report(fmt.Sprint(i), ticket, Outcome{Kind: OK})
						return
					}
					g.Report(fmt.Sprint(i), ticket, Outcome{Kind: Down, Wait: time.Second, Err: errServer})
					if since.IsZero() {
						since = time.Now()
					}
				}
			})
		}
		wg.Wait()
		require.Less(t, time.Since(start), time.Minute)
		close(done)
		noise.Wait()
		end(t, g)
	})
}

func TestTally(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1_800_000_000, 0).Add(seconds(s)) }
	var c tally
	require.InDelta(t, 1, c.add(at(0)), 1e-9)
	require.InDelta(t, 2, c.add(at(0)), 1e-9)
	require.InDelta(t, 1.736, c.add(at(2)), 1e-3)
	require.InDelta(t, 2.736, c.add(at(1)), 1e-3, "a clock that was set back")
	require.InDelta(t, 1, c.add(at(100)), 1e-9)
}
