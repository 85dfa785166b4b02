package storm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/internal/pacing"
)

// Client is one way to send requests.
type Client struct {
	// Name stands in tables.
	Name string
	// New returns what one process has: a function that makes one call, with all its retries, over base.
	New func(base http.RoundTripper) func(ctx context.Context) error
}

const address = "http://api.example.com/v1/runs"

var requestBody = []byte(`{"model":"m","input":{"prompt":"a cat"}}`)

// send makes one call with a client of the standard library.
func send(ctx context.Context, do func(*http.Request) (*http.Response, error)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(requestBody))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if tenant, ok := ctx.Value(tenantKey{}).(int); ok {
		req.Header.Set("Authorization", fmt.Sprintf("Bearer key of tenant %d", tenant))
	}
	resp, err := do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// transportClient is a client that is nothing but a transport.
func transportClient(name string, wrap func(http.RoundTripper) http.RoundTripper) Client {
	return Client{name, func(base http.RoundTripper) func(context.Context) error {
		client := &http.Client{Transport: wrap(base)}
		return func(ctx context.Context) error { return send(ctx, client.Do) }
	}}
}

// NoRetry sends each request once.
func NoRetry() Client {
	return transportClient("no retry", func(base http.RoundTripper) http.RoundTripper { return base })
}

// Default is errwire as it comes: a budget and no gate.
func Default() Client {
	return transportClient("errwire, default", func(base http.RoundTripper) http.RoundTripper { return &classify.Transport{Base: base} })
}

// Gated is errwire with a Gate.
func Gated() Client {
	return transportClient("errwire, Gate", func(base http.RoundTripper) http.RoundTripper {
		return &classify.Transport{Base: base, Gate: &classify.Pacer{}}
	})
}

// Parked is errwire with a Gate that parks its callers through an outage.
func Parked() Client {
	return transportClient("errwire, Gate with Park", func(base http.RoundTripper) http.RoundTripper {
		return &classify.Transport{Base: base, Gate: &classify.Pacer{Park: 90 * time.Second, QueueSize: 10_000}}
	})
}

// Tuned is errwire with a gate of other constants than those that are built in, for the sweep.
func Tuned(tuning pacing.Tuning) Client {
	return transportClient("errwire, tuned", func(base http.RoundTripper) http.RoundTripper {
		return marked{&classify.Transport{Budget: classify.Unlimited{}, Base: &tuned{
			base: base, budget: &pacing.Budget{}, gate: &pacing.Gate{Tuning: tuning},
		}}}
	})
}

// Retryablehttp is hashicorp/go-retryablehttp as it comes: 4 retries, 1 s to 30 s, without jitter.
func Retryablehttp() Client {
	return Client{"go-retryablehttp", func(base http.RoundTripper) func(context.Context) error {
		client := retryablehttp.NewClient()
		client.HTTPClient = &http.Client{Transport: base}
		client.Logger = nil
		return func(ctx context.Context) error {
			return send(ctx, func(r *http.Request) (*http.Response, error) {
				req, err := retryablehttp.FromRequest(r)
				if err != nil {
					return nil, err
				}
				return client.Do(req)
			})
		}
	}}
}

// Failsafe is failsafe-go's policy for HTTP with its 2 retries and the backoff its documentation suggests.
func Failsafe() Client {
	return transportClient("failsafe-go", func(base http.RoundTripper) http.RoundTripper {
		policy := failsafehttp.NewRetryPolicyBuilder().WithBackoff(time.Second, 30*time.Second).WithJitterFactor(0.25).Build() //nolint:bodyclose // a policy, not a response
		return failsafehttp.NewRoundTripper(base, policy)
	})
}

// Backoff is cenkalti/backoff as it comes around a plain client: everything but a 4xx other than 429, for 15 minutes.
func Backoff() Client {
	return Client{"cenkalti/backoff", func(base http.RoundTripper) func(context.Context) error {
		client := &http.Client{Transport: base}
		return func(ctx context.Context) error {
			return backoff.Retry(func() error { return send(ctx, client.Do) }, backoff.WithContext(backoff.NewExponentialBackOff(), ctx))
		}
	}}
}

// OpenAI is openai-go as it comes: 2 retries.
func OpenAI() Client {
	return Client{"openai-go", func(base http.RoundTripper) func(context.Context) error {
		client := openai.NewClient(option.WithBaseURL("http://api.example.com/v1/"), option.WithAPIKey("key"),
			option.WithHTTPClient(&http.Client{Transport: base}))
		return func(ctx context.Context) error {
			var answer struct {
				ID string `json:"id"`
			}
			return client.Post(ctx, "runs", requestBody, &answer)
		}
	}}
}

// Peers are the clients of others.
func Peers() []Client { return []Client{Retryablehttp(), Failsafe(), Backoff(), OpenAI()} }

// Ours are ours, and none.
func Ours() []Client { return []Client{NoRetry(), Default(), Gated(), Parked()} }
