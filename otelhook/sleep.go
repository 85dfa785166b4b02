package otelhook

import (
	"context"
	"reflect"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// The API's placeholder for a global provider that may still come makes an object for every span that it does not make. Programs without
// OpenTelemetry are most programs, so the placeholder is not asked again as long as it is in its place: a provider that is set is seen by the next
// call, an agent that attaches from outside, which only the placeholder learns of, within wakeEvery calls.
const wakeEvery = 64

// sleep remembers that a provider makes no spans. Its zero value never sleeps.
type sleep struct {
	sound    bool                 // the provider is the API's own that never makes any
	provider trace.TracerProvider // the global one, as it was when the tracer was made
	idle     atomic.Bool
	calls    atomic.Uint32
}

// watch makes s know the provider p. Only pointers can be compared without a risk, and the placeholder is one.
func (s *sleep) watch(p trace.TracerProvider, global bool) {
	if _, ok := p.(noop.TracerProvider); ok {
		s.sound = true
	} else if global && reflect.TypeOf(p).Kind() == reflect.Pointer {
		s.provider = p
	}
}

// asleep reports whether a call can go by unseen by all providers.
func (h *hook) asleep(ctx context.Context) bool {
	s := &h.sleep
	if !s.sound && (!s.idle.Load() || s.provider != otel.GetTracerProvider() || s.calls.Add(1)%wakeEvery == 0) {
		return false
	}
	return !h.heard && !h.enabled(ctx)
}

// fallAsleep is called when neither a span nor a measurement came of a call.
func (h *hook) fallAsleep() {
	if h.sleep.provider != nil && !h.sleep.idle.Load() {
		h.sleep.idle.Store(true)
	}
}

// wake is called when a span came of a call.
func (h *hook) wake() {
	if h.sleep.idle.Load() {
		h.sleep.idle.Store(false)
	}
}
