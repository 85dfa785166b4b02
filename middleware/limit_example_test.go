package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// The second request comes while the first one runs.
func ExampleErrorWriter_LimitConcurrency() {
	ew := &middleware.ErrorWriter{Registry: errcodes.RunInfra(), Logger: slog.New(slog.DiscardHandler)}
	var h http.Handler
	h = ew.LimitConcurrency(1)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Println(w.Code, w.Header().Get("Retry-After"))
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Code)
	// Output:
	// 503 1
	// 200
}
