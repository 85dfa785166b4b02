package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/errwire/errwire/middleware"
)

// quota is what a key may send: 500 requests a minute, as the documented limits of the API say.
var quota = middleware.Quota{Requests: 500, Per: time.Minute, Burst: 500}

// newRedis returns a client for a URL such as redis://user:password@host:6379/0, or rediss:// for TLS. The caller closes it. It connects when it is first used.
func newRedis(rawURL string) (*redis.Client, error) {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // it repeats the URL, with the password
		}
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	// No second chance: a question that was sent may have been counted.
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	return redis.NewClient(o), nil
}

// redisLimiter is a [middleware.Limiter] whose counts stand in Redis, so that every process in front of the same keys counts together. It is safe for concurrent use.
//
// Redis is no reason to be down. While it does not answer each process counts for itself, in full: with n processes a key may then send up to n times its quota. One request
// asks Redis again after each pause, and one log record tells of each pause.
type redisLimiter struct {
	redis *redis_rate.Limiter
	quota middleware.Quota
	// patience is how long a request waits for Redis at most, since each of them does.
	patience time.Duration
	// pause is how long Redis is left alone after it failed, so that requests do not wait for it one after the other.
	pause  time.Duration
	logger *slog.Logger

	local  middleware.LocalLimiter
	resume atomic.Int64 // when Redis is asked again, in nanoseconds since 1970
}

func newRedisLimiter(client *redis.Client, quota middleware.Quota, logger *slog.Logger) *redisLimiter {
	return &redisLimiter{
		redis: redis_rate.NewLimiter(client), quota: quota, patience: 100 * time.Millisecond, pause: time.Second, logger: logger,
		local: middleware.LocalLimiter{Quota: quota},
	}
}

// Take implements [middleware.Limiter].
func (l *redisLimiter) Take(ctx context.Context, q *middleware.RateQuery) (middleware.RateState, error) {
	now := time.Now()
	if now.UnixNano() < l.resume.Load() {
		return l.local.Take(ctx, q)
	}
	asking, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	// The key is the digest that LimitRate makes of the API key: no secret gets into Redis.
	res, err := l.redis.Allow(asking, q.Key, redis_rate.Limit{Rate: l.quota.Requests, Burst: l.quota.Burst, Period: l.quota.Per})
	switch {
	case err == nil:
		return stateOf(res, now), nil
	case ctx.Err() != nil:
		return middleware.RateState{}, err // the caller left, which says nothing about Redis
	}
	l.failed(ctx, err)
	return l.local.Take(ctx, q)
}

// stateOf says what redis_rate answered at the time now.
func stateOf(res *redis_rate.Result, now time.Time) middleware.RateState {
	every := res.Limit.Period / time.Duration(res.Limit.Rate)
	return middleware.RateState{
		Refused: res.Allowed == 0, Limit: res.Limit.Rate,
		// Not res.Remaining: that is cut off in floating point, at 498.9999 to 498.
		Remaining: int((every*time.Duration(res.Limit.Burst) - res.ResetAfter + time.Microsecond) / every),
		Reset:     now.Add(res.ResetAfter), RetryAfter: max(0, res.RetryAfter),
	}
}

// failed begins a pause, unless another request did.
func (l *redisLimiter) failed(ctx context.Context, err error) {
	now, resume := time.Now().UnixNano(), l.resume.Load()
	if now >= resume && l.resume.CompareAndSwap(resume, now+l.pause.Nanoseconds()) {
		l.logger.ErrorContext(ctx, "redis failed, rates are counted by this process alone", slog.Duration("pause", l.pause), slog.Any("cause", err))
	}
}

// redisLog takes what the Redis client would print to standard error by itself, and what it returns as an error too.
type redisLog struct{ *slog.Logger }

// Printf is what the client calls.
func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	l.DebugContext(ctx, fmt.Sprintf(format, args...))
}
