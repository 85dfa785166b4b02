package provider_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registries() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

// start serves the API in the vocabulary of r.
func start(t *testing.T, r *errcodes.Registry) *httptest.Server {
	t.Helper()
	p := &provider.Provider{Errors: &middleware.ErrorWriter{
		Registry: r, Logger: slog.New(slog.DiscardHandler), XAPIKey: true,
	}, Limits: middleware.Timeout{Idle: 50 * time.Millisecond}}
	srv := httptest.NewServer(p.Handler())
	t.Cleanup(func() {
		srv.Client().CloseIdleConnections()
		srv.Close()
	})
	return srv
}

type call struct {
	method, path, key, contentType, body string
	header                               map[string]string
}

func (c call) send(t *testing.T, srv *httptest.Server) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, strings.NewReader(c.body))
	require.NoError(t, err)
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp, string(body)
}

const (
	json8   = "application/json"
	chat    = "/v1/chat/completions"
	good    = "sk-test-good"
	hi      = `"messages":[{"role":"user","content":"Hi"}]`
	okChat  = `{"model":"test/ok",` + hi + `}`
	okImage = `{"model":"test/image","input":{"prompt":"a cat"}}`
)

func post(path, key, body string) call { return call{"POST", path, key, json8, body, nil} }

// Every refusal, in every vocabulary: the status and the spelling are the row's, the request id is in header and
// body, and the message is the row's or more precise.
func TestEveryRefusalInEveryVocabulary(t *testing.T) {
	denied := []errcodes.Code{errcodes.PermissionDenied}
	tests := []struct {
		name string
		call call
		want []errcodes.Code // the first one that the vocabulary has
	}{
		{"invalid json", post(chat, good, `{`), []errcodes.Code{errcodes.InvalidJSON}},
		{"empty body", post(chat, good, ``), []errcodes.Code{errcodes.InvalidJSON}},
		{"not an object", post(chat, good, `[]`), []errcodes.Code{errcodes.InvalidJSON}},
		{"no model", post(chat, good, `{`+hi+`}`), []errcodes.Code{errcodes.MissingModel}},
		{"no messages", post(chat, good, `{"model":"test/ok"}`), []errcodes.Code{errcodes.MissingInput}},
		{"messages of another kind", post(chat, good, `{"model":"test/ok","messages":{}}`), []errcodes.Code{errcodes.MissingInput}},
		{"empty messages", post(chat, good, `{"model":"test/ok","messages":[]}`), []errcodes.Code{errcodes.InvalidInput}},
		{"no content", post(chat, good, `{"model":"test/ok","messages":[{"role":"user"}]}`), []errcodes.Code{errcodes.InvalidInput}},
		{"a role that is none", post(chat, good, `{"model":"test/ok","messages":[{"role":"robot","content":"Hi"}]}`), []errcodes.Code{errcodes.InvalidInput}},
		{"no tokens", post(chat, good, `{"model":"test/ok",`+hi+`,"max_tokens":0}`), []errcodes.Code{errcodes.InvalidInput}},
		{"tokens of another kind", post(chat, good, `{"model":"test/ok",`+hi+`,"max_tokens":"many"}`), []errcodes.Code{errcodes.InvalidInput}},
		{"two limits", post(chat, good, `{"model":"test/ok",`+hi+`,"max_tokens":1,"max_completion_tokens":1}`), []errcodes.Code{errcodes.InvalidRequest}},
		{"unknown model", post(chat, good, `{"model":"gpt-9",`+hi+`}`), []errcodes.Code{errcodes.ModelNotFound}},
		{"model of another endpoint", post(chat, good, `{"model":"test/image",`+hi+`}`), []errcodes.Code{errcodes.ModelNotFound}},
		{"a second model in other case", post(chat, good, `{"model":"gpt-9",`+hi+`,"Model":"test/ok"}`), []errcodes.Code{errcodes.ModelNotFound}},
		{"run, input in other case", post("/api/v1/runs", good, `{"model":"test/image","input":{},"Input":{"prompt":"x"}}`), []errcodes.Code{errcodes.InvalidInput}},
		{"unknown pipeline, no balance", post("/v1/pipe_9/chat/completions", "sk-test-no-balance", okChat), []errcodes.Code{errcodes.PipelineNotFound, errcodes.NotFound}},
		{"not declared as JSON", call{"POST", chat, good, "text/plain", okChat, nil}, []errcodes.Code{errcodes.UnsupportedMediaType}},
		{"too large", post(chat, good, `{"model":"`+strings.Repeat("x", 1<<20)+`"}`), []errcodes.Code{errcodes.BodyTooLarge}},
		{"no key", post(chat, "", okChat), []errcodes.Code{errcodes.MissingAPIKey}},
		{"no key and broken JSON", post(chat, "", `{`), []errcodes.Code{errcodes.MissingAPIKey}},
		{"unknown key", post(chat, "sk-other", okChat), []errcodes.Code{errcodes.InvalidAPIKey}},
		{"wrong scope", post(chat, "sk-test-wrong-scope", okChat), append([]errcodes.Code{errcodes.PipelineScopeMismatch}, denied...)},
		{"plan limit", post(chat, "sk-test-plan-limit", okChat), append([]errcodes.Code{errcodes.PlanLimitExceeded}, denied...)},
		{"no feature", post(chat, "sk-test-no-feature", okChat), append([]errcodes.Code{errcodes.FeatureNotInPlan}, denied...)},
		{"no balance", post(chat, "sk-test-no-balance", okChat), []errcodes.Code{errcodes.InsufficientBalance}},
		{"spend limit", post(chat, "sk-test-spend-limit", okChat), []errcodes.Code{errcodes.APIKeySpendLimitExceeded}},
		{"ip blocked", post(chat, "sk-test-ip-blocked", okChat), []errcodes.Code{errcodes.IPNotAllowed}},
		{"rate limited", post(chat, "sk-test-rate-limited", okChat), []errcodes.Code{errcodes.RateLimited}},
		{"usage exceeded", post(chat, "sk-test-usage-exceeded", okChat), []errcodes.Code{errcodes.UsageExceeded}},
		{"unknown pipeline", post("/v1/pipe_9/chat/completions", good, okChat), []errcodes.Code{errcodes.PipelineNotFound, errcodes.NotFound}},
		{"500", post(chat, good, `{"model":"test/error-500",`+hi+`}`), []errcodes.Code{errcodes.Internal}},
		{"503", post(chat, good, `{"model":"test/error-503",`+hi+`}`), []errcodes.Code{errcodes.Unavailable}},
		{"504", post(chat, good, `{"model":"test/error-504",`+hi+`}`), []errcodes.Code{errcodes.Timeout}},
		{"slow", post(chat, good, `{"model":"test/slow",`+hi+`,"max_tokens":17}`), []errcodes.Code{errcodes.Timeout}},
		{"panic", post(chat, good, `{"model":"test/panic",`+hi+`}`), []errcodes.Code{errcodes.Internal}},
		{"refused before a stream", post(chat, good, `{"model":"test/error-503",`+hi+`,"stream":true}`), []errcodes.Code{errcodes.Unavailable}},
		{"messages, no model", post("/v1/messages", good, `{}`), []errcodes.Code{errcodes.MissingModel}},
		{"messages, 503", post("/v1/messages", good, `{"model":"test/error-503",`+hi+`,"stream":true}`), []errcodes.Code{errcodes.Unavailable}},
		{"messages, key in X-Api-Key", call{"POST", "/v1/messages", "", json8, okChat, map[string]string{"X-Api-Key": "sk-other"}}, []errcodes.Code{errcodes.InvalidAPIKey}},
		{"run, no input", post("/api/v1/runs", good, `{"model":"test/image"}`), []errcodes.Code{errcodes.MissingInput}},
		{"run, prompt of another kind", post("/api/v1/runs", good, `{"model":"test/image","input":{"prompt":1}}`), []errcodes.Code{errcodes.InvalidInput}},
		{"run, no prompt", post("/api/v1/runs", good, `{"model":"test/image","input":{}}`), []errcodes.Code{errcodes.InvalidInput}},
		{"run, model of another endpoint", post("/api/v1/runs", good, `{"model":"test/ok","input":{"prompt":"x"}}`), []errcodes.Code{errcodes.ModelNotFound}},
		{"unknown run", call{"GET", "/api/v1/runs/run_9", good, "", "", nil}, []errcodes.Code{errcodes.RunNotFound}},
		{"unknown path", call{"GET", "/nothing", "", "", "", nil}, []errcodes.Code{errcodes.NotFound}},
		{"wrong method", call{"GET", chat, good, "", "", nil}, []errcodes.Code{errcodes.MethodNotAllowed}},
	}
	for _, r := range registries() {
		t.Run(r.Name(), func(t *testing.T) {
			srv := start(t, r)
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					var row errcodes.Entry
					for _, c := range tt.want {
						var ok bool
						if row, ok = r.Lookup(c); ok {
							break
						}
					}
					require.NotEmpty(t, row.Code)
					resp, body := tt.call.send(t, srv)
					require.Equal(t, row.Status, resp.StatusCode, body)
					got, err := r.Dialect().Decode([]byte(body))
					require.NoError(t, err, body)
					require.Equal(t, row.WireCode(), got.Code, body)
					require.Equal(t, row.Type, got.Type, body)
					require.NotEmpty(t, got.Message)
					require.NotContains(t, body, "\n")
					require.Equal(t, strconv.Itoa(len(body)), resp.Header.Get("Content-Length"))
					require.Regexp(t, `^req_[0-9a-f]{32}$`, resp.Header.Get("X-Request-Id"))
					if r.Dialect().Slots()&errcodes.SlotRequestID != 0 {
						require.Equal(t, resp.Header.Get("X-Request-Id"), got.RequestID)
					}
					if row.Status == 403 {
						require.Equal(t, "500", resp.Header.Get("X-RateLimit-Limit"), "the key is known")
					}
					if row.RetryAfter > 0 {
						require.Equal(t, "1", resp.Header.Get("Retry-After"))
					} else {
						require.Empty(t, resp.Header.Get("Retry-After"))
					}
				})
			}
		})
	}
}

func TestSuccess(t *testing.T) {
	srv := start(t, errcodes.Runbase())
	for name, tt := range map[string]struct {
		call   call
		status int
		member string
		want   any
	}{
		"chat":              {post(chat, good, okChat), 200, "object", "chat.completion"},
		"pipeline":          {post("/v1/pipe_1/chat/completions", good, okChat), 200, "object", "chat.completion"},
		"messages":          {post("/v1/messages", good, okChat), 200, "type", "message"},
		"messages, own key": {call{"POST", "/v1/messages", "", json8, okChat, map[string]string{"X-Api-Key": good}}, 200, "role", "assistant"},
		"other case":        {post(chat, good, `{"model":"test/ok",`+hi+`,"Messages":[],"MAX_TOKENS":0}`), 200, "object", "chat.completion"},
		"slow but short":    {post(chat, good, `{"model":"test/slow",`+hi+`,"max_tokens":16}`), 200, "model", "test/slow"},
		"run":               {post("/api/v1/runs", good, okImage), 201, "status", "queued"},
		"the known run":     {call{"GET", "/api/v1/runs/run_1", good, "", "", nil}, 200, "id", "run_1"},
		"models":            {call{"GET", "/v1/models", good, "", "", nil}, 200, "object", "list"},
		"health":            {call{"GET", "/healthz", "", "", "", nil}, 200, "status", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := tt.call.send(t, srv)
			require.Equal(t, tt.status, resp.StatusCode, body)
			var got map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &got), body)
			require.Equal(t, tt.want, got[tt.member])
			require.Regexp(t, `^req_[0-9a-f]{32}$`, resp.Header.Get("X-Request-Id"))
			if name != "health" {
				require.Equal(t, "500", resp.Header.Get("X-RateLimit-Limit"))
				require.NotEmpty(t, resp.Header.Get("X-RateLimit-Remaining"))
				require.Regexp(t, `^\d{10}$`, resp.Header.Get("X-RateLimit-Reset"))
			}
		})
	}
}

// Of every three requests the first two fail, as the names of the key and of the model say.
func TestBusyAndFlaky(t *testing.T) {
	srv := start(t, errcodes.Runbase())
	for range 2 {
		for _, want := range []int{429, 429, 201} {
			resp, body := post("/api/v1/runs", "sk-test-busy", okImage).send(t, srv)
			require.Equal(t, want, resp.StatusCode, body)
		}
		for _, want := range []int{503, 503, 200} {
			resp, body := post(chat, good, `{"model":"test/flaky-503",`+hi+`}`).send(t, srv)
			require.Equal(t, want, resp.StatusCode, body)
		}
	}
}

func TestAnIdempotencyKeyMakesOneRun(t *testing.T) {
	srv := start(t, errcodes.Runbase())
	create := func(idempotencyKey string) string {
		c := post("/api/v1/runs", good, okImage)
		c.header = map[string]string{"Idempotency-Key": idempotencyKey}
		resp, body := c.send(t, srv)
		require.Equal(t, 201, resp.StatusCode)
		var run provider.Run
		require.NoError(t, json.Unmarshal([]byte(body), &run))
		return run.ID
	}
	first := create("a")
	require.Equal(t, first, create("a"))
	require.NotEqual(t, first, create("b"))
	unkeyed := create("")
	require.NotEqual(t, unkeyed, create(""))
	resp, body := call{"GET", "/api/v1/runs/" + first, good, "", "", nil}.send(t, srv)
	require.Equal(t, 200, resp.StatusCode, body)
	resp, body = call{"GET", "/api/v1/runs/" + first, "sk-test-no-balance", "", "", nil}.send(t, srv)
	require.Equal(t, 404, resp.StatusCode, "a run belongs to an account: %s", body)
}

func TestStreams(t *testing.T) {
	srv := start(t, errcodes.Runbase())
	resp, body := post(chat, good, `{"model":"test/ok",`+hi+`,"stream":true}`).send(t, srv)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(t, 3, strings.Count(body, `"content":`), body)
	require.True(t, strings.HasSuffix(body, "data: [DONE]\n\n"), body)

	resp, body = post("/v1/messages", good, `{"model":"test/slow",`+hi+`,"stream":true}`).send(t, srv)
	require.Equal(t, 200, resp.StatusCode)
	for _, event := range []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"} {
		require.Contains(t, body, "event: "+event+"\ndata: {")
	}
	require.True(t, strings.HasSuffix(body, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), body)
}

// A stream that goes wrong in the middle ends with the error event of its form, and never looks finished.
func TestBrokenStreams(t *testing.T) {
	for _, r := range registries() {
		t.Run(r.Name(), func(t *testing.T) {
			srv := start(t, r)
			for _, model := range []string{"test/stream-error", "test/stream-panic", "test/stream-stall"} {
				resp, body := post(chat, good, `{"model":"`+model+`",`+hi+`,"stream":true}`).send(t, srv)
				require.Equal(t, 200, resp.StatusCode)
				require.Equal(t, 3, strings.Count(body, `"content":`), body)
				require.NotContains(t, body, "[DONE]")
				require.NotContains(t, body, "event:")
				require.NotContains(t, body, "asked for")
				events := strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
				require.True(t, strings.HasPrefix(events[len(events)-1], `data: {"error":{`), body)

				resp, body = post("/v1/messages", good, `{"model":"`+model+`",`+hi+`,"stream":true}`).send(t, srv)
				require.Equal(t, 200, resp.StatusCode)
				require.NotContains(t, body, "message_stop")
				events = strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
				require.True(t, strings.HasPrefix(events[len(events)-1], "event: error\ndata: {\"type\":\"error\","), body)
			}
			// Without a stream these models answer like any other.
			resp, body := post(chat, good, `{"model":"test/stream-error",`+hi+`}`).send(t, srv)
			require.Equal(t, 200, resp.StatusCode, body)
		})
	}
}
