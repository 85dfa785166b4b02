package benchmarks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/PuerkitoBio/rehttp"
	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
)

// served answers every request at once with 200, and reads the body as a server would.
type served struct{}

var discard = make([]byte, 64<<10)

func (served) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		for {
			if _, err := req.Body.Read(discard); err != nil {
				break
			}
		}
		req.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// tripper is a RoundTripper that retries, over served.
type tripper struct {
	name string
	rt   http.RoundTripper
}

// trippers returns the bare transport first, then ours as it comes and with everything on, then the peers with the policies of their READMEs.
func trippers() []tripper {
	used := &classify.TokenBucket{}
	used.Withdraw(context.Background(), &classify.BudgetWithdrawal{})
	return []tripper{
		{"bare", served{}},
		{"errwire", &classify.Transport{Base: served{}}},
		{"errwire-short-budget", &classify.Transport{Base: served{}, Budget: used}},
		{"errwire-gate", &classify.Transport{Base: served{}, Gate: &classify.Pacer{}}},
		{"rehttp", rehttp.NewTransport(served{}, rehttp.RetryAll(rehttp.RetryMaxRetries(3), rehttp.RetryStatuses(429, 503)), rehttp.ExpJitterDelay(time.Second, time.Minute))},
		{"retryablehttp", retryable()},
		{"failsafehttp", failsafehttp.NewRoundTripper(served{}, failsafehttp.NewRetryPolicyBuilder().WithBackoff(time.Second, 30*time.Second).Build())},
		{"backoff", backedOff{served{}}},
	}
}

func retryable() http.RoundTripper {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: served{}}
	client.Logger = nil
	return &retryablehttp.RoundTripper{Client: client}
}

// backedOff is what many write by hand: cenkalti/backoff around one attempt.
type backedOff struct{ base http.RoundTripper }

func (b backedOff) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	policy := backoff.WithContext(backoff.WithMaxRetries(backoff.NewExponentialBackOff(), 3), req.Context())
	first := true
	err = backoff.Retry(func() error {
		if !first && req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return backoff.Permanent(err)
			}
			req.Body = body
		}
		first = false
		resp, err = b.base.RoundTrip(req)
		if err == nil && resp.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return err
	}, policy)
	return resp, err
}

// sizes are the requests: their methods, the bytes of their bodies, and whether they have the header that a caller sets.
var sizes = []struct {
	name, method string
	size         int
	header       bool
}{
	{"GET-as-made", http.MethodGet, 0, false},
	{"POST-as-made", http.MethodPost, 0, false},
	{"GET", http.MethodGet, 0, true},
	{"POST", http.MethodPost, 0, true},
	{"4KB", http.MethodPost, 4 << 10, true},
	{"1MB", http.MethodPost, 1 << 20, true},
}

// request is one that can be sent many times: rewind puts its body back.
type request struct {
	req  *http.Request
	body *bytes.Reader
	rc   io.ReadCloser
	data []byte
}

func newRequest(tb testing.TB, method string, size int, header bool) *request {
	tb.Helper()
	r := &request{data: bytes.Repeat([]byte("x"), size)}
	var err error
	if size == 0 {
		r.req, err = http.NewRequestWithContext(tb.Context(), method, "http://api.example.com/v1/runs", http.NoBody)
	} else {
		r.body = bytes.NewReader(r.data)
		r.req, err = http.NewRequestWithContext(tb.Context(), method, "http://api.example.com/v1/runs", r.body)
		r.rc = r.req.Body
	}
	require.NoError(tb, err)
	if header {
		r.req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer key"}, "Accept": {"application/json"}}
	}
	return r
}

func (r *request) rewind() {
	if r.body != nil {
		r.body.Reset(r.data)
		r.req.Body = r.rc
	}
}

// send makes a call and reports whether it succeeded.
func send(t tripper, r *request) bool {
	r.rewind()
	resp, err := t.rt.RoundTrip(r.req)
	return err == nil && resp.StatusCode == http.StatusOK
}

// A call that succeeds at once costs no allocation and no byte beyond the bare transport's, whatever its body.
func TestSuccessAllocatesNothingOfOurs(t *testing.T) {
	for _, size := range sizes {
		r := newRequest(t, size.method, size.size, size.header)
		all := trippers()
		bare := testing.AllocsPerRun(200, func() { require.True(t, send(all[0], r)) })
		for _, c := range all[1:4] {
			require.InDelta(t, bare, testing.AllocsPerRun(200, func() { require.True(t, send(c, r)) }), 0, "%s, %s", c.name, size.name)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range sizes {
		r := newRequest(b, size.method, size.size, size.header)
		for _, c := range trippers() {
			b.Run(size.name+"/"+c.name, func(b *testing.B) {
				require.True(b, send(c, r))
				b.ReportAllocs()
				for b.Loop() {
					send(c, r)
				}
			})
		}
	}
}

// BenchmarkRoundTripRatio reports how many nanoseconds a call takes longer than with the bare transport. All of them take
// turns of about a tenth of a millisecond, in another order each time, and the figure is the median over the rounds: what else the
// machine does then falls on all alike. Run it with -benchtime=500x; an op is a round.
func BenchmarkRoundTripRatio(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			r := newRequest(b, size.method, size.size, size.header)
			all := trippers()
			calls := make([]int, len(all))
			for n, c := range all {
				start := time.Now()
				for calls[n] = 0; calls[n] < 4 || time.Since(start) < 100*time.Microsecond; calls[n]++ {
					require.True(b, send(c, r))
				}
			}
			over := make([][]float64, len(all))
			ratio := make([][]float64, len(all))
			times := make([]float64, len(all))
			for round := 0; b.Loop(); round++ {
				for k := range all {
					n := (k + round) % len(all)
					start := time.Now()
					for range calls[n] {
						send(all[n], r)
					}
					times[n] = float64(time.Since(start)) / float64(calls[n])
				}
				for n := range all {
					over[n] = append(over[n], times[n]-times[0])
					ratio[n] = append(ratio[n], times[n]/times[0])
				}
			}
			b.ReportMetric(0, "ns/op")
			for n, c := range all[1:] {
				b.ReportMetric(median(over[n+1]), c.name+"-ns-over")
				b.ReportMetric(median(ratio[n+1]), c.name+"-x")
			}
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
