package classify

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// refusedUnsent reports whether err, of the kind that rule names, is how net/http refuses to send such a request: with an error of its text alone. So this is
// for errors of which nothing else is known. A base of another kind may well know other schemes, or complete the URL. Some faults show with the connection
// in hand; then the error may say no more than that it was closed here.
func refusedUnsent(base http.RoundTripper, req *http.Request, rule string, err error) bool {
	switch {
	case rule == netUnknown.rule:
		_, plain := base.(*http.Transport)
		return plain && !addressed(req) || !sendable(req) || !writable(req)
	case errors.Is(err, net.ErrClosed):
		return !writable(req)
	}
	return false
}

// addressed reports whether net/http knows where to send the request.
func addressed(req *http.Request) bool {
	return req.URL != nil && req.URL.Host != "" && (req.URL.Scheme == "http" || req.URL.Scheme == "https")
}

// sendable reports whether net/http looks for a connection for a request of such a method and header.
func sendable(req *http.Request) bool {
	return req.Header != nil && (req.Method == "" || isHTTPToken(req.Method)) && sendableFields(req.Header) && sendableFields(req.Trailer)
}

// writable reports whether net/http puts the request on a connection.
func writable(req *http.Request) bool {
	return (req.Body != nil || req.ContentLength == 0) && (req.URL == nil || !strings.ContainsFunc(req.URL.RequestURI(), isControl))
}

// sendableFields reports whether names and values are those of RFC 9110 section 5. A key that was read from a file together with the end of its line is not.
func sendableFields(h http.Header) bool {
	for name, values := range h {
		if !isHTTPToken(name) {
			return false
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r != '\t' && isControl(r) }) {
				return false
			}
		}
	}
	return true
}

// isHTTPToken reports whether s is a token of RFC 9110 section 5.6.2.
func isHTTPToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
