package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/reachable"
	"github.com/errwire/errwire/middleware"
)

func TestEveryReachableErrorIsShaped(t *testing.T) { reachable.Test(t, reachable.ServeMux) }

// A caller that closes its half of the connection looks gone to net/http, but still reads. It must not read a success.
func TestCallerGoneGetsNothing(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(logs)}
	ended := make(chan error, 1)
	for name, h := range map[string]http.Handler{
		"error": ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return r.Context().Err()
		}),
		"another error": ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return &errcodes.Error{Code: errcodes.BadGateway}
		}),
		"nothing": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"begun": ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.WriteString(w, "half")
			<-r.Context().Done()
			return r.Context().Err()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			logs.clear()
			srv := serve(t, ew.Wrap(h), false)
			conn := dial(t, srv)
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
			got, _ := io.ReadAll(conn)
			require.NotContains(t, string(got), "\r\n0\r\n", "no clean end")
			require.NotContains(t, string(got), "Content-Length")
			if name != "begun" {
				require.Empty(t, string(got))
			}
			record := logs.next(t)
			require.Len(t, record, 1)
			require.Equal(t, "499", record[0]["status"])
			require.Equal(t, "client_closed", record[0]["code"])
			require.Equal(t, "unsent", record[0]["outcome"])
			require.Equal(t, "INFO", record[0]["level"])
		})
	}
	close(ended)
}

// In HTTP/2 a read that a deadline has ended says nothing of the caller: one who leaves afterwards is seen to leave.
func TestCallerGoneAfterAReadDeadline(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(logs)}
	for name, end := range map[string]func(context.Context) error{
		"error":         context.Context.Err,
		"another error": func(context.Context) error { return &errcodes.Error{Code: errcodes.BadGateway} },
		"nothing":       func(context.Context) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			logs.clear()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			srv := serve(t, ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				if err := http.NewResponseController(w).SetReadDeadline(time.Now()); err != nil {
					return err
				}
				if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
					return fmt.Errorf("the read went on: %w", err)
				}
				leave()
				<-r.Context().Done()
				return end(r.Context())
			}), true)
			body, more := io.Pipe() // the caller has more to send
			defer more.Close()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, body)
			require.NoError(t, err)
			_, err = srv.Client().Do(req)
			require.ErrorIs(t, err, context.Canceled)
			record := logs.next(t)
			require.Len(t, record, 1)
			require.Equal(t, "client_closed", record[0]["code"])
			require.Equal(t, "499", record[0]["status"])
			require.Equal(t, "unsent", record[0]["outcome"])
		})
	}
}

// A sender that reads nothing before it has sent everything must get the 413 too.
func TestBlockingSenderGetsThe413(t *testing.T) {
	srv := serve(t, reachable.Handler(quiet(errcodes.OpenAI()), reachable.ServeMux, nil), false)
	for name, head := range map[string]string{
		"length": "Content-Length: 8388608\r\n", "chunks": "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, srv)
			_, err := io.WriteString(conn, "POST /runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-good\r\nContent-Type: application/json\r\n"+head+"\r\n")
			require.NoError(t, err)
			body := reachable.Body(8 << 20)
			if name == "chunks" {
				body = "800000\r\n" + body + "\r\n0\r\n\r\n"
			}
			_, err = io.WriteString(conn, body)
			require.NoError(t, err, "the server reads all of it")
			buf := make([]byte, 12)
			_, err = io.ReadFull(conn, buf)
			require.NoError(t, err)
			require.Equal(t, "HTTP/1.1 413", string(buf))
		})
	}
}

// Who asks first is told before it sends.
func TestExpectContinueIsNotAskedForTooMuch(t *testing.T) {
	srv := serve(t, reachable.Handler(quiet(errcodes.OpenAI()), reachable.ServeMux, nil), false)
	conn := dial(t, srv)
	_, err := io.WriteString(conn, "POST /runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-good\r\nContent-Type: application/json\r\n"+
		"Content-Length: 8388608\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(got), "HTTP/1.1 413"), "%s", got)
}

func TestSlowBodyIs408(t *testing.T) {
	for _, reg := range registries() {
		srv := serve(t, reachable.Handler(quiet(reg), reachable.ServeMux, nil), false)
		conn := dial(t, srv)
		_, err := io.WriteString(conn, "POST /slow-body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(got), "HTTP/1.1 408"), "%s", got)
		require.Contains(t, string(got), "Connection: close")
	}
}
