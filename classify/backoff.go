package classify

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// This file is the seam to the backoff library: nothing else of the package but the fields
// named NewBackOff knows it.

const (
	defaultMaxAttempts = 4
	defaultMaxWait     = 60 * time.Second

	firstBackOff = time.Second // then 2 s, 4 s, ...
	maxJitter    = time.Second
)

// newBackOff returns the default policy: 1 s, 2 s, 4 s and so on up to MaxWait, without an end of its own. The
// jitter is added elsewhere, because the library's goes both ways.
func newBackOff(maxWait time.Duration) backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(firstBackOff, maxWait)),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0),
		backoff.WithMaxInterval(maxWait),
		backoff.WithMaxElapsedTime(0),
	)
}

// schedule is the backoff policy of one call. Policies have state, so each call has its own.
type schedule struct{ policy backoff.BackOffContext }

func newSchedule(ctx context.Context, fresh func() backoff.BackOff, maxWait time.Duration) schedule {
	var b backoff.BackOff
	if fresh != nil {
		b = fresh()
	}
	if b == nil {
		b = newBackOff(maxWait)
	}
	// The context goes outermost, or the wrapper of another policy would hide it.
	return schedule{backoff.WithContext(b, ctx)}
}

// next returns the policy's next wait; false when the policy ends the call.
func (s schedule) next() (time.Duration, bool) {
	wait := s.policy.NextBackOff()
	if wait == backoff.Stop {
		return 0, false
	}
	return max(wait, 0), true
}

// isPermanent reports whether err says of itself that it is final: a backoff.PermanentError stands in its tree.
func isPermanent(err error) bool {
	_, ok := errors.AsType[*backoff.PermanentError](err)
	return ok
}

// jitter returns an addition to wait of up to a tenth, at most a second and at most most: where there is less room those who wait spread over what there is. It is
// never negative: nobody comes back earlier than told.
func jitter(wait, most time.Duration) time.Duration {
	limit := min(wait/10, maxJitter, most)
	if limit <= 0 {
		return 0
	}
	return rand.N(limit + 1) //nolint:gosec // spreading load needs no secrecy
}
