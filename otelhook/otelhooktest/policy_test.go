package otelhooktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// sdkError is the error of an SDK, with everything that the server said.
type sdkError struct{ status int }

func (e *sdkError) Error() string { return "the server said: secret text" }

func signal(err error) classify.Signal {
	if e, ok := errors.AsType[*sdkError](err); ok {
		return classify.Signal{Status: e.status, Header: http.Header{"Retry-After": {"1"}}}
	}
	return classify.Signal{}
}

// An SDK whose HTTP client is instrumented: its spans are the attempts.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{{status: 503}, {status: 429}, {status: 200, body: "fine"}}}
		client := otelhttp.NewTransport(s, otelhttp.WithTracerProvider(tel.tracer), otelhttp.WithPropagators(propagation.TraceContext{}))
		o := &observed{}
		p := tel.client().Policy(&classify.Policy{Signal: signal, Observer: o})
		got, err := otelhook.Do(t.Context(), p, func(ctx context.Context) (string, error) {
			resp, err := client.RoundTrip(request(t, ctx, http.MethodGet, target))
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if resp.StatusCode >= 400 {
				return "", &sdkError{resp.StatusCode}
			}
			return string(text), err
		})
		require.NoError(t, err)
		require.Equal(t, "fine", got)
		tel.balanced(t)
		outer, attempts := tel.outer()[0], tel.attempts()
		require.Equal(t, "chat", outer.Name())
		require.Len(t, attempts, 3)
		for _, a := range attempts {
			require.Equal(t, outer.SpanContext().SpanID(), a.Parent().SpanID())
		}
		require.Equal(t, []string{"errwire.retry.wait", "errwire.retry.wait"}, outer.eventNames())
		require.EqualValues(t, 3, outer.attrs()["errwire.retry.attempts"])
		require.Equal(t, "success", outer.attrs()["errwire.retry.outcome"])
		require.InDelta(t, 2.1, outer.attrs()["errwire.retry.wait_total"], .11)
		require.Equal(t, codes.Unset, outer.Status().Code)
		require.Len(t, o.attempts, 3)
		require.Equal(t, outer.SpanContext(), o.done[0])
		require.NotNil(t, tel.metric(t, "errwire.client.retries"))
	})
}

// An SDK whose HTTP client goes through Policy.Transport shows the attempts as a Transport does, the requests of one operation as siblings.
func TestDoShowsTheAttempts(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{
					{status: 503, header: map[string]string{"X-Request-Id": "req_1"}, body: `{"error":{"code":"overloaded","message":"secret text"}}`},
					{status: 201}, {status: 200, header: map[string]string{"X-Request-Id": "req_3"}, body: "fine"},
				}}
				p := hook.Policy(&classify.Policy{Signal: signal})
				client := &http.Client{Transport: p.Transport(s)}
				get := func(ctx context.Context) error {
					resp, err := client.Do(request(t, ctx, http.MethodGet, target+"?sig=s3cr3t"))
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					_, _ = io.Copy(io.Discard, resp.Body)
					if resp.StatusCode >= 400 {
						return &sdkError{resp.StatusCode}
					}
					return nil
				}
				_, err := otelhook.Do(t.Context(), p, func(ctx context.Context) (int, error) {
					if err := get(ctx); err != nil {
						return 0, err
					}
					return 0, get(ctx)
				})
				require.NoError(t, err)
				tel.balanced(t)
				outer, attempts := tel.outer()[0], tel.attempts()
				require.Len(t, attempts, 3)
				for i, a := range attempts {
					require.Equal(t, outer.SpanContext().SpanID(), a.Parent().SpanID())
					require.Contains(t, s.headers[i].Get("Traceparent"), a.SpanContext().SpanID().String())
					require.NotContains(t, a.attrs()["url.full"], "s3cr3t")
				}
				require.Equal(t, "overloaded", attempts[0].attrs()["errwire.error.code"])
				require.Equal(t, []string{"req_1"}, attempts[0].attrs()["http.response.header.x-request-id"])
				require.NotContains(t, attempts[0].attrs(), "http.request.resend_count")
				require.EqualValues(t, 1, attempts[1].attrs()["http.request.resend_count"])
				require.EqualValues(t, 1, attempts[2].attrs()["http.request.resend_count"])
				require.EqualValues(t, 2, outer.attrs()["errwire.retry.attempts"], "two operations, three requests")

				// Outside of a call there is nothing to belong to.
				require.NoError(t, get(t.Context()))
				tel.balanced(t)
				require.Equal(t, hook.Instrument != nil, len(tel.attempts()) == 4)
			})
		})
	}
}

// Each hop of a redirect is a call of a Transport, which sees requests and no redirects; within Do the hops are one.
func TestRedirects(t *testing.T) {
	hops := func() http.RoundTripper {
		return &fakeServer{script: []answer{{status: 307, header: map[string]string{"Location": "/v1/b"}}, {status: 200, body: "fine"}}}
	}
	get := func(ctx context.Context, rt http.RoundTripper) (int, error) {
		resp, err := (&http.Client{Transport: rt}).Do(request(t, ctx, http.MethodGet, target))
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.Body.Close()
	}
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			_, err := get(t.Context(), hook.Transport(&classify.Transport{Base: hops()}))
			require.NoError(t, err)
			tel.balanced(t)
			outer := tel.outer()
			require.Len(t, outer, 2)
			require.NotEqual(t, outer[0].SpanContext().TraceID(), outer[1].SpanContext().TraceID(), "nothing holds them together")

			tel, hook = setup()
			ctx, around := tel.tracer.Tracer("caller").Start(t.Context(), "job", trace.WithSpanKind(trace.SpanKindConsumer))
			_, err = get(ctx, hook.Transport(&classify.Transport{Base: hops()}))
			around.End()
			require.NoError(t, err)
			require.Len(t, tel.outer(), 2)
			for _, s := range tel.outer() {
				require.Equal(t, around.SpanContext().TraceID(), s.SpanContext().TraceID())
			}

			tel, hook = setup()
			p := hook.Policy(nil)
			rt := p.Transport(hops())
			_, err = otelhook.Do(t.Context(), p, func(ctx context.Context) (int, error) { return get(ctx, rt) })
			require.NoError(t, err)
			tel.balanced(t)
			require.Len(t, tel.outer(), 1)
			require.Len(t, tel.attempts(), 2)
			for _, a := range tel.attempts() {
				require.Equal(t, tel.outer()[0].SpanContext().SpanID(), a.Parent().SpanID())
			}
			require.EqualValues(t, 1, points[float64](t, tel.metric(t, "errwire.client.operation.duration"))[0].Count)
		})
	}
}

func TestDoPanicsInARequest(t *testing.T) {
	tel := newTelemetry()
	p := tel.client().Policy(nil)
	client := p.Transport(&fakeServer{script: []answer{{panics: "boom"}}})
	require.PanicsWithValue(t, "boom", func() {
		_, _ = otelhook.Do(t.Context(), p, func(ctx context.Context) (*http.Response, error) {
			return client.RoundTrip(request(t, ctx, http.MethodGet, target))
		})
	})
	tel.balanced(t)
	require.EqualValues(t, 1, tel.outer()[0].attrs()["errwire.retry.attempts"])
	require.Equal(t, "panic", tel.attempts()[0].attrs()["error.type"])
}

func TestPolicyTransportZeroValues(t *testing.T) {
	require.NotNil(t, (*otelhook.Policy)(nil).Transport(nil))
	base := &idle{RoundTripper: &fakeServer{script: []answer{{status: 200}}}}
	p := (*otelhook.Client)(nil).Policy(nil)
	client := &http.Client{Transport: p.Transport(base)}
	resp, err := client.Do(request(t, t.Context(), http.MethodGet, target))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	client.CloseIdleConnections()
	require.True(t, base.closed)
	require.NotNil(t, p.Transport(nil))
}

func TestDoExits(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want map[string]any
		code codes.Code
		text string // of the status: what the error is, where no status of an answer tells
	}{
		{"success", nil, map[string]any{"errwire.retry.attempts": int64(1), "errwire.retry.outcome": "success"}, codes.Unset, ""},
		{
			"refused", &sdkError{400},
			map[string]any{
				"errwire.retry.attempts": int64(1), "errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "not_retryable",
				"errwire.category": "invalid_request", "error.type": "invalid_request",
			}, codes.Error, "",
		},
		{
			// One of several parallel requests failed, and the errgroup of the operation has cancelled the others: the caller is still there.
			"cancelled from within", fmt.Errorf("part 2: %w", context.Canceled),
			map[string]any{
				"errwire.retry.attempts": int64(1), "errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "not_retryable",
				"errwire.category": "canceled", "error.type": "canceled",
			}, codes.Error, "context canceled",
		},
		{
			"an error that may say anything", errors.New("secret text"),
			map[string]any{
				"errwire.retry.attempts": int64(1), "errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "not_retryable",
				"errwire.category": "unknown", "error.type": "unknown",
			}, codes.Error, "*errors.errorString",
		},
		{
			"a connection that broke", fmt.Errorf("secret text: %w", syscall.ECONNRESET),
			map[string]any{
				"errwire.retry.attempts": int64(1), "errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "unsafe_replay",
				"errwire.category": "network", "error.type": "network",
			}, codes.Error, "connection reset by peer",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tel := newTelemetry()
			_, err := otelhook.Do(t.Context(), tel.client().Policy(&classify.Policy{Signal: signal}), func(context.Context) (int, error) { return 0, tt.err })
			require.ErrorIs(t, err, tt.err)
			outer := tel.outer()[0]
			require.Equal(t, tt.want, without(outer.attrs(), "errwire.operation", "errwire.retry.max_attempts"))
			require.Equal(t, sdktrace.Status{Code: tt.code, Description: tt.text}, outer.Status())
			for _, e := range outer.Events() {
				for _, kv := range e.Attributes {
					require.NotContains(t, kv.Value.String(), "secret")
				}
			}
			tel.balanced(t)
		})
	}
}

// A caller who leaves is no error, whatever the operation makes of it.
func TestDoCancelled(t *testing.T) {
	for _, end := range []error{context.Canceled, errors.New("secret text")} {
		tel := newTelemetry()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := otelhook.Do(ctx, tel.client().Policy(nil), func(context.Context) (int, error) {
			cancel()
			return 0, end
		})
		require.ErrorIs(t, err, end)
		outer := tel.outer()[0]
		require.Equal(t, "cancelled", outer.attrs()["errwire.retry.outcome"])
		require.NotContains(t, outer.attrs(), "error.type")
		require.Equal(t, sdktrace.Status{}, outer.Status())
		require.Empty(t, outer.Events())
		tel.balanced(t)
	}
}

// The requests of an operation whose own context ends were left by it; the operation was left by nobody.
func TestDoCancelledFromWithin(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			synctest.Test(t, func(t *testing.T) {
				p := hook.Policy(nil)
				rt := p.Transport(&fakeServer{script: []answer{{took: time.Minute}}})
				_, err := otelhook.Do(t.Context(), p, func(ctx context.Context) (int, error) {
					sub, cancel := context.WithCancel(ctx)
					time.AfterFunc(time.Second, cancel)
					_, err := rt.RoundTrip(request(t, sub, http.MethodGet, target))
					return 0, err
				})
				require.ErrorIs(t, err, context.Canceled)
				tel.balanced(t)
				outer := tel.outer()[0]
				require.Equal(t, "give_up", outer.attrs()["errwire.retry.outcome"])
				require.Equal(t, "canceled", outer.attrs()["error.type"])
				require.Equal(t, codes.Error, outer.Status().Code)
				if hook.Instrument == nil {
					require.Equal(t, sdktrace.Status{}, tel.attempts()[0].Status())
					require.NotContains(t, tel.attempts()[0].attrs(), "error.type")
				}
			})
		})
	}
}

func TestDoPanics(t *testing.T) {
	tel := newTelemetry()
	p := tel.client().Policy(nil)
	require.PanicsWithValue(t, "boom", func() {
		_, _ = otelhook.Do(t.Context(), p, func(context.Context) (int, error) { panic("boom") })
	})
	tel.balanced(t)
	require.Equal(t, "panic", tel.outer()[0].attrs()["error.type"])
	require.EqualValues(t, 1, tel.outer()[0].attrs()["errwire.retry.attempts"])
}

func TestDoZeroValues(t *testing.T) {
	for _, p := range []*otelhook.Policy{nil, (*otelhook.Client)(nil).Policy(nil)} {
		got, err := otelhook.Do(t.Context(), p, func(context.Context) (int, error) { return 7, nil })
		require.NoError(t, err)
		require.Equal(t, 7, got)
	}
}
