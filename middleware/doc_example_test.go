package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// chatRequest is what the endpoint of the example reads.
type chatRequest struct {
	Model    string `json:"model" validate:"required"`
	Messages []struct {
		Role    string `json:"role"    validate:"oneof=system user assistant"`
		Content string `json:"content" validate:"required"`
	} `json:"messages"   validate:"min=1,max=100,dive"`
	MaxTokens int  `json:"max_tokens" validate:"omitempty,gte=1,lte=4096"`
	Stream    bool `json:"stream"`
}

// chat answers in two words, whole or as a stream. What it cannot answer it returns.
func chat(errs *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
	req, err := middleware.Decode[chatRequest](r, nil)
	if err != nil {
		return err
	}
	switch req.Model {
	case "small":
	case "broken":
		return errors.New("engine 3: CUDA error 700") // for the log alone
	default:
		return &errcodes.Error{Code: errcodes.ModelNotFound}
	}
	if !req.Stream {
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(map[string]string{"content": "Hello there"})
	}
	s := errs.Stream(w, r, middleware.Chat)
	for _, event := range []string{`{"choices":[{"delta":{"content":"Hello"}}]}`, `{"choices":[{"delta":{"content":" there"}}]}`} {
		if err := s.Send([]byte(event)); err != nil {
			return err
		}
	}
	return s.Done()
}

// A chat endpoint with all that stands before its handler, in the order in which it belongs.
func Example() {
	errs := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(slog.DiscardHandler)}

	type account struct{} // the key of the account in the context
	keys := middleware.NewKeys(map[middleware.KeyDigest]string{middleware.DigestOf("sk-example"): "acme"})
	authenticate := errs.Authenticate(func(r *http.Request, key string) (context.Context, error) {
		name, ok := keys.Lookup(key)
		if !ok {
			return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
		}
		return context.WithValue(r.Context(), account{}, name), nil
	})
	limitRate := errs.LimitRate(middleware.RateRules{Limiter: &middleware.LocalLimiter{Quota: middleware.Quota{Requests: 6, Per: 6 * time.Minute}}})
	timeout := errs.Timeout(middleware.Timeout{FirstByte: 30 * time.Second, Idle: 10 * time.Second, Total: 5 * time.Minute})
	requireJSON := errs.RequireJSON(middleware.JSONRules{Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString},
		{Name: "messages", Kind: middleware.JSONArray},
	}})
	handler := errs.Handler(func(w http.ResponseWriter, r *http.Request) error { return chat(errs, w, r) })

	mux := http.NewServeMux()
	mux.Handle("POST /v1/chat/completions", authenticate(limitRate(timeout(requireJSON(handler)))))
	srv := httptest.NewServer(errs.Wrap(mux)) // in a program: an http.Server of your own
	defer srv.Close()

	for _, c := range []struct{ key, body string }{
		{"sk-wrong", ``},
		{"sk-example", `{"model":"small"`},
		{"sk-example", `{"messages":[]}`},
		{"sk-example", `{"model":"small","messages":[{"role":"robot","content":"Hi"}],"max_tokens":9999}`},
		{"sk-example", `{"model":"large","messages":[{"role":"user","content":"Hi"}]}`},
		{"sk-example", `{"model":"broken","messages":[{"role":"user","content":"Hi"}]}`},
		{"sk-example", `{"model":"small","messages":[{"role":"user","content":"Hi"}],"stream":true}`},
		{"sk-example", `{"model":"small","messages":[{"role":"user","content":"Hi"}]}`},
	} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, srv.URL+"/v1/chat/completions", strings.NewReader(c.body))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+c.key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := srv.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(resp.StatusCode, strings.ReplaceAll(strings.TrimSpace(string(body)), "\n\n", " "))
	}
	// Output:
	// 401 {"error":{"message":"The API key is not valid.","type":"invalid_request_error","code":"invalid_api_key"}}
	// 400 {"error":{"message":"The request body is not valid JSON at line 1, column 17 (byte 16): expected a comma or a closing brace.","type":"invalid_request_error","code":"invalid_json"}}
	// 400 {"error":{"message":"The model field is missing or not a string.","type":"invalid_request_error","param":"model","code":"missing_required_parameter"}}
	// 400 {"error":{"message":"The field messages[0].role must be one of system, user, assistant. The field max_tokens must be at most 4096.","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}
	// 404 {"error":{"message":"The model does not exist, or you do not have access to it.","type":"invalid_request_error","param":"model","code":"model_not_found"}}
	// 500 {"error":{"message":"The server failed unexpectedly.","type":"server_error"}}
	// 200 data: {"choices":[{"delta":{"content":"Hello"}}]} data: {"choices":[{"delta":{"content":" there"}}]} data: [DONE]
	// 429 {"error":{"message":"The rate limit is reached. Wait as the Retry-After header says and try again.","type":"rate_limit_error","code":"rate_limit_exceeded"}}
}
