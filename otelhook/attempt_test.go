package otelhook

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPortOf(t *testing.T) {
	for in, want := range map[string]int{
		"http://a.test": 80, "https://a.test/x": 443, "https://a.test:8443": 8443, "http://[::1]:8080": 8080, "http://[::1]": 80,
		"unix:///socket": 0, "http://a.test:99999": 80, "": 0,
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, want, portOf(u), in)
	}
}

func TestProtocolOf(t *testing.T) {
	for want, v := range map[string][2]int{"": {0, 0}, "1.0": {1, 0}, "1.1": {1, 1}, "2": {2, 0}, "3": {3, 0}} {
		require.Equal(t, want, protocolOf(&http.Response{ProtoMajor: v[0], ProtoMinor: v[1]}))
	}
}

func TestMethodOf(t *testing.T) {
	for method, want := range map[string]string{"GET": "GET", "QUERY": "QUERY", "get": "_OTHER", "BREW": "_OTHER", "": "_OTHER"} {
		kv, known := methodOf(method)
		require.Equal(t, want, kv.Value.AsString())
		require.Equal(t, want != "_OTHER", known)
	}
}
