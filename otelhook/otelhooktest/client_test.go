package otelhooktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
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
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/otelhook"
)

// One call of three attempts, and the other process behind them.
func TestTree(t *testing.T) {
	for _, parent := range []bool{false, true} {
		for name, setup := range instrumentations() {
			t.Run(name, func(t *testing.T) {
				tel, hook := setup()
				synctest.Test(t, func(t *testing.T) {
					s := &fakeServer{script: []answer{
						{status: 429, header: after("1")}, {status: 503, header: after("2")}, {status: 200, body: "fine"},
					}}
					s.handler = otelhttp.NewHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "server",
						otelhttp.WithTracerProvider(tel.tracer), otelhttp.WithPropagators(propagation.TraceContext{}))
					ctx, caller := t.Context(), trace.SpanContext{}
					finish := func() {}
					if parent {
						var sp trace.Span
						ctx, sp = tel.tracer.Tracer("caller").Start(ctx, "caller", trace.WithSpanKind(trace.SpanKindProducer))
						caller, finish = sp.SpanContext(), func() { sp.End() }
					}
					resp, err := call(t, ctx, hook.Transport(&classify.Transport{Base: s}))
					finish()
					require.NoError(t, err)
					require.Equal(t, 200, resp.StatusCode)

					outer, attempts, servers := tel.outer(), tel.attempts(), tel.servers()
					require.Len(t, outer, 1)
					require.Len(t, attempts, 3)
					require.Len(t, servers, 3)
					require.Equal(t, "chat", outer[0].Name())
					require.Equal(t, ourScope, outer[0].InstrumentationScope().Name)
					require.Contains(t, outer[0].InstrumentationScope().SchemaURL, "opentelemetry.io/schemas/")
					require.Equal(t, caller.SpanID(), outer[0].Parent().SpanID())
					if parent {
						require.Equal(t, caller.TraceID(), outer[0].SpanContext().TraceID())
					}
					for i, a := range attempts {
						require.Equal(t, outer[0].SpanContext().SpanID(), a.Parent().SpanID(), "attempts are siblings")
						require.Equal(t, outer[0].SpanContext().TraceID(), a.SpanContext().TraceID())
						require.Equal(t, a.SpanContext().SpanID(), servers[i].Parent().SpanID())
						require.Contains(t, s.headers[i].Get("Traceparent"), a.SpanContext().SpanID().String())
						count, has := a.attrs()["http.request.resend_count"]
						if i == 0 {
							require.False(t, has)
						} else {
							require.EqualValues(t, i, count)
						}
					}
					tel.balanced(t)
				})
			})
		}
	}
}

func TestOwnAttemptIsAsTheConventionsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{
			{status: 429, header: map[string]string{"Retry-After": "1", "X-Request-Id": "req_1"}, body: `{"error":{"code":"RATE_LIMITED","message":"slow down"}}`},
			{status: 200, header: map[string]string{"X-Request-Id": "req_2"}, body: "fine"},
		}}
		_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{
			Base: s, Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}},
		}))
		require.NoError(t, err)
		attempts := tel.attempts()
		require.Equal(t, "GET", attempts[0].Name())
		require.Equal(t, map[string]any{
			"http.request.method": "GET", "server.address": "api.test", "server.port": int64(80), "url.full": target,
			"http.response.status_code": int64(429), "network.protocol.version": "1.1", "error.type": "429",
			"http.response.header.x-request-id": []string{"req_1"}, "http.response.header.retry-after": []string{"1"},
			"errwire.category": "rate_limited", "errwire.error.code": "RATE_LIMITED", "errwire.error.condition": "rate_limited",
			"errwire.rule": attempts[0].attrs()["errwire.rule"],
		}, attempts[0].attrs())
		require.NotEmpty(t, attempts[0].attrs()["errwire.rule"])
		require.Equal(t, sdktrace.Status{Code: codes.Error}, attempts[0].Status())
		require.Equal(t, map[string]any{
			"http.request.method": "GET", "server.address": "api.test", "server.port": int64(80), "url.full": target,
			"http.request.resend_count": int64(1), "http.response.status_code": int64(200), "network.protocol.version": "1.1",
			"http.response.header.x-request-id": []string{"req_2"},
		}, attempts[1].attrs())
		require.Equal(t, sdktrace.Status{}, attempts[1].Status())
	})
}

func TestAttemptOfOtelhttpIsAnnotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{
			{status: 503, header: map[string]string{"Retry-After": "1", "X-Request-Id": "req_1"}, body: `{"error":{"code":"overloaded","message":"busy"}}`},
			{status: 200, header: map[string]string{"X-Request-Id": "req_2"}, body: "fine"},
		}}
		_, err := call(t, t.Context(), tel.withOtelhttp(tel.client()).Transport(&classify.Transport{Base: s}))
		require.NoError(t, err)
		attempts := tel.attempts()
		require.Len(t, attempts, 2)
		first := attempts[0].attrs()
		require.Equal(t, "overloaded", first["errwire.category"])
		require.Equal(t, "overloaded", first["errwire.error.code"])
		require.Equal(t, []string{"req_1"}, first["http.response.header.x-request-id"])
		require.NotContains(t, first, "http.request.resend_count")
		require.EqualValues(t, 1, attempts[1].attrs()["http.request.resend_count"])
		require.Equal(t, []string{"req_2"}, attempts[1].attrs()["http.response.header.x-request-id"])
		require.Nil(t, tel.metric(t, "http.client.request.duration"), "otelhttp measures its own attempts")
	})
}

// Whatever way a call ends, its spans end, and they say how.
func TestExits(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	type want struct {
		outcome, reason, errorType, category string
		attempts                             int
		events                               []string
		attemptError                         string // error.type of our last attempt
	}
	wait, giveUp := "errwire.retry.wait", "errwire.retry.give_up"
	for _, tt := range []struct {
		name     string
		script   []answer
		deadline time.Duration
		cancel   time.Duration
		use      func(resp *http.Response)
		want     want
	}{
		{name: "at once", script: []answer{{status: 200, body: "x"}}, want: want{outcome: "success", attempts: 1}},
		{name: "no body", script: []answer{{status: 204}}, want: want{outcome: "success", attempts: 1}},
		{
			name: "recovered", script: []answer{{status: 503, header: after("1")}, {status: 200}},
			want: want{outcome: "success", attempts: 2, events: []string{wait}},
		},
		{
			name: "not worth it", script: []answer{{status: 400}},
			want: want{"give_up", "not_retryable", "invalid_request", "invalid_request", 1, []string{giveUp}, "400"},
		},
		{
			name: "all attempts", script: []answer{{status: 503}},
			want: want{"give_up", "max_attempts", "overloaded", "overloaded", 4, []string{wait, wait, wait, giveUp}, "503"},
		},
		{
			name: "a second 500", script: []answer{{status: 500}},
			want: want{"give_up", "max_attempts_of_class", "server_error", "server_error", 2, []string{wait, giveUp}, "500"},
		},
		{
			name: "too long a wait", script: []answer{{status: 503, header: after("3600")}},
			want: want{"give_up", "retry_after_too_long", "overloaded", "overloaded", 1, []string{giveUp}, "503"},
		},
		{
			name: "deadline before the end of the wait", script: []answer{{status: 503, header: after("10")}}, deadline: time.Second,
			want: want{"give_up", "deadline", "overloaded", "overloaded", 1, []string{giveUp}, "503"},
		},
		{
			name: "deadline in mid-air", script: []answer{{status: 503, header: after("1")}, {took: time.Minute}}, deadline: 5 * time.Second,
			want: want{"give_up", "deadline", "timeout", "timeout", 2, []string{wait, giveUp, "exception"}, "timeout"},
		},
		{
			name: "cancelled in mid-air", script: []answer{{took: time.Minute}}, cancel: time.Second,
			want: want{outcome: "cancelled", attempts: 1},
		},
		{
			name: "cancelled while waiting", script: []answer{{status: 503, header: after("30")}}, cancel: time.Second,
			want: want{outcome: "cancelled", attempts: 1, category: "overloaded", events: []string{wait}, attemptError: "503"},
		},
		{
			name: "refused", script: []answer{{err: refused}},
			want: want{"give_up", "max_attempts", "network", "network", 4, []string{wait, wait, wait, giveUp, "exception"}, "network"},
		},
		{
			name: "never read", script: []answer{{status: 200, body: "x"}},
			use:  func(resp *http.Response) { resp.Body.Close() },
			want: want{outcome: "success", attempts: 1},
		},
		{
			name: "closed twice", script: []answer{{status: 200, body: "x"}},
			use: func(resp *http.Response) {
				_, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
				resp.Body.Close()
			},
			want: want{outcome: "success", attempts: 1},
		},
		{
			name: "broken off", script: []answer{{status: 200, body: "half", broken: io.ErrUnexpectedEOF}},
			want: want{"give_up", "response_begun", "network", "network", 1, []string{giveUp, "exception"}, "network"},
		},
		{
			name: "an error broken off", script: []answer{{status: 400, body: "half", broken: io.ErrUnexpectedEOF}},
			want: want{"give_up", "not_retryable", "invalid_request", "invalid_request", 1, []string{giveUp}, "400"},
		},
		{
			name: "cancelled while reading", script: []answer{{status: 200, body: "half", broken: context.Canceled}}, cancel: time.Second,
			use: func(resp *http.Response) {
				<-resp.Request.Context().Done()
				_, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			},
			want: want{outcome: "cancelled", attempts: 1},
		},
		{
			name: "cancelled by the base", script: []answer{{err: context.Canceled}},
			want: want{"give_up", "not_retryable", "canceled", "canceled", 1, []string{giveUp, "exception"}, "canceled"},
		},
		{
			name: "cancelled by the base while reading", script: []answer{{status: 200, body: "half", broken: context.Canceled}},
			want: want{"give_up", "response_begun", "canceled", "canceled", 1, []string{giveUp, "exception"}, "canceled"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, setup := range instrumentations() {
				t.Run(name, func(t *testing.T) {
					tel, hook := setup()
					synctest.Test(t, func(t *testing.T) {
						s := &fakeServer{script: tt.script}
						ctx := t.Context()
						if tt.deadline > 0 {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(ctx, tt.deadline)
							defer cancel()
						}
						if tt.cancel > 0 {
							var cancel context.CancelCauseFunc
							ctx, cancel = context.WithCancelCause(ctx)
							stop := time.AfterFunc(tt.cancel, func() { cancel(errUserLeft) })
							defer stop.Stop()
						}
						start := time.Now()
						resp, err := hook.Transport(&classify.Transport{Base: s}).RoundTrip(request(t, ctx, http.MethodGet, target))
						switch {
						case tt.use != nil && err == nil:
							tt.use(resp)
						case err == nil:
							_, _ = io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
						tel.balanced(t)
						require.Zero(t, s.open, "bodies left open")
						outer := tel.outer()
						require.Len(t, outer, 1)
						got, w := outer[0].attrs(), tt.want
						expected := map[string]any{
							"errwire.operation": "chat", "errwire.retry.max_attempts": int64(4),
							"errwire.retry.attempts": int64(w.attempts), "errwire.retry.outcome": w.outcome,
						}
						for k, v := range map[string]string{"errwire.retry.give_up.reason": w.reason, "error.type": w.errorType, "errwire.category": w.category} {
							if v != "" {
								expected[k] = v
							}
						}
						require.Equal(t, expected, without(got, "errwire.retry.wait_total"))
						require.Equal(t, w.events, outer[0].eventNames())
						status := codes.Unset
						if w.errorType != "" {
							status = codes.Error
						}
						require.Equal(t, status, outer[0].Status().Code)
						if len(w.events) > 0 && w.events[len(w.events)-1] != "exception" {
							require.Empty(t, outer[0].Status().Description)
						}
						require.Equal(t, time.Since(start), outer[0].EndTime().Sub(outer[0].StartTime()))

						// The fault of the last attempt, as we say it. otelhttp has its own words.
						attempts := tel.attempts()
						require.Len(t, attempts, w.attempts)
						if hook.Instrument == nil {
							last := attempts[w.attempts-1]
							fault, has := last.attrs()["error.type"]
							require.Equal(t, w.attemptError != "", has)
							if has {
								require.Equal(t, w.attemptError, fault)
								require.Equal(t, codes.Error, last.Status().Code)
							} else {
								require.Equal(t, codes.Unset, last.Status().Code)
							}
						}
					})
				})
			}
		})
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{
			{status: 429, header: after("2")}, {status: 503},
			{status: 429, body: `{"error":{"message":"Please try again in 6ms."}}`}, {status: 200},
		}}
		began := time.Now()
		resp, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{Base: s}))
		require.NoError(t, err)
		attempts := classify.AttemptsOf(resp)
		outer := tel.outer()[0]
		require.Equal(t, []string{"errwire.retry.wait", "errwire.retry.wait", "errwire.retry.wait"}, outer.eventNames())
		var total float64
		for i, w := range []struct {
			source string
			status int
			class  string
			least  time.Duration
		}{
			{"retry_after", 429, "rate_limited", 2 * time.Second},
			{"backoff", 503, "overloaded", time.Second},
			{"server_hint", 429, "rate_limited", 6 * time.Millisecond},
		} {
			e := outer.event(t, "errwire.retry.wait", i)
			require.Equal(t, w.source, e["errwire.retry.delay.source"])
			require.EqualValues(t, w.status, e["http.response.status_code"])
			require.Equal(t, w.class, e["errwire.category"])
			require.EqualValues(t, i+1, e["errwire.retry.attempt"])
			delay := e["errwire.retry.delay.duration"].(float64)
			require.GreaterOrEqual(t, delay, w.least.Seconds())
			require.InDelta(t, attempts[i+1].Waited.Seconds(), delay, 1e-9)
			require.Equal(t, began.Add(time.Duration(total*1e9)).Round(time.Microsecond), outer.Events()[i].Time.Round(time.Microsecond), "told before the wait")
			total += delay
		}
		require.InDelta(t, total, outer.attrs()["errwire.retry.wait_total"], 1e-6)
		require.InDelta(t, total, time.Since(began).Seconds(), 1e-6)
	})
}

func TestWaitCutShortCountsAsFarAsItWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7*time.Second, cancel)
		_, err := call(t, ctx, tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 503, header: after("30")}}}}))
		require.ErrorIs(t, err, context.Canceled)
		require.InDelta(t, 7, tel.outer()[0].attrs()["errwire.retry.wait_total"], 1e-9)
	})
}

func TestGiveUpSaysWhatTheServerAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{{status: 429, header: after("3600"), body: `{"error":{"code":"USAGE_EXCEEDED","message":"secret text"}}`}}}
		_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{
			Base: s, Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}},
		}))
		require.NoError(t, err)
		e := tel.outer()[0].event(t, "errwire.retry.give_up", 0)
		require.Equal(t, map[string]any{
			"errwire.retry.attempt": int64(1), "http.response.status_code": int64(429), "errwire.category": "quota_exhausted",
			"errwire.error.code": "USAGE_EXCEEDED", "errwire.error.condition": "usage_exceeded", "errwire.rule": e["errwire.rule"],
			"errwire.retry.give_up.reason": "not_retryable", "errwire.retry.delay.duration": 3600.0, "errwire.retry.delay.source": "retry_after",
		}, e)
	})
}

// Waits are capped below what SDKs keep of a span, so that the end of the story is never dropped.
func TestManyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{{status: 503, header: after("1")}}}
		_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{Base: s, MaxAttempts: 200, Budget: classify.Unlimited{}}))
		require.NoError(t, err)
		outer := tel.outer()[0]
		require.Equal(t, 33, len(outer.Events())) //nolint:testifylint // the events are no reading matter
		require.Equal(t, "errwire.retry.give_up", outer.Events()[32].Name)
		require.EqualValues(t, 200, outer.attrs()["errwire.retry.attempts"])
		require.EqualValues(t, 200, outer.attrs()["errwire.retry.max_attempts"])
		tel.balanced(t)
	})
}

func TestPanicEndsTheSpans(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			rt := hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{panics: "boom"}}}})
			require.PanicsWithValue(t, "boom", func() { _, _ = rt.RoundTrip(request(t, t.Context(), http.MethodGet, target)) })
			outer := tel.outer()
			require.Len(t, outer, 1)
			require.Equal(t, "panic", outer[0].attrs()["error.type"])
			require.Equal(t, codes.Error, outer[0].Status().Code)
			if hook.Instrument == nil { // otelhttp leaves its span open
				tel.balanced(t)
				require.Equal(t, "panic", tel.attempts()[0].attrs()["error.type"])
			}
		})
	}
}

// Whoever drops a response without closing its body loses the connection, but not the trace.
func TestDroppedBody(t *testing.T) {
	tel := newTelemetry()
	rt := tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200, body: "some"}}}})
	func() {
		resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, target))
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 2))
		require.NoError(t, err)
	}()
	dropped := time.Now()
	for range 1000 {
		if len(tel.spans.Ended()) == 2 {
			break
		}
		runtime.GC()
		runtime.Gosched()
	}
	tel.balanced(t)
	require.False(t, tel.outer()[0].EndTime().After(dropped), "it ended with the last byte, not with the collection")
	require.Equal(t, "success", tel.outer()[0].attrs()["errwire.retry.outcome"])
}

type upgraded struct {
	io.Reader
	io.Writer
	io.Closer
}

// A connection that changed its protocol (RFC 9110 section 7.8) stays writable.
func TestUpgrade(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			var sent bytes.Buffer
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 101, Header: http.Header{}, Request: r, Body: upgraded{strings.NewReader("hi"), &sent, io.NopCloser(nil)}}, nil
			})
			resp, err := hook.Transport(&classify.Transport{Base: base}).RoundTrip(request(t, t.Context(), http.MethodGet, target))
			require.NoError(t, err)
			w, ok := resp.Body.(io.ReadWriteCloser)
			require.True(t, ok)
			_, err = w.Write([]byte("hello"))
			require.NoError(t, err)
			require.Equal(t, "hello", sent.String())
			require.NoError(t, w.Close())
			tel.balanced(t)
		})
	}
}

// Nobody closes what is not there.
func TestResponseWithoutABody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusBadRequest} {
		for _, body := range []io.ReadCloser{nil, http.NoBody} {
			tel := newTelemetry()
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: body}, nil
			})
			_, err := tel.client().Transport(&classify.Transport{Base: base}).RoundTrip(request(t, t.Context(), http.MethodGet, target))
			require.NoError(t, err)
			tel.balanced(t)
			require.Len(t, tel.spans.Ended(), 2)
			_, judged := tel.attempts()[0].attrs()["errwire.category"]
			require.Equal(t, status >= 400, judged)
		}
	}
}

// The spans end from the inside out, and that of the attempt before the connection is closed, which may take its time.
func TestOrderOfEnds(t *testing.T) {
	tel := newTelemetry()
	var endedBefore int
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		b := &body{Reader: strings.NewReader("x"), close: func() { endedBefore = len(tel.spans.Ended()) }}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: b}, nil
	})
	resp, err := tel.client().Transport(&classify.Transport{Base: base}).RoundTrip(request(t, t.Context(), http.MethodGet, target))
	require.NoError(t, err)
	require.Empty(t, tel.spans.Ended())
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 1, endedBefore)
	ended := tel.spans.Ended()
	require.Len(t, ended, 2)
	require.Equal(t, trace.SpanKindClient, ended[0].SpanKind())
	require.False(t, ended[1].EndTime().Before(ended[0].EndTime()))
}

// A base that breaks the contract of RoundTripper is a transport error.
func TestBaseWithoutAnAnswer(t *testing.T) {
	tel := newTelemetry()
	base := roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }) //nolint:nilnil // what no RoundTripper may do
	_, err := tel.client().Transport(&classify.Transport{Base: base, MaxAttempts: 1}).RoundTrip(request(t, t.Context(), http.MethodGet, target))
	require.Error(t, err)
	tel.balanced(t)
	require.Equal(t, "network", tel.attempts()[0].attrs()["error.type"])
}

// A Goexit, such as that of a test's FailNow in a handler, is no panic, and ends the spans too.
func TestGoexitEndsTheSpans(t *testing.T) {
	tel := newTelemetry()
	rt := tel.client().Transport(&classify.Transport{Base: roundTripFunc(func(*http.Request) (*http.Response, error) {
		runtime.Goexit()
		return nil, errUserLeft
	})})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = rt.RoundTrip(request(t, t.Context(), http.MethodGet, target)) })
	wg.Wait()
	tel.balanced(t)
	require.Len(t, tel.outer(), 1)
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A limit on one attempt is a timeout, although the context of the attempt was cancelled.
func TestAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{{took: time.Minute}, {status: 200}}}
		_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{Base: s, AttemptTimeout: time.Second}))
		require.NoError(t, err)
		attempts := tel.attempts()
		require.Len(t, attempts, 2)
		require.Equal(t, "timeout", attempts[0].attrs()["error.type"])
		require.Equal(t, "timeout", attempts[0].attrs()["errwire.category"])
		require.Equal(t, "success", tel.outer()[0].attrs()["errwire.retry.outcome"])
		require.Equal(t, codes.Unset, tel.outer()[0].Status().Code)
		tel.balanced(t)
	})
}

// What an error says is told once, and only where nobody else had a say in its text.
func TestTransportErrorIsRecordedOnceWithoutSecrets(t *testing.T) {
	for _, tt := range []struct {
		err            error
		typeName, text string
	}{
		{
			errors.New(`proxy said: cannot reach http://user:hunter2@api.test/v1?sig=s3cr3t%2Bvalue (s3cr3t+value)`),
			"*errors.errorString", "*errors.errorString",
		},
		{
			&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 443}, Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}},
			"*net.OpError", "dial tcp 10.1.2.3:443: connect: connection refused",
		},
		{
			&tokenError{body: `{"error":"invalid_grant","refresh_token":"s3cr3t"}`},
			"*otelhooktest.tokenError", "*otelhooktest.tokenError",
		},
	} {
		for name, setup := range instrumentations() {
			t.Run(name, func(t *testing.T) {
				tel, hook := setup()
				var logs bytes.Buffer
				hook.Logger = slog.New(slog.NewTextHandler(&logs, nil))
				rt := hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{err: tt.err}}}, MaxAttempts: 1})
				// Values as short as these once took letters out of words.
				_, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, "http://user:hunter2@api.test/v1?sig=s3cr3t%2Bvalue&key=1&token=t"))
				require.Error(t, err)
				outer := tel.outer()[0]
				require.Equal(t, []string{"errwire.retry.give_up", "exception"}, outer.eventNames())
				require.Equal(t, map[string]any{"exception.type": tt.typeName, "exception.message": tt.text}, outer.event(t, "exception", 0))
				require.Equal(t, tt.text, outer.Status().Description)
				require.Contains(t, logs.String(), tt.text)
				require.NotContains(t, logs.String(), "s3cr3t")
				if hook.Instrument == nil { // otelhttp tells the error's text on its own spans
					require.Equal(t, tt.text, tel.attempts()[0].Status().Description)
				}
			})
		}
	}
}

// tokenError is like the errors of what fetches tokens: it quotes the answer, and has a name for itself from there.
type tokenError struct{ body string }

func (e *tokenError) Error() string     { return "cannot fetch token: " + e.body }
func (e *tokenError) ErrorType() string { return e.body }

// What answers may not be HTTP at all, or only half of it, and net/http quotes it.
func TestWordsOfAServerThatSpeaksNoHTTPAreNotTold(t *testing.T) {
	const secret = "sk-live-1234567890"
	for _, answer := range []string{
		"key=" + secret + ":user=alice@example.com\r\n\r\n",
		"HTTP/1.1 " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + "\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\n" + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + secret,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + secret + "\r\n\r\n" + secret,
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 1024))
				_, _ = io.WriteString(conn, answer)
				conn.Close()
			}
		})
		tel := newTelemetry()
		hook := tel.client()
		var logs bytes.Buffer
		hook.Logger = slog.New(slog.NewTextHandler(&logs, nil))
		base := &http.Transport{}
		resp, err := hook.Transport(&classify.Transport{Base: base}).RoundTrip(request(t, t.Context(), http.MethodPost, "http://"+listener.Addr().String()+"/v1/x"))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
		}
		base.CloseIdleConnections()
		require.NoError(t, listener.Close())
		serving.Wait()
		tel.balanced(t)
		told := []string{logs.String()}
		for _, s := range tel.spans.Ended() {
			told = append(told, s.Name(), s.Status().Description)
			for _, kv := range s.Attributes() {
				told = append(told, kv.Value.String())
			}
			for _, e := range s.Events() {
				for _, kv := range e.Attributes {
					told = append(told, kv.Value.String())
				}
			}
		}
		require.NotContains(t, strings.Join(told, "\n"), secret, answer)
		require.NotContains(t, strings.Join(told, "\n"), "alice", answer)
		if !strings.Contains(answer, " 101 ") {
			require.Error(t, err, answer)
			require.Contains(t, logs.String(), "request given up")
		}
	}
}

func TestURLHasNoSecrets(t *testing.T) {
	keys := []string{
		"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature",
		"key", "api-key", "api_key", "access_token", "mine",
	}
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			hook.RedactQuery = []string{"mine"}
			var query []string
			for _, k := range keys {
				query = append(query, k+"=s3cr3t")
			}
			rt := hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200}}}})
			resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, target+"#access_token=s3cr3t"))
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, target, tel.attempts()[0].attrs()["url.full"], "nothing but a fragment")
			resp, err = rt.RoundTrip(request(t, t.Context(), http.MethodGet, "http://user:hunter2@api.test/v1?model=a%20b&"+strings.Join(query, "&")+"&SIG=kept#access_token=s3cr3t"))
			require.NoError(t, err)
			resp.Body.Close()
			got := tel.attempts()[1].attrs()["url.full"].(string)
			require.NotContains(t, got, "s3cr3t")
			require.NotContains(t, got, "hunter2")
			require.Contains(t, got, "model=a%20b&")
			require.Contains(t, got, "&SIG=kept")
			for _, k := range keys {
				require.Contains(t, got, k+"=REDACTED")
			}
			require.True(t, strings.HasPrefix(got, "http://REDACTED:REDACTED@api.test/v1?"), got)
			for _, s := range tel.spans.Ended() {
				for _, kv := range s.Attributes() {
					require.NotContains(t, kv.Value.String(), "s3cr3t")
				}
			}
		})
	}
}

// sampler keeps what it is asked.
type sampler struct {
	mu   sync.Mutex
	seen []sdktrace.SamplingParameters
	drop bool
}

func (s *sampler) Description() string { return "test" }

func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, p)
	if s.drop {
		return sdktrace.SamplingResult{Decision: sdktrace.Drop}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func TestSamplerSeesTheAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sam := &sampler{}
		tel := newTelemetry(sdktrace.WithSampler(sam))
		_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 503}, {status: 200}}}}))
		require.NoError(t, err)
		require.Len(t, sam.seen, 3)
		require.Equal(t, trace.SpanKindInternal, sam.seen[0].Kind)
		require.Equal(t, map[string]any{"errwire.operation": "chat", "errwire.retry.max_attempts": int64(4)}, asMap(sam.seen[0].Attributes))
		request := map[string]any{"http.request.method": "GET", "server.address": "api.test", "server.port": int64(80), "url.full": target}
		require.Equal(t, trace.SpanKindClient, sam.seen[1].Kind)
		require.Equal(t, request, asMap(sam.seen[1].Attributes))
		request["http.request.resend_count"] = int64(1)
		require.Equal(t, request, asMap(sam.seen[2].Attributes))
	})
}

// What is not sampled is still propagated and measured.
func TestNotSampled(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			synctest.Test(t, func(t *testing.T) {
				unsampled := newTelemetry(sdktrace.WithSampler(sdktrace.NeverSample()))
				unsampled.meter, unsampled.reader = tel.meter, tel.reader
				instrumented := hook.Instrument != nil
				if hook = unsampled.client(); instrumented {
					unsampled.withOtelhttp(hook)
				}
				s := &fakeServer{script: []answer{{status: 503, body: "busy"}, {status: 200, body: "fine"}}}
				_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: s}))
				require.NoError(t, err)
				require.Empty(t, unsampled.spans.Started())
				require.Len(t, s.headers, 2)
				one, two := s.headers[0].Get("Traceparent"), s.headers[1].Get("Traceparent")
				require.True(t, strings.HasSuffix(one, "-00"), one)
				require.Equal(t, one[:35], two[:35], "one trace")
				require.NotEqual(t, one, two)
				require.NotNil(t, tel.metric(t, "errwire.client.operation.duration"))
			})
		})
	}
}

// Without an SDK a context that came from elsewhere is handed on.
func TestNoSDKHandsTheContextOn(t *testing.T) {
	for _, instrument := range []bool{false, true} {
		s := &fakeServer{script: []answer{{status: 200}}}
		hook := &otelhook.Client{Propagator: propagation.TraceContext{}}
		if instrument {
			hook.Instrument = func(b http.RoundTripper) http.RoundTripper {
				return otelhttp.NewTransport(b, otelhttp.WithPropagators(propagation.TraceContext{}))
			}
		}
		ctx := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
		}))
		rt := hook.Transport(&classify.Transport{Base: s})
		for range 3 { // after a few calls of which nothing is to be seen
			_, err := call(t, t.Context(), rt)
			require.NoError(t, err)
		}
		_, err := call(t, ctx, rt)
		require.NoError(t, err)
		require.Equal(t, "00-01000000000000000000000000000000-0200000000000000-01", s.headers[3].Get("Traceparent"))
	}
}

func TestFilteredByOtelhttp(t *testing.T) {
	tel := newTelemetry()
	hook := tel.client()
	hook.Instrument = func(b http.RoundTripper) http.RoundTripper {
		return otelhttp.NewTransport(b, otelhttp.WithTracerProvider(tel.tracer), otelhttp.WithFilter(func(*http.Request) bool { return false }))
	}
	s := &fakeServer{script: []answer{{status: 200}}}
	_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: s}))
	require.NoError(t, err)
	require.Len(t, tel.attempts(), 1)
	require.Equal(t, ourScope, tel.attempts()[0].InstrumentationScope().Name)
	require.Contains(t, s.headers[0].Get("Traceparent"), tel.attempts()[0].SpanContext().SpanID().String())
	tel.balanced(t)
}

func TestTransportIsNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		o := &observed{}
		s := &fakeServer{script: []answer{{status: 503}, {status: 200}}}
		tr := &classify.Transport{Base: s, Observer: o}
		rt := tel.client().Transport(tr)
		require.Same(t, s, tr.Base)
		require.Same(t, o, tr.Observer)
		req := request(t, t.Context(), http.MethodGet, target)
		resp, err := rt.RoundTrip(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Empty(t, req.Header, "the request was changed")
		id := tel.outer()[0].SpanContext()
		require.Equal(t, []trace.SpanContext{id, id}, o.attempts)
		require.Equal(t, []trace.SpanContext{id}, o.done)
		require.Len(t, classify.AttemptsOf(resp), 2)
	})
}

func TestZeroValues(t *testing.T) {
	for _, hook := range []*otelhook.Client{nil, {}} {
		s := &fakeServer{script: []answer{{status: 400, body: "x"}}}
		resp, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: s}))
		require.NoError(t, err)
		require.Equal(t, classify.StopNever, classify.ErrorOf(resp).Stop)
		require.NotNil(t, hook.Transport(nil))
	}
}

func TestOperationFor(t *testing.T) {
	tel := newTelemetry()
	hook := tel.client()
	hook.OperationFor = func(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }
	rt := hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200}}}})
	for _, path := range []string{"embed", "", "embed"} {
		resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, "http://api.test/"+path))
		require.NoError(t, err)
		resp.Body.Close()
	}
	var names []string
	for _, s := range tel.outer() {
		names = append(names, s.Name())
	}
	require.Equal(t, []string{"embed", "chat", "embed"}, names)

	hook.Operation, hook.OperationFor = "", nil
	resp, err := hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200}}}}).RoundTrip(request(t, t.Context(), "BREW", target))
	require.NoError(t, err)
	resp.Body.Close()
	last := tel.outer()[3]
	require.Equal(t, "retry", last.Name())
	require.NotContains(t, last.attrs(), "errwire.operation")
	attempt := tel.attempts()[3]
	require.Equal(t, "HTTP", attempt.Name())
	require.Equal(t, "_OTHER", attempt.attrs()["http.request.method"])
	require.Equal(t, "BREW", attempt.attrs()["http.request.method_original"])
}

func TestResponseHeaders(t *testing.T) {
	tel := newTelemetry()
	hook := tel.client()
	hook.ResponseHeaders = []string{"cf-ray", "X-Request-ID"}
	s := &fakeServer{script: []answer{{status: 200, header: map[string]string{
		"Cf-Ray": "ray", "Request-Id": "req_3", "Set-Cookie": "secret", "X-Request-Id": strings.Repeat("x", 10_000) + "\xff",
	}}}}
	_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: s}))
	require.NoError(t, err)
	got := tel.attempts()[0].attrs()
	require.Equal(t, []string{"ray"}, got["http.response.header.cf-ray"])
	require.Equal(t, []string{"req_3"}, got["http.response.header.request-id"])
	require.Equal(t, []string{strings.Repeat("x", 256)}, got["http.response.header.x-request-id"])
	require.NotContains(t, got, "http.response.header.set-cookie")
}

func TestCloseIdleConnections(t *testing.T) {
	base := &idle{}
	for _, instrument := range []func(http.RoundTripper) http.RoundTripper{
		nil, func(b http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(b) },
	} {
		base.closed = false
		(&http.Client{Transport: (&otelhook.Client{Instrument: instrument}).Transport(&classify.Transport{Base: base})}).CloseIdleConnections()
		require.True(t, base.closed)
	}
}

type idle struct {
	http.RoundTripper
	closed bool
}

func (i *idle) CloseIdleConnections() { i.closed = true }

// A hook around a Transport that goes through another hooked one tells of both calls, each with its own attempts.
func TestNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		s := &fakeServer{script: []answer{{status: 503}, {status: 200}}}
		inner := tel.client().Transport(&classify.Transport{Base: s})
		outer := tel.client()
		outer.Operation = "outer"
		_, err := call(t, t.Context(), outer.Transport(&classify.Transport{Base: inner}))
		require.NoError(t, err)
		tel.balanced(t)
		require.Len(t, tel.outer(), 2)
		require.Len(t, tel.attempts(), 3)
		require.Len(t, s.headers, 2)
	})
}

func TestConcurrentCalls(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			synctest.Test(t, func(t *testing.T) {
				rt := hook.Transport(&classify.Transport{Budget: classify.Unlimited{}, Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					status := 200
					if classify.ResendCount(r.Context()) == 0 {
						status = 503
					}
					return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader("x"))}, nil
				})})
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, target))
						if err != nil {
							t.Error(err)
							return
						}
						var readers sync.WaitGroup // Close may come while a read is under way
						readers.Go(func() { _, _ = io.Copy(io.Discard, resp.Body) })
						readers.Go(func() { resp.Body.Close() })
						readers.Wait()
					})
				}
				wg.Wait()
				tel.balanced(t)
				require.Equal(t, 100, len(tel.outer()))    //nolint:testifylint // the spans are no reading matter
				require.Equal(t, 200, len(tel.attempts())) //nolint:testifylint // the spans are no reading matter
			})
		})
	}
}

// gate is a Gate that holds attempts, or refuses those from one on.
type gate struct {
	hold   time.Duration
	refuse int
	n      int
}

func (g *gate) Admit(ctx context.Context, _ classify.Admission) (classify.Pass, error) {
	g.n++
	if g.refuse > 0 && g.n >= g.refuse {
		return classify.Pass{}, &classify.GateError{Reason: "queue_full", Err: errors.New("refused; the server said: secret text")}
	}
	select {
	case <-time.After(g.hold):
		return classify.Pass{Queued: g.hold}, nil
	case <-ctx.Done():
		return classify.Pass{}, ctx.Err()
	}
}

func (g *gate) Report(context.Context, classify.GateReport) classify.Pace { return classify.Paced }

func TestGate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		gate   gate
		cancel time.Duration
		want   map[string]any
		events []string
	}{
		{
			"held", gate{hold: 2 * time.Second}, 0,
			map[string]any{"errwire.retry.attempts": int64(2), "errwire.retry.outcome": "success", "errwire.retry.queue_total": 4.0},
			[]string{"errwire.retry.wait"},
		},
		{
			"refused at once", gate{refuse: 1}, 0,
			map[string]any{
				"errwire.retry.attempts": int64(0), "errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "gate",
				"error.type": "overloaded", "errwire.category": "overloaded",
			},
			[]string{"errwire.retry.give_up"},
		},
		{
			"refused after a wait", gate{refuse: 2}, 0,
			map[string]any{
				"errwire.retry.attempts": int64(1), "errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "gate",
				"error.type": "overloaded", "errwire.category": "overloaded",
			},
			[]string{"errwire.retry.wait", "errwire.retry.give_up"},
		},
		{
			"left in the queue", gate{hold: time.Hour}, time.Second,
			map[string]any{"errwire.retry.attempts": int64(0), "errwire.retry.outcome": "cancelled"}, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tel := newTelemetry()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				s := &fakeServer{script: []answer{{status: 503, header: after("1")}, {status: 200}}}
				_, _ = call(t, ctx, tel.client().Transport(&classify.Transport{Base: s, Gate: &tt.gate}))
				outer := tel.outer()[0]
				require.Equal(t, tt.want, without(outer.attrs(), "errwire.operation", "errwire.retry.max_attempts", "errwire.retry.wait_total"))
				require.Equal(t, tt.events, outer.eventNames())
				require.NotContains(t, outer.Status().Description, "secret")
				if tt.want["errwire.retry.attempts"] == int64(0) && tt.cancel == 0 {
					require.Equal(t, "refused locally, nothing was sent: queue_full", outer.Status().Description)
					require.NotContains(t, outer.event(t, "errwire.retry.give_up", 0), "errwire.retry.attempt")
				}
				tel.balanced(t)
			})
		})
	}
}

func TestBudget(t *testing.T) {
	tel := newTelemetry()
	_, err := call(t, t.Context(), tel.client().Transport(&classify.Transport{
		Base: &fakeServer{script: []answer{{status: 503}}}, Budget: &classify.TokenBucket{Burst: -1},
	}))
	require.NoError(t, err)
	require.Equal(t, "retry_budget", tel.outer()[0].attrs()["errwire.retry.give_up.reason"])
	require.Equal(t, "overloaded", tel.outer()[0].attrs()["error.type"])
}

// A stream that reports an error in the middle is a failed call, although its status was 200.
func TestStreamError(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			s := &fakeServer{script: []answer{{
				status: 200, header: map[string]string{"Content-Type": "text/event-stream"},
				body: "data: {\"choices\":[]}\n\ndata: {\"error\":{\"code\":\"overloaded\",\"type\":\"overloaded_error\",\"message\":\"secret text\"}}\n\n",
			}}}
			resp, err := hook.Transport(&classify.Transport{Base: s, StreamErrors: true}).RoundTrip(request(t, t.Context(), http.MethodGet, target))
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.Error(t, err)
			resp.Body.Close()
			tel.balanced(t)
			outer := tel.outer()[0]
			require.Equal(t, "give_up", outer.attrs()["errwire.retry.outcome"])
			require.Equal(t, "response_begun", outer.attrs()["errwire.retry.give_up.reason"])
			require.Equal(t, "overloaded", outer.attrs()["error.type"])
			require.Equal(t, []string{"errwire.retry.give_up"}, outer.eventNames())
			require.Equal(t, "overloaded", outer.event(t, "errwire.retry.give_up", 0)["errwire.error.code"])
			for _, sp := range tel.spans.Ended() {
				require.NotContains(t, sp.Status().Description, "secret")
			}
		})
	}
}

// What stands in Instrument may answer by itself, from a cache.
func TestAnsweredWithoutAnAttempt(t *testing.T) {
	tel := newTelemetry()
	hook := tel.client()
	hook.Instrument = func(http.RoundTripper) http.RoundTripper { return &fakeServer{script: []answer{{status: 200}}} }
	_, err := call(t, t.Context(), hook.Transport(&classify.Transport{}))
	require.NoError(t, err)
	require.EqualValues(t, 0, tel.outer()[0].attrs()["errwire.retry.attempts"])
	require.Empty(t, tel.attempts())
}

func TestMisuseIsReported(t *testing.T) {
	reported := handleErrors(t)
	(&otelhook.Client{}).Transport(&classify.Transport{Base: otelhttp.NewTransport(nil)})
	require.Len(t, *reported, 1)
	require.ErrorContains(t, (*reported)[0], "Client.Instrument")
}
