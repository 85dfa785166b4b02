package otelhooktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
	"github.com/errwire/errwire/otelhook"
)

// api is a server with every way to refuse a request.
func (t *telemetry) api(hook *otelhook.Server, registry *errcodes.Registry, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	errs := &middleware.ErrorWriter{Registry: registry, Observer: hook, Logger: slog.New(slog.DiscardHandler)}
	return otelhttp.NewHandler(hook.Handler(errs.Wrap(errs.Handler(h))), "api",
		otelhttp.WithTracerProvider(t.tracer), otelhttp.WithMeterProvider(t.meter), otelhttp.WithPropagators(propagation.TraceContext{}))
}

func TestServer(t *testing.T) {
	refuse := func(code errcodes.Code) func(http.ResponseWriter, *http.Request) error {
		return func(http.ResponseWriter, *http.Request) error {
			return &errcodes.Error{Code: code, Err: errors.New("secret cause")}
		}
	}
	for _, tt := range []struct {
		name     string
		registry *errcodes.Registry
		handler  func(http.ResponseWriter, *http.Request) error
		want     map[string]any // nil: nothing but the request id
		status   codes.Code
	}{
		{name: "success", registry: errcodes.Runbase(), handler: func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "fine")
			return err
		}},
		{
			name: "a code of its own on the wire", registry: errcodes.Runbase(), handler: refuse(errcodes.UsageExceeded),
			want: map[string]any{
				"errwire.error.code": "USAGE_EXCEEDED", "errwire.error.condition": "usage_exceeded",
				"errwire.category": "quota_exhausted", "errwire.answer": "answered",
			},
		},
		{
			name: "no code on the wire", registry: errcodes.RunInfra(), handler: refuse(errcodes.RateLimited),
			want: map[string]any{
				"errwire.error.code": "rate_limited", "errwire.error.condition": "rate_limited",
				"errwire.category": "rate_limited", "errwire.answer": "answered",
				"http.response.header.retry-after": []string{"1"},
			},
		},
		{
			name: "overloaded", registry: errcodes.RunInfra(), handler: refuse(errcodes.Unavailable),
			want: map[string]any{
				"errwire.error.code": "unavailable", "errwire.error.condition": "unavailable",
				"errwire.category": "overloaded", "errwire.answer": "answered", "error.type": "503",
				"http.response.header.retry-after": []string{"1"},
			},
			status: codes.Error,
		},
		{
			name: "panic", registry: errcodes.RunInfra(), handler: func(http.ResponseWriter, *http.Request) error { panic("secret cause") },
			want: map[string]any{
				"errwire.error.code": "internal", "errwire.error.condition": "internal",
				"errwire.category": "server_error", "errwire.answer": "answered", "error.type": "500",
			},
			status: codes.Error,
		},
		{
			name: "failed in the middle of a stream", registry: errcodes.RunInfra(),
			handler: func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: {}\n\n")
				return &errcodes.Error{Code: errcodes.Internal}
			},
			want: map[string]any{
				"errwire.error.code": "internal", "errwire.error.condition": "internal",
				"errwire.category": "server_error", "errwire.answer": "event", "error.type": "500",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tel := newTelemetry()
			srv := httptest.NewServer(tel.api(&otelhook.Server{}, tt.registry, tt.handler))
			resp, err := srv.Client().Get(srv.URL)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			srv.Close()
			tel.balanced(t)
			spans := tel.servers()
			require.Len(t, spans, 1)
			got := map[string]any{}
			for k, v := range spans[0].attrs() {
				if strings.HasPrefix(k, "errwire.") || strings.HasPrefix(k, "http.response.header.") || k == "error.type" {
					got[k] = v
				}
			}
			want := map[string]any{"http.response.header.x-request-id": []string{resp.Header.Get("X-Request-Id")}}
			maps.Copy(want, tt.want)
			require.Equal(t, want, got)
			require.Equal(t, tt.status, spans[0].Status().Code, "the status is otelhttp's")
			for _, kv := range spans[0].Attributes() {
				require.NotContains(t, kv.Value.String(), "secret cause")
			}
		})
	}
}

// The caller who left is no error of the server.
func TestServerCallerLeft(t *testing.T) {
	tel := newTelemetry()
	h := tel.api(&otelhook.Server{}, errcodes.RunInfra(), func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	func() {
		defer func() { require.Equal(t, http.ErrAbortHandler, recover()) }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
	}()
	got := tel.servers()[0].attrs()
	require.Equal(t, "unsent", got["errwire.answer"])
	require.NotContains(t, got, "error.type")
}

// Nothing failed where the caller had left before the error; a panic did.
func TestServerUnsent(t *testing.T) {
	for _, tt := range []struct {
		outcome middleware.Outcome
		panic   any
		status  int
		want    any
	}{
		{middleware.Unsent, nil, 500, nil},
		{middleware.Unsent, "boom", 500, "500"},
		{middleware.Aborted, nil, 504, "504"},
		{middleware.Answered, nil, 499, nil},
	} {
		tel := newTelemetry()
		ctx, span := tel.tracer.Tracer("test").Start(t.Context(), "server")
		(&otelhook.Server{}).Refused(&middleware.Refusal{
			Context: ctx, Outcome: tt.outcome, Panic: tt.panic, Entry: errcodes.Entry{Code: "x", Status: tt.status},
		})
		span.End()
		require.Equal(t, tt.want, tel.of(trace.SpanKindInternal)[0].attrs()["error.type"])
	}
}

// The same request id, code and trace on both sides of a real connection.
func TestBothSides(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			asked := 0
			srv := httptest.NewServer(tel.api(&otelhook.Server{}, errcodes.Runbase(), func(w http.ResponseWriter, _ *http.Request) error {
				if asked++; asked < 3 {
					w.Header().Set("Retry-After-Ms", "5")
					return &errcodes.Error{Code: errcodes.Unavailable}
				}
				_, err := io.WriteString(w, "fine")
				return err
			}))
			base := &http.Transport{}
			client := &http.Client{Transport: hook.Transport(&classify.Transport{
				Base: base, Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}},
				MaxWait: 5e9,
			})}
			resp, err := client.Get(srv.URL + "/v1/runs")
			require.NoError(t, err)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "fine", string(text))
			resp.Body.Close()
			base.CloseIdleConnections()
			srv.Close()
			tel.balanced(t)

			attempts, servers := tel.attempts(), tel.servers()
			require.Len(t, attempts, 3)
			require.Len(t, servers, 3)
			for i := range attempts {
				require.Equal(t, attempts[i].SpanContext().SpanID(), servers[i].Parent().SpanID())
				a, s := attempts[i].attrs(), servers[i].attrs()
				for _, k := range []string{"http.response.header.x-request-id", "errwire.error.code", "errwire.error.condition", "errwire.category"} {
					require.Equal(t, s[k], a[k], k)
				}
				require.NotEmpty(t, a["http.response.header.x-request-id"])
			}
			require.Equal(t, "success", tel.outer()[0].attrs()["errwire.retry.outcome"])
			require.EqualValues(t, 3, tel.outer()[0].attrs()["errwire.retry.attempts"])
		})
	}
}

func TestServerLabel(t *testing.T) {
	tel := newTelemetry()
	var told []*middleware.Refusal
	hook := &otelhook.Server{
		Label: func(ctx context.Context, kv ...attribute.KeyValue) {
			l, _ := otelhttp.LabelerFromContext(ctx)
			l.Add(kv...)
		},
		Observer: observerFunc(func(r *middleware.Refusal) { told = append(told, r) }),
	}
	h := tel.api(hook, errcodes.Runbase(), func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: errcodes.UsageExceeded}
	})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	require.Len(t, told, 1)
	m := tel.metricOf(t, "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "http.server.request.duration")
	dp := points[float64](t, m)
	require.Len(t, dp, 1)
	v, ok := dp[0].Attributes.Value("errwire.error.condition")
	require.True(t, ok)
	require.Equal(t, "usage_exceeded", v.AsString())
}

type observerFunc func(*middleware.Refusal)

func (f observerFunc) Refused(r *middleware.Refusal) { f(r) }

// The id is put on the span inside of Wrap too, and on one whose handler breaks the connection.
func TestServerHandler(t *testing.T) {
	for _, place := range []func(*otelhook.Server, *middleware.ErrorWriter, http.Handler) http.Handler{
		func(s *otelhook.Server, e *middleware.ErrorWriter, h http.Handler) http.Handler {
			return s.Handler(e.Wrap(h))
		},
		func(s *otelhook.Server, e *middleware.ErrorWriter, h http.Handler) http.Handler {
			return e.Wrap(s.Handler(h))
		},
	} {
		tel := newTelemetry()
		h := place(&otelhook.Server{}, &middleware.ErrorWriter{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		w := httptest.NewRecorder()
		require.Panics(t, func() {
			otelhttp.NewHandler(h, "api", otelhttp.WithTracerProvider(tel.tracer)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		})
		id := w.Header().Get("X-Request-Id")
		require.NotEmpty(t, id)
		require.Equal(t, []string{id}, tel.servers()[0].attrs()["http.response.header.x-request-id"])
	}
}

// Without a span, without a hook, without a refusal: nothing happens.
func TestServerZeroValues(t *testing.T) {
	var hook *otelhook.Server
	hook.Refused(nil)
	hook.Refused(&middleware.Refusal{Context: t.Context()})
	w := httptest.NewRecorder()
	hook.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	require.Equal(t, 404, w.Code)
}

// A log line of the server has the ids of the span of its request.
func TestServerLogLeadsToTheTrace(t *testing.T) {
	tel := newTelemetry()
	var out bytes.Buffer
	errs := &middleware.ErrorWriter{Logger: slog.New(&otelhook.LogHandler{Base: slog.NewTextHandler(&out, nil)})}
	h := otelhttp.NewHandler(errs.Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("broken") }), "api",
		otelhttp.WithTracerProvider(tel.tracer))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	id := tel.servers()[0].SpanContext()
	require.Contains(t, out.String(), "trace_id="+id.TraceID().String())
	require.Contains(t, out.String(), "span_id="+id.SpanID().String())
}

// The span has the route, in its name too, wherever otelhttp stands around the mux.
func TestServerSpanIsNamedByRoute(t *testing.T) {
	for name, place := range map[string]func(*otelhook.Server, *middleware.ErrorWriter, http.Handler, func(http.Handler) http.Handler) http.Handler{
		"otelhttp outside": func(s *otelhook.Server, e *middleware.ErrorWriter, mux http.Handler, span func(http.Handler) http.Handler) http.Handler {
			return span(s.Handler(e.Wrap(mux)))
		},
		"otelhttp inside": func(s *otelhook.Server, e *middleware.ErrorWriter, mux http.Handler, span func(http.Handler) http.Handler) http.Handler {
			return e.Wrap(span(s.Handler(mux)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry()
			hook := &otelhook.Server{}
			errs := &middleware.ErrorWriter{Observer: hook, Logger: slog.New(slog.DiscardHandler)}
			mux := http.NewServeMux()
			mux.Handle("GET /runs/{id}", errs.Handler(func(http.ResponseWriter, *http.Request) error {
				return &errcodes.Error{Code: errcodes.RunNotFound}
			}))
			mux.HandleFunc("GET /panics/{id}", func(http.ResponseWriter, *http.Request) { panic("boom") })
			h := place(hook, errs, mux, otelhttp.NewMiddleware("api", otelhttp.WithTracerProvider(tel.tracer), otelhttp.WithMeterProvider(tel.meter)))
			for _, path := range []string{"/runs/1", "/panics/1", "/nothing"} {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, http.NoBody))
			}
			tel.balanced(t)
			var names, routes []any
			for _, s := range tel.servers() {
				names = append(names, s.Name())
				routes = append(routes, s.attrs()["http.route"])
			}
			require.Equal(t, []any{"/runs/{id}", "/panics/{id}", nil}, routes)
			if name == "otelhttp outside" {
				require.Equal(t, []any{"GET /runs/{id}", "GET /panics/{id}", "GET"}, names)
			} else {
				// Inside of Wrap the panic goes through otelhttp, which does not look at the route then.
				require.Equal(t, []any{"GET /runs/{id}", "GET", "GET"}, names)
			}
			dp := points[float64](t, tel.metricOf(t, "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "http.server.request.duration"))
			var measured []string
			for _, p := range dp {
				if v, ok := p.Attributes.Value("http.route"); ok {
					measured = append(measured, v.AsString())
				}
			}
			require.Contains(t, measured, "/runs/{id}")
		})
	}
}
