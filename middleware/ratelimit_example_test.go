package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

func ExampleErrorWriter_LimitRate() {
	ew := &middleware.ErrorWriter{Registry: errcodes.RunInfra(), Logger: slog.New(slog.DiscardHandler)}
	auth := ew.Authenticate(func(r *http.Request, _ string) (context.Context, error) { return r.Context(), nil })
	rate := ew.LimitRate(middleware.RateRules{Limiter: &middleware.LocalLimiter{Quota: middleware.Quota{Requests: 2}}})
	h := ew.Wrap(auth(rate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "done") }))))
	for range 3 {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Authorization", "Bearer sk-test")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d, %s left, %q\n", w.Code, w.Header().Get("X-RateLimit-Remaining"), w.Header().Get("Retry-After"))
	}
	// Output:
	// 200, 1 left, ""
	// 200, 0 left, ""
	// 429, 0 left, "30"
}
