package classify

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
)

// maxDeclared bounds the room that is made for a body because of the length that it is said to have.
const maxDeclared = 16 << 20

// buffered returns a copy of req whose body, which has no GetBody, can be sent again if it is no longer than limit. A
// longer one is sent once, as it comes. On an error the body is closed.
func buffered(req *http.Request, limit int64) (*http.Request, error) {
	declared := req.ContentLength
	if declared > limit {
		return req, nil
	}
	bound := limit
	if declared > 0 {
		bound = declared
	}
	if bound < math.MaxInt64 {
		bound++ // what is longer shows in one byte more
	}
	kept, err := readBody(req, bound)
	if err == nil && declared > 0 && int64(len(kept)) != declared {
		// As net/http has it. Otherwise a body that was read before would go out as an empty one.
		err = fmt.Errorf("its ContentLength is %d, and it has %d bytes", declared, len(kept))
		if int64(len(kept)) > declared {
			err = fmt.Errorf("its ContentLength is %d, and it has more bytes", declared)
		}
	}
	if err != nil {
		req.Body.Close()
		return req, fmt.Errorf("reading the request body: %w", err)
	}
	out := req.WithContext(req.Context())
	if int64(len(kept)) > limit {
		out.Body = &prefixedBody{io.MultiReader(bytes.NewReader(kept), req.Body), req.Body}
		return out, nil
	}
	req.Body.Close()
	switch {
	case declared > 0:
	case len(req.Trailer) > 0:
		out.ContentLength = -1 // HTTP/1.1 has trailers behind chunks only; reading the body has filled them in
	default:
		out.ContentLength = int64(len(kept))
	}
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	if out.ContentLength == 0 {
		out.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	out.Body, err = out.GetBody()
	return out, err
}

// readBody reads at most bound bytes of the body of req, for as long as its caller waits for the answer. A body that cannot be interrupted is left to
// a goroutine, which ends with the read it is in, at the latest when the body is closed.
func readBody(req *http.Request, bound int64) ([]byte, error) {
	ctx, canceled := req.Context(), req.Cancel //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
	if ctx.Err() != nil {
		return nil, ctxError(ctx)
	}
	body, room := io.LimitReader(req.Body, bound), max(min(req.ContentLength, maxDeclared), 0)
	if ctx.Done() == nil && canceled == nil {
		return readAll(body, room)
	}
	type result struct {
		read []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		read, err := readAll(body, room)
		done <- result{read, err}
	}()
	select {
	case r := <-done:
		return r.read, r.err
	case <-ctx.Done():
	case <-canceled:
	}
	return nil, ctxError(ctx)
}

// readAll reads r to its end, which is expected after size bytes, 0 for unknown.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var buf bytes.Buffer
	if size > 0 {
		buf.Grow(int(size) + bytes.MinRead) // room for the read that meets the end
	}
	_, err := buf.ReadFrom(r)
	return buf.Bytes(), err
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
