package otelhook_test

import (
	"context"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/otelhook"
)

func ExampleLogHandler() {
	log := slog.New(&otelhook.LogHandler{Base: slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})})
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 0x2f, 0x35}, SpanID: trace.SpanID{0x00, 0xf0, 0x67},
	}))
	log.InfoContext(ctx, "run finished", "model", "a/b")
	log.Info("no request at hand")
	// Output:
	// level=INFO msg="run finished" model=a/b trace_id=4bf92f35000000000000000000000000 span_id=00f0670000000000
	// level=INFO msg="no request at hand"
}
