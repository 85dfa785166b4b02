package middleware

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Who can lie: the caller chooses the key, and can choose another for each request. So only a key that Authenticate has let pass is worth a count: what anybody can
// invent would fill a store, and a limit for each invention limits nobody. An address is no better, for who has many. What the store says is believed, within what
// headers can hold; that it fails is no reason to fail with it.

// Limiter decides whether a key may send one more request now. [LocalLimiter] is one for a single process.
type Limiter interface {
	// Take counts one request of q.Key, unless it is refused, and returns where the key stands then. It is called concurrently, on the goroutine of
	// the request, and should be quick.
	Take(ctx context.Context, q *RateQuery) (RateState, error)
}

// RateQuery is one request that asks for its turn.
type RateQuery struct {
	// Key is whose limit it counts against; it is never empty.
	Key string
	// Request is the request. Its body must not be read.
	Request *http.Request
}

// RateState is where a key stands after a request.
type RateState struct {
	// Refused says that the request has to wait.
	Refused bool
	// Limit is how many requests the key may send in its period; 0 or less says that it has no limit.
	Limit int
	// Remaining is how many of them it may send now.
	Remaining int
	// Reset is when it may send all of them again.
	Reset time.Time
	// RetryAfter is how long a refused request has to wait at least; 0 leaves that to the registry.
	RetryAfter time.Duration
}

// RateRules says whose requests are counted, and by what.
type RateRules struct {
	// Limiter counts; nil counts nothing.
	Limiter Limiter
	// KeyFor returns whose limit a request counts against; "" for nobody's, and then it passes. It runs concurrently and finds in the context what
	// [ErrorWriter.Authenticate] put there. nil means the digest of the API key that Authenticate takes, so that no key stands in the limiter's memory or store.
	KeyFor func(*http.Request) string
}

// LimitRate returns a middleware that holds each key to its rate. It answers what is too much as RateLimited: 429 with Retry-After. Every response to a request
// with a key, whoever refuses it further inside, says in X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset, in Unix seconds, where the key stands. What a reverse
// proxy adds from the server behind it under these names is taken off.
// Place it inside of Authenticate, so that strangers can neither use up a limit nor fill the limiter with keys, and outside of everything that costs something.
//
// A Limiter that fails must not take the service with it: the request passes and the log says so. An error that is an *[errcodes.Error] is written instead,
// such as &errcodes.Error{Code: errcodes.Unavailable}, for a Limiter that would rather refuse.
func (ew *ErrorWriter) LimitRate(rules RateRules) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if rules.Limiter == nil {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := ew.take(&rules, w, r); err != nil {
				ew.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// take lets the request of r have its turn and says in the headers where its key stands.
func (ew *ErrorWriter) take(rules *RateRules, w http.ResponseWriter, r *http.Request) error {
	q := RateQuery{Request: r}
	if rules.KeyFor != nil {
		q.Key = rules.KeyFor(r)
	} else if key := apiKey(r.Header, ew.XAPIKey || ew.speaksAnthropic(r)); key != "" {
		q.Key = DigestOf(key).String()
	}
	if q.Key == "" {
		return nil
	}
	state, err := rules.Limiter.Take(r.Context(), &q)
	if err != nil {
		if publicError(err) != nil {
			return err
		}
		if r.Context().Err() == nil {
			ew.logFailure(r.Context(), "rate limiter failed, request let pass", err)
		}
		return nil
	}
	state.announce(w.Header())
	if x := responseFrom(r.Context()); x != nil {
		x.mu.Lock()
		x.rated = true
		x.mu.Unlock()
	}
	if !state.Refused {
		return nil
	}
	return &errcodes.Error{Code: errcodes.RateLimited, RetryAfter: state.RetryAfter}
}

var rateHeaders = [...]string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"}

// announce sets the response headers.
func (s *RateState) announce(h http.Header) {
	if s.Limit <= 0 {
		return
	}
	h[rateHeaders[0]] = number(s.Limit)
	h[rateHeaders[1]] = number(max(0, s.Remaining))
	// Rounded up, so that who waits that long has not come too early.
	reset := s.Reset.Unix()
	if s.Reset.Nanosecond() > 0 && reset < math.MaxInt64 {
		reset++
	}
	h[rateHeaders[2]] = []string{strconv.FormatInt(reset, 10)}
}

// logFailure records that a part of the server failed at no cost to the caller.
func (ew *ErrorWriter) logFailure(ctx context.Context, msg string, err error) {
	attrs := make([]slog.Attr, 0, 2)
	if id := RequestIDFrom(ctx); id != "" {
		attrs = append(attrs, slog.String(attrRequestID, id))
	}
	ew.record(ctx, slog.LevelError, msg, append(attrs, slog.String("cause", causeText(err)))...)
}
