package otelhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// whispered is what no signal may hold, wherever an error may carry it.
const whispered = "sk-live-1234567890"

type spoken string

func (s spoken) Error() string   { return string(s) }
func (s spoken) Network() string { return string(s) }
func (s spoken) String() string  { return string(s) }

// A typed nil whose methods do not expect it.
type fragile struct{ text string }

func (f *fragile) Error() string { return f.text }

func TestErrorText(t *testing.T) {
	secret := spoken(whispered)
	v4 := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 443}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: v4, Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{io.ErrUnexpectedEOF, "unexpected EOF"},
		{errNoResponse, "the base RoundTripper returned neither a response nor an error"},
		{errors.New("http: server closed idle connection"), "http: server closed idle connection"},
		{refused, "dial tcp 10.1.2.3:443: connect: connection refused"},
		{&net.OpError{Op: "read", Net: "tcp", Source: v4, Addr: v4, Err: syscall.ECONNRESET}, "read tcp 10.1.2.3:443->10.1.2.3:443: connection reset by peer"},
		{&net.OpError{Op: "read", Net: "udp", Source: &net.UDPAddr{Port: 1}, Err: net.ErrClosed}, "read udp :1: use of closed network connection"},
		{&net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: "/run/s", Net: "unix"}, Err: syscall.ENOENT}, "dial unix /run/s: no such file or directory"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, "remote error: tls: handshake failure"},
		// A proxy that refuses says why in its status line.
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New(whispered)}, "proxyconnect tcp: *errors.errorString"},
		{&net.OpError{Op: whispered, Net: whispered, Source: secret, Addr: secret, Err: secret}, "github.com/errwire/errwire/otelhook.spoken"},
		{&net.DNSError{Name: "api.test", Server: whispered, Err: whispered, IsNotFound: true}, "lookup api.test: no such host"},
		{&net.DNSError{Name: "api.test", Err: whispered, IsTimeout: true}, "lookup api.test: i/o timeout"},
		{&net.DNSError{Name: "api.test", Err: whispered, IsTemporary: true}, "lookup api.test: temporary failure"},
		{&net.DNSError{Name: "api.test", Err: whispered}, "lookup api.test: lookup failed"},
		{&net.DNSError{Name: "key=" + whispered, Err: whispered, IsNotFound: true}, "lookup: no such host"},
		{&net.AddrError{Err: "missing port in address", Addr: whispered}, "address that cannot be used"},
		{&fs.PathError{Op: "open", Path: whispered, Err: syscall.ENOENT}, "open: no such file or directory"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{tls.RecordHeaderError{Msg: whispered}, "tls: the other side does not speak TLS"},
		{&tls.ECHRejectionError{RetryConfigList: []byte(whispered)}, "tls: server rejected ECH"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{whispered}}, Host: "api.test"}, "x509: certificate is not valid for the host"},
		{x509.SystemRootsError{Err: secret}, "x509: failed to load system roots and no roots provided"},
		{
			x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 2026-11-22T00:00:00Z is after 2026-11-21T00:00:00Z"},
			"x509: certificate has expired or is not yet valid: current time 2026-11-22T00:00:00Z is after 2026-11-21T00:00:00Z",
		},
		{
			x509.CertificateInvalidError{Reason: x509.CANotAuthorizedForThisName, Detail: whispered},
			"x509: a root or intermediate certificate is not authorized to sign for this name",
		},
		{strangeStreamError{Code: 7}, "http2 stream error: REFUSED_STREAM"},
		{strangeStreamError{Code: 1 << 20}, "http2 stream error"},
		{&url.Error{Op: "Get", URL: "https://user:" + whispered + "@other.test/?sig=" + whispered, Err: refused}, `Get "https://REDACTED:REDACTED@other.test/?sig=REDACTED": dial tcp 10.1.2.3:443: connect: connection refused`},
		{&url.Error{Op: "Get", URL: "%" + whispered, Err: io.EOF}, "Get: EOF"},
		{&url.Error{Op: "parse", URL: whispered, Err: secret}, "parse: github.com/errwire/errwire/otelhook.spoken"},
		{fmt.Errorf("%s: %w", whispered, refused), "dial tcp 10.1.2.3:443: connect: connection refused"},
		{fmt.Errorf("%s: %w, %w", whispered, io.EOF, secret), "EOF; github.com/errwire/errwire/otelhook.spoken"},
		{errors.Join(context.Canceled, context.Canceled), "context canceled"},
		{errors.New(whispered), "*errors.errorString"},
		{&wraps{whispered, io.EOF}, "*otelhook.wraps: EOF"},
		{&wraps{whispered, nil}, "*otelhook.wraps"},
		{(*fragile)(nil), "*otelhook.fragile"},
		{(*net.OpError)(nil), "*net.OpError"},
		{&classify.GateError{Reason: "queue_full", Err: secret}, "refused locally, nothing was sent: queue_full"},
		{&classify.GateError{Reason: whispered}, "refused locally, nothing was sent"},
		{&classify.Error{Decision: classify.Decision{Class: errcodes.ClassOverloaded, Status: 503, Message: whispered}, Err: secret}, "classify: overloaded"},
		{&classify.Error{Decision: classify.Decision{Class: errcodes.ClassNetwork, Message: whispered}, Err: io.EOF}, "EOF"},
	} {
		got := errorText(redactor{}, tt.err)
		require.Equal(t, tt.want, got)
		require.NotContains(t, got, whispered)
		require.NotContains(t, typeOf(tt.err), whispered)
	}
	require.Empty(t, errorText(redactor{}, nil))
	endless := &wraps{}
	endless.err = endless
	require.LessOrEqual(t, len(errorText(redactor{}, endless)), maxText)
}

// strangeStreamError is an HTTP/2 stream error as net/http has them.
type strangeStreamError struct{ Code uint32 }

func (strangeStreamError) Error() string { return whispered }

func (s strangeStreamError) As(target any) bool {
	e, ok := target.(*streamError)
	if ok {
		*e = streamError{1, s.Code, errors.New(whispered)}
	}
	return ok
}

type wraps struct {
	text string
	err  error
}

func (w *wraps) Error() string     { return w.text }
func (w *wraps) Unwrap() error     { return w.err }
func (w *wraps) ErrorType() string { return w.text }

func TestTypeOf(t *testing.T) {
	var none error
	for want, err := range map[string]error{
		"*url.Error":          &url.Error{},
		"*errors.errorString": errors.Join(errors.New("x"), &url.Error{}),
		"*net.OpError":        fmt.Errorf("x: %w", fmt.Errorf("y: %w", &net.OpError{})),
		"*fmt.wrapError":      fmt.Errorf("x: %w", none),
		"*fmt.wrapErrors":     fmt.Errorf("x: %w %w", none, none),
		"*otelhook.wraps":     &wraps{whispered, io.EOF},
		"syscall.Errno":       syscall.ECONNRESET,
	} {
		require.Equal(t, want, typeOf(err))
	}
}

// The errors of real connections that fail are told in words.
func TestErrorTextOfRealFailures(t *testing.T) {
	text := func(rt http.RoundTripper, url string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		resp, err := rt.RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		require.Error(t, err)
		return errorText(redactor{}, err)
	}
	slow := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-slow
		case "/short":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "short")
		case "/reset":
			panic(http.ErrAbortHandler)
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	defer srv.Close()
	defer close(slow)
	plainSrv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
	}))
	defer plainSrv.Close()
	trusting := srv.Client().Transport
	limited := &classify.Transport{Base: trusting, AttemptTimeout: 10 * time.Millisecond, MaxAttempts: 1}
	distrustful := &http.Transport{}
	defer distrustful.CloseIdleConnections()
	require.Equal(t, "tls: failed to verify certificate: x509: certificate signed by unknown authority", text(distrustful, srv.URL))
	require.Equal(t, "tls: failed to verify certificate: x509: certificate is not valid for the host", text(&http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusting.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "other.test"},
	}, srv.URL))
	require.Equal(t, "tls: the other side does not speak TLS", text(distrustful, strings.Replace(plainSrv.URL, "http:", "https:", 1)))
	require.Equal(t, "unexpected EOF", text(distrustful, plainSrv.URL))
	require.Equal(t, "http2 stream error: INTERNAL_ERROR", text(trusting, srv.URL+"/reset"))
	require.Equal(t, "no complete answer within 10ms, the time of one attempt", text(limited, srv.URL+"/slow"))
	require.Equal(t, "remote error: tls: protocol version not supported", text(&http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusting.(*http.Transport).TLSClientConfig.RootCAs, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
	}, srv.URL))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := listener.Addr().String()
	require.NoError(t, listener.Close())
	require.Equal(t, "dial tcp "+gone+": connect: connection refused", text(distrustful, "http://"+gone))
}
