package otelhook_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
	"github.com/errwire/errwire/otelhook"
)

// printedSpan stands for the span that otelhttp.NewHandler would have started around the request.
type printedSpan struct{ noop.Span }

func (printedSpan) IsRecording() bool { return true }

func (printedSpan) SetAttributes(kvs ...attribute.KeyValue) {
	for _, kv := range kvs {
		if kv.Key != "http.response.header.x-request-id" {
			fmt.Println(kv.Key, kv.Value.String())
		}
	}
}

func ExampleServer() {
	errs := &middleware.ErrorWriter{
		Registry: errcodes.RunInfra(),
		Observer: &otelhook.Server{},
		Logger:   slog.New(slog.DiscardHandler),
	}
	handler := errs.Handler(func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: errcodes.Unavailable}
	})

	ctx := trace.ContextWithSpan(context.Background(), printedSpan{})
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
	// Output:
	// errwire.error.code unavailable
	// errwire.error.condition unavailable
	// errwire.category overloaded
	// errwire.answer answered
	// http.response.header.retry-after ["1"]
	// error.type 503
}
