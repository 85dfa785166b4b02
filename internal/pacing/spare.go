package pacing

import (
	"math"
	"sync"
	"time"
)

// The pace of a scope bounds its attempts only where somebody stands in line: there a retry takes the turn of another caller. A scope with
// one caller in it, such as a key of a tenant who calls now and then, has nobody to pace, and a thousand of those together are a
// storm that none of them can see. What follows looks at all scopes of a Gate at once.

const (
	// minor is how many times as much as in a scope has to happen in all of them for it to be one of many.
	minor = 10
	// sparePerOK is how many parked retries of minor scopes each success pays for.
	sparePerOK = 0.2
	// spareBurst is how many there may be at once.
	spareBurst = 10
	// longestSpare bounds the time between two of them while nothing is served.
	longestSpare = 4 * time.Second
	// leastWait is how far apart two refusals of one call are at least, where the server states no wait.
	leastWait = 500 * time.Millisecond
)

// tally counts what happened of late.
type tally struct {
	n  float64
	at time.Time
}

// tallyFor is after which time a tally has forgotten two thirds.
const tallyFor = 2 * time.Second

// add counts one more and returns the sum.
func (t *tally) add(now time.Time) float64 {
	if past := now.Sub(t.at); past > 0 {
		t.n *= math.Exp(-past.Seconds() / tallyFor.Seconds())
		t.at = now
	}
	t.n++
	return t.n
}

// spare is what all scopes of a Gate share.
type spare struct {
	tuning Tuning

	mu       sync.Mutex
	refusals tally
	tokens   float64       // for parked retries of minor scopes
	next     time.Time     // when there is one without a success
	pause    time.Duration // between those
}

// refused counts a refusal and returns how many there were of late.
func (s *spare) refused(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusals.add(now)
}

// served adds what a success pays for.
func (s *spare) served() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = min(s.tokens+sparePerOK, spareBurst)
	s.pause = 0
}

// take takes a token, or returns when to ask again. Without any success there is one token a probe interval, then one in twice that time, and so on:
// somebody has to find out.
func (s *spare) take(now time.Time) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tokens >= 1:
		s.tokens--
		return now, true
	case !now.Before(s.next):
		s.pause = min(max(2*s.pause, s.tuning.Probe), longestSpare)
		s.next = now.Add(s.pause)
		return now, true
	case s.pause == 0: // something was served just now, and more will be
		return earlier(s.next, now.Add(s.tuning.Probe/2)), false
	}
	return s.next, false
}
