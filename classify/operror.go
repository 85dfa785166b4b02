package classify

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/errwire/errwire/errcodes"
)

// rulePermanent is the rule of a failure that the operation of [Do] called final. It replaces the retry rule, not the class.
const rulePermanent = "operation: permanent"

// opUnknown is the kind of an error of an operation that shows nothing of a network: an answer that cannot be decoded, a fault of the program.
var opUnknown = netKind{"operation: other", errcodes.ClassUnknown, errcodes.RetryNever, MaybeExecuted, "The operation itself failed: its error says why."}

// ofTransport reports whether an error that kindOf knows nothing about comes of a transport all the same. The kind of the error says it, never its text.
func ofTransport(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e == nil {
		return false // a fault of the program, although it is a net.Error
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Op != "parse" // of url.Parse, and not of an http.Client
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return false // a file, although the errno in it is a net.Error
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return false // a bound that the program set
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return madeByTransport(err)
}

// madeByTransport reports whether the tree of err has an error whose type belongs to an implementation of HTTP, such as the one for a GOAWAY of
// HTTP/2, which meets whoever reads a body, and is not exported.
func madeByTransport(err error) bool {
	return inTree(err, func(err error) bool {
		t := reflect.TypeOf(err)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		for _, path := range [...]string{"net", "net/http", "net/textproto", "crypto/tls", "golang.org/x/net/http2"} {
			if at := strings.TrimPrefix(t.PkgPath(), "vendor/"); at == path || strings.HasPrefix(at, path+"/internal/") {
				return true
			}
		}
		return false
	})
}

// inTree reports whether is holds for an error in the tree of err.
func inTree(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch w := err.(type) { //nolint:errorlint // this is the walk itself
	case interface{ Unwrap() error }:
		return inTree(w.Unwrap(), is)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(w.Unwrap(), func(err error) bool { return inTree(err, is) })
	}
	return false
}
