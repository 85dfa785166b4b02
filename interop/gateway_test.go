package interop

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// A gateway returns what its own call came to, and its callers learn nothing of the account that it has behind it.
func TestGateway(t *testing.T) {
	const secret = "sk-proj-of-the-gateway"
	for _, c := range []struct {
		name   string
		status int
		after  string
		body   string
		want   int
		wait   string
	}{
		{"a key that is refused", 401, "", `{"error":{"message":"Incorrect API key provided: ` + secret + `.","type":"invalid_request_error","code":"invalid_api_key"}}`, 502, ""},
		{"a quota that is spent", 429, "", `{"error":{"message":"You exceeded the quota of ` + secret + `.","type":"insufficient_quota","code":"insufficient_quota"}}`, 502, ""},
		{"a rate", 429, "7", `{"error":{"message":"Rate limit reached for ` + secret + `.","type":"requests","code":"rate_limit_exceeded"}}`, 503, "7"},
		{"an overload", 503, "", `{"error":{"message":"` + secret + ` is overloaded.","type":"server_error"}}`, 503, "1"},
		{"a bad request", 400, "", `{"error":{"message":"Bad ` + secret + `.","param":"` + secret + `","type":"invalid_request_error"}}`, 502, ""},
		{"late", 504, "", `{"error":{"message":"` + secret + ` took too long."}}`, 504, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			t.Cleanup(behind.Close)
			client := &http.Client{Transport: &classify.Transport{
				Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.OpenAI()}}, MaxAttempts: 1,
			}}
			for _, reg := range []*errcodes.Registry{errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google()} {
				var log strings.Builder
				ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(slog.NewJSONHandler(&log, nil))}
				w := httptest.NewRecorder()
				ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
					req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, behind.URL, nil)
					if err != nil {
						return err
					}
					res, err := client.Do(req)
					if err != nil {
						return err
					}
					defer res.Body.Close()
					if e := classify.ErrorOf(res); e != nil {
						return e
					}
					return nil
				}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				require.Equal(t, c.want, w.Code, reg.Name())
				require.Equal(t, c.wait, w.Header().Get("Retry-After"), reg.Name())
				require.NotContains(t, w.Body.String(), secret)
				for k, values := range w.Header() {
					require.NotContains(t, strings.Join(values, " "), secret, k)
				}
				require.Contains(t, log.String(), secret, "whoever runs the gateway has to read why")
			}
		})
	}
}
