package classify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// worker is a server that executes what it has read, and cuts the connection when it is told.
type worker struct {
	url      string
	cut      string // where: see cuts
	cuts     atomic.Int32
	requests atomic.Int32
	executed atomic.Int32
	honours  bool // keys

	mu   sync.Mutex
	keys map[string]bool
}

// cuts are the places where a connection can end.
var cuts = []string{"before the body", "during the body", "after the body", "during the status line", "after the headers", "during the response body"}

func startWorker(t *testing.T, cut string, times int32, honours bool) *worker {
	t.Helper()
	w := &worker{cut: cut, honours: honours, keys: make(map[string]bool)}
	w.cuts.Store(times)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.listen(t, l)
	w.url = "http://" + l.Addr().String()
	return w
}

// listen serves the connections of l.
func (w *worker) listen(t *testing.T, l net.Listener) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for w.serve(conn, in) {
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
}

// serve serves one request; false ends the connection.
func (w *worker) serve(conn net.Conn, in *bufio.Reader) bool {
	req, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	w.requests.Add(1)
	cut := ""
	if w.cuts.Load() > 0 && w.cuts.Add(-1) >= 0 {
		cut = w.cut
	}
	switch cut {
	case "before the body":
		return false
	case "during the body":
		io.CopyN(io.Discard, req.Body, 1000)
		return false
	}
	if n, err := io.Copy(io.Discard, req.Body); err != nil || n != req.ContentLength {
		return false
	}
	w.execute(req.Header.Get("Idempotency-Key"))
	const body = `{"done":true}`
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	switch cut {
	case "after the body":
		return false
	case "during the status line":
		answer = answer[:7]
	case "after the headers":
		answer = answer[:len(answer)-len(body)]
	case "during the response body":
		answer = answer[:len(answer)-4]
	}
	_, err = io.WriteString(conn, answer)
	return err == nil && cut == ""
}

func (w *worker) execute(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if key != "" && w.honours {
		if w.keys[key] {
			return // done before
		}
		w.keys[key] = true
	}
	w.executed.Add(1)
}

// Wherever the connection ends, work is never done twice, unless the request is idempotent by its method or the server honours keys; and
// each request that leaves is an attempt that is told of.
func TestNothingIsBilledTwice(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate, and a client that knows it
	defer secure.Close()
	for _, cut := range cuts {
		for _, method := range []string{http.MethodPost, http.MethodPatch, "BREW", http.MethodPut, http.MethodDelete, http.MethodGet} {
			for _, size := range []int{0, 256 << 10} {
				if method == http.MethodGet && size > 0 {
					continue
				}
				for _, key := range []bool{false, true} {
					for _, warm := range []bool{false, true} {
						t.Run(fmt.Sprintf("%s/%s/%d bytes/key %t/used connection %t", cut, method, size, key, warm), func(t *testing.T) {
							testBilling(t, cut, method, size, key, warm, nil)
						})
						if size == 0 || method == http.MethodPost {
							t.Run(fmt.Sprintf("%s/%s/%d bytes/key %t/used connection %t/TLS", cut, method, size, key, warm), func(t *testing.T) {
								testBilling(t, cut, method, size, key, warm, secure)
							})
						}
					}
				}
			}
		}
	}
}

// idempotent reports whether work by method may be done twice.
func idempotent(method string) bool {
	return method == http.MethodPut || method == http.MethodDelete || method == http.MethodGet
}

func testBilling(t *testing.T, cut, method string, size int, key, warm bool, secure *httptest.Server) {
	t.Helper()
	times := 2
	if cut == "during the status line" {
		times = 1 // an answer that cannot be read is worth a second attempt, not a third
	}
	w := startWorker(t, cut, 0, true)
	base := &http.Transport{MaxIdleConnsPerHost: 4}
	if secure != nil {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		w.listen(t, tls.NewListener(l, &tls.Config{Certificates: secure.TLS.Certificates, MinVersion: tls.VersionTLS12}))
		w.url = "https://" + l.Addr().String()
		trusting, ok := secure.Client().Transport.(*http.Transport)
		require.True(t, ok)
		base.TLSClientConfig = trusting.TLSClientConfig.Clone()
		base.TLSClientConfig.NextProtos = nil
	}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &Transport{Base: base, NewBackOff: atOnce, IdempotencyKeys: key}}
	if warm {
		// The connections have been used: net/http believes that a failure is their age.
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				resp, err := client.Get(w.url)
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
	}
	w.cuts.Store(int32(times))
	w.executed.Store(0)
	w.requests.Store(0)

	var body io.Reader = http.NoBody
	if size > 0 {
		body = bytes.NewReader(bytes.Repeat([]byte("x"), size))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, w.url, body)
	require.NoError(t, err)
	resp, err := client.Do(req)
	attempts := 1
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if a := AttemptsOf(resp); a != nil {
			attempts = len(a)
		}
	} else if e, ok := errors.AsType[*Error](err); ok {
		attempts = len(e.Attempts)
	}
	begun := cut == "after the headers" || cut == "during the response body"
	sent, executed := int(w.requests.Load()), int(w.executed.Load())
	switch {
	case begun:
		require.NoError(t, err)
		require.Equal(t, 1, sent, "the answer had begun")
	case !idempotent(method) && !key:
		require.Error(t, err)
		require.Equal(t, 1, sent)
		require.LessOrEqual(t, executed, 1)
	case !idempotent(method):
		require.NoError(t, err)
		require.Equal(t, times+1, sent)
		require.Equal(t, 1, executed, "the server honours keys")
	default:
		require.NoError(t, err)
		require.GreaterOrEqual(t, sent, times+1)
	}
	if method != http.MethodGet {
		require.Equal(t, sent, attempts, "each request is an attempt that is told of")
	}
}

// The same over HTTP/2, where a stream ends or the connection under it.
func TestNothingIsBilledTwiceOverHTTP2(t *testing.T) {
	type connKey struct{}
	for _, cut := range []string{"before the body", "during the body", "after the body", "after the headers"} {
		for _, whole := range []bool{false, true} {
			for _, method := range []string{http.MethodPost, http.MethodPatch, "BREW", http.MethodPut, http.MethodDelete} {
				for _, key := range []bool{false, true} {
					name := fmt.Sprintf("%s, connection %t, %s, key %t", cut, whole, method, key)
					w := &worker{honours: true, keys: make(map[string]bool)}
					w.cuts.Store(1)
					srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						w.requests.Add(1)
						end := func(at string) {
							if at != cut || w.cuts.Add(-1) < 0 {
								return
							}
							if c, ok := r.Context().Value(connKey{}).(*tls.Conn); ok && whole {
								c.NetConn().Close()
							}
							panic(http.ErrAbortHandler)
						}
						end("before the body")
						io.CopyN(io.Discard, r.Body, 1000)
						end("during the body")
						if _, err := io.Copy(io.Discard, r.Body); err != nil {
							return
						}
						w.execute(r.Header.Get("Idempotency-Key"))
						end("after the body")
						rw.WriteHeader(http.StatusOK)
						_ = http.NewResponseController(rw).Flush()
						end("after the headers")
					}))
					srv.EnableHTTP2 = true
					srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
					srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
					srv.StartTLS()
					rt := &Transport{Base: srv.Client().Transport, NewBackOff: atOnce, IdempotencyKeys: key}
					req, err := http.NewRequestWithContext(t.Context(), method, srv.URL, bytes.NewReader(make([]byte, 128<<10)))
					require.NoError(t, err)
					resp, err := rt.RoundTrip(req)
					attempts := 1
					if err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						attempts = max(1, len(AttemptsOf(resp)))
					}
					srv.Client().CloseIdleConnections()
					srv.Close() // no handler is at work any more
					executed := int(w.executed.Load())
					switch {
					case cut == "after the headers" && err == nil && attempts == 1:
						require.Equal(t, 1, executed, "%s: the answer had begun", name)
					case !idempotent(method) && !key:
						require.Error(t, err, name)
						require.LessOrEqual(t, executed, 1, name)
						require.Equal(t, int32(1), w.requests.Load(), name)
					default:
						require.NoError(t, err, name)
						require.Equal(t, 2, attempts, name)
						if !idempotent(method) {
							require.Equal(t, 1, executed, "%s: the server honours keys", name)
						}
					}
				}
			}
		}
	}
}

// What net/http would do by itself, so that the test above tests something; and what it is kept from.
func TestKeyedRequestsAreResentByNetHTTP(t *testing.T) {
	w := startWorker(t, "after the body", 0, false)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	send := func(rt http.RoundTripper, method, header string, body io.Reader) {
		req, err := http.NewRequestWithContext(t.Context(), method, w.url, body)
		require.NoError(t, err)
		req.Header.Set(header, "k")
		resp, err := rt.RoundTrip(req)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		require.Equal(t, http.Header{header: {"k"}}, req.Header, "the caller's request is not changed")
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, header := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			for _, body := range []string{"{}", ""} {
				for _, tt := range []struct {
					name string
					rt   http.RoundTripper
					want int32
				}{
					{"net/http", base, 2},
					{"one attempt of ours", &Transport{Base: base, MaxAttempts: 1}, 1},
					{"over what somebody put between", &Transport{Base: struct{ http.RoundTripper }{base}, MaxAttempts: 1}, 1},
					{"two of ours", &Transport{Base: &Transport{Base: base, MaxAttempts: 1}, MaxAttempts: 1, IdempotencyKeys: true}, 1},
				} {
					send(base, http.MethodGet, header, http.NoBody) // a connection that was used
					w.requests.Store(0)
					w.cuts.Store(1)
					var r io.Reader = http.NoBody
					if body != "" {
						r = strings.NewReader(body)
					}
					send(tt.rt, method, header, r)
					require.Equal(t, tt.want, w.requests.Load(), "%s %s %q: %s", method, header, body, tt.name)
				}
			}
		}
	}
}

// A stream that the server provably did not process is sent again by net/http within the attempt, with a key as without one. One that it may have
// processed is not.
func TestKeyedRequestsOverHTTP2(t *testing.T) {
	for _, tt := range []struct {
		name     string
		code     uint32 // of the RST_STREAM
		goAway   bool
		keys     []string
		attempts int // that are told of: none of a call that had one
	}{
		{name: "REFUSED_STREAM", code: h2RefusedStream, keys: []string{"", "k"}},
		{name: "GOAWAY", goAway: true, keys: []string{"", "k"}},
		{name: "INTERNAL_ERROR", code: 2, keys: []string{"k"}, attempts: 2},
	} {
		for _, key := range tt.keys {
			for _, body := range []string{"", "{}"} {
				t.Run(fmt.Sprintf("%s/%q/%q", tt.name, key, body), func(t *testing.T) {
					url, seen := refusingServer(t, tt.code, tt.goAway, 1)
					base := &http.Transport{Protocols: new(http.Protocols)}
					base.Protocols.SetUnencryptedHTTP2(true)
					defer base.CloseIdleConnections()
					var r io.Reader = http.NoBody
					if body != "" {
						r = strings.NewReader(body)
					}
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, r)
					require.NoError(t, err)
					if key != "" {
						req.Header.Set("Idempotency-Key", key)
					}
					resp, err := (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
					require.NoError(t, err)
					require.Equal(t, 200, resp.StatusCode)
					require.NoError(t, resp.Body.Close())
					require.Equal(t, int32(2), seen.Load())
					require.Len(t, AttemptsOf(resp), tt.attempts)
				})
			}
		}
	}
}

// Only REFUSED_STREAM says that nothing was done, RFC 9113 section 8.7.
func TestStreamThatIsToCalmDown(t *testing.T) {
	for key, streams := range map[string]int32{"": 1, "k": 4} {
		url, seen := refusingServer(t, h2EnhanceYourCalm, false, 1000)
		base := &http.Transport{Protocols: new(http.Protocols)}
		base.Protocols.SetUnencryptedHTTP2(true)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		require.NoError(t, err)
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, errcodes.ClassRateLimited)
		require.Equal(t, MaybeExecuted, e.Decision.Safety)
		require.Equal(t, streams, seen.Load())
		base.CloseIdleConnections()
	}
}

// A GOAWAY behind a request that was taken up is the end of a connection, and says what a RST_STREAM with its code would.
func TestGoAwayBehindTheRequest(t *testing.T) {
	const internalError = 2
	for code, rule := range map[uint32]string{h2EnhanceYourCalm: netH2Calm.rule, internalError: netEOF.rule} {
		url, seen := refusingServer(t, code, true, 1000)
		base := &http.Transport{Protocols: new(http.Protocols)}
		base.Protocols.SetUnencryptedHTTP2(true)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		require.NoError(t, err)
		_, err = (&Transport{Base: base, NewBackOff: atOnce}).RoundTrip(req)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, rule, e.Decision.Rule)
		require.Equal(t, MaybeExecuted, e.Decision.Safety)
		require.Equal(t, StopUnsafe, e.Stop)
		require.EqualValues(t, 1, seen.Load())
		base.CloseIdleConnections()
	}
}

// net/http takes PROTOCOL_ERROR for a refusal as well, which may come behind the work, and sends again as often as it is met. Of one that carries a key
// there are a few streams, further and further apart.
func TestKeyedRequestsAreNotSentForEver(t *testing.T) {
	const protocolError = 1
	for _, limit := range []time.Duration{0, 300 * time.Millisecond} {
		url, seen := refusingServer(t, protocolError, false, 1000)
		base := &http.Transport{Protocols: new(http.Protocols)}
		base.Protocols.SetUnencryptedHTTP2(true)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond+limit)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Idempotency-Key", "k")
		_, err = (&Transport{Base: base, MaxAttempts: 1, AttemptTimeout: limit}).RoundTrip(req)
		require.ErrorIs(t, err, errcodes.ClassTimeout)
		require.LessOrEqual(t, seen.Load(), int32(perAttempt))
		require.Greater(t, seen.Load(), int32(1))
		cancel()
		base.CloseIdleConnections()
	}
}

// What counts is a stream that has begun, and the pauses grow. When there is no end to it, the call has one.
func TestStreamsOfOneAttempt(t *testing.T) {
	field := func(r *http.Request, name string) {
		httptrace.ContextClientTrace(r.Context()).WroteHeaderField(name, []string{"POST"})
	}
	t.Run("none began", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				for range 1000 { // full connections, and dead ones of HTTP/1
					field(r, "Host")
					_, err := r.GetBody()
					require.NoError(t, err)
				}
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			})
			req := post(t, t.Context(), "{}")
			req.Header.Set("Idempotency-Key", "k")
			_, err := (&Transport{Base: base}).RoundTrip(req)
			require.NoError(t, err)
			require.Zero(t, time.Since(start))
		})
	})
	t.Run("all began", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				for {
					field(r, ":method")
					times = append(times, time.Now())
					_, err := r.GetBody()
					if err != nil {
						return nil, err
					}
					_, err = r.GetBody() // for the stream, and for the connection
					require.NoError(t, err)
				}
			})
			req := post(t, t.Context(), "{}")
			req.Header.Set("Idempotency-Key", "k")
			_, err := (&Transport{Base: base, MaxAttempts: 1}).RoundTrip(req)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, "transport: refused over and over", e.Decision.Rule)
			require.Equal(t, MaybeExecuted, e.Decision.Safety)
			require.Len(t, times, perAttempt)
			require.Zero(t, times[1].Sub(times[0]))
			for i, wait := 2, resendWait; i < len(times); i, wait = i+1, 2*wait {
				require.GreaterOrEqual(t, times[i].Sub(times[i-1]), wait)
				require.Less(t, times[i].Sub(times[i-1]), 2*wait)
			}
		})
	})
}

// A burst over connections that take few streams at a time: the server refuses most of them, and each is served in the end, with a key as without.
func TestKeyedBurstsAreServed(t *testing.T) {
	const calls = 40
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-r.Context().Done():
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 4}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // connections that nobody needs after all
	srv.StartTLS()
	defer srv.Close()
	rt := &Transport{Base: srv.Client().Transport, MaxAttempts: 1, IdempotencyKeys: true}
	errs := make(chan error, calls)
	for range calls {
		go func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("payload"))
			if err == nil {
				var resp *http.Response
				if resp, err = rt.RoundTrip(req); err == nil {
					io.Copy(io.Discard, resp.Body)
					err = resp.Body.Close()
				}
			}
			errs <- err
		}()
	}
	for range calls {
		require.NoError(t, <-errs)
	}
	srv.Client().CloseIdleConnections()
}

// doomedConn is a connection that takes no bytes any more once it is told.
type doomedConn struct {
	net.Conn

	dead *atomic.Bool
}

func (c doomedConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return c.Conn.Write(p)
}

// Nothing is sent over a dead connection, so a request goes past a whole pool of them, with a key as without.
func TestKeyedRequestsPassDeadConnections(t *testing.T) {
	const pool = 12
	w := startWorker(t, "", 0, true)
	var dead atomic.Bool
	base := &http.Transport{MaxIdleConnsPerHost: pool}
	defer base.CloseIdleConnections()
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if dead.Load() {
			return c, err
		}
		return doomedConn{c, &dead}, err
	}
	var held []*http.Response
	for range pool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url, http.NoBody)
		require.NoError(t, err)
		resp, err := base.RoundTrip(req)
		require.NoError(t, err)
		held = append(held, resp)
	}
	for _, resp := range held {
		io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
	}
	dead.Store(true)
	w.requests.Store(0)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Idempotency-Key", "k")
	resp, err := (&Transport{Base: base, MaxAttempts: 1}).RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, int32(1), w.requests.Load())
}

// refusingServer speaks HTTP/2 in the clear. It ends the first streams, as many as refusals, which it has read whole, with RST_STREAM and code, or by a GOAWAY
// that says that no stream was processed; the others it answers with 200. It counts the streams.
func refusingServer(t *testing.T, code uint32, goAway bool, refusals int32) (string, *atomic.Int32) {
	t.Helper()
	const (
		data, headers, reset, settings, goAwayType = 0, 1, 3, 4, 7
		endStream, ack                             = 1, 1
	)
	var streams atomic.Int32
	url := brokenServer(t, func(c net.Conn) {
		write := func(typ, flags byte, stream uint32, payload []byte) {
			n := len(payload)
			frame := binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), typ, flags}, stream)
			c.Write(append(frame, payload...))
		}
		hangUp := func() {
			if half, ok := c.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			io.Copy(io.Discard, c) // what is under way: bytes unread would reset the connection
		}
		io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
		write(settings, 0, 0, nil)
		var head [9]byte
		for {
			if _, err := io.ReadFull(c, head[:]); err != nil {
				return
			}
			io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
			typ, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
			switch {
			case typ == settings && flags&ack == 0:
				write(settings, ack, 0, nil)
			case typ != data && typ != headers || flags&endStream == 0:
			case streams.Add(1) > refusals:
				write(headers, endStream|4, stream, []byte{0x88})
				hangUp()
				return
			case goAway:
				last := uint32(0)
				if code != 0 {
					last = stream // it was taken up
				}
				write(goAwayType, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code))
				hangUp()
				return
			default:
				write(reset, 0, stream, binary.BigEndian.AppendUint32(nil, code))
			}
		}
	})
	return url, &streams
}

// The response leads to the request as the caller spelled it.
func TestKeyedRequestsAreHandedBack(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	for _, limit := range []time.Duration{0, time.Minute} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Idempotency-Key", "k")
		resp, err := (&Transport{Base: base, AttemptTimeout: limit}).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Same(t, req, resp.Request)
		require.NoError(t, resp.Request.Context().Err())
	}
}

// However a key is spelled and whoever has changed its spelling, a server sees it, once.
func TestKeysReachTheServer(t *testing.T) {
	seen := make(chan http.Header, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	for _, proto := range []int{1, 2} {
		srv := httptest.NewUnstartedServer(handler)
		srv.EnableHTTP2 = proto == 2
		srv.StartTLS()
		base := srv.Client().Transport
		nested := &Transport{Base: &Transport{Base: base, IdempotencyKeys: true}, IdempotencyKeys: true}
		for _, tt := range []struct {
			header http.Header
			want   map[string][]string
		}{
			{http.Header{"Idempotency-Key": {"k"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"X-Idempotency-Key": {"k"}}, map[string][]string{"X-Idempotency-Key": {"k"}}},
			{http.Header{"idempotency-key": {"k"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"Idempotency-Key": {"a"}, "idempotency-key": {"b"}}, map[string][]string{"Idempotency-Key": {"a"}}},
			{http.Header{"Idempotency-Key": {"", "k", "l"}, "idempotency-key": {"m"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"Idempotency-Key": {"k"}, "idempotency-key": {""}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"Idempotency-Key": {" "}, "IDEMPOTENCY-KEY": {"k"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"IDEMPOTENCY-KEY": {"k"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"Idempotency-key": {"k"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"x-IDEMPOTENCY-key": {"k"}}, map[string][]string{"Idempotency-Key": {}, "X-Idempotency-Key": {"k"}}},
			{http.Header{"idempotency-key": {""}}, map[string][]string{"Idempotency-Key": nil}},
			{http.Header{"idempotency-key": {"", "k"}}, map[string][]string{"Idempotency-Key": {"k"}}},
			{http.Header{"idempotency-key": {""}, "X-IDEMPOTENCY-KEY": {" ", "k"}}, map[string][]string{"Idempotency-Key": {}, "X-Idempotency-Key": {"k"}}},
			{http.Header{"Idempotency-Key": {" "}}, map[string][]string{"Idempotency-Key": nil}},
			{http.Header{"Idempotency-Key": nil}, map[string][]string{"Idempotency-Key": nil}},
			{http.Header{"X-Idempotency-Key": {""}, "x-idempotency-key": {"\t"}}, map[string][]string{"Idempotency-Key": nil}},
			{http.Header{"Idempotency-Key": {"a"}, "X-Idempotency-Key": {"b"}}, map[string][]string{"Idempotency-Key": {"a"}, "X-Idempotency-Key": {"b"}}},
			{nil, map[string][]string{"Idempotency-Key": nil}}, // one of ours
		} {
			for _, body := range []string{"", "{}"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, http.NoBody)
				require.NoError(t, err)
				if body != "" {
					req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(body))
					require.NoError(t, err)
				}
				req.Header = tt.header.Clone()
				resp, err := nested.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, tt.header, req.Header)
				got := <-seen
				for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
					want, ok := tt.want[name]
					switch {
					case ok && want == nil:
						require.Len(t, got[name], 1)
						require.Len(t, got[name][0], 26)
					case len(want) == 0:
						require.Empty(t, got[name])
					default:
						require.Equal(t, want, got[name], "HTTP/%d, %v, %q", proto, tt.header, body)
					}
				}
			}
		}
		srv.Client().CloseIdleConnections()
		srv.Close()
	}
}

// A key behind a blank value is none to a server that looks at the first, so the request is not sent again for it.
func TestKeysBehindBlankOnes(t *testing.T) {
	for _, tt := range []struct {
		header http.Header
		want   bool
	}{
		{http.Header{"idempotency-key": {"", "k"}}, false},
		{http.Header{"Idempotency-Key": {"", "k"}}, true}, // goes out as k
		{http.Header{"idempotency-key": {"k"}}, true},
		{http.Header{"IDEMPOTENCY-KEY": {"k"}}, true},
		{http.Header{"X-Idempotency-Key": {" "}}, false},
		{http.Header{"Idempotency-Keys": {"k"}}, false},
	} {
		req := post(t, t.Context(), "{}")
		req.Header = tt.header
		require.Equal(t, tt.want, replayable(req), "%v", tt.header)
	}
}

// The request of the caller keeps its GetBody: redirects need it.
func TestKeyedRequestsKeepTheirGetBody(t *testing.T) {
	var bodies []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}
	}))
	defer srv.Close()
	client := srv.Client()
	client.Transport = &Transport{Base: client.Transport, IdempotencyKeys: true}
	defer client.CloseIdleConnections()
	resp, err := client.Post(srv.URL, "application/json", strings.NewReader(`{"a":1}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, []string{`{"a":1}`, `{"a":1}`}, bodies)
}

// A server that dies at every byte of its response: no call hangs, leaks or invents an answer.
func TestServerDiesAtEveryByte(t *testing.T) {
	const body = `{"error":{"message":"The service is overloaded.","code":"overloaded"}}`
	for _, whole := range []string{
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After-Ms: 1\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body,
		"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + body[:16] + "\r\n" + fmt.Sprintf("%x", len(body)-16) + "\r\n" + body[16:] + "\r\n0\r\n\r\n",
	} {
		head := strings.Index(whole, "\r\n\r\n") + 4
		for n := range len(whole) + 1 {
			url := brokenServer(t, func(c net.Conn) {
				if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.Copy(io.Discard, req.Body)
					io.WriteString(c, whole[:n])
				}
			})
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				diesBehind(t, &http.Transport{}, url, method, body, n >= head, n == len(whole))
			}
		}
	}
}

// The same over HTTP/2: a frame of headers, :status 503, and one of data.
func TestServerDiesAtEveryByteOverHTTP2(t *testing.T) {
	const body = `{"error":{"message":"Overloaded."}}`
	const head = "\x00\x00\x05\x01\x04\x00\x00\x00\x01" + "\x08\x03503"
	whole := head + "\x00\x00" + string(rune(len(body))) + "\x00\x01\x00\x00\x00\x01" + body
	const settings, settled = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
	for n := range len(whole) + 1 {
		url := brokenServer(t, func(c net.Conn) {
			io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
			io.WriteString(c, settings+settled)
			var frame [9]byte
			for ended := false; !ended; {
				if _, err := io.ReadFull(c, frame[:]); err != nil {
					return
				}
				io.CopyN(io.Discard, c, int64(frame[0])<<16|int64(frame[1])<<8|int64(frame[2]))
				ended = frame[3] <= 1 && frame[4]&1 != 0
			}
			io.WriteString(c, whole[:n])
			if half, ok := c.(*net.TCPConn); ok {
				half.CloseWrite()
			}
			io.Copy(io.Discard, c) // bytes unread would reset the connection
		})
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			base := &http.Transport{Protocols: new(http.Protocols)}
			base.Protocols.SetUnencryptedHTTP2(true)
			diesBehind(t, base, url, method, body, n >= len(head), n == len(whole))
		}
	}
}

// diesBehind makes a call of two attempts to a server that answers both alike with body, or dies: headed is whether the headers come through, whole whether
// everything does.
func diesBehind(t *testing.T, base *http.Transport, url, method, body string, headed, whole bool) {
	t.Helper()
	defer base.CloseIdleConnections()
	base.DisableKeepAlives = true // the second attempt is not to meet the connection that has just been closed
	tr := &Transport{Base: base, NewBackOff: atOnce, MaxAttempts: 2, Budget: Unlimited{}}
	var sent io.Reader = http.NoBody
	if method == http.MethodPost {
		sent = strings.NewReader("{}")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, sent)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(req)
	if !headed {
		require.Nil(t, resp)
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		want := 2
		if method == http.MethodPost {
			want = 1
			require.Equal(t, MaybeExecuted, e.Decision.Safety)
		}
		require.Len(t, e.Attempts, want, "%v", err)
		return
	}
	require.NoError(t, err)
	require.Equal(t, 503, resp.StatusCode)
	e := ErrorOf(resp)
	require.Len(t, e.Attempts, 2)
	require.Equal(t, errcodes.ClassOverloaded, e.Decision.Class)
	got, err := io.ReadAll(resp.Body)
	require.True(t, strings.HasPrefix(body, string(got)))
	if len(got) < len(body) {
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a cut body is no whole one")
	}
	if whole {
		require.NoError(t, err)
		require.Equal(t, body, string(got))
	}
	require.NoError(t, resp.Body.Close())
}

// Over HTTP/2 the tries share a connection too.
func TestHTTP2(t *testing.T) {
	var n atomic.Int32
	var conns sync.Map
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		b, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || string(b) != "payload" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		switch n.Add(1) % 4 {
		case 1:
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, strings.Repeat("x", 64<<10))
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // the body of the error is reset
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	base := srv.Client().Transport
	for _, key := range []bool{false, true} {
		client := &http.Client{Transport: &Transport{Base: base, NewBackOff: atOnce, IdempotencyKeys: key}}
		resp, err := client.Post(srv.URL, "text/plain", strings.NewReader("payload"))
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Len(t, AttemptsOf(resp), 4)
		require.NoError(t, resp.Body.Close())
	}
	count := 0
	conns.Range(func(any, any) bool { count++; return true })
	require.Equal(t, 1, count, "connections")
	srv.Client().CloseIdleConnections()
}

// A reset before the headers over HTTP/2 is as ambiguous as anywhere.
func TestHTTP2Reset(t *testing.T) {
	var n atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		n.Add(1)
		panic(http.ErrAbortHandler)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	client := &http.Client{Transport: &Transport{Base: srv.Client().Transport, NewBackOff: atOnce}}
	_, err := client.Post(srv.URL, "text/plain", strings.NewReader("payload"))
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, StopUnsafe, e.Stop)
	require.Equal(t, netH2Stream.rule, e.Decision.Rule)
	require.Equal(t, int32(1), n.Load())
	srv.Client().CloseIdleConnections()
}

// A server that stalls behind the headers of a 503: the judgement comes in time, and nothing stays behind.
func TestServerStallsBehindTheHeaders(t *testing.T) {
	for _, give := range []string{"give up", "cancel", "go on"} {
		release := make(chan struct{})
		var n atomic.Int32
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > 1 && give == "go on" {
				return
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":{"message":"half`)
			http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}))
		client := srv.Client()
		tr := &Transport{Base: client.Transport, NewBackOff: atOnce, Classifier: &Classifier{BodyTimeout: 20 * time.Millisecond}, Budget: Unlimited{}}
		ctx, cancel := context.WithCancel(t.Context())
		switch give {
		case "give up":
			tr.MaxAttempts = 1
		case "cancel":
			tr.Observer = observerFunc(func(*AttemptEvent) { cancel() })
		}
		client.Transport = tr
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader("{}"))
		require.NoError(t, err)
		resp, err := client.Do(req)
		switch give {
		case "give up":
			require.NoError(t, err)
			require.Equal(t, "half", ErrorOf(resp).Decision.Message)
			require.NoError(t, resp.Body.Close())
		case "cancel":
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, "half")
		case "go on":
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
		}
		cancel()
		close(release)
		client.CloseIdleConnections()
		srv.Close()
	}
}
