package classify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"

	"github.com/errwire/errwire/errcodes"
)

// h2StreamError takes the shape of net/http's own HTTP/2 stream error, whose As method fills any
// struct of the same fields.
type h2StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (h2StreamError) Error() string { return "http2 stream error" }

// Codes of RFC 9113 section 7. Refused streams were not processed, section 8.7; of others nothing is said.
const (
	h2RefusedStream   = 7
	h2EnhanceYourCalm = 11
)

// netKind is what one kind of transport error means.
type netKind struct {
	rule   string
	class  errcodes.Class
	retry  errcodes.Retry
	safety Safety
	advice string
}

// decision is the judgement on a failure of this kind.
func (k *netKind) decision() Decision {
	return Decision{
		Class: k.class, Retry: k.retry, MaxAttempts: attemptsFor(k.retry),
		Safety: k.safety, Rule: k.rule, Advice: k.advice,
	}
}

const (
	adviceReach = "The server could not be reached: check address, network and proxy if it stays so."
	adviceTLS   = "The TLS connection cannot be trusted or set up: check host name, certificates, protocol and clock."
	adviceReply = "The connection ended without an answer, so the work may have been done: " +
		"send an Idempotency-Key where the server honours one."
	adviceResent = "The server ended every stream of the request before it answered: see whether it works over HTTP/1.1."
	adviceTime   = "No answer came in time: allow more time, ask for less, or stream the answer."
)

// The kinds, named as they appear in Decision.Rule.
var (
	netCanceled = netKind{"transport: canceled", errcodes.ClassCanceled, errcodes.RetryNever, MaybeExecuted, "The caller ended the request."}
	netTLS      = netKind{"transport: tls", errcodes.ClassNetwork, errcodes.RetryNever, NotSent, adviceTLS}
	netTLSCut   = netKind{"transport: tls", errcodes.ClassNetwork, errcodes.RetryOnce, MaybeExecuted, adviceTLS}
	netNoHost   = netKind{"transport: no such host", errcodes.ClassNetwork, errcodes.RetryNever, NotSent, "The host name does not exist: check the URL."}
	netDNS      = netKind{"transport: name lookup", errcodes.ClassNetwork, errcodes.RetryBackoff, NotSent, adviceReach}
	netAddress  = netKind{"transport: address", errcodes.ClassNetwork, errcodes.RetryNever, NotSent, "The address cannot be used: check the URL."}
	netForbid   = netKind{"transport: not allowed here", errcodes.ClassNetwork, errcodes.RetryNever, NotSent, "This machine does not let the connection out: check its firewall."}
	netRefused  = netKind{"transport: connection refused", errcodes.ClassNetwork, errcodes.RetryBackoff, NotSent, adviceReach}
	netDial     = netKind{"transport: dial", errcodes.ClassNetwork, errcodes.RetryBackoff, NotSent, adviceReach}
	netShake    = netKind{"transport: tls handshake timeout", errcodes.ClassNetwork, errcodes.RetryBackoff, NotSent, adviceReach}
	netProxyNo  = netKind{"transport: proxy refused", errcodes.ClassNetwork, errcodes.RetryNever, NotSent, "The proxy does not let the connection through: check its address, its credentials and its rules."}
	netProxyOut = netKind{"transport: proxy failed", errcodes.ClassNetwork, errcodes.RetryBackoff, NotSent, "The proxy could not make the connection: check address, network and proxy if it stays so."}
	netScheme   = netKind{"transport: not https", errcodes.ClassNetwork, errcodes.RetryNever, NotSent, "The server speaks plain HTTP on this port: check the scheme of the URL."}
	netH2Refuse = netKind{"transport: stream refused", errcodes.ClassOverloaded, errcodes.RetryBackoff, NotSent, adviceReach}
	netH2Calm   = netKind{"transport: enhance your calm", errcodes.ClassRateLimited, errcodes.RetryBackoff, MaybeExecuted, "The server asks to send more slowly."}
	netTimeout  = netKind{"transport: timeout", errcodes.ClassTimeout, errcodes.RetryBackoff, MaybeExecuted, adviceTime}
	netReset    = netKind{"transport: connection reset", errcodes.ClassNetwork, errcodes.RetryBackoff, MaybeExecuted, adviceReply}
	netEOF      = netKind{"transport: end of connection", errcodes.ClassNetwork, errcodes.RetryBackoff, MaybeExecuted, adviceReply}
	netH2Stream = netKind{"transport: stream error", errcodes.ClassNetwork, errcodes.RetryBackoff, MaybeExecuted, adviceReply}
	netResent   = netKind{"transport: refused over and over", errcodes.ClassNetwork, errcodes.RetryOnce, MaybeExecuted, adviceResent}
	netMisuse   = netKind{"transport: misuse", errcodes.ClassInvalidRequest, errcodes.RetryNever, NotSent, "The request cannot be sent as it is: this is a fault of the program."}
	netUnknown  = netKind{"transport: other", errcodes.ClassNetwork, errcodes.RetryOnce, MaybeExecuted, adviceReply}
)

// kindOf finds the kind of a transport error by type, never by text.
func kindOf(err error) netKind {
	var (
		dns    *net.DNSError
		op     *net.OpError
		call   *os.SyscallError
		stream h2StreamError
		timed  net.Error
		late   *attemptTimeoutError
	)
	secure, isTLS := tlsKind(err)
	switch {
	case errors.Is(err, context.Canceled):
		return netCanceled
	case isTLS:
		return secure
	case errors.As(err, &dns):
		if dns.IsNotFound && !dns.IsTemporary {
			return netNoHost
		}
		return netDNS
	case isAddress(err):
		return netAddress
	case errors.As(err, &op) && isDial(op):
		switch {
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
			return netForbid
		case errors.Is(err, syscall.ECONNREFUSED):
			return netRefused
		}
		return netDial
	case errors.Is(err, http.ErrSchemeMismatch):
		return netScheme
	case errors.As(err, &stream):
		switch stream.Code {
		case h2RefusedStream:
			return netH2Refuse
		case h2EnhanceYourCalm:
			return netH2Calm
		}
		return netH2Stream
	case inTree(err, func(err error) bool { return isGoAway(err, h2EnhanceYourCalm) }):
		return netH2Calm
	case inTree(err, func(err error) bool { return isGoAway(err, 0) }):
		return netEOF
	case errors.Is(err, errResent):
		return netResent
	case errors.Is(err, http.ErrBodyReadAfterClose), errors.Is(err, http.ErrSkipAltProtocol),
		errors.Is(err, http.ErrNotSupported):
		return netMisuse
	case errors.As(err, &late) && late.connecting:
		return netDial
	case inTree(err, isHandshakeTimeout):
		return netShake
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		return netTimeout
	case errors.As(err, &call) && call.Syscall == "connect" && errors.Is(call, syscall.ECONNREFUSED):
		return netRefused
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, syscall.ECONNABORTED), errors.Is(err, net.ErrClosed):
		return netReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return netEOF
	}
	return netUnknown
}

// isHandshakeTimeout reports whether err is that of http.Transport.TLSHandshakeTimeout, which is not exported. The request is sent after the handshake.
func isHandshakeTimeout(err error) bool {
	t := reflect.TypeOf(err)
	return t.PkgPath() == "net/http" && t.Name() == "tlsHandshakeTimeoutError"
}

// isGoAway reports whether err is what net/http makes of a GOAWAY for a request that the server had taken up (RFC 9113 section 6.8), with the code, or any
// for 0. The type is not exported. For a request that was not taken up the error is nothing but its text.
func isGoAway(err error, code uint64) bool {
	t, v := reflect.TypeOf(err), reflect.ValueOf(err)
	if t.Kind() != reflect.Struct || !strings.HasSuffix(t.Name(), "GoAwayError") || !strings.HasPrefix(t.PkgPath(), "net/http") {
		return false
	}
	f := v.FieldByName("ErrCode")
	return code == 0 || f.IsValid() && f.CanUint() && f.Uint() == code
}

// plainText is the type of an error that is nothing but its text.
var plainText = reflect.TypeOf(errors.New(""))

// proxyKind returns the kind of err if it is what an [http.Transport] makes of a proxy that answered CONNECT with a status: an error of its text alone. Others return such
// errors as well, for an answer to the request itself, so it counts only where it comes from an http.Transport, for a request that may need a CONNECT.
func proxyKind(base http.RoundTripper, req *http.Request, err error) (netKind, bool) {
	if _, ok := base.(*http.Transport); !ok || req.URL == nil || req.URL.Scheme != "https" || reflect.TypeOf(err) != plainText {
		return netKind{}, false
	}
	text := err.Error()
	for status := http.StatusMultipleChoices; status < 600; status++ {
		if text == "" || text != http.StatusText(status) {
			continue
		}
		if status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests {
			return netProxyOut, true
		}
		return netProxyNo, true
	}
	return netKind{}, false
}

// byContext reports whether err is how the end of ctx shows, and returns the decision then, and the error to keep of it, in which [errors.Is] finds that of ctx. net/http
// returns the cause of a cancellation as it is, and a cause is any error: also the *[Error] of another call, as an errgroup sets it.
func byContext(ctx context.Context, err error) (Decision, bool, error) {
	ended := ctx.Err()
	if err == nil || ended == nil {
		return Decision{}, false, err
	}
	cause := context.Cause(ctx)
	inner, judged := errors.AsType[*Error](err)
	if judged = judged && inner != nil; judged {
		if of, _ := errors.AsType[*Error](cause); of != inner {
			return Decision{}, false, err // of a Transport further down, which has seen to it
		}
	}
	if cause == ended || !judged && !errors.Is(err, cause) { //nolint:errorlint // the cause is either that of ctx itself or somebody's
		return Decision{}, false, err
	}
	k := kindOf(ended)
	return k.decision(), true, besides(ended, err)
}

// besides returns err as an error in which [errors.Is] finds ended too.
func besides(ended, err error) error {
	if errors.Is(err, ended) {
		return err
	}
	return fmt.Errorf("%w: %w", ended, err)
}

// isDial reports whether op is of a connection that was not there yet.
func isDial(op *net.OpError) bool {
	return op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect"
}

// tlsKind returns the kind of a failure of TLS. What shows only in a handshake came before the request. Of the rest nobody can tell, because net/http returns
// an error of the handshake and one of the first read behind the request alike.
func tlsKind(err error) (netKind, bool) {
	var (
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
		op      *net.OpError
	)
	if errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &roots) {
		return netTLS, true
	}
	var k netKind
	if alert, ok := alertOf(err); ok {
		k = alertKind(alert)
	} else if errors.As(err, &record) {
		switch first := record.Conn != nil; { // the first record of all
		case first && string(record.RecordHeader[:]) == "HTTP/":
			k = netScheme // net/http says so too, but above any RoundTripper
		case first:
			k = netTLS
		default:
			k = netTLSCut
		}
	} else {
		return netKind{}, false
	}
	if errors.As(err, &op) && isDial(op) {
		k.safety = NotSent // a proxy's
	}
	return k, true
}

// alertOf returns the alert of RFC 8446 section 6 that ended a connection. Over TCP it is of a type of crypto/tls that is not exported, in a
// [net.OpError]; the exported one is that of QUIC.
func alertOf(err error) (tls.AlertError, bool) {
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return alert, true
	}
	var alert tls.AlertError
	found := inTree(err, func(err error) bool {
		t := reflect.TypeOf(err)
		if t.PkgPath() != "crypto/tls" || t.Kind() != reflect.Uint8 {
			return false
		}
		alert = tls.AlertError(reflect.ValueOf(err).Uint())
		return true
	})
	return alert, found
}

// alertKind returns the kind of an alert.
func alertKind(alert tls.AlertError) netKind {
	switch alert {
	case 40, 70, 71, 86, 109, 110, 112, 120, 121:
		// What both sides speak, and the name: settled before anything is sent.
		return netTLS
	case 42, 43, 44, 45, 46, 48, 49, 111, 113, 114, 115, 116:
		// Certificates and keys. With TLS 1.3 the server looks at the client's when that may have sent its request already.
		k := netTLS
		k.safety = MaybeExecuted
		return k
	}
	return netTLSCut
}

// isAddress reports whether the address itself cannot be used.
func isAddress(err error) bool {
	var (
		addr    *net.AddrError
		parse   *net.ParseError
		invalid net.InvalidAddrError
		network net.UnknownNetworkError
	)
	return errors.As(err, &addr) || errors.As(err, &parse) || errors.As(err, &invalid) || errors.As(err, &network)
}
