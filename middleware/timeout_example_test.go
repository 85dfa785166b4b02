package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// RunInfra asks for a changed request after a 504, so clients are told not to repeat this one.
func ExampleErrorWriter_Timeout() {
	ew := &middleware.ErrorWriter{Registry: errcodes.RunInfra(), Logger: slog.New(slog.DiscardHandler)}
	h := ew.Timeout(middleware.Timeout{FirstByte: time.Millisecond, Idle: time.Minute})(
		ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done() // the work, which obeys its context
			return r.Context().Err()
		}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil))
	fmt.Println(w.Code, "X-Should-Retry:", w.Header().Get("X-Should-Retry"))
	fmt.Println(w.Body)
	// Output:
	// 504 X-Should-Retry: false
	// {"error":{"message":"The request took longer than the server allows. Lower max_tokens or use streaming.","type":"timeout_error"}}
}
