package classify

import (
	"bytes"
	"compress/gzip"
	"io"
)

// plain returns body uncompressed, as far as it goes, if it is a gzip stream: a client that asks for
// compression itself gets it raw, and some servers compress unasked.
func plain(body []byte) []byte {
	if len(body) < 3 || body[0] != 0x1f || body[1] != 0x8b || body[2] != 8 {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	out, _ := io.ReadAll(io.LimitReader(z, defaultBodyLimit)) // a stream that was cut gives what came through
	return out
}
