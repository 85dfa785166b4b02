package provider

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// maxBody bounds request bodies: 1 MiB.
const maxBody = 1 << 20

// Provider is the API and its state. Errors must be set; the rest starts empty. A Provider must not
// be copied after first use.
type Provider struct {
	// Errors writes what the handlers refuse.
	Errors *middleware.ErrorWriter
	// Limits bounds the requests that reach a model; the zero value means 30 s until the first byte, 2 s of silence in a
	// stream, 60 s in all.
	Limits middleware.Timeout

	turns  turns
	limit  sync.Once // sets the quota of rates
	rates  middleware.LocalLimiter
	ledger ledger
}

// Handler returns the whole API on a net/http ServeMux.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range p.Routes() {
		mux.Handle(pattern, h)
	}
	return p.Errors.Wrap(mux)
}

// Routes returns the handlers by ServeMux pattern, each behind the checks that it needs. What Wrap does is not
// part of them.
func (p *Provider) Routes() map[string]http.Handler {
	key := func(h http.Handler) http.Handler { return p.Errors.Authenticate(p.Authenticate)(p.CheckAccount(h)) }
	chat := key(p.CheckChatBody(p.Bound(p.Errors.Handler(p.Chat))))
	return map[string]http.Handler{
		"POST /v1/chat/completions":              chat,
		"POST /v1/{pipelineId}/chat/completions": chat,
		"POST /v1/messages":                      key(p.CheckChatBody(p.Bound(p.Errors.Handler(p.Messages)))),
		"POST /api/v1/runs":                      key(p.CheckRunBody(p.Bound(p.Errors.Handler(p.CreateRun)))),
		"GET /api/v1/runs/{id}":                  key(p.Errors.Handler(p.GetRun)),
		"GET /v1/models":                         key(p.Errors.Handler(p.Models)),
		"GET /healthz":                           p.Errors.Handler(p.Healthz),
	}
}

// CheckChatBody is a middleware for bodies with a model and messages.
func (p *Provider) CheckChatBody(next http.Handler) http.Handler {
	return p.Errors.RequireJSON(middleware.JSONRules{Limit: maxBody, Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString, Code: errcodes.MissingModel},
		{
			Name: "messages", Kind: middleware.JSONArray, Code: errcodes.MissingInput,
			Message: "The messages field is missing or not an array.",
		},
	}})(next)
}

// CheckRunBody is a middleware for bodies with a model and an input.
func (p *Provider) CheckRunBody(next http.Handler) http.Handler {
	return p.Errors.RequireJSON(middleware.JSONRules{Limit: maxBody, Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString, Code: errcodes.MissingModel},
		{Name: "input", Kind: middleware.JSONObject, Code: errcodes.MissingInput},
	}})(next)
}

// Bound is a middleware that bounds the time of the work.
func (p *Provider) Bound(next http.Handler) http.Handler {
	limits := p.Limits
	if limits == (middleware.Timeout{}) {
		limits = middleware.Timeout{FirstByte: 30 * time.Second, Idle: 2 * time.Second, Total: time.Minute}
	}
	return p.Errors.Timeout(limits)(next)
}

// newID returns a new id with that prefix.
func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
