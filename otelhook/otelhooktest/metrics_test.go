package otelhooktest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/classify"
)

// handleErrors collects what is reported to OpenTelemetry's error handler during a test.
func handleErrors(t *testing.T) *[]error {
	t.Helper()
	var reported []error
	old := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { reported = append(reported, err) }))
	t.Cleanup(func() { otel.SetErrorHandler(old) })
	return &reported
}

func points[N int64 | float64](t *testing.T, m *metricdata.Metrics) []metricdata.HistogramDataPoint[N] {
	t.Helper()
	require.NotNil(t, m)
	h, ok := m.Data.(metricdata.Histogram[N])
	require.True(t, ok, "%T", m.Data)
	require.Equal(t, metricdata.CumulativeTemporality, h.Temporality)
	return h.DataPoints
}

func set(kvs ...attribute.KeyValue) attribute.Set { return attribute.NewSet(kvs...) }

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		rt := tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{
			{status: 429, header: after("2")}, {status: 503, header: after("2")}, {status: 200, body: "x"}, // a call that recovers
			{status: 400}, // one that does not
			{status: 200}, // one without a retry
		}}})
		for range 3 {
			_, err := call(t, t.Context(), rt)
			require.NoError(t, err)
		}

		operation := attribute.String("errwire.operation", "chat")
		success, giveUp := attribute.String("errwire.retry.outcome", "success"), attribute.String("errwire.retry.outcome", "give_up")
		semconvBounds := []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

		m := tel.metric(t, "errwire.client.operation.duration")
		require.Equal(t, "s", m.Unit)
		p := points[float64](t, m)
		require.Len(t, p, 2)
		for _, dp := range p {
			require.Equal(t, append(semconvBounds, 30, 60, 120), dp.Bounds)
			require.NotEmpty(t, dp.Exemplars, "the point leads to a trace")
			if dp.Attributes == set(operation, success) {
				require.EqualValues(t, 2, dp.Count)
				require.InDelta(t, 4.2, dp.Sum, .21)
			} else {
				require.Equal(t, set(operation, giveUp, attribute.String("error.type", "invalid_request")), dp.Attributes)
				require.EqualValues(t, 1, dp.Count)
			}
		}

		m = tel.metric(t, "errwire.client.retries")
		require.Equal(t, "{retry}", m.Unit)
		counts := make([]uint64, 7)
		counts[1] = 1 // 2 retries: in (1, 2]
		metricdatatest.AssertEqual(t, metricdata.Metrics{
			Name: "errwire.client.retries", Description: m.Description, Unit: "{retry}",
			Data: metricdata.Histogram[int64]{
				Temporality: metricdata.CumulativeTemporality,
				DataPoints: []metricdata.HistogramDataPoint[int64]{{
					Attributes: set(operation, success), Count: 1, Bounds: []float64{1, 2, 3, 4, 5, 10}, BucketCounts: counts,
					Min: metricdata.NewExtrema[int64](2), Max: metricdata.NewExtrema[int64](2), Sum: 2,
				}},
			},
		}, *m, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())

		m = tel.metric(t, "errwire.client.retry.delay")
		require.Equal(t, "s", m.Unit)
		delays := points[float64](t, m)
		require.Len(t, delays, 2)
		for _, dp := range delays {
			require.Equal(t, []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}, dp.Bounds)
			require.EqualValues(t, 1, dp.Count)
			require.InDelta(t, 2.1, dp.Sum, .11)
		}
		source := attribute.String("errwire.retry.delay.source", "retry_after")
		require.ElementsMatch(t, []attribute.Set{
			set(operation, source, attribute.String("errwire.category", "rate_limited")),
			set(operation, source, attribute.String("errwire.category", "overloaded")),
		}, []attribute.Set{delays[0].Attributes, delays[1].Attributes})

		m = tel.metric(t, "http.client.request.duration")
		require.Equal(t, "s", m.Unit)
		requests := points[float64](t, m)
		byStatus := map[int64]uint64{}
		for _, dp := range requests {
			require.Equal(t, semconvBounds, dp.Bounds)
			status, _ := dp.Attributes.Value("http.response.status_code")
			byStatus[status.AsInt64()] = dp.Count
			_, failed := dp.Attributes.Value("error.type")
			require.Equal(t, status.AsInt64() >= 400, failed)
			require.False(t, dp.Attributes.HasValue("http.request.resend_count"))
		}
		require.Equal(t, map[int64]uint64{200: 2, 400: 1, 429: 1, 503: 1}, byStatus)
	})
}

func TestNoRetriesNoPoint(t *testing.T) {
	tel := newTelemetry()
	rt := tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200}, {status: 400}}}})
	for range 2 {
		_, err := call(t, t.Context(), rt)
		require.NoError(t, err)
	}
	require.Nil(t, tel.metric(t, "errwire.client.retries"))
	require.Nil(t, tel.metric(t, "errwire.client.retry.delay"))
}

// Neither URLs nor what servers say multiplies the attribute sets.
func TestAttributeSetsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		hook := tel.client()
		hook.OperationFor = func(r *http.Request) string { return r.URL.Path } // the mistake
		n := 0
		rt := hook.Transport(&classify.Transport{MaxAttempts: 2, Budget: classify.Unlimited{}, Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			n++
			h := http.Header{"Retry-After": {fmt.Sprint(1 + n%7)}, "X-Request-Id": {fmt.Sprint("req_", n)}}
			body := fmt.Sprintf(`{"error":{"code":"code_%d","message":"message %d"}}`, n, n)
			return &http.Response{StatusCode: 429, Header: h, Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
		})})
		const names = 24 + 1 // and one for all the others
		var sizes [][4]int
		for i := range 10_000 {
			resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, fmt.Sprintf("http://api.test/runs/%d?n=%d", i, i)))
			require.NoError(t, err)
			resp.Body.Close()
			if i == 99 || i == 9_999 {
				sizes = append(sizes, [4]int{
					len(points[float64](t, tel.metric(t, "errwire.client.operation.duration"))),
					len(points[int64](t, tel.metric(t, "errwire.client.retries"))),
					len(points[float64](t, tel.metric(t, "errwire.client.retry.delay"))),
					len(points[float64](t, tel.metric(t, "http.client.request.duration"))),
				})
			}
		}
		require.Equal(t, [4]int{names, names, names, 1}, sizes[0])
		require.Equal(t, sizes[0], sizes[1])
		for _, s := range tel.outer() {
			require.NotContains(t, s.Name(), "/runs/99")
		}
		tel.balanced(t)
	})
}

// Metrics do not need traces. Without spans to tell by, the attempts of an instrumentation are left to it.
func TestMetricsWithoutTraces(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tel, hook := setup()
				hook.TracerProvider = noop.NewTracerProvider()
				tel.tracer = nil
				if hook.Instrument != nil {
					hook.Instrument = func(b http.RoundTripper) http.RoundTripper {
						return otelhttp.NewTransport(b, otelhttp.WithTracerProvider(hook.TracerProvider), otelhttp.WithMeterProvider(tel.meter))
					}
				}
				s := &fakeServer{script: []answer{{status: 503}, {status: 200}}}
				_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: s}))
				require.NoError(t, err)
				require.Len(t, points[int64](t, tel.metric(t, "errwire.client.retries")), 1)
				own := tel.metric(t, "http.client.request.duration")
				theirs := tel.metricOf(t, "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "http.client.request.duration")
				require.Equal(t, hook.Instrument == nil, own != nil)
				require.Equal(t, hook.Instrument != nil, theirs != nil)
			})
		})
	}
}

// A view that drops what nobody wants is respected.
func TestDroppedInstruments(t *testing.T) {
	tel := newTelemetry()
	tel.reader = sdkmetric.NewManualReader()
	tel.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(tel.reader), sdkmetric.WithView(sdkmetric.NewView(
		sdkmetric.Instrument{Name: "errwire.*"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}})))
	_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200}}}}))
	require.NoError(t, err)
	require.Nil(t, tel.metric(t, "errwire.client.operation.duration"))
	require.NotNil(t, tel.metric(t, "http.client.request.duration"))
}

// A client of many hosts gets along with the View that docs/tracing.md shows; what is ours does not know hosts.
func TestManyHosts(t *testing.T) {
	page, err := os.ReadFile("../../docs/tracing.md")
	require.NoError(t, err)
	require.Contains(t, string(page), `sdkmetric.Instrument{Name: "http.client.request.duration"},`)
	require.Contains(t, string(page), `sdkmetric.Stream{AttributeFilter: attribute.NewDenyKeysFilter("server.address", "server.port")},`)
	view := sdkmetric.NewView(
		sdkmetric.Instrument{Name: "http.client.request.duration"},
		sdkmetric.Stream{AttributeFilter: attribute.NewDenyKeysFilter("server.address", "server.port")},
	)
	for _, drop := range []bool{false, true} {
		tel := newTelemetry()
		if drop {
			tel.reader = sdkmetric.NewManualReader()
			tel.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(tel.reader), sdkmetric.WithView(view))
		}
		rt := tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200, body: "x"}}}})
		const hosts = 100
		for i := range hosts {
			resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, fmt.Sprintf("http://customer%d.test/hook", i)))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		attempts := points[float64](t, tel.metric(t, "http.client.request.duration"))
		require.Equal(t, []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}, attempts[0].Bounds)
		require.Len(t, points[float64](t, tel.metric(t, "errwire.client.operation.duration")), 1)
		if drop {
			require.Len(t, attempts, 1)
			require.EqualValues(t, hosts, attempts[0].Count)
		} else {
			require.Len(t, attempts, hosts)
		}
	}
}
