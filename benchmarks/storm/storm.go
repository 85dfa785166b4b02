package storm

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Load is who sends what.
type Load struct {
	// Rate is the number of callers, each of which makes one call a second, with a phase of its own, whether or
	// not the last one is over.
	Rate int
	// Tenants makes each caller a tenant with a key of its own, who calls so many times more seldom, and of whom there are so many more.
	Tenants int
	// Processes is how many processes the callers are spread over; 0 means one.
	Processes int
	// Once makes each caller call once, all at the same time, but for the first Quiet of them, who call herdLead earlier.
	Once  bool
	Quiet int
	// Deadline is how long each call may take; 0 for as long as it likes.
	Deadline time.Duration
	// For is how long, Finish is how long calls have to end afterwards.
	For, Finish time.Duration
}

// herdLead is how long the quiet callers of a herd are ahead: long enough for all of them to be served.
const herdLead = 100 * time.Millisecond

// Result is what one run came to.
type Result struct {
	load   Load
	server *Server
	calls  []outcome
}

// outcome is one call.
type outcome struct {
	at, took time.Duration
	ok       bool
}

// Run runs the load through the client in a bubble of virtual time.
func Run(t *testing.T, server *Server, load Load, client Client, seed uint64) *Result {
	t.Helper()
	r := &Result{load: load, server: server}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), load.For+load.Finish)
		defer cancel()
		random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // the same run again for the same seed
		processes := max(load.Processes, 1)
		calls := make([]func(context.Context) error, processes)
		for i := range calls {
			calls[i] = client.New(server)
		}
		server.begin(seed)
		start := time.Now()
		var mu sync.Mutex
		var wg sync.WaitGroup
		one := func(call func(context.Context) error, caller int) {
			at := time.Now()
			ctx, cancel := ctx, context.CancelFunc(func() {})
			if load.Tenants > 0 {
				ctx = context.WithValue(ctx, tenantKey{}, caller)
			}
			if load.Deadline > 0 {
				ctx, cancel = context.WithTimeout(ctx, load.Deadline)
			}
			err := call(ctx)
			cancel()
			o := outcome{at.Sub(start), time.Since(at), err == nil}
			mu.Lock()
			r.calls = append(r.calls, o)
			mu.Unlock()
		}
		every := max(load.Tenants, 1)
		for i := range load.Rate * every {
			call := calls[i%processes]
			if load.Once {
				wg.Go(func() {
					if i >= load.Quiet && load.Quiet > 0 {
						sleepUntil(start.Add(herdLead))
					}
					one(call, i)
				})
				continue
			}
			period := time.Duration(every) * time.Second
			phase := time.Duration(random.Int64N(int64(period)))
			wg.Go(func() {
				for at := phase; at < load.For; at += period {
					sleepUntil(start.Add(at))
					wg.Go(func() { one(call, i) })
				}
			})
		}
		wg.Wait()
	})
	slices.SortFunc(r.calls, func(a, b outcome) int { return int(a.at - b.at) })
	return r
}

// tenantKey finds the number of the tenant in the context of a call.
type tenantKey struct{}

func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }

// AttemptsPerCall returns the attempts that the server saw per call that was made, between two times.
func (r *Result) AttemptsPerCall(from, to time.Duration) float64 {
	calls, attempts := 0, 0
	for _, c := range r.calls {
		if c.at >= from && c.at < to {
			calls++
		}
	}
	for s, b := range r.server.bins {
		if at := time.Duration(s) * time.Second; at >= from && at < to {
			attempts += b.attempts
		}
	}
	return float64(attempts) / float64(calls)
}

// Attempts returns all attempts.
func (r *Result) Attempts() int { return r.server.total.attempts }

// Amplification is attempts per call over everything.
func (r *Result) Amplification() float64 {
	return float64(r.server.total.attempts) / float64(len(r.calls))
}

// Goodput returns the calls per second that ended well between two times.
func (r *Result) Goodput(from, to time.Duration) float64 {
	n := 0
	for _, c := range r.calls {
		if end := c.at + c.took; c.ok && end >= from && end < to {
			n++
		}
	}
	return float64(n) / (to - from).Seconds()
}

// Served returns the requests that the server served in each second.
func (r *Result) Served() []int {
	n := make([]int, 0, len(r.server.bins))
	for _, b := range r.server.bins {
		n = append(n, b.served)
	}
	return n
}

// Finished returns how many calls ended well.
func (r *Result) Finished() int {
	n := 0
	for _, c := range r.calls {
		if c.ok {
			n++
		}
	}
	return n
}

// Failed returns the percentage of the calls that failed for good.
func (r *Result) Failed() float64 {
	return 100 * float64(len(r.calls)-r.Finished()) / float64(len(r.calls))
}

// P99 returns how long the successful calls took, all but one in a hundred.
func (r *Result) P99() time.Duration {
	var took []time.Duration
	for _, c := range r.calls {
		if c.ok {
			took = append(took, c.took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)*99/100, len(took)-1)]
}

// Longest returns how long the longest call took, failed or not.
func (r *Result) Longest() time.Duration {
	var d time.Duration
	for _, c := range r.calls {
		d = max(d, c.took)
	}
	return d
}

// Doomed returns the percentage of the calls that failed only when their deadline came.
func (r *Result) Doomed() float64 {
	n := 0
	for _, c := range r.calls {
		if !c.ok && c.took >= r.load.Deadline {
			n++
		}
	}
	return 100 * float64(n) / float64(len(r.calls))
}

// Peak returns the most attempts in one second, from a time on until the load ends.
func (r *Result) Peak(from time.Duration) int {
	peak := 0
	for s, b := range r.server.bins {
		if at := time.Duration(s) * time.Second; at >= from && at < r.load.For {
			peak = max(peak, b.attempts)
		}
	}
	return peak
}

// FineAfter returns how long after end it is until, for ten seconds, 99 % of the calls that are made succeed within a second.
// It returns a negative number if that never happens while the load lasts.
func (r *Result) FineAfter(end time.Duration) time.Duration {
	const span = 10 * time.Second
	for from := end; from+span <= r.load.For; from += time.Second {
		calls, fine := 0, 0
		for _, c := range r.calls {
			if c.at >= from && c.at < from+span {
				calls++
				if c.ok && c.took <= time.Second {
					fine++
				}
			}
		}
		if float64(fine) >= 0.99*float64(calls) {
			return from - end
		}
	}
	return -1
}

// round rounds to a number of decimals.
func round(v float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(v*p) / p
}
