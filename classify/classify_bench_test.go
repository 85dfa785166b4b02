package classify

import (
	"net/http"
	"strings"
	"testing"

	"github.com/errwire/errwire/errcodes"
)

func BenchmarkBody(b *testing.B) {
	c := &Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}}
	h := http.Header{
		"Content-Type": {"application/json"}, "Date": {"Thu, 01 Jan 2026 00:00:00 GMT"}, "Content-Length": {"85"},
		"X-Request-Id": {"req_01"}, "Retry-After": {"2"}, "Server": {"x"}, "Vary": {"Origin"},
	}
	bare := http.Header{"Content-Type": {"application/json"}}
	long := `{"error":{"message":"` + strings.Repeat("Something went wrong in the part of the service that nobody has heard of, ", 26) +
		`sorry.","type":"mysterious_error","param":null,"code":null}}`
	for _, bb := range []struct {
		name   string
		status int
		h      http.Header
		body   string
	}{
		{"registry code", 429, bare, `{"error":{"message":"Too many requests.","code":"RATE_LIMITED"}}`},
		{"registry code with headers", 429, h, `{"error":{"message":"Too many requests.","code":"RATE_LIMITED"}}`},
		{"known code", 400, bare, `{"error":{"message":"Too long.","type":"invalid_request_error","code":"context_length_exceeded"}}`},
		{"unknown 2 KB", 400, h, long},
		{"page 2 KB", 502, h, "<html><head><title>502 Bad Gateway</title></head><body>" + strings.Repeat("<p>Something went wrong</p>\n", 70)},
	} {
		body := []byte(bb.body)
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := c.Body(bb.status, bb.h, body); d.Rule == "" {
					b.Fatal("no rule")
				}
			}
		})
	}
}
