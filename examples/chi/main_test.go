package main

import (
	"bufio"
	"context"
	"flag"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/internal/reachable"
	"github.com/errwire/errwire/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	good = "sk-test-good"
	hi   = `"messages":[{"role":"user","content":"Hi"}]`
)

// requests are told apart by their name; the two routers must answer each of them alike.
var requests = map[string]struct{ method, path, key, body string }{
	"chat":              {"POST", "/v1/chat/completions", good, `{"model":"test/ok",` + hi + `}`},
	"pipeline":          {"POST", "/v1/pipe_1/chat/completions", good, `{"model":"test/ok",` + hi + `}`},
	"unknown pipeline":  {"POST", "/v1/pipe_2/chat/completions", good, `{"model":"test/ok",` + hi + `}`},
	"stream":            {"POST", "/v1/chat/completions", good, `{"model":"test/ok",` + hi + `,"stream":true}`},
	"stream, error":     {"POST", "/v1/chat/completions", good, `{"model":"test/stream-error",` + hi + `,"stream":true}`},
	"stream, panic":     {"POST", "/v1/messages", good, `{"model":"test/stream-panic",` + hi + `,"stream":true}`},
	"messages":          {"POST", "/v1/messages", good, `{"model":"test/ok",` + hi + `}`},
	"run":               {"POST", "/api/v1/runs", good, `{"model":"test/image","input":{"prompt":"a cat"}}`},
	"known run":         {"GET", "/api/v1/runs/run_1", good, ""},
	"unknown run":       {"GET", "/api/v1/runs/run_2", good, ""},
	"models":            {"GET", "/v1/models", good, ""},
	"health":            {"GET", "/healthz", "", ""},
	"no key":            {"POST", "/v1/chat/completions", "", `{`},
	"unknown key":       {"POST", "/v1/chat/completions", "sk-other", `{`},
	"ip blocked":        {"POST", "/v1/chat/completions", "sk-test-ip-blocked", `{`},
	"rate limited":      {"POST", "/v1/chat/completions", "sk-test-rate-limited", `{`},
	"usage exceeded":    {"POST", "/v1/chat/completions", "sk-test-usage-exceeded", `{`},
	"broken JSON":       {"POST", "/v1/chat/completions", good, `{`},
	"no model":          {"POST", "/v1/chat/completions", good, `{}`},
	"no input":          {"POST", "/api/v1/runs", good, `{"model":"test/image"}`},
	"unknown model":     {"POST", "/v1/chat/completions", good, `{"model":"x",` + hi + `}`},
	"500":               {"POST", "/v1/chat/completions", good, `{"model":"test/error-500",` + hi + `}`},
	"503":               {"POST", "/v1/chat/completions", good, `{"model":"test/error-503",` + hi + `}`},
	"504":               {"POST", "/v1/chat/completions", good, `{"model":"test/error-504",` + hi + `}`},
	"panic":             {"POST", "/v1/chat/completions", good, `{"model":"test/panic",` + hi + `}`},
	"unknown path":      {"GET", "/nothing", "", ""},
	"unknown sub-path":  {"GET", "/v1/nothing", "", ""},
	"wrong method":      {"DELETE", "/v1/chat/completions", good, ""},
	"wrong method, run": {"DELETE", "/api/v1/runs/run_1", good, ""},
}

// volatile is what differs from answer to answer.
var volatile = regexp.MustCompile(`(req_|run_|msg_|chatcmpl_)[0-9a-z]{20,}|"created(_at)?":\d+`)

func TestChiAnswersAsServeMuxDoes(t *testing.T) {
	for _, r := range registries() {
		t.Run(r.Name(), func(t *testing.T) {
			fresh := func() *provider.Provider {
				return &provider.Provider{Errors: &middleware.ErrorWriter{Registry: r, Logger: slog.New(slog.DiscardHandler)}}
			}
			mux := httptest.NewServer(fresh().Handler())
			defer mux.Close()
			onChi := httptest.NewServer(router(fresh(), &middleware.LocalLimiter{Quota: quota}, nil))
			defer onChi.Close()
			for _, name := range slices.Sorted(maps.Keys(requests)) {
				t.Run(name, func(t *testing.T) {
					want, wantBody := send(t, mux, name)
					got, gotBody := send(t, onChi, name)
					require.Equal(t, want.StatusCode, got.StatusCode, gotBody)
					require.Equal(t, wantBody, gotBody)
					require.Equal(t, headers(want), headers(got))
					require.NotContains(t, gotBody, "404 page not found")
					if got.StatusCode >= 400 {
						_, err := r.Dialect().Decode([]byte(gotBody))
						require.NoError(t, err, gotBody)
					}
					if got.StatusCode == http.StatusMethodNotAllowed {
						require.NotEmpty(t, got.Header.Get("Allow"))
					}
				})
			}
		})
	}
}

func send(t *testing.T, srv *httptest.Server, name string) (*http.Response, string) {
	t.Helper()
	q := requests[name]
	req, err := http.NewRequestWithContext(t.Context(), q.method, srv.URL+q.path, strings.NewReader(q.body))
	require.NoError(t, err)
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.key != "" {
		req.Header.Set("Authorization", "Bearer "+q.key)
	}
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Regexp(t, `^req_[0-9a-f]{32}$`, resp.Header.Get("X-Request-Id"))
	return resp, volatile.ReplaceAllString(string(body), "$1-")
}

// headers returns what the two must agree in. ServeMux allows HEAD wherever it allows GET, and says so; chi does not.
func headers(resp *http.Response) http.Header {
	h := resp.Header.Clone()
	for _, k := range []string{"Date", "X-Request-Id", "Request-Id", "X-Ratelimit-Reset", "X-Ratelimit-Remaining"} {
		h.Del(k)
	}
	allow := strings.ReplaceAll(strings.Join(h.Values("Allow"), ", "), "GET, HEAD", "GET")
	h.Del("Allow")
	if allow != "" {
		h.Set("Allow", allow)
	}
	return h
}

// Every error that a request can meet has the provider's shape on chi as it has on ServeMux: it is the same table, on every way to build a router.
func TestEveryReachableErrorIsShaped(t *testing.T) {
	add := func(r chi.Router, path string, route reachable.Route) {
		if route.Method == "" {
			r.Handle(path, route.Handler)
		} else {
			r.Method(route.Method, path, route.Handler)
		}
	}
	for name, build := range map[string]reachable.Router{
		"flat": func(routes []reachable.Route) http.Handler {
			r := chi.NewRouter()
			for _, route := range routes {
				add(r, route.Path, route)
			}
			return r
		},
		"groups, inline middlewares and a NotFound of its own": func(routes []reachable.Route) http.Handler {
			through := func(next http.Handler) http.Handler { return next }
			r := chi.NewRouter()
			r.Use(through)
			r.NotFound(http.NotFound)
			for i, route := range routes {
				if i%2 == 0 {
					r.Group(func(r chi.Router) {
						r.Use(through)
						add(r, route.Path, route)
					})
				} else {
					add(r.With(through), route.Path, route)
				}
			}
			return r
		},
		"sub-routers and patterns": func(routes []reachable.Route) http.Handler {
			r := chi.NewRouter()
			failures := map[string]http.Handler{}
			for _, route := range routes {
				if code, ok := strings.CutPrefix(route.Path, "/fail/"); ok {
					failures[code] = route.Handler
				} else {
					r.Route(route.Path, func(r chi.Router) { add(r, "/", route) })
				}
			}
			fail := chi.NewRouter()
			fail.HandleFunc("/{code}", func(w http.ResponseWriter, r *http.Request) {
				if h := failures[chi.URLParam(r, "code")]; h != nil {
					h.ServeHTTP(w, r)
				}
			})
			r.Mount("/fail", fail)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) { reachable.Test(t, build) })
	}
}

func TestServeUntilInterrupted(t *testing.T) {
	for name, args := range map[string][]string{"rates in the process": nil, "rates in Redis": {"-redis", startMiniredis(t).url}} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			out, in := io.Pipe()
			done := make(chan error, 1)
			go func() { done <- run(ctx, append(args, "-addr", "127.0.0.1:0"), in, io.Discard) }()
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
			url := strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
			resp, err := client.Get(url + "/nothing")
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			b, err := errcodes.Runbase().Dialect().Decode(body)
			require.NoError(t, err)
			require.Equal(t, "not_found", b.Code)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/models", http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+good)
			resp, err = client.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, "500", resp.Header.Get("X-RateLimit-Limit"))
			require.Equal(t, "499", resp.Header.Get("X-RateLimit-Remaining"))
			interrupt()
			require.NoError(t, <-done)
		})
	}
}

func TestUsage(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"extra", 2, "argument \"extra\" is not expected"},
		{"-dialect x", 2, "dialect \"x\" is not one of runbase, runinfra"},
		{"-nonsense", 2, "flag provided but not defined: -nonsense"},
		{"-addr nowhere:x", 1, "serve runbase: listen"},
	} {
		var stderr strings.Builder
		err := run(ctx, strings.Fields(tt.args), io.Discard, &stderr)
		require.Equal(t, tt.code, exitCode(err, &stderr), tt.args)
		require.Equal(t, 1, strings.Count(stderr.String(), tt.want), "told once: %s", stderr.String())
	}
	t.Setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1")
	var help strings.Builder
	err := run(ctx, []string{"-help"}, io.Discard, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Zero(t, exitCode(err, &help))
	require.Contains(t, help.String(), "$REDIS_URL")
	require.NotContains(t, help.String(), "hunter2")
}
