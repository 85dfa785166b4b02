package interop

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/cenkalti/backoff/v4"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// library is a client library as it comes: with its own retries, where it has any.
type library struct {
	name    string
	retries int // of its own, by default
	call    func(ctx context.Context, base string, hc *http.Client) error
	once    func(ctx context.Context, base string, hc *http.Client) error // with its retries set to 0
	status  func(error) int                                               // that its error tells of; 0 for none
	signal  func(error) classify.Signal
}

func libraries() []library {
	viaOpenAI := func(options ...openaioption.RequestOption) func(context.Context, string, *http.Client) error {
		return func(ctx context.Context, base string, hc *http.Client) error {
			client := openai.NewClient(append(options, openaioption.WithBaseURL(base), openaioption.WithAPIKey("key"), openaioption.WithHTTPClient(hc))...)
			_, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
				Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
			})
			return err
		}
	}
	viaAnthropic := func(options ...anthropicoption.RequestOption) func(context.Context, string, *http.Client) error {
		return func(ctx context.Context, base string, hc *http.Client) error {
			client := anthropic.NewClient(append(options, anthropicoption.WithoutEnvironmentDefaults(), anthropicoption.WithBaseURL(base),
				anthropicoption.WithHTTPClient(hc), anthropicoption.WithAPIKey("key"))...)
			_, err := client.Messages.New(ctx, anthropic.MessageNewParams{
				Model: "m", MaxTokens: 16, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
			})
			return err
		}
	}
	viaGoOpenAI := func(ctx context.Context, base string, hc *http.Client) error { // it has no retries
		config := goopenai.DefaultConfig("key")
		config.BaseURL, config.HTTPClient = base, hc
		_, err := goopenai.NewClientWithConfig(config).CreateChatCompletion(ctx, goopenai.ChatCompletionRequest{
			Model: "m", Messages: []goopenai.ChatCompletionMessage{{Role: goopenai.ChatMessageRoleUser, Content: "Hello"}},
		})
		return err
	}
	return []library{
		{
			name: "openai-go", retries: 2, call: viaOpenAI(), once: viaOpenAI(openaioption.WithMaxRetries(0)),
			status: func(err error) int {
				if e, ok := errors.AsType[*openai.Error](err); ok {
					return e.StatusCode
				}
				return 0
			},
			signal: func(err error) classify.Signal {
				e, ok := errors.AsType[*openai.Error](err)
				if !ok {
					return classify.Signal{}
				}
				return classify.Signal{Status: e.StatusCode, Header: e.Response.Header, Body: []byte(`{"error":` + e.RawJSON() + `}`)}
			},
		},
		{
			name: "go-openai", call: viaGoOpenAI, once: viaGoOpenAI,
			status: func(err error) int {
				if e, ok := errors.AsType[*goopenai.APIError](err); ok {
					return e.HTTPStatusCode
				}
				return 0
			},
			signal: func(err error) classify.Signal {
				e, ok := errors.AsType[*goopenai.APIError](err)
				if !ok {
					return classify.Signal{}
				}
				body, err := json.Marshal(map[string]any{"error": map[string]any{"message": e.Message, "code": e.Code}})
				if err != nil {
					return classify.Signal{}
				}
				return classify.Signal{Status: e.HTTPStatusCode, Body: body} // it keeps no header
			},
		},
		{
			name: "anthropic-go", retries: 2, call: viaAnthropic(), once: viaAnthropic(anthropicoption.WithMaxRetries(0)),
			status: func(err error) int {
				if e, ok := errors.AsType[*anthropic.Error](err); ok {
					return e.StatusCode
				}
				return 0
			},
			signal: func(err error) classify.Signal {
				e, ok := errors.AsType[*anthropic.Error](err)
				if !ok {
					return classify.Signal{}
				}
				return classify.Signal{Status: e.StatusCode, Header: e.Response.Header, Body: []byte(e.RawJSON())}
			},
		},
	}
}

// atOnce is a policy for tests against real servers.
func atOnce() backoff.BackOff { return &backoff.ZeroBackOff{} }

// refusals are answers, and how many requests a Transport makes of each.
var refusals = []struct {
	name   string
	status int
	body   string
	header string // X-Should-Retry
	want   int
}{
	{"400", 400, `{"error":{"message":"bad"}}`, "", 1},
	{"401", 401, `{"error":{"message":"key"}}`, "", 1},
	{"408", 408, `{"error":{"message":"slow client"}}`, "", 4},
	{"409", 409, `{"error":{"message":"stale"}}`, "", 1},
	{"429 for a rate", 429, `{"error":{"message":"slow down"}}`, "", 4},
	{"429 for a quota", 429, `{"error":{"message":"spent","code":"insufficient_quota"}}`, "", 1},
	{"500", 500, `{"error":{"message":"oops"}}`, "", 2},
	{"500, vetoed", 500, `{"error":{"message":"oops"}}`, "false", 1},
	{"503", 503, `{"error":{"message":"busy"}}`, "", 4},
	{"504", 504, `{"error":{"message":"late"}}`, "", 4},
	{"529", 529, `{"error":{"message":"overloaded","type":"overloaded_error"}}`, "", 4},
}

// Under a library with its own retries on, the number of requests is the Transport's wherever there is a response, and the library
// surfaces the provider's status.
func TestTransportUnderLibraries(t *testing.T) {
	for _, lib := range libraries() {
		for _, r := range refusals {
			t.Run(lib.name+"/"+r.name, func(t *testing.T) {
				var n atomic.Int32
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					io.Copy(io.Discard, req.Body)
					n.Add(1)
					w.Header().Set("Content-Type", "application/json")
					if r.want == 4 {
						w.Header().Set("Retry-After-Ms", "1")
					}
					if r.header != "" {
						w.Header().Set("X-Should-Retry", r.header)
					}
					w.WriteHeader(r.status)
					io.WriteString(w, r.body)
				}))
				defer srv.Close()
				base := &http.Transport{}
				defer base.CloseIdleConnections()
				transport := &classify.Transport{Base: base, NewBackOff: atOnce}

				err := lib.call(t.Context(), srv.URL, &http.Client{Transport: transport})
				require.Equal(t, r.status, lib.status(err), "%v", err)
				require.Equal(t, int32(r.want), n.Load())

				// A loop around all that adds nothing, where the library shows the header that says so.
				n.Store(0)
				policy := &classify.Policy{Signal: lib.signal, NewBackOff: atOnce}
				_, err = classify.Do(t.Context(), policy, func(ctx context.Context) (struct{}, error) {
					return struct{}{}, lib.call(ctx, srv.URL, &http.Client{Transport: transport})
				})
				require.Equal(t, r.status, lib.status(err), "%v", err)
				most := r.want
				if lib.name == "go-openai" {
					most += 3 // it hides the header that says so; then each further call of the library is one attempt
				}
				require.LessOrEqual(t, n.Load(), int32(most))
			})
		}
	}
}

// The answers between the attempts are read to their end and closed, whatever library is on top: all of a call goes over one connection, and it is idle
// behind it.
func TestTransportUnderLibrariesKeepsTheConnection(t *testing.T) {
	// longer than what is read to judge it
	long := `{"error":{"message":"busy","detail":"` + strings.Repeat("x", 100<<10) + `"}}`
	for _, lib := range libraries() {
		for name, body := range map[string]string{"short": `{"error":{"message":"busy"}}`, "long": long} {
			t.Run(lib.name+"/"+name, func(t *testing.T) {
				var n, conns atomic.Int32
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					io.Copy(io.Discard, req.Body)
					w.Header().Set("Content-Type", "application/json")
					if n.Add(1) < 4 {
						w.Header().Set("Retry-After-Ms", "1")
						w.WriteHeader(http.StatusServiceUnavailable)
						http.NewResponseController(w).Flush() // the body comes in a packet of its own
						io.WriteString(w, body)
						return
					}
					io.WriteString(w, `{"id":"x","choices":[],"content":[]}`)
				}))
				srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateNew {
						conns.Add(1)
					}
				}
				srv.Start()
				defer srv.Close()
				base := &http.Transport{MaxConnsPerHost: 4}
				defer base.CloseIdleConnections()
				require.NoError(t, lib.call(t.Context(), srv.URL, &http.Client{Transport: &classify.Transport{Base: base}}))
				require.Equal(t, int32(4), n.Load())
				require.Equal(t, int32(1), conns.Load(), "connections")
			})
		}
	}
}

// Without a response nothing can tell a library to stop: each of its tries is one attempt. With its retries set to 0 there is one.
func TestTransportUnderLibrariesWithoutAnAnswer(t *testing.T) {
	for _, lib := range libraries() {
		for _, tt := range []struct {
			name  string
			call  func(ctx context.Context, base string, hc *http.Client) error
			tries int
		}{{"by default", lib.call, 1 + lib.retries}, {"without retries", lib.once, 1}} {
			t.Run(lib.name+"/"+tt.name, func(t *testing.T) {
				srv, n := startScript(t, func(w http.ResponseWriter, _ int32) { panic(http.ErrAbortHandler) })
				base := &http.Transport{}
				defer base.CloseIdleConnections()
				err := tt.call(t.Context(), srv, &http.Client{Transport: &classify.Transport{Base: base}})
				e, ok := errors.AsType[*classify.Error](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, errcodes.ClassNetwork, e.Decision.Class)
				require.Equal(t, int32(tt.tries), n.Load())
			})
		}
	}
}

// A library whose retry it is has the decision: a refusal behind a connection that broke ends no call that the library alone would bring through, and
// costs as many requests. What is not to be sent again stays so, and so does the server's own veto.
func TestTransportUnderLibrariesAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int // of the second answer; the third is a success
		veto   bool
		want   int32 // requests
	}{
		{"503", 503, false, 3},
		{"429", 429, false, 3},
		{"500", 500, false, 3},
		{"400", 400, false, 2},
		{"503, vetoed", 503, true, 2},
	} {
		for _, lib := range libraries() {
			if lib.retries == 0 {
				continue
			}
			for name, transport := range map[string]*classify.Transport{
				"alone": nil, "under": {}, "under, with keys": {IdempotencyKeys: true}, "under, nested": {Base: &classify.Transport{}},
			} {
				t.Run(tt.name+"/"+lib.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					srv, n := startScript(t, func(w http.ResponseWriter, n int32) {
						switch n {
						case 1:
							panic(http.ErrAbortHandler)
						case 2:
							w.Header().Set("Retry-After-Ms", "1")
							if tt.veto {
								w.Header().Set("X-Should-Retry", "false")
							}
							w.WriteHeader(tt.status)
							io.WriteString(w, `{"error":{"message":"no"}}`)
						default:
							io.WriteString(w, `{"id":"x","choices":[],"content":[]}`)
						}
					})
					base := &http.Transport{}
					defer base.CloseIdleConnections()
					hc := &http.Client{Transport: base}
					if transport != nil {
						inner := transport
						if in, ok := transport.Base.(*classify.Transport); ok {
							inner = in
						}
						inner.Base = base
						hc.Transport = transport
					}
					err := lib.call(t.Context(), srv, hc)
					require.Equal(t, tt.want, n.Load(), "%v", err)
					if tt.want == 3 {
						require.NoError(t, err)
						return
					}
					require.Equal(t, tt.status, lib.status(err), "%v", err)
				})
			}
		}
	}
}

// startScript starts a server whose answers are functions of their number, from 1, and returns its address and how many requests it got.
func startScript(t *testing.T, answer func(http.ResponseWriter, int32)) (string, *atomic.Int32) {
	t.Helper()
	n := new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Type", "application/json")
		answer(w, n.Add(1))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, n
}

// Under a client with a timeout a wait that does not fit is not begun: one request, and the library surfaces the provider's refusal and not the
// timeout.
func TestTransportUnderLibrariesWithATimeout(t *testing.T) {
	for _, lib := range libraries() {
		t.Run(lib.name, func(t *testing.T) {
			var n atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				io.Copy(io.Discard, req.Body)
				n.Add(1)
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Retry-After", "59")
				w.WriteHeader(http.StatusTooManyRequests)
				io.WriteString(w, `{"error":{"message":"slow down"}}`)
			}))
			defer srv.Close()
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			err := lib.call(t.Context(), srv.URL, &http.Client{Transport: &classify.Transport{Base: base}, Timeout: callLimit})
			require.Equal(t, http.StatusTooManyRequests, lib.status(err), "%v", err)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, int32(1), n.Load())
		})
	}
}

// A hundred callers of three libraries share one Transport.
func TestTransportUnderManyCallers(t *testing.T) {
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Type", "application/json")
		if n.Add(1)%2 == 0 {
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":{"message":"busy"}}`)
			return
		}
		io.WriteString(w, `{"id":"x","choices":[],"content":[]}`)
	}))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &classify.Transport{Base: base, MaxAttempts: 50, Budget: classify.Unlimited{}}}
	libs := libraries()
	var wg sync.WaitGroup
	errs := make([]error, 100)
	for i := range errs {
		wg.Go(func() { errs[i] = libs[i%len(libs)].call(t.Context(), srv.URL, client) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

// Every documented error of the example server over our Transport: the library surfaces what it does without, and the number of
// requests follows from the registry's row.
func TestTransportAgainstTheExample(t *testing.T) {
	t.Parallel()
	program := buildExample(t)
	senders := map[string]func(context.Context, *http.Client, call) (outcome, error){"openai-go": openAIGo, "go-openai": goOpenAI, "anthropic-go": anthropicGo}
	for _, registry := range []*errcodes.Registry{errcodes.Runbase(), errcodes.RunInfra()} {
		t.Run(registry.Name(), func(t *testing.T) {
			t.Parallel()
			base := startExample(t, program, registry.Name())
			network := &http.Transport{}
			t.Cleanup(network.CloseIdleConnections)
			classifier := &classify.Classifier{Registries: []*errcodes.Registry{registry}}
			driven := 0
			for _, c := range clients() {
				send := senders[c.name]
				if send == nil {
					continue
				}
				for _, a := range cases() {
					row, documented := registry.Lookup(a.want)
					if !documented || strings.Contains(a.name, " of 3") { // those fail by turns
						continue
					}
					driven++
					t.Run(c.name+"/"+a.name, func(t *testing.T) {
						sent := a.on(base, c.home)
						wire := &recorder{base: hurried{network}, replace: sent.Replace}
						hc := &http.Client{Transport: &classify.Transport{
							Base: wire, Classifier: classifier,
						}}
						ctx, cancel := context.WithTimeout(t.Context(), callLimit)
						defer cancel()
						got, err := send(ctx, hc, sent)
						require.NoError(t, err)
						require.Len(t, wire.seen, attempts(row, sent.Replace.Method))
						got.Wire = wire.seen[len(wire.seen)-1:]
						last := got.Wire[0]
						d := classifier.Body(last.Status, last.header(), []byte(last.Body))
						requireRow(t, registry, row, d, "classified from the answer on the wire")
						require.Equal(t, last.get("X-Request-Id"), d.RequestID)
						check(t, c, registry, a.want, got)
					})
				}
			}
			require.Greater(t, driven, 100)
		})
	}
}

// attempts returns how many requests the row is worth.
func attempts(row errcodes.Entry, method string) int {
	if row.MaybeExecuted && method != http.MethodGet {
		return 1
	}
	switch row.Retry {
	case errcodes.RetryBackoff:
		return 4
	case errcodes.RetryOnce:
		return 2
	default:
		return 1
	}
}

// hurried shortens the server's waits, which are whole seconds, to a millisecond.
type hurried struct{ base http.RoundTripper }

func (h hurried) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.base.RoundTrip(req)
	if err == nil && resp.Header.Get("Retry-After") != "" {
		resp.Header.Set("Retry-After-Ms", "1")
	}
	return resp, err
}

func (e exchange) header() http.Header {
	h := make(http.Header, len(e.Header))
	for name, value := range e.Header {
		h.Set(name, value)
	}
	return h
}
