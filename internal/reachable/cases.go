package reachable

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// ending is how a request ends for its caller.
type ending uint8

const (
	answered ending = iota // with an error
	passed                 // with what the handler wrote
	aborted                // with a broken connection
	gone                   // without the caller
)

// reachable is one error on the wire.
type reachable struct {
	name         string
	method, path string
	body         func() io.Reader
	length       int64 // Content-Length, if it is not to be seen from the body
	header       []string
	ends         ending
	code         errcodes.Code // what the answer has to mean
	param        string
	status       int    // of an answer that passes
	answer       string // of one that passes, or the half of one that is aborted
	wait         string // Retry-After, if it is not that of the row
	check        func(t *testing.T, res *http.Response)
}

// Body returns a valid body of exactly n bytes for POST /runs.
func Body(n int) string {
	const begin, end = `{"model":"test/ok","input":{},"pad":"`, `"}`
	return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
}

func text(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }

// unsized hides the length of a body, so that it is sent in chunks.
func unsized(s string) func() io.Reader {
	return func() io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
}

// cases returns the table. Beyond what is common to all, every row of the registry is reached.
func cases(reg *errcodes.Registry) []reachable {
	const post, get = http.MethodPost, http.MethodGet
	good := []string{"Authorization", "Bearer sk-good", "Content-Type", "application/json"}
	bearer := func(key string) []string { return []string{"Authorization", key, "Content-Type", "application/json"} }
	run := func(name, body string, code errcodes.Code, param string) reachable {
		return reachable{name: name, method: post, path: "/runs", body: text(body), header: good, code: code, param: param}
	}
	created := func(name string, body func() io.Reader) reachable {
		return reachable{name: name, method: post, path: "/runs", body: body, header: good, ends: passed, status: http.StatusCreated, answer: "{}"}
	}
	tooLarge := func(name string, body func() io.Reader) reachable {
		return reachable{name: name, method: post, path: "/runs", body: body, header: good, code: errcodes.BodyTooLarge}
	}
	list := []reachable{
		// The body.
		run("bad JSON", `{"model":`, errcodes.InvalidJSON, ""),
		run("no body", ``, errcodes.InvalidJSON, ""),
		run("not an object", `[]`, errcodes.InvalidJSON, ""),
		run("not UTF-8", "{\"model\":\"\xff\"}", errcodes.InvalidJSON, ""),
		run("no model", `{"input":{}}`, errcodes.MissingModel, "model"),
		run("model of another kind", `{"model":7,"input":{}}`, errcodes.MissingModel, "model"),
		run("no input", `{"model":"test/ok"}`, errcodes.MissingInput, "input"),
		run("input of another kind", `{"model":"test/ok","input":[]}`, errcodes.MissingInput, "input"),
		run("invalid input", `{"model":"test/invalid","input":{}}`, errcodes.InvalidInput, "input.prompt"),
		run("no such model", `{"model":"x","input":{}}`, errcodes.ModelNotFound, "model"),
		created("one byte below the limit", text(Body(BodyLimit-1))),
		created("at the limit", text(Body(BodyLimit))),
		tooLarge("one byte beyond the limit", text(Body(BodyLimit+1))),
		tooLarge("8 MiB", text(Body(8<<20))),
		created("one byte below the limit, in chunks", unsized(Body(BodyLimit-1))),
		created("at the limit, in chunks", unsized(Body(BodyLimit))),
		tooLarge("one byte beyond the limit, in chunks", unsized(Body(BodyLimit+1))),
		tooLarge("8 MiB in chunks", unsized(Body(8<<20))),
		{name: "MaxBytesReader", method: post, path: "/max-bytes", body: text("more than ten bytes"), code: errcodes.BodyTooLarge},
		{name: "wrong content type", method: post, path: "/runs", body: text(`{}`),
			header: []string{"Authorization", "Bearer sk-good", "Content-Type", "text/plain"}, code: errcodes.UnsupportedMediaType},
		{name: "no content type", method: post, path: "/runs", body: text(`{}`),
			header: []string{"Authorization", "Bearer sk-good"}, code: errcodes.UnsupportedMediaType},
		{name: "body that stops coming", method: post, path: "/slow-body", header: good, length: 100, code: errcodes.RequestTimeout,
			body: func() io.Reader { return &half{Reader: strings.NewReader(`{"model":`), closed: make(chan struct{})} }},

		{name: "chat without a model", method: post, path: "/chat", body: text(`{"messages":[]}`), header: good, code: errcodes.MissingModel, param: "model"},
		{name: "chat without messages", method: post, path: "/chat", body: text(`{"model":"m","messages":{}}`), header: good,
			code: errcodes.MissingInput, param: "messages"},
		{name: "chat without balance", method: post, path: "/chat", body: text(`{"model":"m","messages":[]}`), header: good, code: errcodes.InsufficientBalance},

		// The key and the address.
		{name: "no key and bad JSON", method: post, path: "/runs", body: text(`{`), code: errcodes.MissingAPIKey},
		{name: "bare scheme", method: post, path: "/runs", header: bearer("Bearer"), code: errcodes.MissingAPIKey},
		{name: "another scheme", method: post, path: "/runs", header: bearer("Basic c2stZ29vZA=="), code: errcodes.MissingAPIKey},
		{name: "wrong key", method: post, path: "/runs", header: bearer("bearer sk-bad"), code: errcodes.InvalidAPIKey},
		{name: "address", method: get, path: "/ip", code: errcodes.IPNotAllowed},

		// The route.
		{name: "no route", method: get, path: "/none", code: errcodes.NotFound},
		{name: "no route, POST", method: post, path: "/runs/none", body: text(`{}`), code: errcodes.NotFound},
		{name: "no method", method: get, path: "/runs", code: errcodes.MethodNotAllowed, check: allow},
		// chi says nothing of Allow for a method that it has never heard of.
		{name: "no such method", method: "BREW", path: "/runs", code: errcodes.MethodNotAllowed},

		// Limits.
		{name: "rate", method: post, path: "/rate", header: good, code: errcodes.RateLimited, wait: "2", check: rated},
		{name: "shed", method: post, path: "/shed", code: errcodes.Unavailable},
		{name: "no first byte", method: post, path: "/late", code: errcodes.Timeout},
		{name: "no first byte, with a body", method: post, path: "/late", body: text("{}"), code: errcodes.Timeout},
		{name: "not finished", method: post, path: "/late-total", code: errcodes.Timeout},
		{name: "deadline", method: get, path: "/deadline", code: errcodes.Timeout},
		{name: "http.TimeoutHandler", method: get, path: "/timeout-handler", code: errcodes.Unavailable},

		// What handlers do.
		{name: "panic", method: get, path: "/panic", code: errcodes.Internal},
		{name: "panic on POST", method: post, path: "/panic", code: errcodes.Internal},
		{name: "http.Error", method: get, path: "/text", code: errcodes.PermissionDenied},
		{name: "bare status", method: get, path: "/bare", code: errcodes.Conflict},
		{name: "unknown code", method: get, path: "/fail/no_such_code", code: errcodes.Internal},
		{name: "foreign error", method: post, path: "/foreign", code: errcodes.Internal},
		{name: "stale headers", method: get, path: "/stale", code: errcodes.RunNotFound, check: fresh},
		{name: "nothing", method: get, path: "/nothing", ends: passed, status: http.StatusOK},
		{name: "panic after the first byte", method: post, path: "/panic-late", ends: aborted, answer: halfAnswer, code: errcodes.Internal},
		{name: "error after the first byte", method: post, path: "/error-late", ends: aborted, answer: halfAnswer, code: errcodes.Internal},
		{name: "http.ErrAbortHandler", method: post, path: "/abort", ends: aborted},
		{name: "caller gone", method: post, path: "/gone", ends: gone},
		{name: "caller gone, with a body", method: post, path: "/gone", body: text("{}"), ends: gone},
	}
	for row := range reg.All() {
		if row.Code == errcodes.ClientClosed {
			continue // is never written
		}
		list = append(list, reachable{name: string(row.Code), method: post, path: "/fail/" + string(row.Code), code: row.Code})
	}
	return list
}

func allow(t *testing.T, res *http.Response) {
	t.Helper()
	require.Equal(t, "POST", res.Header.Get("Allow"))
}

func rated(t *testing.T, res *http.Response) {
	t.Helper()
	require.Equal(t, "500", res.Header.Get("X-RateLimit-Limit"))
	require.Equal(t, "0", res.Header.Get("X-RateLimit-Remaining"))
	require.Equal(t, "2000000000", res.Header.Get("X-RateLimit-Reset"))
}

func fresh(t *testing.T, res *http.Response) {
	t.Helper()
	require.Equal(t, "yes", res.Header.Get("X-Kept"))
	for _, k := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		require.Empty(t, res.Header.Get(k), k)
	}
}

// retryAfter says what the Retry-After of an answer must be. Like vetoed, it is written down from the providers' tables and not derived from
// the code under test.
func retryAfter(code errcodes.Code) string {
	switch code {
	case errcodes.RateLimited, errcodes.Unavailable, errcodes.Overloaded:
		return "1"
	default:
		return ""
	}
}

// vetoed says which answers must carry X-Should-Retry: false.
func vetoed(registry, method string, code errcodes.Code) bool {
	switch code {
	case errcodes.UsageExceeded, errcodes.Conflict, errcodes.CreditBalanceExhausted, errcodes.OrganizationSpendLimitExceeded,
		errcodes.ProjectSpendLimitExceeded, errcodes.OrganizationUsageLimitExceeded:
		return true
	case errcodes.Timeout:
		return registry == "runinfra" || registry == "runbase" && method == http.MethodPost
	case errcodes.Internal, errcodes.BadGateway:
		return registry == "runbase" && method == http.MethodPost
	default:
		return false
	}
}
