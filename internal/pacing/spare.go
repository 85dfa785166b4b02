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
	// leastWait is how far apart two refusals of one call are at least, where the server states no wait.
	leastWait = 500 * time.Millisecond
	// sparePoll is how often a scope asks again.
	sparePoll = 250 * time.Millisecond
	// spareStep is by how much a second their rate grows in a second.
	spareStep = 0.5
	// longestSpare bounds the time between two parked retries of minor scopes while nothing is served.
	longestSpare = 4 * time.Second
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

// spare is what all scopes of a Gate share: the rate of the parked retries of minor ones. It is one a second at first. A refusal of such a retry halves it, and a
// success in any scope adds half a one a second, either at most once in a second.
type spare struct {
	mu       sync.Mutex
	refusals tally
	rate     float64
	tokens   float64
	at       time.Time // when there were so many
	changed  time.Time // when the rate did last
}

// refused counts a refusal and returns how many there were of late; spared says that it was of a retry that had taken a token.
func (s *spare) refused(now time.Time, spared bool) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill(now)
	if spared && now.Sub(s.changed) >= time.Second {
		s.rate, s.changed = max(s.rate/2, 1/longestSpare.Seconds()), now
		s.tokens = min(s.tokens, 1)
	}
	return s.refusals.add(now)
}

// served takes in a success.
func (s *spare) served(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill(now)
	if now.Sub(s.changed) >= time.Second {
		s.rate, s.changed = s.rate+spareStep, now
	}
}

// take takes a token, or returns when to ask again.
func (s *spare) take(now time.Time) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fill(now)
	if s.tokens >= 1 {
		s.tokens--
		return now, true
	}
	return now.Add(min(max(seconds((1-s.tokens)/s.rate), time.Millisecond), sparePoll)), false
}

// fill adds the tokens that time has brought.
func (s *spare) fill(now time.Time) {
	switch past := now.Sub(s.at).Seconds(); {
	case s.rate == 0:
		s.rate, s.tokens, s.at = 1, 1, now
	case past > 0:
		s.tokens = min(s.tokens+past*s.rate, 1+s.rate*sparePoll.Seconds())
		s.at = now
	}
}
