package middleware

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/errwire/errwire/errcodes"
)

// Who can lie: the caller writes the whole header. A key is taken from one header line in one form and in no other place, so that
// what is checked here is what anything behind it sees. Keys never reach a log, an error or an answer. To tell callers apart by time,
// somebody would have to see a difference between an unknown key and a known one: see Keys.

// maxKey bounds a key, in bytes. Tokens that carry claims reach a few thousand.
const maxKey = 8 << 10

var errNoCheck = errors.New("middleware: Authenticate was given no check")

// Authenticate returns a middleware that lets a request pass when check accepts its API key. The key is the token of one Authorization header
// with the scheme Bearer, in any case (RFC 6750 section 2.1); where [ErrorWriter.XAPIKey] or the dialect allows it, that of one X-Api-Key
// header when there is no such token. No key, a bare scheme, two header lines and any other form are MissingAPIKey, and check does not run.
//
// check returns the context for what follows, such as one that carries the account; nil keeps that of r. Its error is written as by
// [ErrorWriter.WriteError], so it says which refusal is meant: &errcodes.Error{Code: errcodes.InvalidAPIKey} for an unknown key, and an error of
// its own store stays Internal. check runs concurrently. A nil check refuses every key as Internal.
//
// Place it right inside of Wrap, before anything of the request is looked at that tells a stranger more than that a key is missing.
//
// CORS preflights pass without a key, because browsers send none with them: OPTIONS with Origin and Access-Control-Request-Method. Let no
// handler of OPTIONS do more than answer them.
func (ew *ErrorWriter) Authenticate(check func(r *http.Request, key string) (context.Context, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isPreflight(r) {
				next.ServeHTTP(w, r)
				return
			}
			key := apiKey(r.Header, ew.XAPIKey || ew.speaksAnthropic(r))
			if key == "" {
				ew.WriteError(w, r, &errcodes.Error{Code: errcodes.MissingAPIKey})
				return
			}
			if len(key) > maxKey {
				ew.WriteError(w, r, &errcodes.Error{Code: errcodes.InvalidAPIKey})
				return
			}
			if check == nil {
				ew.WriteError(w, r, errNoCheck)
				return
			}
			ctx, err := check(r, key)
			if err != nil {
				ew.WriteError(w, r, err)
				return
			}
			if ctx != nil && ctx != r.Context() {
				outer := r
				r = r.WithContext(ctx) //nolint:contextcheck // check was given the request and its context.
				defer handOut(r, outer)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// isPreflight reports whether r is a CORS preflight (Fetch standard, section 3.2.2).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

// apiKey returns the key in h, "" for none that is usable.
func apiKey(h http.Header, x bool) string {
	if lines := h["Authorization"]; len(lines) == 1 {
		if key := bearer(lines[0]); key != "" {
			return key
		}
	}
	if lines := h["X-Api-Key"]; x && len(lines) == 1 && len(h["Authorization"]) <= 1 && isKey(lines[0]) {
		return lines[0]
	}
	return ""
}

// bearer returns the token of a Bearer credential, "" for anything else.
func bearer(s string) string {
	scheme, token, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	token = strings.Trim(token, " ")
	if !isKey(token) {
		return ""
	}
	return token
}

// isKey reports whether s is one word of visible ASCII.
func isKey(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
