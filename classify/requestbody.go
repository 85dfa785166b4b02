package classify

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// buffered returns a copy of req whose body, which has no GetBody, can be sent again if it is no longer than limit. A
// longer one is sent once, as it comes.
func buffered(req *http.Request, limit int64) (*http.Request, error) {
	if req.ContentLength > limit {
		return req, nil
	}
	var buf bytes.Buffer
	if req.ContentLength > 0 {
		buf.Grow(int(req.ContentLength) + bytes.MinRead) // room for the read that meets the end
	}
	_, err := buf.ReadFrom(io.LimitReader(req.Body, limit+1))
	if err != nil {
		req.Body.Close()
		return req, fmt.Errorf("reading the request body: %w", err)
	}
	out := req.WithContext(req.Context())
	kept := buf.Bytes()
	if int64(len(kept)) > limit {
		out.Body = &prefixedBody{io.MultiReader(bytes.NewReader(kept), req.Body), req.Body}
		return out, nil
	}
	req.Body.Close()
	if out.ContentLength <= 0 {
		out.ContentLength = int64(len(kept)) // it was unknown
	}
	if len(kept) == 0 {
		out.Body, out.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return out, nil
	}
	out.Body = io.NopCloser(bytes.NewReader(kept))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	return out, nil
}

// prefixedBody is a body of which the beginning was read ahead.
type prefixedBody struct {
	io.Reader
	io.Closer
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeBody(req *http.Request) {
	if req != nil && req.Body != nil {
		req.Body.Close()
	}
}
