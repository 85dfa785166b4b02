package classify

import (
	"slices"
	"strings"
)

// requestIDOf returns the id to quote to the provider, "" for none. The order, from the provider's own to the
// edge's: the two usual headers, other headers that end in request-id, the body, headers that end in
// trace-id, the text, the edge's tags.
func (f *facts) requestIDOf() string {
	if id := header(f.header, "X-Request-Id"); id != "" {
		return id
	}
	if id := header(f.header, "Request-Id"); id != "" {
		return id
	}
	n := f.readNames()
	if id := firstOf(f.named(n.request), f.requestID, f.named(n.trace)); id != "" {
		return id
	}
	for _, s := range f.sentences[:f.nsent] {
		if id := idInText(s); id != "" {
			return id
		}
	}
	if id := idInText(f.pageText); id != "" {
		return id
	}
	if n.edge > 0 && f.rayID != "" {
		return f.rayID
	}
	if n.edge < len(edgeTags) {
		return header(f.header, edgeTags[n.edge])
	}
	return f.rayID
}

// edgeTags are the headers by which edges know a request, the first of several counts.
var edgeTags = [...]string{"Cf-Ray", "X-Azure-Ref", "X-Vercel-Id", "X-Cloud-Trace-Context", "X-Amz-Cf-Id"}

// plainer reports whether name is more likely to be the request id's than other: X-Ms-Request-Id is, against
// X-Ms-Correlation-Request-Id and X-Arequestid.
func plainer(name, other string) bool {
	a, b := hasSuffixFold(name, "request-id"), hasSuffixFold(other, "request-id")
	switch {
	case a != b:
		return a
	case len(name) != len(other):
		return len(name) < len(other)
	}
	return name < other
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// idInText returns the request id that prose names: behind "request id", else behind "ref:", else on a line
// that begins with "ID:". The id of a Cloudflare ray is the last resort.
func idInText(s string) string {
	s = cut(s, maxPage)
	ref, line, ray := "", "", ""
	for i := range len(s) {
		c := s[i] | 0x20
		if c != 'r' && c != 'i' || i > 0 && isWordByte(s[i-1]) {
			continue
		}
		at := s[i:]
		if c == 'i' {
			if line == "" && hasPrefixFold(at, "id:") && strings.Trim(s[strings.LastIndexByte(s[:i], '\n')+1:i], " \t\r") == "" {
				line = idAt(at[2:])
			}
			continue
		}
		if len(at) < 4 || at[1]|0x20 != 'e' && at[1]|0x20 != 'a' {
			continue
		}
		if at[2]|0x20 == 'q' {
			if rest, ok := afterRequestID(at); ok {
				if id := idAt(rest); id != "" {
					return id
				}
			}
			continue
		}
		switch {
		case ref == "" && (hasPrefixFold(at, "ref:") || hasPrefixFold(at, "ref ")):
			ref = idAt(at[len("ref"):])
		case ref == "" && hasPrefixFold(at, "reference id"):
			ref = idAt(at[len("reference id"):])
		case ray == "" && hasPrefixFold(at, "ray id:"):
			ray = idAt(at[len("ray id"):])
		}
	}
	return firstOf(ref, line, ray)
}

// afterRequestID returns what follows "request id" at the beginning of s, however it is joined, or "req id".
func afterRequestID(s string) (string, bool) {
	const request, req, id = "request", "req", "id"
	switch {
	case hasPrefixFold(s, request):
		s = s[len(request):]
	case hasPrefixFold(s, req):
		s = s[len(req):]
	}
	if s != "" && (s[0] == ' ' || s[0] == '-' || s[0] == '_') {
		s = s[1:]
	}
	if !hasPrefixFold(s, id) {
		return "", false
	}
	s = s[len(id):]
	return s, s == "" || !isWordByte(s[0])
}

// idAt returns the id at the beginning of s. Without a colon before it, a word is an id only if it has a digit.
func idAt(s string) string {
	rest := strings.TrimLeft(s, " \t")
	colon := false
	for _, lead := range [...]string{"is", ":", "=", "#"} {
		if t, ok := strings.CutPrefix(rest, lead); ok && (lead != "is" || strings.HasPrefix(t, " ")) {
			rest, colon = strings.TrimLeft(t, " \t"), colon || lead != "is"
		}
	}
	rest = strings.TrimLeft(rest, "\"'`[(*<")
	end := 0
	for end < len(rest) && (isWordByte(rest[end]) || strings.IndexByte("-:.=+/@~", rest[end]) >= 0) {
		end++
	}
	id := strings.TrimRight(rest[:end], ".:")
	if len(id) < 4 || len(id) > maxRequestID || !colon && !slices.ContainsFunc([]byte(id), isDigit) {
		return ""
	}
	return id
}

// codeInText returns the word behind "code:" in plain text.
func codeInText(s string) string {
	s = cut(s, maxPage)
	for at := 0; ; {
		i := indexFold(s[at:], "code:")
		if i < 0 {
			return ""
		}
		at += i + len("code:")
		if before := at - len("code:"); before > 0 && isWordByte(s[before-1]) {
			continue
		}
		rest := strings.TrimLeft(s[at:], " \t\"'")
		end := 0
		for end < len(rest) && (isWordByte(rest[end]) || rest[end] == '-' || rest[end] == '.') {
			end++
		}
		if word := strings.TrimRight(rest[:end], ".-"); word != "" && len(word) <= 64 {
			return word
		}
	}
}

// statusInText returns the HTTP status that text names beside the word code or status, as gateways write
// it: "Error code: 503 - ...", "status code 429", "HTTP 502".
func statusInText(s string) (int, bool) {
	s = cut(s, maxProse)
	for i := 0; i+3 <= len(s); i++ {
		if s[i] != '4' && s[i] != '5' || !isDigit(s[i+1]) || !isDigit(s[i+2]) {
			continue
		}
		if i+3 < len(s) && (isWordByte(s[i+3]) || s[i+3] == '.' && i+4 < len(s) && isDigit(s[i+4])) {
			continue
		}
		before := strings.TrimRight(s[:i], " :=(\"'#")
		for _, word := range [...]string{"error code", "status code", "statuscode", "status_code", "status", "http", "http error", "http status"} {
			if len(before) < i && hasSuffixFold(before, word) {
				return int(s[i]-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0'), true
			}
		}
	}
	return 0, false
}
