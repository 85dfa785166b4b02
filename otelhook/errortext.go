package otelhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/errwire/errwire/classify"
)

// errNoResponse stands for a base that breaks the contract of RoundTripper.
var errNoResponse = errors.New("the base RoundTripper returned neither a response nor an error")

// fixedTexts are the texts of errors that are the same whatever was sent and received. A text that is in here is told, of whatever type the error is,
// because it says nothing but what stands here.
var fixedTexts = textSet(
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrNoProgress, context.Canceled, context.DeadlineExceeded,
	net.ErrClosed, os.ErrDeadlineExceeded, fs.ErrNotExist, fs.ErrPermission, fs.ErrClosed,
	http.ErrBodyReadAfterClose, http.ErrSchemeMismatch, http.ErrSkipAltProtocol, http.ErrNotSupported, http.ErrLineTooLong, errNoResponse,
	// Those of net/http that have no name outside of it, as of Go 1.26.
	errors.New("http: server closed idle connection"),
	errors.New("http: CloseIdleConnections called"),
	errors.New("http: idle connection timeout"),
	errors.New("http: persistConn.readLoop exiting"),
	errors.New("http: read on closed response body"),
	errors.New("http: concurrent read on response body"),
	errors.New("http: unexpected EOF reading trailer"),
	errors.New("net/http: TLS handshake timeout"),
	errors.New("net/http: timeout awaiting response headers"),
	errors.New("net/http: request canceled"),
	errors.New("net/http: request canceled while waiting for connection"),
	errors.New("net/http: cannot rewind body after connection loss"),
	errors.New("net/http: server replied with more than declared Content-Length; truncated"),
	errors.New("http2: client conn is closed"),
	errors.New("http2: client conn not usable"),
	errors.New("http2: client conn could not be established"),
	errors.New("http2: client connection force closed via ClientConn.Close"),
	errors.New("http2: client connection lost"),
	errors.New("http2: no cached connection was available"),
	errors.New("http2: response body closed"),
	errors.New("http2: timeout awaiting response headers"),
	errors.New("http2: Transport received Server's graceful shutdown GOAWAY"),
	errors.New("malformed chunked encoding"),
	errors.New("invalid byte in chunk length"),
	errors.New("http chunk length too large"),
	errors.New("classify: the base RoundTripper returned neither a response nor an error"),
)

func textSet(errs ...error) map[string]bool {
	set := make(map[string]bool, len(errs))
	for _, err := range errs {
		set[err.Error()] = true
	}
	return set
}

// maxDepth bounds how far an error is taken apart.
const maxDepth = 10

// errorText returns what may be told of err, an error of a transport or of an operation. Its own text may repeat what a server said (net/http quotes an
// answer that is no HTTP), or what the caller sent. So the text is put together anew from what is known to be neither: the parts of errors of the standard
// library whose meaning is fixed, the addresses of the connection, and the type of any other.
func errorText(r redactor, err error) string { return bounded(r.errorText(err, maxDepth)) }

func (r redactor) errorText(err error, depth int) string {
	if err == nil || depth == 0 {
		return ""
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return typeName(err)
	}
	if text := err.Error(); fixedTexts[text] {
		return text
	}
	inner := func(err error) string { return r.errorText(err, depth-1) }
	//nolint:errorlint // each layer is told by itself
	switch e := err.(type) {
	case *classify.Error:
		if e.Err != nil && e.Decision.Status == 0 {
			return inner(e.Err)
		}
		return joined(": ", "classify", e.Decision.Class.String())
	case *classify.GateError:
		return joined(": ", "refused locally, nothing was sent", word(e.Reason))
	case *url.Error:
		return joined(": ", joined(" ", word(e.Op), r.quoted(e.URL)), inner(e.Err))
	case *net.OpError:
		return joined(": ", connection(e), inner(e.Err))
	case *net.DNSError:
		return dnsText(e)
	case *net.AddrError:
		return "address that cannot be used"
	case *os.SyscallError:
		return joined(": ", word(e.Syscall), inner(e.Err))
	case *fs.PathError:
		return joined(": ", word(e.Op), inner(e.Err))
	case syscall.Errno:
		return e.Error()
	}
	if text := tlsText(err, inner); text != "" {
		return text
	}
	if text := streamText(err); text != "" {
		return text
	}
	if ours(err) {
		return err.Error()
	}
	return joined(": ", unknownType(err), causes(err, inner))
}

// joined joins the parts that are not empty.
func joined(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// word returns s if it is no more than words, such as the name of a system call: no key is.
func word(s string) string {
	if len(s) > 32 || strings.IndexFunc(s, func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != ' ' && c != '_' }) >= 0 {
		return ""
	}
	return s
}

// quoted returns the URL that an error names; "" where it cannot be told what in it is secret.
func (r redactor) quoted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return `"` + r.url(u) + `"`
}

// connection says on which connection what failed.
func connection(e *net.OpError) string {
	text := joined(" ", word(e.Op), network(e.Net), address(e.Source))
	if to := address(e.Addr); to != "" {
		if e.Source != nil {
			return text + "->" + to
		}
		return text + " " + to
	}
	return text
}

func network(name string) string {
	switch name {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix":
		return name
	}
	return ""
}

// address returns an address of the network, not that of an implementation of somebody's own.
func address(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.String()
	case *net.UDPAddr:
		return a.String()
	case *net.UnixAddr:
		return a.String()
	}
	return ""
}

func dnsText(e *net.DNSError) string {
	text := "lookup failed"
	switch {
	case e.IsNotFound:
		text = "no such host"
	case e.IsTimeout:
		text = "i/o timeout"
	case e.IsTemporary:
		text = "temporary failure"
	}
	return joined(": ", joined(" ", "lookup", hostName(e.Name)), text)
}

// hostName returns s if it can be the name of a host (RFC 1123 section 2.1), or one that only resolvers know.
func hostName(s string) string {
	if len(s) > 253 || strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
	}) >= 0 {
		return ""
	}
	return s
}

// tlsText tells of a connection that could not be secured. The names in a certificate are the other side's words.
func tlsText(err error, inner func(error) string) string {
	//nolint:errorlint // each layer is told by itself
	switch e := err.(type) {
	case *tls.CertificateVerificationError:
		return joined(": ", "tls: failed to verify certificate", inner(e.Err))
	case tls.RecordHeaderError:
		return "tls: the other side does not speak TLS"
	case *tls.ECHRejectionError:
		return "tls: server rejected ECH"
	case tls.AlertError:
		return e.Error()
	case x509.UnknownAuthorityError:
		return "x509: certificate signed by unknown authority"
	case x509.HostnameError:
		return "x509: certificate is not valid for the host"
	case x509.SystemRootsError:
		return "x509: failed to load system roots and no roots provided"
	case x509.CertificateInvalidError:
		known := x509.CertificateInvalidError{Reason: e.Reason}
		if e.Reason == x509.Expired {
			known.Detail = e.Detail // two times
		}
		return strings.TrimSuffix(known.Error(), ": ")
	}
	if t := reflect.TypeOf(err); t.PkgPath() == "crypto/tls" && t.Kind() == reflect.Uint8 {
		return tls.AlertError(reflect.ValueOf(err).Uint()).Error() // below a net.OpError it has a type of its own
	}
	return ""
}

// streamError takes the shape of the HTTP/2 stream errors of net/http, whose As method fills any struct of the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "http2 stream error" }

// streamCodes are the error codes of RFC 9113 section 7.
var streamCodes = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
	"CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func streamText(err error) string {
	var s streamError
	as, ok := err.(interface{ As(target any) bool })
	if !ok || !as.As(&s) {
		return ""
	}
	if int64(s.Code) >= int64(len(streamCodes)) {
		return s.Error()
	}
	return joined(": ", s.Error(), streamCodes[s.Code])
}

// ours reports the error of an attempt that took too long, whose text is made of the limit alone.
func ours(err error) bool {
	t := reflect.TypeOf(err)
	return typeName(err) == "*classify.attemptTimeoutError" && t.Elem().PkgPath() == reflect.TypeFor[classify.Error]().PkgPath()
}

// unknownType names the type of an error that is told by nothing else; "" for a wrapper that says only what it wraps.
func unknownType(err error) string {
	if wrapper(err) {
		return ""
	}
	return typeName(err)
}

// causes tells of what err wraps.
func causes(err error, inner func(error) string) string {
	//nolint:errorlint // each layer is told by itself
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return inner(e.Unwrap())
	case interface{ Unwrap() []error }:
		var texts []string
		for _, err := range e.Unwrap() {
			if text := inner(err); text != "" && !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, "; ")
	}
	return ""
}

// wrapper reports what fmt.Errorf and errors.Join make, whose types say nothing, and what crypto/tls puts around an alert.
func wrapper(err error) bool {
	switch typeName(err) {
	case "*fmt.wrapError", "*fmt.wrapErrors", "*errors.joinError", "*tls.permanentError":
		return true
	}
	return false
}

// typeOf returns the Go type of an error: of what is wrapped, where the wrapper says nothing, and of the first one where several are joined. An ErrorType
// method, which semconv.ErrorType asks, may repeat what a server said, and is not asked.
func typeOf(err error) string {
	for range maxDepth {
		if !wrapper(err) {
			break
		}
		var next error
		//nolint:errorlint // layer by layer
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			break
		}
		err = next
	}
	return typeName(err)
}

func typeName(err error) string {
	t := reflect.TypeOf(err)
	if pkg, name := t.PkgPath(), t.Name(); pkg != "" && name != "" {
		return pkg + "." + name
	}
	return t.String()
}
