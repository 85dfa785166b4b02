package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// Paths of the example server.
const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
	runsPath     = "/api/v1/runs"
	home         = "" // chatPath for the chat clients, messagesPath for the messages clients
)

// maxBody is the longest request body, in bytes, that the example server takes.
const maxBody = 1 << 20

const (
	goodKey   = "sk-test-good"
	okModel   = "test/ok"
	runModel  = "test/image"
	maxTokens = 64 // enough for test/slow to be slow
)

// apiCase is one request and what must come of it. A zero field is the client's own: its method, its path, its headers and body.
type apiCase struct {
	name      string
	path      string // home, or the path below the server's address
	method    string
	key       string // "" is the good one
	header    *string
	mediaType string
	model     string // "" is the one that works on the path
	maxTokens int    // 0 is 64
	stream    bool
	body      []byte
	want      errcodes.Code // "" is success
}

// call is an apiCase as one client sends it, and the line that a Node driver reads. A client calls its own method with Base,
// Prefix, Key, Model, MaxTokens and Stream; its transport then replaces what Replace holds, for requests that no client makes by itself.
type call struct {
	Name      string  `json:"name"`
	Base      string  `json:"base"`   // address of the server
	Prefix    string  `json:"prefix"` // of the chat path, below the address
	Key       string  `json:"key"`
	Model     string  `json:"model"`
	MaxTokens int     `json:"maxTokens"`
	Stream    bool    `json:"stream"`
	Replace   replace `json:"replace"`

	path string // of the request
}

// replace holds the parts of a request that are not the client's own.
type replace struct {
	Method        string  `json:"method,omitempty"`
	Path          string  `json:"path,omitempty"`
	Authorization *string `json:"authorization,omitempty"` // instead of every header that carries a key; "" for none at all
	MediaType     string  `json:"mediaType,omitempty"`
	Body          []byte  `json:"body,omitempty"` // base64 in JSON
}

func (r replace) empty() bool {
	return r.Method == "" && r.Path == "" && r.Authorization == nil && r.MediaType == "" && r.Body == nil
}

// on returns the case as a client of that home path sends it.
func (c apiCase) on(base, homePath string) call {
	out := call{
		Name: c.name, Base: base, Prefix: "/v1", Key: c.key, Model: c.model, MaxTokens: c.maxTokens, Stream: c.stream,
		Replace: replace{Method: c.method, Authorization: c.header, MediaType: c.mediaType, Body: c.body},
	}
	path := c.path
	if path == home {
		path = homePath
	}
	if out.Key == "" {
		out.Key = goodKey
	}
	if out.Model == "" {
		out.Model = okModel
		if path == runsPath {
			out.Model = runModel
		}
	}
	if out.MaxTokens == 0 {
		out.MaxTokens = maxTokens
	}
	out.path = path
	prefix, pipeline := pipelinePrefix(path)
	switch {
	case path == homePath:
		return out
	case pipeline && homePath == chatPath:
		out.Prefix = prefix
		return out
	}
	out.Replace.Path = path
	if out.Replace.Body == nil && out.Replace.Method != http.MethodGet {
		out.Replace.Body = out.body()
	}
	return out
}

// pipelinePrefix returns what stands before /chat/completions in the path of a pipeline.
func pipelinePrefix(path string) (string, bool) {
	var id string
	if n, err := fmt.Sscanf(path, "/v1/pipe_%1s/chat/completions", &id); err != nil || n != 1 {
		return "", false
	}
	return "/v1/pipe_" + id, true
}

// body is a body that the path accepts.
func (c call) body() []byte {
	fields := map[string]any{"model": c.Model}
	if c.path == runsPath {
		fields["input"] = map[string]any{"prompt": "test"}
	} else {
		fields["messages"] = []any{map[string]any{"role": "user", "content": "Hello"}}
		fields["max_tokens"] = c.MaxTokens
		if c.Stream {
			fields["stream"] = true
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return body
}

// sized returns a body that every path accepts but for its length of n bytes.
func sized(n int) []byte {
	start, end := `{"model":"test/unknown","input":{},"messages":[],"filler":"`, `"}`
	return []byte(start + string(bytes.Repeat([]byte("x"), n-len(start)-len(end))) + end)
}

// cases is the table. The order counts: the first two of every three requests fail for the key sk-test-busy and the model test/flaky-503.
func cases() []apiCase {
	none, bareScheme, noScheme, otherScheme, wrongKey := "", "Bearer", goodKey, "Basic c2stdGVzdC1nb29kOg==", "Bearer sk-test-other"
	lowerScheme := "bearer " + goodKey

	all := []apiCase{
		{name: "ok", path: home},
		{name: "ok streamed", path: home, stream: true},
		{name: "ok in a pipeline", path: "/v1/pipe_1/chat/completions"},
		{name: "ok run", path: runsPath},
		{name: "ok run looked up", path: runsPath + "/run_1", method: http.MethodGet},
		{name: "scheme in lower case", path: home, header: &lowerScheme},
		{name: "slow but short", path: home, model: "test/slow", maxTokens: 16},
		{name: "slow but streamed", path: home, model: "test/slow", stream: true},

		{name: "unknown pipeline", path: "/v1/pipe_x/chat/completions", want: errcodes.PipelineNotFound},
		{name: "key of another pipeline", path: "/v1/pipe_1/chat/completions", key: "sk-test-wrong-scope", want: errcodes.PipelineScopeMismatch},
		{name: "unknown run", path: runsPath + "/run_x", method: http.MethodGet, want: errcodes.RunNotFound},
		{name: "unknown route", path: "/v1/nothing", want: errcodes.NotFound},
		{name: "unknown route at the root", path: "/nothing", method: http.MethodGet, want: errcodes.NotFound},
		{name: "wrong method on chat", path: chatPath, method: http.MethodGet, want: errcodes.MethodNotAllowed},
		{name: "wrong method on messages", path: messagesPath, method: http.MethodGet, want: errcodes.MethodNotAllowed},
		{name: "wrong method on runs", path: runsPath, method: http.MethodDelete, want: errcodes.MethodNotAllowed},
		{name: "run without a prompt", path: runsPath, body: []byte(`{"model":"test/image","input":{"seed":1}}`), want: errcodes.InvalidInput},
		{name: "run with a prompt that is no string", path: runsPath, body: []byte(`{"model":"test/image","input":{"prompt":["a"]}}`), want: errcodes.InvalidInput},
		{name: "run without input", path: runsPath, body: []byte(`{"model":"test/image"}`), want: errcodes.MissingInput},
		{name: "run with input that is no object", path: runsPath, body: []byte(`{"model":"test/image","input":"a cat"}`), want: errcodes.MissingInput},
		{name: "chat without messages", path: chatPath, body: []byte(`{"model":"test/ok"}`), want: errcodes.MissingInput},
		{name: "chat with messages that are no array", path: chatPath, body: []byte(`{"model":"test/ok","messages":"Hello"}`), want: errcodes.MissingInput},
		{name: "chat with no message", path: chatPath, body: []byte(`{"model":"test/ok","messages":[]}`), want: errcodes.InvalidInput},
		{name: "chat with tokens that are no number", path: chatPath, body: []byte(`{"model":"test/ok","messages":[{"role":"user","content":"a"}],"max_tokens":"all"}`), want: errcodes.InvalidInput},
		{name: "messages without messages", path: messagesPath, body: []byte(`{"model":"test/ok","max_tokens":1}`), want: errcodes.MissingInput},

		{name: "streamed with an unknown model", path: home, model: "test/unknown", stream: true, want: errcodes.ModelNotFound},
		{name: "streamed and limited", path: home, key: "sk-test-rate-limited", stream: true, want: errcodes.RateLimited},
		{name: "streamed and out of quota", path: home, key: "sk-test-usage-exceeded", stream: true, want: errcodes.UsageExceeded},
		{name: "streamed and unavailable", path: home, model: "test/error-503", stream: true, want: errcodes.Unavailable},
		{name: "slow", path: home, model: "test/slow", want: errcodes.Timeout},

		{name: "busy 1 of 3", path: home, key: "sk-test-busy", want: errcodes.RateLimited},
		{name: "busy 2 of 3", path: home, key: "sk-test-busy", want: errcodes.RateLimited},
		{name: "busy 3 of 3", path: home, key: "sk-test-busy"},
		{name: "flaky 1 of 3", path: home, model: "test/flaky-503", want: errcodes.Unavailable},
		{name: "flaky 2 of 3", path: home, model: "test/flaky-503", want: errcodes.Unavailable},
		{name: "flaky 3 of 3", path: home, model: "test/flaky-503"},
	}
	for _, at := range []struct{ name, path string }{{"", home}, {" for a run", runsPath}} {
		for _, c := range []apiCase{
			{name: "no key", header: &none, want: errcodes.MissingAPIKey},
			{name: "no key and broken JSON", header: &none, body: []byte(`{"model":`), want: errcodes.MissingAPIKey},
			{name: "Bearer without a key", header: &bareScheme, want: errcodes.MissingAPIKey},
			{name: "a key without Bearer", header: &noScheme, want: errcodes.MissingAPIKey},
			{name: "another scheme", header: &otherScheme, want: errcodes.MissingAPIKey},
			{name: "unknown key", key: "sk-test-unknown", want: errcodes.InvalidAPIKey},
			{name: "unknown key and broken JSON", header: &wrongKey, body: []byte(`{"model":`), want: errcodes.InvalidAPIKey},

			{name: "plan limit", key: "sk-test-plan-limit", want: errcodes.PlanLimitExceeded},
			{name: "feature not in plan", key: "sk-test-no-feature", want: errcodes.FeatureNotInPlan},
			{name: "no balance", key: "sk-test-no-balance", want: errcodes.InsufficientBalance},
			{name: "spend limit", key: "sk-test-spend-limit", want: errcodes.APIKeySpendLimitExceeded},
			{name: "address blocked", key: "sk-test-ip-blocked", want: errcodes.IPNotAllowed},
			{name: "limited", key: "sk-test-rate-limited", want: errcodes.RateLimited},
			{name: "out of quota", key: "sk-test-usage-exceeded", want: errcodes.UsageExceeded},

			{name: "not JSON", body: []byte(`{"model": "test/ok", oops}`), want: errcodes.InvalidJSON},
			{name: "no object", body: []byte(`["test/ok"]`), want: errcodes.InvalidJSON},
			{name: "cut off", body: []byte(`{"model":"test/ok"`), want: errcodes.InvalidJSON},
			{name: "not UTF-8", body: []byte("{\"model\":\"test/\xff\"}"), want: errcodes.InvalidJSON},
			{name: "more than one value", body: []byte(`{"model":"test/ok"} {}`), want: errcodes.InvalidJSON},
			{name: "shell patterns, blanks and escapes", body: []byte(`{"*  ?":"\\n\"$(id)` + "`" + `" * }`), want: errcodes.InvalidJSON},
			{name: "no model", body: []byte(`{"input":{"prompt":"a"},"messages":[{"role":"user","content":"a"}]}`), want: errcodes.MissingModel},
			{name: "a model that is no string", body: []byte(`{"model":7,"input":{"prompt":"a"},"messages":[{"role":"user","content":"a"}]}`), want: errcodes.MissingModel},
			{name: "wrong content type", mediaType: "text/plain", want: errcodes.UnsupportedMediaType},
			{name: "one byte too long", body: sized(maxBody + 1), want: errcodes.BodyTooLarge},
			{name: "twice too long", body: sized(2 * maxBody), want: errcodes.BodyTooLarge},

			{name: "unknown model", model: "test/unknown", want: errcodes.ModelNotFound},
			{name: "500", model: "test/error-500", want: errcodes.Internal},
			{name: "503", model: "test/error-503", want: errcodes.Unavailable},
			{name: "504", model: "test/error-504", want: errcodes.Timeout},
			{name: "panic", model: "test/panic", want: errcodes.Internal},
		} {
			c.name, c.path = c.name+at.name, at.path
			all = append(all, c)
		}
	}
	return all
}

// TestCases holds the table against itself: names are distinct, and every condition that the example server can show in the dialects
// of both seeds is asked for.
func TestCases(t *testing.T) {
	names, wanted := map[string]bool{}, map[errcodes.Code]bool{}
	for _, c := range cases() {
		require.False(t, names[c.name], "%q stands twice", c.name)
		names[c.name], wanted[c.want] = true, true
	}
	unasked := []errcodes.Code{
		errcodes.InvalidRequest, // stands for the more precise ones, which are asked for
		errcodes.ClientClosed,   // is never written
		// Documented by neither seed, and no key or model of the example leads to them.
		errcodes.PermissionDenied, errcodes.RequestTimeout, errcodes.Conflict, errcodes.BadGateway, errcodes.Overloaded,
	}
	for _, registry := range []*errcodes.Registry{errcodes.Runbase(), errcodes.RunInfra()} {
		for row := range registry.All() {
			require.NotEqual(t, slices.Contains(unasked, row.Code), wanted[row.Code], "%s of %s", row.Code, registry.Name())
		}
	}
	require.Len(t, sized(maxBody+1), maxBody+1)
	require.True(t, json.Valid(sized(maxBody+1)))
}
