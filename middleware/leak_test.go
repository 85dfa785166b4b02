package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// leaky is a server whose every part knows the secret, and which must not tell it.
func leaky(ew *middleware.ErrorWriter, secret string) http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, h func(http.ResponseWriter, *http.Request) error) { mux.Handle(path, ew.Handler(h)) }
	handle("/cause", func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: errcodes.BadGateway, Err: errors.New(secret)}
	})
	handle("/foreign", func(http.ResponseWriter, *http.Request) error { return fmt.Errorf("store: %w", errors.New(secret)) })
	handle("/joined", func(http.ResponseWriter, *http.Request) error {
		return errors.Join(errors.New(secret), &errcodes.Error{Code: errcodes.Conflict})
	})
	handle("/upstream", func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("call: %w", &upstreamError{&errcodes.Error{Code: errcodes.InvalidAPIKey, Message: secret, Param: secret}})
	})
	handle("/upstream-joined", func(http.ResponseWriter, *http.Request) error {
		theirs := &upstreamError{&errcodes.Error{Code: errcodes.RateLimited, Message: secret, Param: secret}}
		return errors.Join(theirs, &errcodes.Error{Code: errcodes.BadGateway, Err: theirs})
	})
	handle("/unknown", func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: "unknown", Message: secret, Param: secret}
	})
	handle("/panic", func(http.ResponseWriter, *http.Request) error { panic(secret) })
	handle("/panic-error", func(http.ResponseWriter, *http.Request) error { panic(errors.New(secret)) })
	handle("/text", func(w http.ResponseWriter, _ *http.Request) error {
		http.Error(w, secret, http.StatusBadRequest)
		return nil
	})
	handle("/stale", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header()["Etag"] = []string{secret}
		w.Header()["Content-Disposition"] = []string{secret}
		return errors.New("x")
	})
	for name, form := range map[string]middleware.Form{"/chat": middleware.Chat, "/messages": middleware.Messages} {
		handle(name, func(w http.ResponseWriter, r *http.Request) error {
			if err := ew.Stream(w, r, form).Send([]byte("{}")); err != nil {
				return err
			}
			return errors.New(secret)
		})
		handle(name+"-panic", func(w http.ResponseWriter, r *http.Request) error {
			if err := ew.Stream(w, r, form).Send([]byte("{}")); err != nil {
				return err
			}
			panic(secret)
		})
	}
	body := ew.RequireJSON(middleware.JSONRules{Fields: []middleware.JSONField{{Name: "model", Kind: middleware.JSONString}}})
	mux.Handle("/body", body(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	handle("/decode-kinds", func(_ http.ResponseWriter, r *http.Request) error {
		_, err := middleware.Decode[leakyKinds](r, nil)
		return err
	})
	handle("/decode-rules", func(_ http.ResponseWriter, r *http.Request) error {
		_, err := middleware.Decode[leakyRules](r, nil)
		return err
	})
	handle("/decode-panic", func(_ http.ResponseWriter, r *http.Request) error {
		_, err := middleware.Decode[leakyPanic](r, nil)
		return err
	})
	rate := func(path string, err error) {
		limiter := limiterFunc(func(*middleware.RateQuery) (middleware.RateState, error) {
			return middleware.RateState{Refused: true, Limit: 1}, err
		})
		mux.Handle(path, ew.LimitRate(middleware.RateRules{Limiter: limiter, KeyFor: func(*http.Request) string { return secret }})(okHandler))
	}
	rate("/rate", nil)
	rate("/rate-down", errors.New(secret))
	mux.Handle("/late", ew.Timeout(middleware.Timeout{FirstByte: time.Nanosecond})(ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return fmt.Errorf("%s: %w", secret, r.Context().Err())
	})))
	auth := ew.Authenticate(func(*http.Request, string) (context.Context, error) {
		return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
	})
	mux.Handle("/auth", auth(http.NotFoundHandler()))
	mux.Handle("/ip", ew.AllowIP(middleware.IPRules{Allow: prefixes("192.0.2.7/32"), TrustedProxies: prefixes("192.0.2.1/32")})(http.NotFoundHandler()))
	return ew.Wrap(mux)
}

// upstreamError tells of a call to another server.
type upstreamError struct{ theirs error }

func (e *upstreamError) Error() string { return e.theirs.Error() }
func (e *upstreamError) Unwrap() error { return e.theirs }
func (e *upstreamError) Upstream() (errcodes.Class, time.Duration) {
	return errcodes.ClassAuthentication, 0
}

var leakyPaths = []string{
	"/cause", "/foreign", "/joined", "/upstream", "/upstream-joined", "/unknown", "/panic", "/panic-error", "/text", "/stale", "/chat", "/messages", "/chat-panic",
	"/messages-panic", "/body", "/auth", "/ip", "/none", "/decode-kinds", "/decode-rules", "/decode-panic", "/rate", "/rate-down", "/late",
}

// leakyKinds cannot take the secret anywhere, leakyRules can and refuses it everywhere.
type (
	leakyKinds struct {
		A, B int
		C    []struct{ D bool }
		E    map[string]float64
		F    time.Time
		G    json.Number
		H    int64 `json:"H,string"`
	}
	leakyRules struct {
		A any      `validate:"eq=x"`
		B string   `validate:"oneof=x y"`
		C []string `validate:"dive,max=1"`
		E struct {
			A string `validate:"email"`
		}
		F string `validate:"datetime=2006-01-02"`
		G string `validate:"eqfield=B|isdefault"`
		H string `validate:"contains=%%%%"`
	}
	leakyPanic struct{ B panics }
)

// decodable holds the secret as a value wherever it may stand.
func decodable(t *testing.T, path, secret string) string {
	t.Helper()
	body := map[string]any{"A": secret, "B": secret, "C": []string{secret, secret}, "E": map[string]string{"A": secret}, "F": secret, "G": secret + "x", "H": secret, "a": secret}
	if path == "/decode-kinds" {
		body["C"] = []any{map[string]string{"D": secret}, secret}
	}
	b, err := json.Marshal(body)
	require.NoError(t, err)
	return string(b)
}

// causePaths are those whose cause holds the secret: it belongs into the field cause, and for a panic nowhere else either.
var causePaths = map[string]bool{
	"/cause": true, "/foreign": true, "/joined": true, "/unknown": true, "/panic": true, "/panic-error": true, "/text": true,
	"/upstream": true, "/upstream-joined": true, "/rate-down": true, "/chat": true, "/messages": true, "/chat-panic": true, "/messages-panic": true,
}

// requireNoLeak sends the secret in every place that a caller can put something into.
func requireNoLeak(t *testing.T, reg *errcodes.Registry, secret string) {
	t.Helper()
	logs := newRecords()
	ew := &middleware.ErrorWriter{
		Registry: reg, Logger: slog.New(logs), RequestIDs: middleware.RequestIDs{Inbound: "X-Client-Request-Id", TrustTraceparent: true},
		XAPIKey: true,
	}
	h := leaky(ew, secret)
	for _, path := range leakyPaths {
		logs.clear()
		body := `{"a":"` + secret + `",` + secret
		if strings.HasPrefix(path, "/decode") {
			body = decodable(t, path, secret)
		}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header["Content-Type"] = []string{"application/json"}
		for _, k := range []string{
			"Authorization", "X-Api-Key", "X-Request-Id", "X-Client-Request-Id", "Traceparent", "X-Forwarded-For", "Idempotency-Key",
			"X-Stainless-Retry-Count", "Cookie", "User-Agent",
		} {
			r.Header[k] = []string{secret}
		}
		if path == "/auth" {
			r.Header["Authorization"] = []string{"Bearer " + secret}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		res := w.Result()
		require.NotContains(t, w.Body.String(), secret, "%s %s", reg.Name(), path)
		for k, values := range res.Header {
			for _, v := range values {
				require.NotContains(t, v, secret, "%s %s %s", reg.Name(), path, k)
				require.NotContains(t, v, "\n")
				require.NotContains(t, v, "\r")
			}
		}
		require.NotEqual(t, secret, res.Header.Get("X-Request-Id"))
		for _, record := range logs.all() {
			for k, v := range record {
				if k == "cause" && causePaths[path] || k == "client_request_id" {
					continue
				}
				require.NotContains(t, v, secret, "%s %s: %s in the log", reg.Name(), path, k)
			}
		}
		require.NotEmpty(t, logs.all(), path)
	}
}

func TestNothingLeaks(t *testing.T) {
	for _, reg := range registries() {
		for _, secret := range []string{
			"sk-canary-4bf92f3577b34da6", "canary\r\nX-Injected: 1", "canary\ndata: {}\n\n", `canary","code":"x`, "canary\u2028\u202e", "canary\xff\x00\x1b[31m",
		} {
			requireNoLeak(t, reg, secret)
		}
	}
}

func FuzzNothingLeaks(f *testing.F) {
	f.Add("sk-canary")
	f.Add("canary\r\nX-Injected: 1")
	f.Add("\x00\xff\u2028")
	f.Fuzz(func(t *testing.T, noise string) {
		if strings.Contains(noise, "\x00") || len(noise) > 1000 {
			noise = "x"
		}
		secret := "k4n4ry" + noise // a word that no answer has by chance
		for _, reg := range registries() {
			requireNoLeak(t, reg, secret)
		}
	})
}

// What handlers say in public cannot break out of the answer either: not into headers, not into other events, not into other log lines.
func TestInjection(t *testing.T) {
	const evil = "a\r\nX-Injected: 1\r\n\r\ndata: [DONE]\n\nevent: x\n\"},{\"level\":\"x\" \u2028 \x1b[31m"
	var log bytes.Buffer
	for _, reg := range registries() {
		for _, path := range []string{"/", "/chat", "/messages"} {
			log.Reset()
			ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			srv := serve(t, ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				if path != "/" {
					form := middleware.Chat
					if path == "/messages" {
						form = middleware.Messages
					}
					if err := ew.Stream(w, r, form).Send([]byte("{\"a\":\n\"b\"}")); err != nil {
						return err
					}
				}
				return &errcodes.Error{
					Code: errcodes.InvalidInput, Message: evil, Param: evil, Err: errors.New(evil),
					Fields: []errcodes.FieldError{{Pointer: evil, Path: evil, Rule: evil, Message: evil}},
				}
			}), false)
			res, err := srv.Client().Get(srv.URL + path)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			_ = res.Body.Close()
			require.Empty(t, res.Header.Get("X-Injected"))
			lines := strings.Split(strings.TrimRight(string(body), "\n"), "\n")
			switch path {
			case "/":
				require.Len(t, lines, 1)
			case "/chat":
				require.Len(t, lines, 3, "%s", body) // event, blank, event
			case "/messages":
				require.Len(t, lines, 4, "%s", body)
			}
			srv.Close()
			require.Equal(t, 1, strings.Count(log.String(), "\n"), "one line for each record")
			require.NotContains(t, log.String(), "\x1b")
		}
	}
}
