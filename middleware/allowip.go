package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/errwire/errwire/errcodes"
)

// Who can lie: RemoteAddr is the other end of the TCP connection and cannot be forged across the internet. X-Forwarded-For is text;
// each proxy appends the address it saw, and what stands to the left of the last trusted proxy's word was written by anybody. So the
// header is read from the right, only as far as trusted proxies vouch for it, and only when the connection comes from one.

// IPRules says which addresses may use a route or a key. The zero value allows every address.
type IPRules struct {
	// Allow lists the networks that may pass; nil is no list, so that all may, and an empty list allows nobody. An
	// IPv4 address that arrives mapped into IPv6 counts as IPv4.
	Allow []netip.Prefix
	// AllowFor returns the list of a request, such as that of its key; nil, or a nil list, means Allow. It runs concurrently and finds in
	// the context what [ErrorWriter.Authenticate] put there.
	AllowFor func(*http.Request) []netip.Prefix
	// TrustedProxies lists the networks of your own proxies, which append to X-Forwarded-For. None means that the header is not looked at.
	TrustedProxies []netip.Prefix
}

// AllowIP returns a middleware that answers IPNotAllowed unless the address of the caller is in the list. An address that cannot be told, as
// of a Unix socket or of a malformed X-Forwarded-For, is in no list. Place it inside of authentication where the lists belong to keys.
func (ew *ErrorWriter) AllowIP(rules IPRules) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			allow := rules.Allow
			if rules.AllowFor != nil {
				if list := rules.AllowFor(r); list != nil {
					allow = list
				}
			}
			if allow != nil {
				if err := permit(r, allow, rules.TrustedProxies); err != nil {
					ew.WriteError(w, r, &errcodes.Error{Code: errcodes.IPNotAllowed, Err: err})
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

func permit(r *http.Request, allow, trusted []netip.Prefix) error {
	addr, err := ClientAddr(r, trusted)
	if err != nil {
		return err
	}
	if !contains(allow, addr) {
		return fmt.Errorf("middleware: address %s is not in the list", addr)
	}
	return nil
}

const maxHops = 32

var (
	errRemoteAddr   = errors.New("middleware: the remote address of the connection is not an IP address")
	errForwardedFor = errors.New("middleware: X-Forwarded-For does not lead to an address")
)

// ClientAddr returns the address of the caller of r. It is that of the connection, unless this is one of the trusted networks: then
// it is the last address in X-Forwarded-For that is not of a trusted network, or the first of all if they all are. It fails if what it has
// to rely on is no address, or if the header names more than 32.
func ClientAddr(r *http.Request, trusted []netip.Prefix) (netip.Addr, error) {
	addr, ok := parseAddr(r.RemoteAddr)
	if !ok {
		return netip.Addr{}, errRemoteAddr
	}
	lines := r.Header["X-Forwarded-For"]
	if len(lines) == 0 || !contains(trusted, addr) {
		return addr, nil
	}
	hops := 0
	for _, rest := range slices.Backward(lines) {
		for {
			comma := strings.LastIndexByte(rest, ',')
			addr, ok = parseAddr(strings.Trim(rest[comma+1:], " \t"))
			if hops++; !ok || hops > maxHops {
				return netip.Addr{}, errForwardedFor
			}
			if !contains(trusted, addr) {
				return addr, nil
			}
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return addr, nil
}

// parseAddr reads an address with or without a port. Zones are dropped, mapped IPv4 becomes IPv4.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.WithZone("").Unmap(), true
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
