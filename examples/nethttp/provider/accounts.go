package provider

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// account is what a key stands for.
type account struct {
	key string
	// state is the condition that every request of the account runs into; "" for none.
	state errcodes.Code
	// otherwise is reported in registries that do not know state.
	otherwise errcodes.Code
	// busyEvery makes all but the last of so many requests run into the rate limit; 0 for none.
	busyEvery int
	// poor accounts pass every check but the last: the balance.
	poor bool
}

// accounts are the keys that exist. Any other key is invalid.
var accounts = []account{
	{key: "sk-test-good"},
	{key: "sk-test-wrong-scope", state: errcodes.PipelineScopeMismatch, otherwise: errcodes.PermissionDenied},
	{key: "sk-test-plan-limit", state: errcodes.PlanLimitExceeded, otherwise: errcodes.PermissionDenied},
	{key: "sk-test-no-feature", state: errcodes.FeatureNotInPlan, otherwise: errcodes.PermissionDenied},
	{key: "sk-test-no-balance", poor: true},
	{key: "sk-test-spend-limit", state: errcodes.APIKeySpendLimitExceeded},
	{key: "sk-test-ip-blocked", state: errcodes.IPNotAllowed},
	{key: "sk-test-rate-limited", state: errcodes.RateLimited},
	{key: "sk-test-usage-exceeded", state: errcodes.UsageExceeded},
	{key: "sk-test-busy", busyEvery: 3},
}

// quota is what the seeds document: 500 requests a minute for each key.
var quota = middleware.Quota{Requests: 500, Per: time.Minute}

type accountKey struct{}

// accountFrom returns the account of an authenticated request; nil for none.
func accountFrom(ctx context.Context) *account {
	a, _ := ctx.Value(accountKey{}).(*account)
	return a
}

// Authenticate finds the account of a key. It is the check that middleware.ErrorWriter.Authenticate asks for.
func (p *Provider) Authenticate(r *http.Request, key string) (context.Context, error) {
	for i := range accounts {
		// These keys are no secret: the README of the example lists them. Real ones are looked up by digest: see middleware.Keys.
		if accounts[i].key == key {
			return context.WithValue(r.Context(), accountKey{}, &accounts[i]), nil
		}
	}
	return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
}

// CheckAccount is a middleware behind Authenticate. It counts the request against the rate limit, says in the headers how much is left, and
// refuses what the state of the account does not allow.
func (p *Provider) CheckAccount(next http.Handler) http.Handler {
	return p.Errors.LimitRate(middleware.RateRules{Limiter: (*limiter)(p), KeyFor: keyOf})(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch a := accountFrom(r.Context()); {
			case a == nil:
				p.Errors.WriteError(w, r, &errcodes.Error{Code: errcodes.MissingAPIKey})
			case a.state != "":
				p.Errors.WriteError(w, r, p.refuse(r, a.state, a.otherwise))
			default:
				next.ServeHTTP(w, r)
			}
		}))
}

func keyOf(r *http.Request) string {
	if a := accountFrom(r.Context()); a != nil {
		return a.key
	}
	return ""
}

// limiter counts the requests of each account. Whether one is refused is up to its account, so that every run of the example sees the same.
type limiter Provider

// Take implements [middleware.Limiter].
func (l *limiter) Take(ctx context.Context, q *middleware.RateQuery) (middleware.RateState, error) {
	l.limit.Do(func() { l.rates.Quota = quota })
	state, err := l.rates.Take(ctx, q)
	a := accountFrom(ctx)
	state.Refused = a.state == errcodes.RateLimited || a.busyEvery > 0 && l.turns.next("key "+a.key)%a.busyEvery != 0
	if state.Refused {
		state.RetryAfter = time.Second
	}
	if state.Refused || a.state == errcodes.UsageExceeded {
		state.Remaining = 0
	}
	return state, err
}

// checkBalance is the last check before the work.
func (p *Provider) checkBalance(r *http.Request) error {
	if a := accountFrom(r.Context()); a != nil && a.poor {
		return &errcodes.Error{Code: errcodes.InsufficientBalance}
	}
	return nil
}

// refuse returns an error of the condition c, or of otherwise where the registry of the request lacks c.
func (p *Provider) refuse(r *http.Request, c, otherwise errcodes.Code) *errcodes.Error {
	if _, ok := p.registry(r).Lookup(c); !ok && otherwise != "" {
		c = otherwise
	}
	return &errcodes.Error{Code: c}
}

// registry returns what the errors of r are written in.
func (p *Provider) registry(r *http.Request) *errcodes.Registry {
	if p.Errors.RegistryFor != nil {
		if reg := p.Errors.RegistryFor(r); reg != nil {
			return reg
		}
	}
	if p.Errors.Registry != nil {
		return p.Errors.Registry
	}
	return errcodes.Problem()
}

// turns counts requests by name. The names are those of this package's tables, so it is bounded.
type turns struct {
	mu sync.Mutex
	n  map[string]int
}

// next returns 1 for the first request of that name, 2 for the second, and so on.
func (t *turns) next(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]int)
	}
	t.n[name]++
	return t.n[name]
}
