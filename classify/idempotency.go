package classify

import (
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
)

// replayable reports whether the request may be executed twice: RFC 9110 section 9.2.2, or a key.
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	for _, n := range keyNames {
		if req.Header.Get(n.canonical) != "" {
			return true
		}
		if v := req.Header[n.lower]; len(v) > 0 && v[0] != "" {
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

// once returns req, or a copy of it that net/http does not send a second time on its own after it may have been executed. It would, on a
// connection of HTTP/1 that turns out to be dead, for every request with an Idempotency-Key that has no body or one that it can read again:
// nobody would count that attempt, or wait before it. The retry is for the caller of RoundTrip to make. What it takes for not processed, such as a
// stream of HTTP/2 behind a GOAWAY, it may go on to send again, once: for that the body stays one that can be read again.
func once(req *http.Request) *http.Request {
	if !resends(req) {
		return req
	}
	out := req.WithContext(req.Context())
	// net/http looks for the canonical name alone. Servers take any case, and HTTP/2 sends lower case anyway.
	out.Header = maps.Clone(req.Header)
	for _, n := range keyNames {
		v, ok := out.Header[n.canonical]
		if !ok {
			continue
		}
		delete(out.Header, n.canonical)
		if others := out.Header[n.lower]; len(others) > 0 {
			v = slices.Concat(others, v)
		}
		out.Header[n.lower] = v
	}
	if get := out.GetBody; get != nil {
		// Over HTTP/2 net/http takes PROTOCOL_ERROR for a refusal too, which may come behind the work, and sends as often as it is met.
		var asked atomic.Int32
		out.GetBody = func() (io.ReadCloser, error) {
			if asked.Add(1) > perResend {
				return nil, errResent
			}
			return get()
		}
	}
	return out
}

// perResend is how often net/http asks for the body to send a request once more over a new connection: for the stream, and for the connection.
const perResend = 2

var errResent = errors.New("classify: net/http has sent the request again once, and is to leave it at that")

// keyNames are the headers by which net/http knows a request with a key, and what it does not know them by.
var keyNames = [...]struct{ canonical, lower string }{{"Idempotency-Key", "idempotency-key"}, {"X-Idempotency-Key", "x-idempotency-key"}}

// resends reports whether net/http sends a request again by itself because of a key. Every attempt asks, so that what is dear to know, whether there
// is a key, comes last.
func resends(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false // these it sends again with or without a key, and the work is not done twice
	}
	return len(req.Header) > 0 && (req.GetBody != nil || !hasBody(req)) && hasKey(req.Header)
}

// hasKey reports whether net/http takes a request for one that may be executed twice because of its header.
func hasKey(h http.Header) bool {
	if _, ok := h["Idempotency-Key"]; ok {
		return true
	}
	_, ok := h["X-Idempotency-Key"]
	return ok
}
