package classify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/errwire/errwire/errcodes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// atOnce is a policy for tests against real servers.
func atOnce() backoff.BackOff { return &backoff.ZeroBackOff{} }

// counted returns a context that counts the connections made.
func counted(ctx context.Context, dials *atomic.Int32) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				dials.Add(1)
			}
		},
	})
}

func TestConnectionIsReusedAcrossTries(t *testing.T) {
	for _, size := range []int{0, 100, 4 << 10, 20 << 10, 64 << 10} {
		for _, chunked := range []bool{false, true} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if chunked {
					w.WriteHeader(http.StatusServiceUnavailable)
					http.NewResponseController(w).Flush()
				} else {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				io.WriteString(w, strings.Repeat("x", size))
			}))
			client := srv.Client()
			client.Transport = &Transport{Base: client.Transport, NewBackOff: atOnce}
			var dials atomic.Int32
			req, err := http.NewRequestWithContext(counted(t.Context(), &dials), http.MethodGet, srv.URL, http.NoBody)
			require.NoError(t, err)
			resp, err := client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Len(t, body, size)
			require.NoError(t, resp.Body.Close())
			require.Len(t, ErrorOf(resp).Attempts, 4)
			require.Equal(t, int32(1), dials.Load(), "%d bytes, chunked %t", size, chunked)
			client.CloseIdleConnections()
			srv.Close()
		}
	}
}

// A client's own timeout spans all attempts: the wait that does not fit is not begun.
func TestClientTimeoutIsUnderstood(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"error":{"message":"slow"}}`)
	}))
	defer srv.Close()
	client := srv.Client()
	base := client.Transport
	client.Transport = &Transport{Base: base}
	client.Timeout = 5 * time.Second
	defer client.CloseIdleConnections()
	resp, err := client.Get(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	e := ErrorOf(resp)
	require.Equal(t, StopDeadline, e.Stop)
	require.Equal(t, "slow", e.Decision.Message)
	require.ErrorIs(t, e, errcodes.ClassRateLimited)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"error":{"message":"slow"}}`, string(body))
}

// brokenServer accepts connections and treats them as told.
func brokenServer(t *testing.T, treat func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			treat(conn)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

func TestRealTransportErrors(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // it complains of the handshakes
	secure.StartTLS()
	defer secure.Close()
	open := httptest.NewServer(http.NotFoundHandler())
	defer open.Close()
	gone := brokenServer(t, func(net.Conn) {})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refused := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	for _, tt := range []struct {
		name, url string
		base      *http.Transport
		rule      string
		safety    Safety
		attempts  int // of a POST
	}{
		{"refused", refused, &http.Transport{}, netRefused.rule, NotSent, 4},
		{"closed without an answer", gone, &http.Transport{}, "", MaybeExecuted, 1},
		{"unknown authority", secure.URL, &http.Transport{}, netTLS.rule, NotSent, 1},
		{"plain server", strings.Replace(open.URL, "http:", "https:", 1), &http.Transport{}, netScheme.rule, NotSent, 1},
		{"no such host", "http://no-such-host.invalid/", &http.Transport{DialContext: noSuchHost}, netNoHost.rule, NotSent, 1},
		{"no host", "http:///x", &http.Transport{}, netMisuse.rule, NotSent, 1},
		{"unknown scheme", "gopher://x/", &http.Transport{}, netMisuse.rule, NotSent, 1},
		{"handshake that stalls", strings.Replace(brokenServer(t, func(c net.Conn) { io.Copy(io.Discard, c) }), "http:", "https:", 1),
			&http.Transport{TLSHandshakeTimeout: 20 * time.Millisecond}, netShake.rule, NotSent, 4},
		{"headers that stall", brokenServer(t, func(c net.Conn) { io.Copy(io.Discard, c) }),
			&http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}, netTimeout.rule, MaybeExecuted, 1},
		{"proxy that wants credentials", "https://api.test/", &http.Transport{Proxy: refusingProxy(t, 407)}, netProxyNo.rule, NotSent, 1},
		{"proxy that forbids", "https://api.test/", &http.Transport{Proxy: refusingProxy(t, 403)}, netProxyNo.rule, NotSent, 1},
		{"proxy that is overloaded", "https://api.test/", &http.Transport{Proxy: refusingProxy(t, 503)}, netProxyOut.rule, NotSent, 4},
		{"proxy that cannot connect", "https://api.test/", &http.Transport{Proxy: refusingProxy(t, 502)}, netProxyOut.rule, NotSent, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.base.CloseIdleConnections()
			client := &http.Client{Transport: &Transport{Base: tt.base, NewBackOff: atOnce}}
			resp, err := client.Post(tt.url, "application/json", strings.NewReader("{}"))
			if resp != nil {
				resp.Body.Close()
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			if tt.rule != "" {
				require.Equal(t, tt.rule, e.Decision.Rule, "%v", err)
			}
			require.Equal(t, tt.safety, e.Decision.Safety, "%v", err)
			require.Len(t, e.Attempts, tt.attempts, "%v", err)
			require.Error(t, e.Err)
			require.ErrorIs(t, err, e.Decision.Class)
		})
	}
}

// net/http knows the mistake above any RoundTripper alone, so that a Transport has to say it.
func TestPlainHTTPBehindTheSchemeOfTLS(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &Transport{Base: base}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(srv.URL, "http:", "https:", 1), strings.NewReader("{}"))
	require.NoError(t, err)
	_, err = client.Do(req)
	require.ErrorIs(t, err, http.ErrSchemeMismatch)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, netScheme.rule, e.Decision.Rule)
	require.Equal(t, NotSent, e.Decision.Safety)
	require.Equal(t, StopNever, e.Stop)
}

// What ends a TLS connection, and whether the request can have been on its way: net/http returns an error of the handshake and one behind the request
// alike.
func TestRealTLSErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		server   *tls.Config
		client   func(*tls.Config)
		garbage  bool // behind the request, in the clear
		text     string
		retry    errcodes.Retry
		safety   Safety
		executed int32
	}{
		{name: "protocol", server: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, client: func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 },
			text: "protocol version not supported", retry: errcodes.RetryNever, safety: NotSent},
		{name: "application protocol", server: &tls.Config{NextProtos: []string{"foo"}}, client: func(c *tls.Config) { c.NextProtos = []string{"bar"} },
			text: "no application protocol", retry: errcodes.RetryNever, safety: NotSent},
		{name: "certificate, TLS 1.2", server: &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12},
			text: "handshake failure", retry: errcodes.RetryNever, safety: NotSent},
		{name: "certificate, TLS 1.3", server: &tls.Config{ClientAuth: tls.RequireAnyClientCert},
			text: "certificate required", retry: errcodes.RetryNever, safety: MaybeExecuted},
		{name: "internal error", server: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }},
			text: "internal error", retry: errcodes.RetryOnce, safety: MaybeExecuted},
		{name: "garbage, TLS 1.2", server: &tls.Config{MaxVersion: tls.VersionTLS12}, garbage: true, text: "received record with version", retry: errcodes.RetryOnce, safety: MaybeExecuted, executed: 1},
		{name: "garbage, TLS 1.3", server: &tls.Config{}, garbage: true, text: "received record with version", retry: errcodes.RetryOnce, safety: MaybeExecuted, executed: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var executed atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				executed.Add(1)
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				if secure, ok := c.(*tls.Conn); ok && tt.garbage {
					io.WriteString(secure.NetConn(), "HTTP/1.1 502 Bad Gateway\r\n\r\n")
					c = secure.NetConn()
				}
				c.Close()
			}))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			srv.TLS = tt.server
			srv.StartTLS()
			defer srv.Close()
			base, ok := srv.Client().Transport.(*http.Transport)
			require.True(t, ok)
			defer base.CloseIdleConnections()
			if tt.client != nil {
				tt.client(base.TLSClientConfig)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("{}"))
			require.NoError(t, err)
			_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, netTLS.rule, e.Decision.Rule)
			require.Equal(t, tt.retry, e.Decision.Retry)
			require.Equal(t, tt.safety, e.Decision.Safety)
			require.Len(t, e.Attempts, 1)
			require.Equal(t, tt.executed, executed.Load())
		})
	}
}

// Where the connection stood is known of some errors by their type alone.
func TestWhetherARequestWasSent(t *testing.T) {
	for _, tt := range []struct {
		err    error
		rule   string
		safety Safety
	}{
		{&net.OpError{Op: "read", Net: "udp", Err: syscall.ECONNREFUSED}, netReset.rule, MaybeExecuted},
		{&net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.ECONNREFUSED)}, netReset.rule, MaybeExecuted},
		{syscall.ECONNREFUSED, netReset.rule, MaybeExecuted},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, netRefused.rule, NotSent},
		{&net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, netRefused.rule, NotSent},
		{&net.OpError{Op: "socks connect", Err: syscall.ECONNREFUSED}, netRefused.rule, NotSent},
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), netRefused.rule, NotSent},
		{tls.RecordHeaderError{Conn: &net.TCPConn{}}, netTLS.rule, NotSent},
		{tls.RecordHeaderError{}, netTLS.rule, MaybeExecuted},
		{fmt.Errorf("http3: %w", tls.AlertError(120)), netTLS.rule, NotSent},
		{&net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "remote error", Err: tls.AlertError(116)}}, netTLS.rule, NotSent},
		{&net.OpError{Op: "local error", Err: tls.AlertError(20)}, netTLS.rule, MaybeExecuted},
	} {
		d := (*Classifier)(nil).Err(tt.err)
		require.Equal(t, tt.rule, d.Rule, "%v", tt.err)
		require.Equal(t, tt.safety, d.Safety, "%v", tt.err)
	}
}

// refusingProxy is a proxy that answers every CONNECT with status.
func refusingProxy(t *testing.T, status int) func(*http.Request) (*url.URL, error) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(srv.Close)
	address, err := url.Parse(srv.URL)
	require.NoError(t, err)
	return http.ProxyURL(address)
}

func noSuchHost(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "no-such-host.invalid", IsNotFound: true}}
}

// Kinds of errors that no server of a test brings about.
func TestKindsOfErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want netKind
	}{
		{&net.DNSError{IsNotFound: true}, netNoHost},
		{&net.DNSError{IsNotFound: true, IsTemporary: true}, netDNS},
		{&net.DNSError{IsTimeout: true}, netDNS},
		{&net.OpError{Op: "dial", Err: io.EOF}, netDial},
		{&net.OpError{Op: "proxyconnect", Err: io.EOF}, netDial},
		{&net.OpError{Op: "socks connect", Err: io.EOF}, netDial},
		{&net.OpError{Op: "read", Err: io.EOF}, netEOF},
		{&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, netRefused},
		{&net.OpError{Op: "dial", Err: syscall.EPERM}, netForbid},
		{&net.OpError{Op: "write", Err: net.ErrClosed}, netReset},
		{net.ErrClosed, netReset},
		{syscall.EPIPE, netReset},
		{syscall.ECONNABORTED, netReset},
	} {
		require.Equal(t, tt.want, kindOf(tt.err), "%v", tt.err)
	}
}

// An answer to CONNECT is one of the proxy: some of them change by themselves. It counts of an http.Transport, and for https, alone.
func TestKindsOfProxyAnswers(t *testing.T) {
	for status := 300; status < 600; status++ {
		text := http.StatusText(status)
		if text == "" {
			continue
		}
		want := netProxyNo
		if status == 408 || status == 429 || status >= 500 {
			want = netProxyOut
		}
		answered := errors.New(text) //nolint:err113 // as net/http makes it
		secure, open := httptest.NewRequest(http.MethodGet, "https://api.test/", http.NoBody), httptest.NewRequest(http.MethodGet, "http://api.test/", http.NoBody)
		got, ok := proxyKind(&http.Transport{}, secure, answered)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
		_, ok = proxyKind(&http.Transport{}, open, answered)
		require.False(t, ok, text)
		_, ok = proxyKind(&fakeServer{}, secure, answered)
		require.False(t, ok, text)
	}
}

func TestErrorCodes(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: tls.AlertError(40)}
	require.Equal(t, netTLS.rule, (*Classifier)(nil).Err(alert).Rule)
	e := &Error{
		Decision: Decision{Class: errcodes.ClassBilling, Condition: errcodes.InsufficientBalance, Status: 402, Code: "x", Type: "y", Message: "m\x1b[0m", RequestID: "r"},
		Stop:     StopNever, Attempts: []Attempt{{N: 1}, {N: 2}}, Err: io.EOF,
	}
	require.Equal(t, errcodes.InsufficientBalance, errcodes.CodeOf(e))
	require.ErrorIs(t, e, errcodes.ClassBilling)
	require.NotErrorIs(t, e, errcodes.ClassTimeout)
	require.ErrorIs(t, e, io.EOF)
	require.Equal(t, "billing", e.ErrorType())
	require.False(t, e.Temporary())
	require.False(t, e.Timeout())
	require.Equal(t, `classify: billing (status 402, code "x", type "y", request id "r"): "m\x1b[0m": EOF; 2 attempts; sending the same request again cannot help`, e.Error())
	require.True(t, (&Error{Err: context.DeadlineExceeded}).Timeout())
	require.Nil(t, ErrorOf(nil))
	require.Nil(t, AttemptsOf(&http.Response{}))
	require.Nil(t, ErrorOf(&http.Response{Request: httptest.NewRequest(http.MethodGet, "/", http.NoBody)}))
	for s := range Stop(20) {
		require.NotEmpty(t, s.String())
	}
	require.Equal(t, "none", Source(99).String())
	require.Equal(t, "rejected", Safety(99).String())
}

// When to come back is said wherever it was the client that stopped, and is no wait once it has passed.
func TestErrorRetryAt(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for stop := range Stop(len(stopTexts)) {
		e := &Error{Stop: stop, RetryAt: at}
		switch stop {
		case StopWait, StopDeadline, StopBudget, StopGate:
			require.ErrorContains(t, e, "; try again at 2026-11-21T08:00:00Z")
		default:
			require.NotContains(t, e.Error(), "try again", stop)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e := &Error{RetryAt: time.Now().Add(time.Minute)}
		for _, want := range []time.Duration{time.Minute, 0, 0} {
			_, wait := e.Upstream()
			require.Equal(t, want, wait)
			<-time.After(time.Minute)
		}
	})
}

// The history that a caller gets is the caller's.
func TestAttemptsOfIsACopy(t *testing.T) {
	resp, err := (&Transport{Base: &fakeServer{script: []answer{{status: 400}}}}).RoundTrip(get(t, t.Context()))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	AttemptsOf(resp)[0].Status = 0
	require.Equal(t, 400, AttemptsOf(resp)[0].Status)
	require.Equal(t, 400, ErrorOf(resp).Attempts[0].Status)
}

// Many calls at once through one Transport.
func TestTransportIsSafeForConcurrentUse(t *testing.T) {
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if n.Add(1)%3 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":{"message":"busy"}}`)
		}
	}))
	defer srv.Close()
	client := srv.Client()
	client.Transport = &Transport{Base: client.Transport, NewBackOff: atOnce, MaxAttempts: 100, Budget: Unlimited{}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	errs := make(chan error, 40)
	for range 20 {
		wg.Go(func() {
			resp, err := client.Post(srv.URL, "application/json", strings.NewReader(`{"model":"m"}`))
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					err = errors.New(resp.Status)
				}
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// A status that somebody put into an error is an answer, and no proxy that refused to connect: what it was the answer to may have been done.
func TestTextsOfStatusesAreNoProxies(t *testing.T) {
	for _, status := range []int{407, 429, 500, 502, 503} {
		text := errors.New(http.StatusText(status)) //nolint:err113 // as others make them
		n := 0
		_, err := Do(t.Context(), &Policy{NewBackOff: atOnce}, func(context.Context) (int, error) {
			n++
			return 0, text
		})
		require.ErrorIs(t, err, text)
		require.Equal(t, 1, n)

		sent := 0
		base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
			sent++
			_, err := io.Copy(io.Discard, req.Body)
			return nil, errors.Join(err, text)
		})
		for _, base := range []http.RoundTripper{base, roundTripFunc(func(req *http.Request) (*http.Response, error) {
			sent++
			req.Body.Close()
			return nil, text
		})} {
			sent = 0
			_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(post(t, t.Context(), "{}"))
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, StopUnsafe, e.Stop)
			require.Equal(t, 1, sent)
		}
	}
}
