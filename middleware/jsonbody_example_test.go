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

func ExampleErrorWriter_RequireJSON() {
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler)}
	h := ew.RequireJSON(middleware.JSONRules{Limit: 1 << 20, Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString},
		{Name: "input", Kind: middleware.JSONObject},
	}})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "running ", middleware.ModelFrom(r.Context()))
	}))

	for _, body := range []string{`{"model":"a/b","input":{}}`, `{"model":7,"input":{}}`, `{"model":"a/b" "input":{}}`} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/runs", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 running a/b
	// 400 {"error":{"message":"The model field is missing or not a string.","code":"missing_model"}}
	// 400 {"error":{"message":"The request body is not valid JSON at line 1, column 16 (byte 15): expected a comma or a closing brace.","code":"invalid_json"}}
}
