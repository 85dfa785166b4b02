package middleware_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// limiterFunc lets a test stand in for a store.
type limiterFunc func(q *middleware.RateQuery) (middleware.RateState, error)

func (f limiterFunc) Take(_ context.Context, q *middleware.RateQuery) (middleware.RateState, error) {
	return f(q)
}

func TestLimitRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reg := range registries() {
			ew := quiet(reg)
			h := ew.Wrap(ew.LimitRate(middleware.RateRules{Limiter: &middleware.LocalLimiter{Quota: middleware.Quota{Requests: 60, Burst: 4}}})(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/panic":
						panic("x")
					case "/error":
						ew.WriteError(w, r, &errcodes.Error{Code: errcodes.RunNotFound})
					case "/text":
						http.NotFound(w, r)
					default:
						_, _ = io.WriteString(w, "ok")
					}
				})))
			send := func(path, key string) http.Header {
				r := httptest.NewRequest(http.MethodPost, path, nil)
				if key != "" {
					r.Header.Set("Authorization", "Bearer "+key)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				res := w.Result().Header.Clone()
				res.Set("Status", strconv.Itoa(w.Code))
				return res
			}
			start := time.Now()
			for i, path := range []string{"/", "/panic", "/error", "/text"} {
				got := send(path, "sk-a")
				require.Equal(t, "60", got.Get("X-RateLimit-Limit"), path)
				require.Equal(t, strconv.Itoa(3-i), got.Get("X-RateLimit-Remaining"), path)
				require.Equal(t, strconv.FormatInt(start.Add(time.Duration(i+1)*time.Second).Unix(), 10), got.Get("X-RateLimit-Reset"), path)
			}
			pause(100 * time.Millisecond)
			got := send("/", "sk-a")
			require.Equal(t, "429", got.Get("Status"))
			require.Equal(t, "1", got.Get("Retry-After"))
			require.Equal(t, "0", got.Get("X-RateLimit-Remaining"))
			require.Empty(t, got.Get("X-Should-Retry"))
			require.Equal(t, "200", send("/", "sk-b").Get("Status"))
			for range 9 {
				got = send("/", "")
				require.Equal(t, "200", got.Get("Status"), "nobody's request")
				require.Empty(t, got.Values("X-RateLimit-Limit"))
			}
			pause(900 * time.Millisecond)
			require.Equal(t, "200", send("/", "sk-a").Get("Status"), "who waits as told gets through")
		}
	})
}

func TestLimitRateAsks(t *testing.T) {
	for _, c := range []struct {
		name    string
		rules   middleware.RateRules
		status  string
		headers map[string]string
		logged  bool
	}{
		{name: "no limiter", status: "200"},
		{
			name: "a key of its own", status: "200",
			rules: middleware.RateRules{
				KeyFor: func(r *http.Request) string { return r.Host },
				Limiter: limiterFunc(func(q *middleware.RateQuery) (middleware.RateState, error) {
					if q.Key != "example.com" || q.Request == nil {
						panic(q.Key)
					}
					return middleware.RateState{Limit: 5000, Remaining: -1, Reset: time.Unix(7, 1)}, nil
				}),
			},
			headers: map[string]string{"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "8"},
		},
		{
			name: "the key is not told", status: "200",
			rules: middleware.RateRules{Limiter: limiterFunc(func(q *middleware.RateQuery) (middleware.RateState, error) {
				if q.Key != middleware.DigestOf("sk-good").String() {
					panic(q.Key)
				}
				return middleware.RateState{}, nil
			})},
			headers: map[string]string{"X-RateLimit-Limit": "", "X-RateLimit-Reset": ""},
		},
		{
			name: "a long wait", status: "429",
			rules: middleware.RateRules{Limiter: limiterFunc(func(*middleware.RateQuery) (middleware.RateState, error) {
				return middleware.RateState{Refused: true, Limit: 1, Reset: time.Unix(1e9, 0), RetryAfter: time.Hour}, nil
			})},
			headers: map[string]string{"Retry-After": "", "X-Should-Retry": "false", "X-RateLimit-Limit": "1"},
		},
		{
			name: "no wait stated", status: "429",
			rules: middleware.RateRules{Limiter: limiterFunc(func(*middleware.RateQuery) (middleware.RateState, error) {
				return middleware.RateState{Refused: true}, nil
			})},
			headers: map[string]string{"Retry-After": "1", "X-RateLimit-Limit": ""},
		},
		{
			name: "the store is down", status: "200", logged: true,
			rules: middleware.RateRules{Limiter: limiterFunc(func(*middleware.RateQuery) (middleware.RateState, error) {
				return middleware.RateState{Refused: true, Limit: 1}, errors.New("redis: connection refused")
			})},
			headers: map[string]string{"X-RateLimit-Limit": ""},
		},
		{
			name: "the store is down, and that counts", status: "503", logged: true,
			rules: middleware.RateRules{Limiter: limiterFunc(func(*middleware.RateQuery) (middleware.RateState, error) {
				return middleware.RateState{}, &errcodes.Error{Code: errcodes.Unavailable, Err: errors.New("redis: connection refused")}
			})},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs := newRecords()
			ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(logs)}
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Authorization", "Bearer sk-good")
			w := httptest.NewRecorder()
			ew.Wrap(ew.LimitRate(c.rules)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))).ServeHTTP(w, r)
			require.Equal(t, c.status, strconv.Itoa(w.Code))
			for k, v := range c.headers {
				require.Equal(t, v, w.Header().Get(k), k)
			}
			if c.logged {
				require.Len(t, logs.all(), 1)
				require.Equal(t, "ERROR", logs.all()[0]["level"])
				require.Contains(t, logs.all()[0]["cause"], "redis")
				require.Equal(t, w.Header().Get("X-Request-Id"), logs.all()[0]["request_id"])
			}
		})
	}
}
