package otelhook

import (
	"net/url"
	"slices"
	"strings"
)

const redacted = "REDACTED"

// secretQuery lists the query parameters whose values never reach a span. Names are compared as they are, since that is how servers read
// them.
var secretQuery = []string{
	// What the semantic conventions list for url.full (v1.43.0).
	"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature",
	// Where inference APIs and their gateways take keys in a query: Gemini, Azure, tokens as RFC 6750 section 2.3 has them.
	"key", "api_key", "api-key", "apikey", "subscription-key", "access_token", "token",
}

// redactor takes credentials out of URLs. The zero value knows secretQuery alone.
type redactor struct {
	more []string
}

func (r redactor) secret(name string) bool {
	return slices.Contains(secretQuery, name) || slices.Contains(r.more, name)
}

// plain reports that nothing in u can be secret but what a path says. It costs nothing.
func plain(u *url.URL) bool {
	return u == nil || u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.RawFragment == "" && u.Opaque == ""
}

// url returns u without credentials: user information, the values of secret query parameters, and the fragment, which is never sent
// and may hold a token.
func (r redactor) url(u *url.URL) string {
	if u == nil {
		return ""
	}
	if plain(u) {
		return u.String()
	}
	c := *u
	c.Fragment, c.RawFragment = "", ""
	if u.User != nil {
		c.User = url.User(redacted)
		if _, has := u.User.Password(); has {
			c.User = url.UserPassword(redacted, redacted)
		}
	}
	c.Opaque = r.opaque(u.Opaque)
	c.RawQuery = r.query(u.RawQuery)
	return c.String()
}

// opaque does the same to what a client puts into Opaque to send a path that net/url would rewrite. It goes out as it is, with a query if it has one.
func (r redactor) opaque(s string) string {
	s, _, _ = strings.Cut(s, "#")
	s, query, has := strings.Cut(s, "?")
	if authority, ok := strings.CutPrefix(s, "//"); ok {
		host, path, rooted := strings.Cut(authority, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			host = redacted + host[at:]
		}
		if s = "//" + host; rooted {
			s += "/" + path
		}
	}
	if has {
		s += "?" + r.query(query)
	}
	return s
}

// query returns a query with the secret values replaced and everything else as it was.
func (r redactor) query(raw string) string {
	if raw == "" {
		return ""
	}
	var b strings.Builder
	for part, sep := range parameters(raw) {
		name, _, has := strings.Cut(part, "=")
		if has && r.secret(unescape(name)) {
			part = name + "=" + redacted
		}
		b.WriteString(part)
		b.WriteString(sep)
	}
	return b.String()
}

// parameters yields the parameters of a query, each with the separator behind it. Not every server agrees that only & is one.
func parameters(raw string) func(yield func(part, sep string) bool) {
	return func(yield func(part, sep string) bool) {
		for raw != "" {
			i := strings.IndexAny(raw, "&;")
			if i < 0 {
				yield(raw, "")
				return
			}
			if !yield(raw[:i], raw[i:i+1]) {
				return
			}
			raw = raw[i+1:]
		}
	}
}

// unescape returns s as a server would read it; s itself where it is not well-formed.
func unescape(s string) string {
	if t, err := url.QueryUnescape(s); err == nil {
		return t
	}
	return s
}
