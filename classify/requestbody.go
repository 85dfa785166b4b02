package classify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
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

func hasBody(req *http.Request) bool { return req.Body != nil && !sameType(http.NoBody, req.Body) }

// sameType reports whether v is of the type T, which may have no name here. To compare http.NoBody itself takes a call.
func sameType[T any](_ T, v any) bool {
	_, ok := v.(T)
	return ok
}

func closeBody(req *http.Request) {
	if req != nil && req.Body != nil {
		req.Body.Close()
	}
}

// memoryBody is the type of the bodies that [http.NewRequest] makes of what is in memory.
var memoryBody = reflect.TypeOf(io.NopCloser(new(bytes.Reader)))

// mayBeForeign is what every call asks before it asks foreign. The body of a request that has a GetBody is taken for one of [http.NewRequest] if it looks like one.
func mayBeForeign(req *http.Request) bool {
	return hasBody(req) && (reflect.TypeOf(req.Body) != memoryBody || req.GetBody == nil)
}

// foreign reports whether the reading of a request's body may fail with an error that looks like one of the connection. net/http returns it as it
// is. What [http.NewRequest] makes of memory does not fail, and a file not like that.
func foreign(body io.ReadCloser) bool {
	if body == nil || body == http.NoBody {
		return false
	}
	if reflect.TypeOf(body) == memoryBody {
		return unsure(body)
	}
	switch body.(type) {
	case *os.File, *markedBody:
		return false
	}
	return true
}

// marked returns req, or a copy of it whose body marks the errors of its own: three allocations.
func marked(req *http.Request) *http.Request {
	if !foreign(req.Body) {
		return req
	}
	out := req.WithContext(req.Context())
	out.Body = &markedBody{rc: req.Body}
	if get := req.GetBody; get != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := get()
			if err == nil && foreign(body) {
				body = &markedBody{rc: body}
			}
			return body, err
		}
	}
	return out
}

// markedBody is the body of a request whose errors can be told from those of the connection.
type markedBody struct {
	rc     io.ReadCloser
	closed atomic.Bool
}

// bodyError is an error of a request's body.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (b *markedBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	if err == nil || err == io.EOF || b.closed.Load() { // net/http knows no other end; behind Close it is no fault of the body
		return n, err
	}
	return n, &bodyError{err}
}

func (b *markedBody) Close() error {
	b.closed.Store(true)
	return b.rc.Close()
}

// ofBody reports whether err is that of the request's body. A Transport further down has judged such an error already.
func ofBody(err error) bool {
	own, ok := errors.AsType[*bodyError](err)
	if !ok {
		return false
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		if of, _ := errors.AsType[*bodyError](inner); of == own {
			return false
		}
	}
	return true
}

// unsure reports whether a body of the type of memoryBody may fail all the same. Not every attempt asks: of one that has a GetBody it is known
// only after a failure, which is taken for the worse then.
func unsure(body io.ReadCloser) bool {
	if body == nil || reflect.TypeOf(body) != memoryBody {
		return false
	}
	switch reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return false
	}
	return true
}
