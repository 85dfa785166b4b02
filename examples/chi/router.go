package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

// router returns the API of p on a chi router. Requests of a key count against limiter.
func router(p *provider.Provider, limiter middleware.Limiter, tr *tracing) http.Handler {
	errs := p.Errors
	r := chi.NewRouter()
	// The span, then Wrap, so that whatever follows, chi's own answers included, has a request id and the provider's shape. Both stand in the
	// router rather than around it: chi sets the route on a copy of the request, which nobody around it sees.
	r.Use(tr.handler, errs.Wrap)
	// Wrap would shape chi's plain answers too. Naming the condition lets handlers of your own take part. Not for MethodNotAllowed: only chi's own
	// answer says in Allow which methods there are.
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		errs.WriteError(w, r, &errcodes.Error{Code: errcodes.NotFound})
	})
	r.Method(http.MethodGet, "/healthz", errs.Handler(p.Healthz))
	r.Group(func(r chi.Router) {
		// A key that may not work at all does not use up its rate; from here on the headers say what the limiter counts.
		r.Use(errs.Authenticate(p.Authenticate), p.CheckAccount, errs.LimitRate(middleware.RateRules{Limiter: limiter}))
		r.Method(http.MethodGet, "/v1/models", errs.Handler(p.Models))
		r.With(p.CheckRunBody, p.Bound).Method(http.MethodPost, "/api/v1/runs", errs.Handler(p.CreateRun))
		r.Method(http.MethodGet, "/api/v1/runs/{id}", errs.Handler(p.GetRun))
		r.Group(func(r chi.Router) {
			r.Use(p.CheckChatBody, p.Bound)
			r.Method(http.MethodPost, "/v1/messages", errs.Handler(p.Messages))
			r.Method(http.MethodPost, "/v1/chat/completions", errs.Handler(p.Chat))
			r.Method(http.MethodPost, "/v1/{pipelineId}/chat/completions", errs.Handler(p.Chat))
		})
	})
	return r
}
