package classify

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// replayable reports whether the request may be executed twice: RFC 9110 section 9.2.2, or a key.
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if req.Header.Get(name) != "" {
			return true
		}
		if v := req.Header[strings.ToLower(name)]; len(v) > 0 && v[0] != "" {
			return true // a Transport further out made it so; see once
		}
	}
	return false
}

// keyed returns a copy of req with a fresh Idempotency-Key.
func keyed(req *http.Request) *http.Request {
	r := req.WithContext(req.Context())
	r.Header = req.Header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header, 1)
	}
	r.Header.Set("Idempotency-Key", rand.Text())
	return r
}

// once returns req, or a copy of it that net/http does not send a second time on its own. It would, on a connection that
// turns out to be dead, for every request with an Idempotency-Key that has no body or one that it can read again: nobody would count that
// attempt, or wait before it. The retry is for the caller of RoundTrip to make.
func once(req *http.Request) *http.Request {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return req // these it sends again with or without a key, and the work is not done twice
	}
	body := hasBody(req)
	if body && req.GetBody == nil || !hasKey(req.Header) {
		return req
	}
	out := req.WithContext(req.Context())
	if body {
		out.GetBody = nil
		return out
	}
	// net/http looks for the canonical name alone. Servers take any case, and HTTP/2 sends lower case anyway.
	out.Header = maps.Clone(req.Header)
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := out.Header[name]; ok {
			lower := strings.ToLower(name)
			out.Header[lower] = slices.Concat(out.Header[lower], v)
			delete(out.Header, name)
		}
	}
	return out
}

// hasKey reports whether net/http takes a request for one that may be executed twice because of its header.
func hasKey(h http.Header) bool {
	if _, ok := h["Idempotency-Key"]; ok {
		return true
	}
	_, ok := h["X-Idempotency-Key"]
	return ok
}
