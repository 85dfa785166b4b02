package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// A bound that strikes must not cost the next request on the connection anything: either the connection is in order, or the caller was told
// beforehand that it closes, or saw it break.
func TestTimeoutAndTheNextRequest(t *testing.T) {
	t.Parallel()
	const bound = 5 * time.Millisecond
	firstByte, total := middleware.Timeout{FirstByte: bound}, middleware.Timeout{Total: bound}
	idle, totalLater := middleware.Timeout{Idle: bound}, middleware.Timeout{Total: 4 * bound}
	event := func(ew *middleware.ErrorWriter, w http.ResponseWriter, r *http.Request) error {
		return ew.Stream(w, r, middleware.Chat).Send([]byte("{}"))
	}
	unflushed := func(ctype, text string) func(*middleware.ErrorWriter, http.ResponseWriter, *http.Request) error {
		return func(_ *middleware.ErrorWriter, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", ctype)
			_, err := io.WriteString(w, text)
			return err
		}
	}
	kinds := []struct {
		name   string
		limits middleware.Timeout
		begin  func(*middleware.ErrorWriter, http.ResponseWriter, *http.Request) error // of the answer; nil for none
		breaks bool                                                                    // whatever the body: the answer takes no event
	}{
		{name: "first byte", limits: firstByte},
		{name: "total", limits: total},
		{name: "idle stream", limits: idle, begin: event},
		{name: "total of a stream", limits: totalLater, begin: event},
		{name: "idle stream in a buffer", limits: idle, begin: unflushed("text/event-stream", "data: {}\n\n")},
		{name: "idle stream beyond the buffer", limits: idle, begin: unflushed("text/event-stream", "data: "+strings.Repeat("x", 8000)+"\n\n")},
		{name: "idle JSON", limits: idle, begin: unflushed("application/json", `{"half":`), breaks: true},
	}
	reads := []struct {
		name string
		read func(w http.ResponseWriter, r *http.Request) error
		size int
		wait bool // the caller sends half of the body and waits for the answer
	}{
		{name: "read", size: 100, read: readAll},
		{name: "unread", size: 100, read: readNothing},
		{name: "half read", size: 100, read: readHalf},
		{name: "large, read", size: 1 << 20, read: readAll},
		{name: "large, unread", size: 1 << 20, read: readNothing},
		{name: "large, half read", size: 1 << 20, read: readHalf},
		{name: "being read", size: 100, wait: true, read: readAll},
		{name: "being read beside the answer", size: 100, wait: true, read: func(w http.ResponseWriter, r *http.Request) error {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
				panic(err)
			}
			go func() { _ = readAll(w, r) }()
			return nil
		}},
		{name: "unread, never sent", size: 100, wait: true, read: readNothing},
	}
	for _, http2 := range []bool{false, true} {
		for _, kind := range kinds {
			for _, read := range reads {
				name := "HTTP/1.1 " + kind.name + ", body " + read.name
				if http2 {
					name = "HTTP/2 " + kind.name + ", body " + read.name
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					ew := quiet(errcodes.OpenAI())
					mux := http.NewServeMux()
					mux.Handle("/slow", ew.Timeout(kind.limits)(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
						if kind.begin == nil || !read.wait {
							if err := read.read(w, r); err != nil {
								return err
							}
						}
						if kind.begin != nil {
							if read.wait {
								if strings.HasSuffix(read.name, "answer") {
									_ = read.read(w, r)
								} else {
									// The answer begins while the body is on its way, which net/http sits out.
									go func() { _ = read.read(w, r) }()
								}
							}
							if err := kind.begin(ew, w, r); err != nil {
								return err
							}
						}
						<-r.Context().Done()
						return r.Context().Err()
					})))
					mux.Handle("/next", ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
						body, err := io.ReadAll(r.Body)
						if err != nil || r.Context().Err() != nil {
							return errors.New("a request that is cancelled from the start")
						}
						_, err = w.Write(body)
						return err
					}))
					over := make(chan struct{})
					h := ew.Wrap(mux)
					srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/slow" && kind.breaks {
							defer close(over) // the client's transport waits for its body even when the connection is gone
						}
						h.ServeHTTP(w, r)
					}), http2)
					requireNextIsFine(t, srv, over, http2, kind.begin != nil, kind.breaks, read.wait, read.size)
				})
			}
		}
	}
}

func readAll(_ http.ResponseWriter, r *http.Request) error {
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

func readNothing(http.ResponseWriter, *http.Request) error { return nil }

func readHalf(_ http.ResponseWriter, r *http.Request) error {
	_, err := io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	return err
}

func requireNextIsFine(t *testing.T, srv *httptest.Server, over <-chan struct{}, http2, begun, breaks, wait bool, size int) {
	t.Helper()
	var body io.Reader = bytes.NewReader(make([]byte, size))
	if wait {
		h := &half{Reader: bytes.NewReader(make([]byte, size/2)), closed: make(chan struct{}), over: over}
		t.Cleanup(func() { _ = h.Close() })
		body = h
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/slow", body)
	require.NoError(t, err)
	req.ContentLength = int64(size)
	res, err := srv.Client().Do(req)
	if err != nil && breaks {
		// The header was still in a buffer. A broken connection is nothing that anybody mistakes.
		next(t.Context(), t, srv)
		return
	}
	require.NoError(t, err)
	got, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	broken := err != nil
	switch {
	case !begun || res.StatusCode != http.StatusOK: // on a busy machine the bound strikes before the handler begins
		require.NoError(t, err)
		require.Contains(t, []int{http.StatusGatewayTimeout, http.StatusRequestTimeout}, res.StatusCode)
		require.Contains(t, string(got), `{"error":{`)
	case breaks:
		require.True(t, broken)
	case broken && wait && !http2:
		// The server waits for the body before it sends the header, and what ends that ends the request.
	default:
		require.Contains(t, string(got), "\n\ndata: {\"error\":{\"message\":", "the event is there, cleanly ended or not")
		require.False(t, broken)
	}
	require.True(t, !broken || begun)

	reused := false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	next(ctx, t, srv)
	if http2 {
		require.True(t, reused, "HTTP/2 loses a stream, not the connection")
	} else {
		require.Equal(t, !res.Close && !broken && !wait, reused)
	}
	next(t.Context(), t, srv)
}

func next(ctx context.Context, t *testing.T, srv *httptest.Server) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/next", strings.NewReader("hello"))
	require.NoError(t, err)
	res, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode, "%s", got)
	require.Equal(t, "hello", string(got))
}

// half is a body that stops coming until the transport has no more use for it, or the request is over.
type half struct {
	*bytes.Reader

	once   sync.Once
	closed chan struct{}
	over   <-chan struct{}
}

func (h *half) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if err == nil {
		return n, nil
	}
	select {
	case <-h.closed:
	case <-h.over:
	}
	return 0, errors.New("given up")
}

func (h *half) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// What is left of a body must never be taken for the next request, whatever it says, and nobody waits for it.
func TestTimeoutLeavesNoBodyBehind(t *testing.T) {
	for name, duplex := range map[string]bool{"full duplex": true, "half duplex": false} {
		t.Run(name, func(t *testing.T) {
			ew := quiet(errcodes.OpenAI())
			stray := make(chan string, 1)
			srv := serve(t, ew.Timeout(middleware.Timeout{Idle: 5 * time.Millisecond})(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				if r.URL.Path != "/" {
					stray <- r.URL.Path
					return nil
				}
				if duplex {
					if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
						panic(err)
					}
				}
				for range 4 { // who do not take an error for an answer
					go func() {
						for errors.Is(readAll(w, r), os.ErrDeadlineExceeded) {
						}
					}()
				}
				if err := ew.Stream(w, r, middleware.Chat).Send([]byte("{}")); err != nil {
					return err
				}
				<-r.Context().Done()
				return r.Context().Err()
			})), false)
			// Several at a time: who of the handler, its reader and the server comes first is up to the scheduler.
			const callers = 50
			answers := make(chan string, callers)
			for range callers {
				conn := dial(t, srv)
				go func() {
					_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
					got := make([]byte, len("HTTP/1.1 200"))
					n, _ := io.ReadFull(conn, got)
					_, _ = io.WriteString(conn, "GET /stray HTTP/1.1\r\nHost: x\r\n\r\n")
					rest, _ := io.ReadAll(conn) // to the end of the connection
					answers <- string(got[:n]) + string(rest)
				}()
			}
			begun := 0
			for range callers {
				got := <-answers
				if got == "" {
					continue // the bound struck between the first write and its flush: a broken connection is an honest end
				}
				begun++
				require.True(t, strings.HasPrefix(got, "HTTP/1.1 200"), got)
				require.Equal(t, 1, strings.Count(got, "HTTP/1.1"), got)
				if duplex {
					require.Contains(t, got, `data: {"error":{`)
				}
			}
			require.Positive(t, begun)
			require.Empty(t, stray)
		})
	}
}
