package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

func ExampleDecode() {
	type order struct {
		Model    string `json:"model" validate:"required"`
		Messages []struct {
			Role string `json:"role" validate:"oneof=system user assistant"`
		} `json:"messages"   validate:"min=1,dive"`
		MaxTokens *int `json:"max_tokens" validate:"omitempty,gte=1"`
	}
	ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(slog.DiscardHandler)}
	h := ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		o, err := middleware.Decode[order](r, nil)
		if err != nil {
			return err
		}
		fmt.Println("ordered from", o.Model)
		return nil
	})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"model":"m","messages":[{"role":"robot"}],"max_tokens":0}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 400 {"error":{"message":"The field messages[0].role must be one of system, user, assistant. The field max_tokens must be at least 1.","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}
}
