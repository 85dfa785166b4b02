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

// redactor takes credentials out of URLs and texts. The zero value knows secretQuery alone.
type redactor struct {
	more []string
}

func (r redactor) secret(name string) bool {
	return slices.Contains(secretQuery, name) || slices.Contains(r.more, name)
}

// url returns u without credentials: user information, the values of secret query parameters, and the fragment, which is never sent
// and may hold a token.
func (r redactor) url(u *url.URL) string {
	if u == nil {
		return ""
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.Opaque == "" {
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
	if authority, ok := strings.CutPrefix(u.Opaque, "//"); ok {
		host, path, _ := strings.Cut(authority, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			c.Opaque = strings.TrimSuffix("//"+redacted+host[at:]+"/"+path, "/")
		}
	}
	c.RawQuery = r.query(u.RawQuery)
	return c.String()
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

// text returns s, the text of an error, without the credentials of the URLs that it may name, bounded in length.
func (r redactor) text(s string, urls ...*url.URL) string {
	for _, u := range urls {
		for _, secret := range r.secrets(u) {
			s = strings.ReplaceAll(s, secret, redacted)
		}
	}
	return bounded(s)
}

// secrets returns the credentials in u, in every spelling in which an error may repeat them, long ones first, so that none is cut by another.
func (r redactor) secrets(u *url.URL) []string {
	if u == nil {
		return nil
	}
	var found []string
	if u.User != nil {
		password, _ := u.User.Password()
		found = append(found, u.User.String(), u.User.Username(), password, url.PathEscape(password))
	}
	for part := range parameters(u.RawQuery) {
		if name, value, has := strings.Cut(part, "="); has && r.secret(unescape(name)) {
			found = append(found, value, unescape(value))
		}
	}
	found = slices.DeleteFunc(found, func(s string) bool { return s == "" })
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return found
}
