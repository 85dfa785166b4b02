package otelhook_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func allocations(t *testing.T, rt http.RoundTripper) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.test/v1/models", http.NoBody)
	require.NoError(t, err)
	return testing.AllocsPerRun(1000, func() {
		resp, err := rt.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Error(resp, err)
		}
	})
}

// A program without OpenTelemetry pays next to nothing for calls that succeed.
func TestNoopCost(t *testing.T) {
	resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("x"))}
	tr := &classify.Transport{Base: roundTripFunc(func(*http.Request) (*http.Response, error) { return resp, nil })}
	require.Zero(t, allocations(t, tr))
	noop := &otelhook.Client{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Operation: "chat"}
	require.LessOrEqual(t, allocations(t, noop.Transport(tr)), 1.0, "providers that do nothing")
	// The placeholder that stands for a provider that may still come makes a span of its own.
	require.LessOrEqual(t, allocations(t, (&otelhook.Client{}).Transport(tr)), 1.0, "no provider")
}
