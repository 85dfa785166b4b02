package otelhook

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedactURL(t *testing.T) {
	r := redactor{more: []string{"mine"}}
	for _, tt := range []struct{ in, out string }{
		{"http://api.test", "http://api.test"},
		{"https://api.test:8443/v1/models?limit=3&after=a%20b", "https://api.test:8443/v1/models?limit=3&after=a%20b"},
		{"http://user@api.test/", "http://REDACTED@api.test/"},
		{"http://user:@api.test/", "http://REDACTED:REDACTED@api.test/"},
		{"http://:pass@api.test/", "http://REDACTED:REDACTED@api.test/"},
		{"http://api.test/?sig=a%2Bb&x=1", "http://api.test/?sig=REDACTED&x=1"},
		{"http://api.test/?%73ig=abc", "http://api.test/?%73ig=REDACTED"},
		{"http://api.test/?sig=a&sig=b", "http://api.test/?sig=REDACTED&sig=REDACTED"},
		{"http://api.test/?sig=a=b", "http://api.test/?sig=REDACTED"},
		{"http://api.test/?sig=", "http://api.test/?sig=REDACTED"},
		{"http://api.test/?sig", "http://api.test/?sig"},
		{"http://api.test/?x=1;sig=abc;y=2", "http://api.test/?x=1;sig=REDACTED;y=2"},
		{"http://api.test/?Sig=abc&SIG=abc&signature=abc", "http://api.test/?Sig=abc&SIG=abc&signature=abc"},
		{"http://api.test/?x=sig=abc", "http://api.test/?x=sig=abc"},
		{"http://api.test/?mine=abc&yours=abc", "http://api.test/?mine=REDACTED&yours=abc"},
		{"http://api.test/?%zz=1&sig=abc", "http://api.test/?%zz=1&sig=REDACTED"},
		{"http://api.test/?&&sig=abc&", "http://api.test/?&&sig=REDACTED&"},
		{"http://api.test/#access_token=abc", "http://api.test/"},
		{"http://api.test/v1beta/models/gemini:generateContent?key=AIza", "http://api.test/v1beta/models/gemini:generateContent?key=REDACTED"},
	} {
		u, err := url.Parse(tt.in)
		require.NoError(t, err, tt.in)
		before := *u
		require.Equal(t, tt.out, r.url(u))
		require.Equal(t, before, *u, "the URL was changed")
		if plain(u) {
			require.Equal(t, u.String(), tt.out)
		}
	}
	require.Empty(t, r.url(nil))
	// A client may set Opaque to send a path that net/url would rewrite.
	require.Equal(t, "http://REDACTED@api.test/a%2Fb", r.url(&url.URL{Scheme: "http", Host: "api.test", Opaque: "//user:pass@api.test/a%2Fb"}))
	for opaque, want := range map[string]string{
		"//api.test/a":                       "http://api.test/a?sig=REDACTED",
		"//user:pass@api.test":               "http://REDACTED@api.test?sig=REDACTED",
		"//user@api.test/":                   "http://REDACTED@api.test/?sig=REDACTED",
		"//api.test/a?key=abc&x=1#token=abc": "http://api.test/a?key=REDACTED&x=1?sig=REDACTED",
		"/a?key=abc":                         "http:/a?key=REDACTED?sig=REDACTED",
	} {
		require.Equal(t, want, r.url(&url.URL{Scheme: "http", Host: "api.test", Opaque: opaque, RawQuery: "sig=1"}))
	}
}

// Whatever the query is, nothing that a server would take for the value of a secret parameter is left, and the rest is.
func FuzzRedactQuery(f *testing.F) {
	for _, seed := range []string{"", "sig=abc", "a=1&sig=abc;b=2", "%73ig=abc", "sig", "=", "&&", "sig=%zz", "a=sig=b", "\xff=1&key=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var r redactor
		got := r.query(raw)
		require.Equal(t, strings.Count(raw, "&"), strings.Count(got, "&"))
		require.Equal(t, strings.Count(raw, ";"), strings.Count(got, ";"))
		before, _ := url.ParseQuery(raw) // without what is not well-formed
		after, _ := url.ParseQuery(got)
		for name, values := range after {
			for _, v := range values {
				if r.secret(name) && v != "" {
					require.Equal(t, redacted, v)
				}
			}
		}
		for name, values := range before {
			if !r.secret(name) {
				require.Equal(t, values, after[name])
			}
		}
		require.Equal(t, got, r.query(got), "a second time changes nothing")
	})
}
