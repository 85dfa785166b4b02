package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/middleware"
)

// Behind a proxy of one's own, the id leads from the ticket to the trace.
func ExampleRequestIDs() {
	ew := &middleware.ErrorWriter{
		Logger:     slog.New(slog.DiscardHandler),
		RequestIDs: middleware.RequestIDs{TrustTraceparent: true, Inbound: "X-Client-Request-Id"},
	}
	h := ew.RequestID(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(middleware.RequestIDFrom(r.Context()))
		fmt.Println(middleware.ClientRequestIDFrom(r.Context()))
	}))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.Header.Set("X-Client-Request-Id", "job-42")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Header().Get("X-Request-Id"))
	// Output:
	// req_4bf92f3577b34da6a3ce929d0e0e4736
	// job-42
	// req_4bf92f3577b34da6a3ce929d0e0e4736
}
