package otelhook

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// Server puts what [middleware.ErrorWriter] answered onto the span of the request: the code, its condition and class, the request id, and what
// became of the answer. It makes no spans; otelhttp.NewHandler or another instrumentation has to stand around
// [middleware.ErrorWriter.Wrap]. The zero value and nil work, and are safe for concurrent use.
//
// The status of the span is left to that instrumentation. error.type is set for refusals with a status of 500 or more alone, because a
// request that is rightly refused is no error of the server.
type Server struct {
	// Label, if set, gets the condition of each refusal as an attribute for the metrics of the request, a value from the registry and thus
	// from a closed set. With otelhttp:
	//
	//	Label: func(ctx context.Context, kv ...attribute.KeyValue) {
	//		labeler, _ := otelhttp.LabelerFromContext(ctx)
	//		labeler.Add(kv...)
	//	}
	Label func(ctx context.Context, kv ...attribute.KeyValue)
	// Observer is told afterwards; nil for none.
	Observer middleware.Observer
}

// Refused implements [middleware.Observer].
func (s *Server) Refused(r *middleware.Refusal) {
	if r == nil {
		return
	}
	if span := trace.SpanFromContext(r.Context); span.IsRecording() {
		span.SetAttributes(refusalAttributes(r)...)
	}
	if s == nil {
		return
	}
	if s.Label != nil {
		s.Label(r.Context, keyCondition.String(string(r.Entry.Code)))
	}
	if s.Observer != nil {
		s.Observer.Refused(r)
	}
}

func refusalAttributes(r *middleware.Refusal) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs,
		keyCode.String(codeOf(&r.Entry)),
		keyCondition.String(string(r.Entry.Code)),
		keyCategory.String(r.Entry.Class.String()),
		keyAnswer.String(r.Outcome.String()),
	)
	if r.RequestID != "" {
		attrs = append(attrs, semconv.HTTPResponseHeader("x-request-id", r.RequestID))
	}
	if r.RetryAfter > 0 {
		attrs = append(attrs, semconv.HTTPResponseHeader("retry-after", strconv.FormatInt(int64(r.RetryAfter/time.Second), 10)))
	}
	// Where nothing was sent because the caller had left, nothing failed; a panic did all the same.
	if r.Entry.Status >= http.StatusInternalServerError && (r.Outcome != middleware.Unsent || r.Panic != nil) {
		attrs = append(attrs, semconv.ErrorTypeKey.String(strconv.Itoa(r.Entry.Status)))
	}
	return attrs
}

// codeOf returns the code as it stands on the wire, and the condition where the provider sends none.
func codeOf(e *errcodes.Entry) string {
	if code := e.WireCode(); code != "" {
		return code
	}
	return string(e.Code)
}

// Handler puts the request id onto the span of every request, the successful ones too, and the route that a mux inside has chosen, which
// otelhttp has in names and metrics alone. It stands between the instrumentation that makes the span and [middleware.ErrorWriter.Wrap], or inside of Wrap:
//
//	otelhttp.NewHandler(hook.Handler(errs.Wrap(mux)), "api")
//
// The second place is the worse one: a panic and what Wrap answers by itself then come too late for the span.
func (s *Server) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if span := trace.SpanFromContext(r.Context()); span.IsRecording() {
			defer func() {
				// Outside of Wrap both are known when the answer is there, however next ends.
				id := middleware.RequestIDFrom(r.Context())
				if id == "" {
					id = w.Header().Get("X-Request-Id")
				}
				if id != "" {
					span.SetAttributes(semconv.HTTPResponseHeader("x-request-id", bounded(id)))
				}
				if route := routeOf(r.Pattern); route != "" {
					span.SetAttributes(semconv.HTTPRoute(route))
				}
			}()
		}
		next.ServeHTTP(w, r)
	})
}

// routeOf returns the path of a pattern, without the method and the host that it may begin with.
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}
