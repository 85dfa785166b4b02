package otelhook

import (
	"context"
	"net/http"

	"github.com/errwire/errwire/classify"
)

// Policy is a [classify.Policy] whose calls are shown: see [Client.Policy] and [Do]. It is safe for concurrent use and must not
// be copied.
type Policy struct {
	hook       *hook
	policy     classify.Policy
	instrument func(http.RoundTripper) http.RoundTripper
}

// Policy returns p for use with [Do]. nil means the zero [classify.Policy]. It takes a copy: what is changed in p later has no effect. An
// Observer of p is still called. OperationFor of c is not used, since there is no request when a call begins; what c says of requests is for
// [Policy.Transport].
//
// Make it once and share it among the calls of one client: the budget of the retries belongs to it.
func (c *Client) Policy(p *classify.Policy) *Policy {
	if c == nil {
		c = &Client{}
	}
	if p == nil {
		p = &classify.Policy{}
	}
	h := c.hook(p.MaxAttempts, p.Classifier, p.Observer)
	shown := &Policy{hook: h, policy: *p, instrument: c.Instrument}
	shown.policy.Observer = h
	return shown
}

// Transport returns a RoundTripper for the HTTP client of the SDK that the operations of [Do] call with this Policy. Each of their requests gets its CLIENT
// span, propagation and http.request.resend_count, as under [Client.Transport]; nothing is sent again. Requests outside of such a call pass unseen, but for what
// Client.Instrument makes of them. nil for base means [http.DefaultTransport]. The result is safe for concurrent use.
func (p *Policy) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport //nolint:forbidigo // the default of every RoundTripper that wraps another
	}
	if p == nil {
		return base
	}
	return p.hook.attempts(base, p.instrument, true)
}

// Do is [classify.Do] under a span of the call, with the events and metrics of [Client.Transport]. nil for p means a zero Policy of this call alone.
//
// The spans of the attempts, below the one in the context of op, are those of [Policy.Transport] in the HTTP client that op uses, or what the SDK itself makes;
// [classify.ResendCount] tells which attempt it is.
func Do[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error)) (T, error) {
	if p == nil {
		p = (&Client{}).Policy(nil)
	}
	c, named := p.hook.begin(ctx, nil)
	if c == nil {
		if p.hook.log == nil && !carries(ctx) {
			return classify.Do(ctx, &p.policy, op)
		}
		if named == nil {
			named = p.hook.operations.fixed
		}
		c = p.hook.unseenCall(ctx, named) // by which the requests of op are known
	}
	c.counts = true
	defer c.leave()
	v, err := classify.Do(c, &p.policy, func(ctx context.Context) (T, error) {
		c.sent.Add(1)
		return op(ctx)
	})
	c.settle((*http.Response)(nil), err)
	c.closed()
	return v, err
}
