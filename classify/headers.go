package classify

import (
	"net/http"
	"slices"
	"strings"
)

// headerNames is what the names of the headers of a response promise, so that nobody looks for what is not there. The
// headers are gone through only where the usual ones do not have the answer.
type headerNames struct {
	read                              bool
	waits, limits, shouldRetry, codes bool

	// request and trace are the headers whose names end in request-id and in trace-id, of several the plainest and the first in the order of
	// the alphabet, because the order on the wire is lost; edge is the first of edgeTags, len(edgeTags) for none.
	request, trace string
	edge           int
}

// readNames goes through the headers, once.
func (f *facts) readNames() *headerNames {
	if !f.names.read {
		f.names = namesOf(f.header)
	}
	return &f.names
}

func namesOf(h http.Header) headerNames {
	n := headerNames{read: true, edge: len(edgeTags)}
	for name := range h {
		switch name {
		case "Content-Type", "Content-Length", "Date", "Server", "Connection", "Vary", "Cache-Control", "X-Request-Id", "Request-Id":
		case "Retry-After", "Retry-After-Ms", "X-Ms-Retry-After-Ms", "X-Retry-After":
			n.waits = true
		case "X-Should-Retry":
			n.shouldRetry = true
		case "X-Amzn-Errortype", ":exception-type", "X-Vercel-Error", "X-Amz-Function-Error", "Cf-Mitigated":
			n.codes = true
		default:
			n.waits = n.waits || containsFold(name, "retry-after")
			n.limits = n.limits || containsFold(name, "limit")
			n.id(name)
		}
	}
	return n
}

// id notes a header that may hold an id.
func (n *headerNames) id(name string) {
	size := len(name)
	if size < 6 {
		return
	}
	switch name[size-1] | 0x20 {
	case 'd', 'y', 'f', 't':
		if i := slices.Index(edgeTags[:], name); i >= 0 {
			n.edge = min(n.edge, i)
			return
		}
	}
	if name[size-1]|0x20 != 'd' || name[size-2]|0x20 != 'i' {
		return
	}
	switch {
	case hasSuffixFold(name, "request-id"), hasSuffixFold(name, "requestid"), hasSuffixFold(name, "req-id"):
		if !containsFold(name, "client") && (n.request == "" || plainer(name, n.request)) {
			n.request = name
		}
	case hasSuffixFold(name, "trace-id"):
		if n.trace == "" || name < n.trace {
			n.trace = name
		}
	}
}

// header returns the first value of the header of that canonical name.
func header(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return cut(strings.TrimSpace(v[0]), 1<<10)
	}
	return ""
}

// named returns the value of the header of that name, "" for no name.
func (f *facts) named(name string) string {
	if name == "" {
		return ""
	}
	return header(f.header, name)
}

// readHeaders reads the code that stands in a header.
func (f *facts) readHeaders() {
	if f.names.read && !f.names.codes {
		return
	}
	if f.code == "" {
		name := header(f.header, "X-Amzn-Errortype")
		if name != "" {
			name, _, _ = strings.Cut(name, ":")
		} else if name = f.exceptionType(); name == "" {
			name = header(f.header, "X-Vercel-Error")
		}
		f.word(name)
		f.code = name
	}
	if f.status < 400 && header(f.header, "X-Amz-Function-Error") != "" {
		f.failed = true
	}
}

// exceptionType is a header of AWS event streams; its name is not one that net/http would make canonical.
func (f *facts) exceptionType() string {
	if v := f.header[":exception-type"]; len(v) > 0 {
		return v[0]
	}
	return ""
}
