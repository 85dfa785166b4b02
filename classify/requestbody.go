package classify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
		req.Body.Close()
		err = fmt.Errorf("its ContentLength is %d, and it has %d bytes", declared, len(kept))
		if int64(len(kept)) > declared {
			err = fmt.Errorf("its ContentLength is %d, and it has more bytes", declared)
		}
	}
	if err != nil {
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

// readBody reads at most bound bytes of the body of req, for as long as its caller waits for the answer, and closes the body if that fails. A body
// that cannot be interrupted is left to a goroutine, which ends with the read it is in, at the latest when the body is closed.
func readBody(req *http.Request, bound int64) ([]byte, error) {
	ctx, canceled := req.Context(), req.Cancel //nolint:staticcheck // http.Client.Timeout still sets it for RoundTrippers it does not know
	if ctx.Err() != nil {
		req.Body.Close()
		return nil, ctxError(ctx)
	}
	body, room := io.LimitReader(req.Body, bound), max(min(req.ContentLength, maxDeclared), 0)
	if ctx.Done() == nil && canceled == nil {
		r := readAll(body, room)
		return r.whole(req.Body)
	}
	done := make(chan readResult, 1)
	go func() { done <- readAll(body, room) }()
	select {
	case r := <-done:
		return r.whole(req.Body)
	case <-ctx.Done():
	case <-canceled:
	}
	go req.Body.Close() // which may wait for the read: that of a server's request does
	return nil, ctxError(ctx)
}

// readResult is what reading a body came to.
type readResult struct {
	read     []byte
	err      error
	panicked *panicked
}

// whole returns what was read. If that is not the whole body it closes it; and if the body panicked, so does this, where the caller can recover.
func (r *readResult) whole(body io.Closer) ([]byte, error) {
	if r.err != nil || r.panicked != nil {
		body.Close() //nolint:errcheck // it failed before
	}
	r.panicked.again()
	return r.read, r.err
}

// readAll reads r to its end, which is expected after size bytes, 0 for unknown.
func readAll(r io.Reader, size int64) (result readResult) {
	defer func() {
		if v := recover(); v != nil {
			result.panicked = &panicked{v}
		}
	}()
	var buf bytes.Buffer
	if size > 0 {
		buf.Grow(int(size) + bytes.MinRead) // room for the read that meets the end
	}
	_, err := buf.ReadFrom(r)
	return readResult{read: buf.Bytes(), err: err}
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

// mayBeForeign is what every call asks before it asks foreign, which is dearer. A body is taken for one that [http.NewRequest] made of memory if it looks like
// one in all that can be had for nothing.
func mayBeForeign(req *http.Request) bool {
	return hasBody(req) && (reflect.TypeOf(req.Body) != memoryBody || req.GetBody == nil || req.ContentLength <= 0)
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

// ofBody reports whether err is that of the request's body: marked, or one of reading a file, which no connection has. A Transport further down has
// judged such an error already.
func ofBody(err error) bool {
	own, marked := errors.AsType[*bodyError](err)
	file, ok := errors.AsType[*fs.PathError](err)
	if !marked && (!ok || file.Op != "read") {
		return false
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		of, within := errors.AsType[*bodyError](inner)
		if marked {
			return of != own
		}
		ofFile, withinFile := errors.AsType[*fs.PathError](inner)
		return !within && (!withinFile || ofFile != file)
	}
	return true
}

// unsure reports whether a body of the type of memoryBody may fail all the same. A first attempt that mayBeForeign let pass does not ask before it fails, and
// then what failed is taken for the worse.
func unsure(body io.ReadCloser) bool {
	if body == nil || reflect.TypeOf(body) != memoryBody {
		return false
	}
	switch reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader, *os.File:
		return false
	}
	return true
}
