package otelhook

import (
	"context"
	"net/http"

	"github.com/errwire/errwire/classify"
)

// Policy is a [classify.Policy] whose calls are shown: see [Client.Policy] and [Do]. It is safe for concurrent use and must not
// be copied.
type Policy struct {
	hook   *hook
	policy classify.Policy
}

// Policy returns p for use with [Do]. nil means the zero [classify.Policy]. It takes a copy: what is changed in p later has no effect. An
// Observer of p is still called. Of the fields of c those about requests are not used: there are none here.
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
	shown := &Policy{hook: h, policy: *p}
	shown.policy.Observer = h
	return shown
}

// Do is [classify.Do] under a span of the call, with the events and metrics of [Client.Transport]. nil for p means a zero Policy of this call alone.
//
// op makes the spans of its attempts itself, below the span in its context: an SDK's own instrumentation does, and so does an HTTP client with
// otelhttp; [classify.ResendCount] tells which attempt it is.
func Do[T any](ctx context.Context, p *Policy, op func(context.Context) (T, error)) (T, error) {
	if p == nil {
		p = (&Client{}).Policy(nil)
	}
	c := p.hook.begin(ctx, nil)
	if c == nil {
		return classify.Do(ctx, &p.policy, op)
	}
	c.opaque = true
	defer c.leave()
	v, err := classify.Do(c, &p.policy, func(ctx context.Context) (T, error) {
		c.sent.Add(1)
		return op(ctx)
	})
	c.settle((*http.Response)(nil), err)
	c.closed()
	return v, err
}
