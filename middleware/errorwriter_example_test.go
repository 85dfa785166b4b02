package middleware_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// A handler returns the condition. The registry says what the caller sees; the cause stays in the log.
func ExampleErrorWriter_Handler() {
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler)}
	h := ew.Handler(func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: errcodes.RateLimited, RetryAfter: 1500 * time.Millisecond, Err: errors.New("bucket 17 is empty")}
	})

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/runs", nil))
	fmt.Println(w.Code, w.Header().Get("Retry-After"))
	fmt.Println(w.Body)
	// Output:
	// 429 2
	// {"error":{"message":"Too many requests in a short time. Wait as the Retry-After header says and try again.","code":"RATE_LIMITED"}}
}

// The same condition in two dialects.
func ExampleErrorWriter_WriteError() {
	for _, reg := range []*errcodes.Registry{errcodes.RunInfra(), errcodes.Problem()} {
		ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(slog.DiscardHandler)}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
		ew.WriteError(w, r, &errcodes.Error{Code: errcodes.UnsupportedMediaType})
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
	}
	// Output:
	// 400 application/json
	// 415 application/problem+json
}
