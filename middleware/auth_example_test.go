package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// The server holds digests, the context carries the account, and broken JSON without a key is 401.
func ExampleErrorWriter_Authenticate() {
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler)}
	keys := middleware.NewKeys(map[middleware.KeyDigest]string{middleware.DigestOf("sk-example"): "acme"})
	type account struct{}
	auth := ew.Authenticate(func(r *http.Request, key string) (context.Context, error) {
		name, ok := keys.Lookup(key)
		if !ok {
			return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
		}
		return context.WithValue(r.Context(), account{}, name), nil
	})
	h := auth(ew.RequireJSON(middleware.JSONRules{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("hello", r.Context().Value(account{}))
	})))

	for _, authorization := range []string{"", "Bearer sk-wrong", "bearer sk-example"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got, _ := errcodes.Runbase().Dialect().Decode(w.Body.Bytes())
		fmt.Println(w.Code, got.Code, w.Header().Get("Www-Authenticate"))
	}
	// Output:
	// 401 missing_api_key Bearer
	// 401 invalid_api_key Bearer
	// 400 invalid_json
}
