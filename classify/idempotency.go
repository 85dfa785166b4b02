package classify

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// replayable reports whether the request may be executed twice: RFC 9110 section 9.2.2, or a key.
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	for _, n := range keyNames {
		key, _, blank := keyIn(req.Header, n.canonical)
		if _, rewritten := req.Header[n.canonical]; key != "" && (rewritten || !blank) {
			return true // a server that looks at the first value sees no blank one; see once
		}
	}
	return false
}

// keyIn returns the key that a header holds under a name in whatever spelling, whether it has the name at all, and whether it has blank values, which are
// no key. The canonical spelling goes first.
func keyIn(h http.Header, canonical string) (key string, found, blank bool) {
	spelled := canonical
	for name, values := range h {
		if len(name) != len(canonical) || !strings.EqualFold(name, canonical) {
			continue
		}
		found = true
		first := ""
		for _, v := range values {
			if strings.Trim(v, " \t") == "" {
				blank = true
			} else if first == "" {
				first = v
			}
		}
		if first != "" && (key == "" || name == canonical || spelled != canonical && name < spelled) {
			key, spelled = first, name
		}
	}
	return key, found, blank
}

// withoutKey removes the name in every spelling.
func withoutKey(h http.Header, canonical string) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.EqualFold(name, canonical) })
}

// keyed returns a copy of req with a fresh Idempotency-Key, or with the one that stood among blank values if that is not stale.
func keyed(req *http.Request, stale string) *http.Request {
	r := req.WithContext(req.Context())
	r.Header = req.Header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header, 1)
	}
	own := true
	for _, n := range keyNames {
		key, _, _ := keyIn(r.Header, n.canonical)
		withoutKey(r.Header, n.canonical)
		if key != "" && key != stale { // among blank ones
			r.Header[n.canonical], own = []string{key}, false
		}
	}
	if own {
		r.Header.Set("Idempotency-Key", rand.Text())
	}
	return r
}

// once returns req, or a copy of it that net/http does not send a second time on its own after it may have been executed. It would, on a
// connection of HTTP/1 that turns out to be dead, for every request with an Idempotency-Key that has no body or one that it can read again:
// nobody would count that attempt, or wait before it. The retry is for the caller of RoundTrip to make. What it takes for not processed, such as a
// stream of HTTP/2 behind a GOAWAY, it may go on to send again: for that the body stays one that can be read again. See resender.
func once(req *http.Request) *http.Request {
	if !resends(req) {
		return req
	}
	out := req.WithContext(req.Context())
	// net/http looks for the canonical name alone. Servers take any case, and HTTP/2 sends lower case anyway.
	out.Header = maps.Clone(req.Header)
	for _, n := range keyNames {
		key, found, _ := keyIn(out.Header, n.canonical)
		if !found {
			continue
		}
		withoutKey(out.Header, n.canonical)
		if key != "" {
			out.Header[n.lower] = []string{key} // one: a server would take two for a list
		}
	}
	if get := req.GetBody; get != nil {
		r := &resender{ctx: req.Context(), cancel: req.Cancel, get: get} //nolint:staticcheck // http.Client.Timeout still sets it
		out = out.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaderField: r.wrote}))
		out.GetBody = r.body
	}
	return out
}

const (
	// perAttempt is how often net/http sends a request within one attempt, as often as it sends a stream that is refused again and again over one
	// connection.
	perAttempt = 8
	// resendWait is how long the second resend waits, and each further one twice as long as the one before.
	resendWait = 50 * time.Millisecond
)

var errResent = errors.New("classify: net/http has sent the request " + strconv.Itoa(perAttempt) + " times within one attempt, and is to leave it at that")

// resender gives net/http the body of a request with a key once more. Over HTTP/2 net/http takes PROTOCOL_ERROR for a refusal, which may come behind
// the work, and then sends over one new connection after the other, without a pause and without an end. What it was refused for it keeps to itself.
//
// So a stream that had begun is followed by the next one at once, then after a growing pause, and by no more than perAttempt. net/http asks for a body
// in cases in which it has sent nothing as well, which count for nothing: a connection that is full, or one of HTTP/1 that turns out to be dead.
type resender struct {
	ctx    context.Context
	cancel <-chan struct{}
	get    func() (io.ReadCloser, error)

	sending atomic.Bool  // the present stream has begun
	sent    atomic.Int32 // those before it that had
}

// wrote learns that a stream begins: only HTTP/2 has such a field.
func (r *resender) wrote(field string, _ []string) {
	if field == ":method" {
		r.sending.Store(true)
	}
}

// body is the GetBody of the request.
func (r *resender) body() (io.ReadCloser, error) {
	if r.sending.Swap(false) {
		n := r.sent.Add(1)
		if n >= perAttempt {
			return nil, errResent
		}
		if n > 1 {
			wait := resendWait << (n - 2)
			if !sleep(r.ctx, r.cancel, wait+mathrand.N(wait)) { //nolint:gosec // those who were refused together are not to come together
				return nil, ctxError(r.ctx)
			}
		}
	}
	body, err := r.get()
	if err == nil && body == nil {
		err = errNoBody // on which net/http would panic
	}
	return body, err
}

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
