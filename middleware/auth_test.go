package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

type accountKey struct{}

func TestAuthenticate(t *testing.T) {
	long := strings.Repeat("k", 8<<10)
	for _, c := range []struct {
		name   string
		header []string
		want   string // account, or the code of the refusal
		x      bool
	}{
		{"bearer", []string{"Authorization", "Bearer good"}, "good", false},
		{"any case", []string{"Authorization", "bEaReR good"}, "good", false},
		{"more blanks", []string{"Authorization", "Bearer   good"}, "good", false},
		{"wrong", []string{"Authorization", "Bearer bad"}, "invalid_api_key", false},
		{"store fails", []string{"Authorization", "Bearer broken"}, "internal", false},
		{"keep the context", []string{"Authorization", "Bearer keep"}, "", false},
		{"none", nil, "missing_api_key", false},
		{"empty", []string{"Authorization", ""}, "missing_api_key", false},
		{"bare scheme", []string{"Authorization", "Bearer"}, "missing_api_key", false},
		{"bare scheme and blank", []string{"Authorization", "Bearer "}, "missing_api_key", false},
		{"bare key", []string{"Authorization", "good"}, "missing_api_key", false},
		{"another scheme", []string{"Authorization", "Basic good"}, "missing_api_key", false},
		{"two words", []string{"Authorization", "Bearer good good"}, "missing_api_key", false},
		{"tab", []string{"Authorization", "Bearer\tgood"}, "missing_api_key", false},
		{"not ASCII", []string{"Authorization", "Bearer gööd"}, "missing_api_key", false},
		{"control", []string{"Authorization", "Bearer go\x00od"}, "missing_api_key", false},
		{"two headers", []string{"Authorization", "Bearer good", "Authorization", "Bearer good"}, "missing_api_key", false},
		{"longest", []string{"Authorization", "Bearer " + long}, "invalid_api_key", false},
		{"too long", []string{"Authorization", "Bearer " + long + "k"}, "invalid_api_key", false},
		{"X-Api-Key is off", []string{"X-Api-Key", "good"}, "missing_api_key", false},
		{"X-Api-Key", []string{"X-Api-Key", "good"}, "good", true},
		{"X-Api-Key with blanks", []string{"X-Api-Key", "good good"}, "missing_api_key", true},
		{"two of X-Api-Key", []string{"X-Api-Key", "good", "X-Api-Key", "good"}, "missing_api_key", true},
		{"both", []string{"X-Api-Key", "bad", "Authorization", "Bearer good"}, "good", true},
		{"both, one unusable", []string{"X-Api-Key", "good", "Authorization", "Basic x"}, "good", true},
		{"two of Authorization beside X-Api-Key", []string{"X-Api-Key", "good", "Authorization", "Basic x", "Authorization", "Basic y"}, "missing_api_key", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ew := quiet(errcodes.Problem())
			ew.XAPIKey = c.x
			calls := 0
			h := ew.Authenticate(func(r *http.Request, key string) (context.Context, error) {
				calls++
				switch key {
				case "good":
					return context.WithValue(r.Context(), accountKey{}, key), nil
				case "keep":
					return nil, nil //nolint:nilnil // nil keeps the context.
				case "broken":
					return nil, errors.New("canary in the store")
				}
				return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
			})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				account, _ := r.Context().Value(accountKey{}).(string)
				_, _ = w.Write([]byte(account))
			}))
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{"))
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Add(c.header[i], c.header[i+1])
			}
			w := httptest.NewRecorder()
			ew.Wrap(h).ServeHTTP(w, r)
			if w.Code == 200 {
				require.Equal(t, c.want, w.Body.String())
				return
			}
			got, err := errcodes.Problem().Dialect().Decode(w.Body.Bytes())
			require.NoError(t, err)
			require.Equal(t, c.want, got.Code)
			require.Equal(t, w.Code == 401, w.Header().Get("Www-Authenticate") == "Bearer")
			require.Equal(t, c.want == "missing_api_key" || c.name == "too long", calls == 0)
			require.NotContains(t, w.Body.String(), "canary")
		})
	}
}

func TestAuthenticateAnthropicTakesXAPIKey(t *testing.T) {
	ew := quiet(errcodes.Anthropic())
	h := ew.Authenticate(func(r *http.Request, _ string) (context.Context, error) { return r.Context(), nil })(okHandler)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Api-Key", "good")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 200, w.Code)
}

var okHandler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func TestAuthenticateWithoutCheckRefuses(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer good")
	w := httptest.NewRecorder()
	quiet(nil).Authenticate(nil)(okHandler).ServeHTTP(w, r)
	require.Equal(t, 500, w.Code)
}

func TestPreflightPasses(t *testing.T) {
	ew := quiet(nil)
	h := ew.Authenticate(nil)(okHandler)
	for _, c := range []struct {
		method string
		header []string
		want   int
	}{
		{http.MethodOptions, []string{"Origin", "https://example.com", "Access-Control-Request-Method", "POST"}, 200},
		{http.MethodOptions, []string{"Origin", "https://example.com"}, 401},
		{http.MethodOptions, nil, 401},
		{http.MethodPost, []string{"Origin", "https://example.com", "Access-Control-Request-Method", "POST"}, 401},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code)
	}
}

func TestKeys(t *testing.T) {
	keys := middleware.NewKeys(map[middleware.KeyDigest]string{
		middleware.DigestOf("one"): "first", middleware.DigestOf("two"): "second", middleware.DigestOf(""): "empty",
	})
	for key, want := range map[string]string{"one": "first", "two": "second", "": "empty"} {
		got, ok := keys.Lookup(key)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, k := range []*middleware.Keys[string]{keys, {}, nil} {
		_, ok := k.Lookup("three")
		require.False(t, ok)
	}
}

func TestKeyDigestText(t *testing.T) {
	d := middleware.DigestOf("abc") // the example of FIPS 180-2
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", d.String())
	var back middleware.KeyDigest
	text, err := json.Marshal(d)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, d, back)
	require.NoError(t, back.UnmarshalText([]byte(strings.ToUpper(d.String()))))
	for _, bad := range []string{"", "sk-secret", strings.Repeat("z", 64), d.String()[1:], d.String() + "0"} {
		err := back.UnmarshalText([]byte(bad))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "sk-secret")
		require.NotContains(t, err.Error(), "'z'")
		require.Equal(t, d, back)
	}
}

func TestLimitConcurrency(t *testing.T) {
	ew := quiet(errcodes.RunInfra())
	running, release := make(chan struct{}), make(chan struct{})
	srv := serve(t, ew.Wrap(ew.LimitConcurrency(2)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		running <- struct{}{}
		<-release
		if r.URL.Path == "/panic" {
			panic("the place must be free again")
		}
	}))), false)
	done := make(chan int, 2)
	for _, path := range []string{"/", "/panic"} {
		go func() {
			res, err := srv.Client().Get(srv.URL + path)
			if err != nil {
				done <- 0
				return
			}
			_ = res.Body.Close()
			done <- res.StatusCode
		}()
		<-running
	}
	res, body := do(t, srv, http.MethodPost, "/", "")
	require.Equal(t, 503, res.StatusCode)
	require.Equal(t, "1", res.Header.Get("Retry-After"))
	require.Contains(t, body, "service_unavailable_error")
	close(release)
	require.ElementsMatch(t, []int{200, 500}, []int{<-done, <-done})
	go func() { <-running }()
	res, _ = do(t, srv, http.MethodGet, "/", "")
	require.Equal(t, 200, res.StatusCode)
}
