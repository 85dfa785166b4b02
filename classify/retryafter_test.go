package classify

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// A wait of 0, or one that is over, says that nothing is to be waited for, and hides no wait that is stated in another place. Of two waits the first counts.
func TestZeroHidesNoWait(t *testing.T) {
	const (
		date = "Sat, 21 Nov 2026 08:00:03 GMT"
		info = `{"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"30s"}]}}`
		text = `{"error":{"message":"Slow down, try again in 30s."}}`
	)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		want   time.Duration
		from   Source
	}{
		{"zero alone", http.Header{"Retry-After": {"0"}}, ``, 0, SourceRetryAfter},
		{"milliseconds", http.Header{"Retry-After-Ms": {"0"}, "Retry-After": {"30"}}, ``, 30 * time.Second, SourceRetryAfter},
		{"milliseconds of Azure", http.Header{"X-Ms-Retry-After-Ms": {"0"}, "X-Retry-After": {"30"}}, ``, 30 * time.Second, SourceRetryAfter},
		{"a header named alike", http.Header{"Retry-After": {"0"}, "X-Rate-Limit-Retry-After-Seconds": {"30"}}, ``, 30 * time.Second, SourceRetryAfter},
		{"all zero", http.Header{"Retry-After-Ms": {"0"}, "Retry-After": {"0"}, "Ratelimit": {`"a";r=0;t=0`}}, `{"retry_after":0}`, 0, SourceRetryAfterMs},
		{"body", http.Header{"Retry-After": {"0"}}, info, 30 * time.Second, SourceBody},
		{"text", http.Header{"Retry-After": {"0"}}, text, 30 * time.Second, SourceText},
		{"a date that is over, text", http.Header{"Date": {date}, "Retry-After": {date}}, text, 30 * time.Second, SourceText},
		{"body of 0, text", nil, `{"error":{"message":"Slow down, try again in 30s.","retry_after":0}}`, 30 * time.Second, SourceText},
		{"reset", http.Header{"Retry-After": {"0"}, "X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"20s"}}, ``, 20 * time.Second, SourceReset},
		{"reset of a limit that is not spent", http.Header{"Retry-After": {"0"}, "X-Ratelimit-Remaining-Requests": {"1"}, "X-Ratelimit-Reset-Requests": {"20s"}}, ``, 0, SourceRetryAfter},
		{"the first of two", http.Header{"Retry-After": {"1"}}, info, time.Second, SourceRetryAfter},
		{"the first of two headers", http.Header{"Retry-After-Ms": {"100"}, "Retry-After": {"30"}}, ``, 100 * time.Millisecond, SourceRetryAfterMs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range []*Classifier{nil, {Registries: []*errcodes.Registry{errcodes.OpenAI()}}} {
				d := c.Body(429, tt.header, []byte(tt.body))
				require.Equal(t, tt.want, d.Wait)
				require.Equal(t, tt.from, d.WaitFrom)
				require.Equal(t, errcodes.RetryBackoff, d.Retry)
			}
		})
	}
}
