package otelhooktest

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/logtest"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// With a LoggerProvider the events are log records of the same names and attributes, with the context of the call, and not on the span.
func TestEventsAsLogs(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			synctest.Test(t, func(t *testing.T) {
				logs := logtest.NewRecorder()
				hook.LoggerProvider = logs
				s := &fakeServer{script: []answer{{status: 503, header: after("2")}, {status: 400}}}
				_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: s}))
				require.NoError(t, err)
				outer := tel.outer()[0]
				require.Empty(t, outer.Events())
				var records []logtest.Record
				for scope, all := range logs.Result() {
					if scope.Name == ourScope {
						records = all
					}
				}
				require.Len(t, records, 2)
				require.Equal(t, "errwire.retry.wait", records[0].EventName)
				require.Equal(t, log.SeverityDebug, records[0].Severity)
				require.Equal(t, "errwire.retry.give_up", records[1].EventName)
				require.Equal(t, log.SeverityWarn, records[1].Severity)
				require.Contains(t, records[1].Attributes, attribute.String("errwire.retry.give_up.reason", "not_retryable"))
				for _, r := range records {
					require.Equal(t, outer.SpanContext(), trace.SpanContextFromContext(r.Context))
					require.False(t, r.Timestamp.IsZero())
				}
			})
		})
	}
}

// One line for each retry, one for giving up, and each leads to the trace.
func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry()
		var out bytes.Buffer
		hook := tel.client()
		hook.Logger = slog.New(&otelhook.LogHandler{Base: slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})})
		s := &fakeServer{script: []answer{
			{status: 503, header: map[string]string{"Retry-After": "2", "X-Request-Id": "req_1"}, body: `{"error":{"code":"overloaded","message":"the message"}}`},
			{status: 400, body: "the body"},
		}}
		rt := hook.Transport(&classify.Transport{Base: s})
		_, err := call(t, t.Context(), rt)
		require.NoError(t, err)
		require.NotContains(t, out.String(), "the message")
		require.NotContains(t, out.String(), "the body")
		id := tel.outer()[0].SpanContext()
		var lines []map[string]any
		for dec := json.NewDecoder(&out); dec.More(); {
			var line map[string]any
			require.NoError(t, dec.Decode(&line))
			require.Equal(t, id.TraceID().String(), line["trace_id"])
			require.Equal(t, id.SpanID().String(), line["span_id"])
			lines = append(lines, without(line, "time", "trace_id", "span_id", "delay", "waited"))
		}
		require.Equal(t, []map[string]any{
			{
				"level": "DEBUG", "msg": "request will be sent again", "operation": "chat", "attempt": 1.0, "category": "overloaded",
				"status": 503.0, "code": "overloaded", "request_id": "req_1", "delay_source": "retry_after",
			},
			{
				"level": "WARN", "msg": "request given up", "operation": "chat", "attempt": 2.0, "category": "invalid_request",
				"status": 400.0, "reason": "not_retryable",
			},
		}, lines)
	})
}

// Logs do not need traces.
func TestLoggerWithoutSDK(t *testing.T) {
	var out bytes.Buffer
	hook := &otelhook.Client{Logger: slog.New(&otelhook.LogHandler{Base: slog.NewTextHandler(&out, nil)})}
	_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 400}}}}))
	require.NoError(t, err)
	require.Contains(t, out.String(), "request given up")
	require.NotContains(t, out.String(), "trace_id")
}
