package pacing

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A pool of workers, each of which makes the next call when the last one is done, comes back to its pace within seconds of an outage. While the door is
// closed it shows no more callers than it has workers, however fast it was.
func TestGatePoolAfterAnOutage(t *testing.T) {
	const answer = 50 * time.Millisecond
	for _, tt := range []struct {
		name    string
		workers int
		outage  time.Duration
		park    time.Duration
	}{
		{"one worker, one 503", 1, time.Millisecond, 0},
		{"few workers, one 503", 4, time.Millisecond, 0},
		{"many workers, one 503", 16, time.Millisecond, 0},
		{"one worker, 20 s", 1, 20 * time.Second, 0},
		{"many workers, 20 s", 16, 20 * time.Second, 0},
		{"one worker, 20 s, parked", 1, 20 * time.Second, time.Hour},
		{"many workers, 20 s, parked", 16, 20 * time.Second, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				within := 5 * time.Second
				if tt.park > 0 && tt.workers == 1 {
					within += longestSpare // nobody else looks whether the server is back
				}
				g := &Gate{Park: tt.park}
				start := time.Now()
				down, up := start.Add(5*time.Second), start.Add(5*time.Second+tt.outage)
				last := up.Add(within + 2*time.Second)
				var mu sync.Mutex
				failed, served := false, 0
				call := func() {
					for since := (time.Time{}); ; {
						ticket, err := g.Wait(context.Background(), key, since)
						if err != nil {
							<-time.After(time.Second) // who was turned away comes again later
							return
						}
						<-time.After(answer)
						now := time.Now()
						mu.Lock()
						refuse := !now.Before(down) && (now.Before(up) || !failed)
						failed = failed || refuse
						if !refuse && !now.Before(last.Add(-time.Second)) && now.Before(last) {
							served++
						}
						mu.Unlock()
						if !refuse {
							g.Report(key, ticket, Outcome{Kind: OK})
							return
						}
						g.Report(key, ticket, Outcome{Kind: Down, Wait: time.Second, Err: errServer})
						if since.IsZero() {
							since = now
						}
						<-time.After(time.Second)
					}
				}
				var wg sync.WaitGroup
				for range tt.workers {
					wg.Go(func() {
						for time.Now().Before(last) {
							call()
						}
					})
				}
				wg.Wait()
				full := tt.workers * int(time.Second/answer)
				t.Logf("%d a second of %d", served, full)
				require.GreaterOrEqual(t, served, full*9/10)
				end(t, g)
			})
		})
	}
}
