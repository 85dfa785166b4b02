package middleware_test

import (
	"context"
	"fmt"
	"time"

	"github.com/errwire/errwire/middleware"
)

// Each plan has its own limit. A key may send its whole minute at once, and then one request for each that comes in.
func ExampleLocalLimiter() {
	plans := map[string]middleware.Quota{
		"key of a free plan": {Requests: 20, Per: time.Minute, Burst: 2},
		"key of a team":      {Requests: 500, Per: time.Minute},
		"key of our own":     {}, // no limit
	}
	limiter := &middleware.LocalLimiter{QuotaFor: func(q *middleware.RateQuery) middleware.Quota { return plans[q.Key] }}
	for _, key := range []string{"key of a free plan", "key of a free plan", "key of a free plan", "key of a team", "key of our own"} {
		state, _ := limiter.Take(context.Background(), &middleware.RateQuery{Key: key})
		fmt.Printf("%s: refused %v, limit %d, remaining %d, wait %v\n", key, state.Refused, state.Limit, state.Remaining, state.RetryAfter.Round(time.Second))
	}
	// Output:
	// key of a free plan: refused false, limit 20, remaining 1, wait 0s
	// key of a free plan: refused false, limit 20, remaining 0, wait 0s
	// key of a free plan: refused true, limit 20, remaining 0, wait 3s
	// key of a team: refused false, limit 500, remaining 499, wait 0s
	// key of our own: refused false, limit 0, remaining 0, wait 0s
}
