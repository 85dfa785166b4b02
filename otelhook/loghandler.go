package otelhook

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"
)

// LogHandler is a [slog.Handler] that adds trace_id and span_id to the records of a context that has a span, so that a line of a log leads to its
// trace. They stand at the top level whatever groups are open. Base is required; a LogHandler is safe for concurrent use if Base is.
//
//	slog.SetDefault(slog.New(&otelhook.LogHandler{Base: slog.NewJSONHandler(os.Stderr, nil)}))
//
// It is for programs that write their logs as text or JSON. The OpenTelemetry bridge (otelslog) carries the ids by itself.
type LogHandler struct {
	// Base writes the records.
	Base slog.Handler

	// Once a group is open, what was added to the handler has to be added again behind the ids.
	root  slog.Handler // Base as it was before the first group, nil while there is none
	after []func(slog.Handler) slog.Handler
}

// Enabled implements [slog.Handler].
func (h *LogHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Base.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h *LogHandler) Handle(ctx context.Context, r slog.Record) error {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return h.Base.Handle(ctx, r)
	}
	ids := []slog.Attr{slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String())}
	if h.root == nil {
		r = r.Clone()
		r.AddAttrs(ids...)
		return h.Base.Handle(ctx, r)
	}
	base := h.root.WithAttrs(ids)
	for _, add := range h.after {
		base = add(base)
	}
	return base.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(func(b slog.Handler) slog.Handler { return b.WithAttrs(attrs) }, false)
}

// WithGroup implements [slog.Handler].
func (h *LogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(b slog.Handler) slog.Handler { return b.WithGroup(name) }, true)
}

func (h *LogHandler) with(add func(slog.Handler) slog.Handler, group bool) *LogHandler {
	next := &LogHandler{Base: add(h.Base), root: h.root}
	if group && next.root == nil {
		next.root = h.Base
	}
	if next.root != nil {
		next.after = append(slices.Clip(h.after), add)
	}
	return next
}
