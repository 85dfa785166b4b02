package otelhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/slogtest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/otelhook"
)

func spanContext(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9}, SpanID: trace.SpanID{0x00, 0xf0}, TraceFlags: trace.FlagsSampled,
	}))
}

// inSpan lets every record be of a span.
type inSpan struct{ slog.Handler }

func (h inSpan) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.Handle(spanContext(ctx), r)
}
func (h inSpan) WithAttrs(a []slog.Attr) slog.Handler { return inSpan{h.Handler.WithAttrs(a)} }
func (h inSpan) WithGroup(n string) slog.Handler      { return inSpan{h.Handler.WithGroup(n)} }

func TestLogHandlerIsASoundHandler(t *testing.T) {
	for _, traced := range []bool{false, true} {
		var out bytes.Buffer
		slogtest.Run(t, func(*testing.T) slog.Handler {
			out.Reset()
			var h slog.Handler = &otelhook.LogHandler{Base: slog.NewJSONHandler(&out, nil)}
			if traced {
				h = inSpan{h}
			}
			return h
		}, func(t *testing.T) map[string]any {
			t.Helper()
			var m map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &m))
			_, has := m["trace_id"]
			require.Equal(t, traced, has, "at the top level")
			delete(m, "trace_id")
			delete(m, "span_id")
			return m
		})
	}
}

func TestLogHandlerGroups(t *testing.T) {
	var out bytes.Buffer
	root := slog.New(&otelhook.LogHandler{Base: slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})})
	ids := "trace_id=4bf90000000000000000000000000000 span_id=00f0000000000000"
	one := root.With("a", 1).WithGroup("g").With("b", 2)
	left, right := one.With("c", 3), one.WithGroup("h").With("c", 4) // branches do not see each other
	for _, tt := range []struct {
		log  *slog.Logger
		want string
	}{
		{root, "level=INFO msg=x d=5 " + ids},
		{root.With("a", 1), "level=INFO msg=x a=1 d=5 " + ids},
		{one, "level=INFO msg=x a=1 " + ids + " g.b=2 g.d=5"},
		{left, "level=INFO msg=x a=1 " + ids + " g.b=2 g.c=3 g.d=5"},
		{right, "level=INFO msg=x a=1 " + ids + " g.b=2 g.h.c=4 g.h.d=5"},
		{one, "level=INFO msg=x a=1 " + ids + " g.b=2 g.d=5"},
	} {
		out.Reset()
		tt.log.InfoContext(spanContext(t.Context()), "x", "d", 5)
		require.Equal(t, tt.want+"\n", out.String())
	}
	out.Reset()
	right.InfoContext(t.Context(), "x", "d", 5)
	require.Equal(t, "level=INFO msg=x a=1 g.b=2 g.h.c=4 g.h.d=5\n", out.String())
	require.False(t, root.Enabled(t.Context(), slog.LevelDebug))
}
