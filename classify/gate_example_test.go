package classify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

func ExamplePacer() {
	requests := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Retry-After", "50")
		w.Header().Set("X-Request-Id", "req_8")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()

	client := &http.Client{Transport: &classify.Transport{Gate: &classify.Pacer{}, MaxAttempts: 1}}
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Get(srv.URL)
		if err == nil {
			resp.Body.Close()
			fmt.Println(resp.StatusCode)
			continue
		}
		if refused, ok := errors.AsType[*classify.GateError](err); ok {
			fmt.Println(refused.Reason, refused.Last.Decision.RequestID, errors.Is(err, errcodes.ClassOverloaded))
		}
	}
	fmt.Println(requests, "request")
	// Output:
	// 503
	// closed req_8 true
	// closed req_8 true
	// 1 request
}

func ExampleDefaultScope() {
	req := httptest.NewRequest(http.MethodPost, "https://api.example.com/v1/runs", http.NoBody)
	req.Header.Set("Authorization", "Bearer sk-secret")
	req.Header.Set("OpenAI-Project", "proj_1")
	fmt.Println(classify.DefaultScope(req))
	// Output: api.example.com afa6f8ec47e70b65 proj_1
}
