package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestClientAddr(t *testing.T) {
	proxies := prefixes("10.0.0.0/8", "fd00::/8")
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string // "" for an error
	}{
		{"direct", "192.0.2.1:1234", nil, nil, "192.0.2.1"},
		{"direct, IPv6", "[2001:db8::1]:1234", nil, nil, "2001:db8::1"},
		{"mapped", "[::ffff:192.0.2.1]:1234", nil, nil, "192.0.2.1"},
		{"zone", "[fe80::1%eth0]:1", nil, nil, "fe80::1"},
		{"header without a trusted proxy", "192.0.2.1:1", []string{"198.51.100.7"}, nil, "192.0.2.1"},
		{"header from an untrusted address", "192.0.2.1:1", []string{"198.51.100.7"}, proxies, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.7"}, proxies, "198.51.100.7"},
		{"what the caller wrote is to the left", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.7"}, proxies, "198.51.100.7"},
		{"two proxies", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.7 ,10.9.9.9"}, proxies, "198.51.100.7"},
		{"two lines", "10.0.0.1:1", []string{"203.0.113.9,198.51.100.7", "10.9.9.9"}, proxies, "198.51.100.7"},
		{"the caller adds a line", "10.0.0.1:1", []string{"192.0.2.66", "198.51.100.7"}, proxies, "198.51.100.7"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.7:99"}, proxies, "198.51.100.7"},
		{"IPv6 with a port", "[fd00::1]:1", []string{"[2001:db8::1]:99"}, proxies, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8::1]"}, proxies, "2001:db8::1"},
		{"only proxies", "10.0.0.1:1", []string{"10.1.1.1, 10.2.2.2"}, proxies, "10.1.1.1"},
		{"no header", "10.0.0.1:1", nil, proxies, "10.0.0.1"},
		{"a word", "10.0.0.1:1", []string{"unknown"}, proxies, ""},
		{"empty", "10.0.0.1:1", []string{""}, proxies, ""},
		{"empty element", "10.0.0.1:1", []string{"198.51.100.7, "}, proxies, ""},
		{"a word to the left is not looked at", "10.0.0.1:1", []string{"unknown, 198.51.100.7"}, proxies, "198.51.100.7"},
		{"too many", "10.0.0.1:1", []string{strings.Repeat("10.0.0.2,", 40) + "10.0.0.2"}, proxies, ""},
		{"mapped hop", "[::ffff:10.0.0.1]:1", []string{"203.0.113.9, ::ffff:198.51.100.7, ::ffff:10.0.0.2"}, proxies, "198.51.100.7"},
		{"IPv6 over several hops", "[fd00::1]:1", []string{"2001:db8::bad, 2001:db8::1", "fd00::2, [fd00::3]:443"}, proxies, "2001:db8::1"},
		{"the caller claims to be a proxy", "198.51.100.7:1", []string{"192.0.2.1, 10.0.0.2"}, proxies, "198.51.100.7"},
		{"the caller claims proxies behind it", "10.0.0.1:1", []string{"192.0.2.1, 10.0.0.9, 198.51.100.7"}, proxies, "198.51.100.7"},
		{"zone in the header", "[fd00::1]:1", []string{"2001:db8::bad, fe80::1%eth0"}, proxies, "fe80::1"},
		{"zone that names a proxy", "[fd00::1]:1", []string{"2001:db8::bad, fe80::1%fd00::2"}, proxies, "fe80::1"},
		{"zone on a proxy", "[fd00::1%eth0]:1", []string{"2001:db8::1, fd00::2%eth1"}, proxies, "2001:db8::1"},
		{"zone without a name", "[fd00::1]:1", []string{"fe80::1%"}, proxies, ""},
		{"leading zeros", "10.0.0.1:1", []string{"010.0.0.1"}, proxies, ""},
		{"a number for an address", "10.0.0.1:1", []string{"3232235521"}, proxies, ""},
		{"Unix socket", "@", nil, proxies, ""},
		{"nothing", "", nil, proxies, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.remote
			r.Header["X-Forwarded-For"] = c.forwarded
			got, err := middleware.ClientAddr(r, c.trusted)
			if c.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got.String())
		})
	}
}

func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.7, 10.0.0.2")
	f.Add("[::ffff:10.0.0.1]:1", "[2001:db8::1]:99")
	trusted := prefixes("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", forwarded)
		got, err := middleware.ClientAddr(r, trusted)
		if err != nil {
			return
		}
		require.True(t, got.IsValid())
		direct, err := middleware.ClientAddr(r, nil)
		require.NoError(t, err)
		if !trusted[0].Contains(direct) {
			require.Equal(t, direct, got, "the header of a stranger must not count")
		}
	})
}

func TestAllowIP(t *testing.T) {
	ew := quiet(errcodes.Runbase())
	none := []netip.Prefix{}
	for _, c := range []struct {
		name  string
		rules middleware.IPRules
		want  int
	}{
		{"no list", middleware.IPRules{}, 200},
		{"empty list", middleware.IPRules{Allow: none}, 403},
		{"in the list", middleware.IPRules{Allow: prefixes("203.0.113.0/24", "192.0.2.1/32")}, 200},
		{"not in the list", middleware.IPRules{Allow: prefixes("203.0.113.0/24")}, 403},
		{"the request has a list", middleware.IPRules{
			Allow: none, AllowFor: func(*http.Request) []netip.Prefix { return prefixes("192.0.2.0/24") },
		}, 200},
		{"the request has none", middleware.IPRules{
			Allow: none, AllowFor: func(*http.Request) []netip.Prefix { return nil },
		}, 403},
		{"the request has an empty one", middleware.IPRules{AllowFor: func(*http.Request) []netip.Prefix { return none }}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = "192.0.2.1:1234"
			w := httptest.NewRecorder()
			ew.AllowIP(c.rules)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			require.Equal(t, c.want, w.Code)
			require.NotContains(t, w.Body.String(), "192.0.2.1")
		})
	}
}
