package classify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
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

// memoryBody is the type of the bodies that [http.NewRequest] makes of what is in memory.
var memoryBody = reflect.TypeOf(io.NopCloser(new(bytes.Reader)))

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
