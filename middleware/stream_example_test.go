package middleware_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// The engine dies after two events. The reader gets an error event, and no [DONE].
func ExampleErrorWriter_Stream() {
	ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(slog.DiscardHandler)}
	h := ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		s := ew.Stream(w, r, middleware.Chat)
		for _, word := range []string{"Hello", "wor"} {
			if err := s.Send([]byte(`{"choices":[{"delta":{"content":"` + word + `"}}]}`)); err != nil {
				return err
			}
		}
		return errors.New("engine 3: CUDA error 700")
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil))
	fmt.Print(regexp.MustCompile(`req_[0-9a-f]{32}`).ReplaceAllString(w.Body.String(), "req_..."))
	// Output:
	// data: {"choices":[{"delta":{"content":"Hello"}}]}
	//
	// data: {"choices":[{"delta":{"content":"wor"}}]}
	//
	// data: {"error":{"message":"The server failed unexpectedly.","type":"server_error","request_id":"req_..."}}
}

// Before the first event, a failure is an ordinary answer with its own status.
func ExampleStream_Send() {
	ew := &middleware.ErrorWriter{Registry: errcodes.Anthropic(), Logger: slog.New(slog.DiscardHandler)}
	for _, ready := range []bool{false, true} {
		h := ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			s := ew.Stream(w, r, middleware.Messages)
			if !ready {
				return &errcodes.Error{Code: errcodes.Overloaded}
			}
			if err := s.SendEvent("message_start", []byte(`{"type":"message_start"}`)); err != nil {
				return err
			}
			return s.Done()
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/messages", nil))
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
	}
	// Output:
	// 529 application/json
	// 200 text/event-stream
}
