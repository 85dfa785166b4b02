package pacing

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// The defaults of a Gate.
const (
	DefaultQueueSize    = 1000
	DefaultMaxWait      = 2 * time.Second
	DefaultMaxRetryWait = time.Minute
	DefaultMaxScopes    = 1000
)

// Gate paces the attempts of each scope as the server asks for it. A scope is whatever the server limits as one: a key, a model,
// a host. As long as no server has refused anything the Gate is not [Gate.Active] and costs one atomic load.
//
// The zero value is ready to use. It is safe for concurrent use as long as its fields do not change, and must not be copied after first
// use. It needs no closing: it has no goroutine, and its timers end with the scopes, a minute after their last refusal.
type Gate struct {
	// QueueSize is how many callers of one scope wait at most; 0 means 1,000, negative none.
	QueueSize int
	// MaxWait is how long a caller waits for its first attempt; 0 means 2 s, negative not at all. A caller whose turn will come later is
	// refused at once.
	MaxWait time.Duration
	// MaxRetryWait is how long a caller waits for a further attempt after the server refused one, beyond the wait that the
	// server stated; 0 means 60 s. Those callers go first: they have waited longest.
	MaxRetryWait time.Duration
	// Park is how long a call waits through an outage, counted from its beginning or its first failure; 0 means not
	// at all. While the server is down, one caller a second is let through to see; afterwards they leave at the
	// rate at which they came, until the last of them has left.
	Park time.Duration
	// MaxScopes is how many scopes are remembered; 0 means 1,000. Beyond it the one refused longest ago is forgotten.
	MaxScopes int
	// Tuning holds the constants of the control loop; the zero value means the measured ones.
	Tuning Tuning

	active  atomic.Int64 // the number of scopes
	waiting atomic.Int64 // the number of waiters in all of them
	spare   spare
	mu      sync.RWMutex
	limits  *limits
	scopes  map[string]*scope
}

// Ticket is the right to send one attempt. The zero Ticket comes from a scope that was not paced.
type Ticket struct {
	scope *scope
	seq   uint64
	left  time.Duration // since the scope's epoch

	// Queued is how long the caller was held; 0 if its turn had come already.
	Queued time.Duration
}

// Active reports whether any scope is paced or closed. While it is false there is no need to know the scope
// of a request, nor to call Wait, nor to report a success.
func (g *Gate) Active() bool { return g.active.Load() != 0 }

// Wait waits until the caller may send one attempt within the scope key. since is zero for the first attempt of a call, else when
// the first one failed. It returns a *[Refusal] if the caller may not send. Callers leave in the order in which they
// came, those that come again first.
//
// Whoever gets a Ticket must [Gate.Report] what came of it.
func (g *Gate) Wait(ctx context.Context, key string, since time.Time) (Ticket, error) {
	if !g.Active() {
		return Ticket{}, nil
	}
	g.mu.RLock()
	sc := g.scopes[key]
	g.mu.RUnlock()
	if sc == nil {
		return Ticket{}, nil
	}
	return sc.wait(ctx, since)
}

// Report tells the Gate what the attempt with ticket t brought. It returns how a further attempt of the same call is to be made: one that takes the
// turn of others spends no budget.
func (g *Gate) Report(key string, t Ticket, o Outcome) Pace {
	failed := o.Kind == Slower || o.Kind == Down && (o.Wait > 0 || g.Park > 0)
	if !failed && !g.Active() {
		return Unpaced
	}
	for range 3 { // a scope may be forgotten between finding and using it
		sc := t.scope
		if sc == nil {
			sc = g.scope(key, failed)
		}
		if sc == nil {
			return Unpaced
		}
		if pace, ok := sc.report(t, o); ok {
			return pace
		}
		t = Ticket{}
	}
	return Unpaced
}

// scope finds a scope, or makes it.
func (g *Gate) scope(key string, create bool) *scope {
	g.mu.RLock()
	sc := g.scopes[key]
	g.mu.RUnlock()
	if sc != nil || !create {
		return sc
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if sc = g.scopes[key]; sc != nil {
		return sc
	}
	if g.scopes == nil {
		g.scopes = make(map[string]*scope)
		g.limits = &limits{
			queueSize: max(orDefault(g.QueueSize, DefaultQueueSize), 0), maxWait: max(orDefault(g.MaxWait, DefaultMaxWait), 0),
			maxRetryWait: max(orDefault(g.MaxRetryWait, DefaultMaxRetryWait), 0), park: max(g.Park, 0), tuning: g.Tuning.defaults(),
		}
	}
	if len(g.scopes) >= max(orDefault(g.MaxScopes, DefaultMaxScopes), 1) && !g.evict() {
		return nil
	}
	sc = &scope{gate: g, key: key, epoch: time.Now(), state: state{l: g.limits}, first: queue{all: &g.waiting}, again: queue{all: &g.waiting}}
	g.scopes[key] = sc
	g.active.Add(1)
	return sc
}

// evict forgets the scope that was refused longest ago, of those for which nobody waits. g.mu is held.
func (g *Gate) evict() bool {
	var stalest *scope
	var at time.Time
	for _, sc := range g.scopes {
		sc.mu.Lock()
		last, waiting := sc.lastRefusal, sc.waiting()
		sc.mu.Unlock()
		if waiting == 0 && (stalest == nil || last.Before(at)) {
			stalest, at = sc, last
		}
	}
	return stalest != nil && g.drop(stalest)
}

// drop forgets a scope, unless somebody came to wait in the meantime. g.mu is held.
func (g *Gate) drop(sc *scope) bool {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.gone || sc.waiting() > 0 {
		return false
	}
	sc.gone = true
	if sc.timer != nil {
		sc.timer.Stop()
	}
	delete(g.scopes, sc.key)
	g.active.Add(-1)
	return true
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
