package classify

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// mustChange is an answer that asks for a changed request, under the registry of mutating.
var mustChange = answer{status: 504, body: `{"error":{"message":"m","type":"timeout_error"}}`}

// mutating returns a Transport with a hook, of which a script that begins with mustChange makes use.
func mutating(s *fakeServer, hook func(*http.Request) (*http.Request, error)) *Transport {
	return &Transport{
		Base: s, Classifier: &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
		MutateRequest: func(r *http.Request, _ Decision) (*http.Request, error) { return hook(r) },
	}
}

// Whatever a hook changes is its own.
func TestMutateLeavesTheCallersRequestAlone(t *testing.T) {
	for _, form := range []map[string][]string{nil, {"a": {"1"}}} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{script: []answer{mustChange, {status: 200}}}
			req := post(t, t.Context(), "{}")
			req.Header = nil
			req.Trailer, req.Form, req.TransferEncoding = http.Header{"X-Sum": {"1"}}, form, []string{"chunked"}
			before := req.Clone(t.Context())
			tr := mutating(s, func(r *http.Request) (*http.Request, error) {
				require.NotNil(t, r.Header)
				r.URL.Path, r.URL.RawQuery = "/v1/stream", "alt=sse"
				r.Header.Set("Prefer", "fast")
				r.Trailer.Set("X-Sum", "2")
				r.TransferEncoding[0] = "identity"
				if r.Form != nil {
					r.Form.Set("a", "2")
				}
				return r, nil
			})
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, "/v1/stream", resp.Request.URL.Path)
			require.Equal(t, "fast", s.headers[1].Get("Prefer"))
			require.Equal(t, before.URL, req.URL)
			require.Nil(t, req.Header)
			require.Equal(t, before.Trailer, req.Trailer)
			require.Equal(t, before.Form, req.Form)
			require.Equal(t, before.TransferEncoding, req.TransferEncoding)
		})
	}
}

// The body of before is not sent again in the place of the one that a hook has put there.
func TestMutateDoesNotSendTheOldBodyAgain(t *testing.T) {
	fresh := func(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }
	for _, tt := range []struct {
		name string
		hook func(*http.Request) (*http.Request, error)
		sent []string
		stop Stop
	}{
		{"a body alone", func(r *http.Request) (*http.Request, error) {
			r.Body, r.ContentLength = fresh("new"), 3
			return r, nil
		}, []string{"old", "new"}, StopBody},
		{"a body alone, in a clone", func(r *http.Request) (*http.Request, error) {
			r = r.Clone(r.Context())
			r.Body, r.ContentLength = fresh("new"), 3
			return r, nil
		}, []string{"old", "new"}, StopBody},
		{"with GetBody", func(r *http.Request) (*http.Request, error) {
			r.Body, r.ContentLength = fresh("new"), 3
			r.GetBody = func() (io.ReadCloser, error) { return fresh("new"), nil }
			return r, nil
		}, []string{"old", "new", "new"}, StopNone},
		{"with a GetBody around the old one", func(r *http.Request) (*http.Request, error) {
			old := r.GetBody
			r.GetBody = func() (io.ReadCloser, error) {
				b, err := old()
				return &prefixedBody{io.MultiReader(strings.NewReader("new and "), b), b}, err
			}
			var err error
			r.Body, err = r.GetBody()
			return r, err
		}, []string{"old", "new and old", "new and old"}, StopNone},
		{"no body any more", func(r *http.Request) (*http.Request, error) {
			r.Body, r.ContentLength = nil, 0
			return r, nil
		}, []string{"old", "", ""}, StopNone},
		{"another request", func(r *http.Request) (*http.Request, error) {
			return http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), strings.NewReader("new"))
		}, []string{"old", "new", "new"}, StopNone},
		{"another header", func(r *http.Request) (*http.Request, error) {
			r.Header.Set("Prefer", "fast")
			return r, nil
		}, []string{"old", "old", "old"}, StopNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{mustChange, {status: 503}, {status: 200}}}
				resp, err := mutating(s, tt.hook).RoundTrip(post(t, t.Context(), "old"))
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, tt.sent, s.bodies)
				if tt.stop == StopNone {
					require.Equal(t, 200, resp.StatusCode)
				} else {
					require.Equal(t, tt.stop, ErrorOf(resp).Stop)
				}
			})
		})
	}
}

// A body of a type that cannot be compared is told from another one as well.
func TestMutateOfABodyThatCannotBeCompared(t *testing.T) {
	type several struct {
		io.Reader
		io.Closer

		all []io.Closer
	}
	for _, anew := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{script: []answer{mustChange, {status: 503}, {status: 200}}}
			body := func() (io.ReadCloser, error) {
				r := strings.NewReader("old")
				return several{r, io.NopCloser(r), nil}, nil
			}
			req := post(t, t.Context(), "old")
			req.GetBody = body
			req.Body, _ = body()
			resp, err := mutating(s, func(r *http.Request) (*http.Request, error) {
				if anew {
					r = r.WithContext(r.Context())
				}
				r.Header.Set("Prefer", "fast")
				return r, nil
			}).RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, []string{"old", "old", "old"}, s.bodies)
		})
	}
}

// With IdempotencyKeys no request goes out without a key that needs one, whatever a hook made of it.
func TestMutateKeepsRequestsKeyed(t *testing.T) {
	const name = "Idempotency-Key"
	anew := func(r *http.Request) (*http.Request, error) {
		return http.NewRequestWithContext(r.Context(), http.MethodPost, r.URL.String(), strings.NewReader("new"))
	}
	for _, tt := range []struct {
		title  string
		get    bool
		caller string // the key of the caller
		hook   func(*http.Request) (*http.Request, error)
		want   string // the key of the changed request; "" for a fresh one, "none" for none
	}{
		{"a header", false, "", func(r *http.Request) (*http.Request, error) { r.Header.Set("Prefer", "fast"); return r, nil }, ""},
		{"made anew", false, "", anew, ""},
		{"made anew, of one with the caller's key", false, "caller", anew, ""},
		{"no header at all", false, "", func(r *http.Request) (*http.Request, error) { r.Header = nil; return r, nil }, ""},
		{"a POST of a GET", true, "", func(r *http.Request) (*http.Request, error) { r.Method = http.MethodPost; return r, nil }, ""},
		{"a GET of a POST", false, "", func(r *http.Request) (*http.Request, error) {
			return http.NewRequestWithContext(r.Context(), http.MethodGet, r.URL.String(), http.NoBody)
		}, "none"},
		{"the hook's", false, "", func(r *http.Request) (*http.Request, error) { r.Header.Set(name, "hook"); return r, nil }, "hook"},
		{"the caller's", false, "caller", func(r *http.Request) (*http.Request, error) { return r, nil }, "caller"},
	} {
		t.Run(tt.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{mustChange, {status: 503}, {status: 200}}}
				tr := mutating(s, tt.hook)
				tr.IdempotencyKeys = true
				req := post(t, t.Context(), "old")
				if tt.get {
					req = get(t, t.Context())
				}
				if tt.caller != "" {
					req.Header.Set(name, tt.caller)
				}
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, 200, resp.StatusCode)
				key := func(i int) string { return s.headers[i].Get(name) }
				require.Equal(t, key(1), key(2))
				switch tt.want {
				case "":
					require.Len(t, key(1), 26)
					require.NotEqual(t, key(0), key(1))
				case "none":
					require.Empty(t, key(1))
				default:
					require.Equal(t, tt.want, key(1))
				}
			})
		})
	}
}
