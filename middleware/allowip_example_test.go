package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// Behind a proxy at 10.0.0.1, the address that the proxy saw counts, and nothing that the caller wrote before it.
func ExampleErrorWriter_AllowIP() {
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler)}
	h := ew.AllowIP(middleware.IPRules{
		Allow:          []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))

	for _, forwarded := range []string{"198.51.100.7", "198.51.100.7, 203.0.113.9"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:4711"
		r.Header.Set("X-Forwarded-For", forwarded)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 403
}

func ExampleClientAddr() {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "192.0.2.1:4711"
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	fmt.Println(middleware.ClientAddr(r, nil))
	// Output: 192.0.2.1 <nil>
}
