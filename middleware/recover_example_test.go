package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// The answers that nobody wrote are shaped as well: an unknown path, an unknown method, a panic.
func ExampleErrorWriter_Wrap() {
	ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(slog.DiscardHandler)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(http.ResponseWriter, *http.Request) { panic("a secret") })
	server := ew.Wrap(mux)

	for _, c := range [][2]string{{"POST", "/v1/chat"}, {"GET", "/v1/chat/completions"}, {"POST", "/v1/chat/completions"}} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(c[0], c[1], nil))
		fmt.Println(w.Code, w.Header().Get("Allow"), w.Body)
	}
	// Output:
	// 404  {"error":{"message":"There is nothing at this path.","type":"not_found_error","code":"not_found"}}
	// 405 POST {"error":{"message":"This path does not serve this method.","type":"invalid_request_error","code":"method_not_allowed"}}
	// 500  {"error":{"message":"The server failed unexpectedly.","type":"server_error"}}
}
