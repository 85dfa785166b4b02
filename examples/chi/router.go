package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
)

// router returns the API of p on a chi router.
func router(p *provider.Provider) http.Handler {
	errs := p.Errors
	r := chi.NewRouter()
	// Outermost, so that whatever follows, chi's own answers included, has a request id and the provider's shape.
	r.Use(errs.Wrap)
	// Wrap would shape chi's plain answers too. Naming the condition lets handlers of your own take part.
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		errs.WriteError(w, r, &errcodes.Error{Code: errcodes.NotFound})
	})
	r.Method(http.MethodGet, "/healthz", errs.Handler(p.Healthz))
	r.Group(func(r chi.Router) {
		r.Use(errs.Authenticate(p.Authenticate), p.CheckAccount)
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
