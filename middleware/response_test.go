//nolint:testifylint // Handlers that check run on the goroutine of the test, through a recorder.
package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

func TestWriterKeepsWhatTheServerCan(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for _, http2 := range []bool{false, true} {
		srv := serve(t, ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, flusher := w.(http.Flusher)
			_, hijacker := w.(http.Hijacker)
			_, readerFrom := w.(io.ReaderFrom)
			rc := http.NewResponseController(w)
			deadlines := errors.Join(rc.SetReadDeadline(time.Now().Add(time.Hour)), rc.SetWriteDeadline(time.Now().Add(time.Hour)))
			ok := flusher && readerFrom && hijacker == (r.ProtoMajor == 1) && deadlines == nil && rc.Flush() == nil
			if !ok {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.Copy(w, strings.NewReader("copied"))
		})), http2)
		res, body := do(t, srv, http.MethodGet, "/", "")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "copied", body)
	}
}

func TestHijack(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Logger: slog.New(logs)}
	srv := serve(t, ew.Wrap(ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return err
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nX-Request-Id: " + w.Header().Get("X-Request-Id") + "\r\n\r\nraw")
		_ = rw.Flush()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			return errors.New("the writer still writes")
		}
		return errKilled // nothing can be written any more
	})), false)
	conn := dial(t, srv)
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(got), "\r\n\r\nraw"), "%s", got)
	require.Contains(t, string(got), "X-Request-Id: req_")
	require.Equal(t, "unsent", logs.next(t)[0]["outcome"])
}

func TestInformationalResponsesPass(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
		srv := serve(t, ew.Wrap(ew.Timeout(limits)(ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			return &errcodes.Error{Code: errcodes.RunNotFound}
		}))), false)
		hints := 0
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints++
			require.Equal(t, http.StatusEarlyHints, code)
			require.NotEmpty(t, h.Get("Link"))
			return nil
		}}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, srv.URL, nil)
		require.NoError(t, err)
		res, err := srv.Client().Do(req)
		require.NoError(t, err)
		_ = res.Body.Close()
		require.Equal(t, 1, hints)
		require.Equal(t, 404, res.StatusCode)
		require.Empty(t, res.Header.Get("Link"))
	}
}

func TestSecondWriteHeaderIsIgnoredAndReported(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Logger: slog.New(logs)}
	w := httptest.NewRecorder()
	ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot)
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusAccepted, w.Code)
	all := logs.all()
	require.Len(t, all, 1)
	require.Equal(t, "second WriteHeader ignored", all[0]["msg"])
	require.Equal(t, "WARN", all[0]["level"])
	require.Equal(t, "418", all[0]["status"])
	require.Contains(t, all[0]["caller"], "response_test.go")
	logs.clear()
	ew.Timeout(middleware.Timeout{Total: time.Hour})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		http.Error(w, "x", http.StatusTeapot)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.Contains(t, logs.all()[0]["caller"], "response_test.go")
	require.Equal(t, w.Header().Get("X-Request-Id"), all[0]["request_id"])
}

func TestInvalidStatusPanicsAsInNetHTTP(t *testing.T) {
	srv := serve(t, quiet(nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) })), false)
	res, _ := do(t, srv, http.MethodGet, "/", "")
	require.Equal(t, 500, res.StatusCode)
}

// What a handler writes itself as an error stays, unless it is plain text.
func TestShaping(t *testing.T) {
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		status int
		shaped bool
		body   string
	}{
		{"JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(418)
			_, _ = io.WriteString(w, `{"own":1}`)
		}, 418, false, `{"own":1}`},
		{"undeclared JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, " \n{\"own\":1}")
			_, _ = io.WriteString(w, "\n")
		}, 404, false, " \n{\"own\":1}\n"},
		{"undeclared JSON, after white space", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "\n")
			_, _ = io.WriteString(w, " \t")
			_, _ = io.WriteString(w, "{\"own\":1}")
		}, 404, false, "\n \t{\"own\":1}"},
		{"undeclared text, after white space", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			for _, s := range []string{"\n", "secret", "{}"} {
				_, _ = io.WriteString(w, s)
			}
		}, 404, true, ""},
		{"undeclared JSON, after too much white space", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			for range 600 {
				_, _ = io.WriteString(w, " ")
			}
			_, _ = io.WriteString(w, `{"secret":1}`)
		}, 404, true, ""},
		{"undeclared JSON, copied", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.Copy(w, strings.NewReader(`[1]`))
		}, 404, false, `[1]`},
		{"undeclared text", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.Copy(w, strings.NewReader("secret"))
		}, 404, true, ""},
		{"JSON declared as text", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"secret":1}`, 400) }, 400, true, ""},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Text/HTML; charset=utf-8")
			w.WriteHeader(502)
			_, _ = io.WriteString(w, "<h1>secret</h1>")
			_ = http.NewResponseController(w).Flush()
		}, 502, true, ""},
		{"no body", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 503, true, ""},
		{"a status without a condition", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret", http.StatusTeapot) }, 418, true, "teapot"},
		{"a status without a phrase", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret", 599) }, 599, true, ""},
		{"gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "\x1f\x8b")
		}, 500, false, "\x1f\x8b"},
		{"XML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "<e/>")
		}, 500, false, "<e/>"},
		{"text of a success", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }, 200, false, "fine"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusTemporaryRedirect) }, 307, false, "<a href"},
		{"not modified", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, 304, false, ""},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, false, ""},
		{"panic after http.Error", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "secret", 404)
			panic("secret")
		}, 500, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, reg := range registries() {
				w := httptest.NewRecorder()
				quiet(reg).Wrap(c.h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				require.Equal(t, c.status, w.Code)
				require.Contains(t, w.Body.String(), c.body)
				require.NotContains(t, w.Body.String(), "secret")
				require.Regexp(t, requestIDForm, w.Header().Get("X-Request-Id"))
				if !c.shaped {
					require.Equal(t, c.body, w.Body.String()[:len(c.body)])
					continue
				}
				got, err := reg.Dialect().Decode(w.Body.Bytes())
				require.NoError(t, err)
				require.NotEmpty(t, got.Message)
				if reg.Dialect().Slots()&errcodes.SlotStatus != 0 {
					require.Equal(t, c.status, got.Status)
				}
			}
		})
	}
}

// What a limiter of somebody else, or a server behind a reverse proxy, says of the wait is not lost with its text.
func TestShapingKeepsTheWait(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for _, c := range []struct {
		name                string
		status              int
		after, retry        string
		wantAfter, wantVeto string
		message             string
	}{
		{"a wait", 429, "47", "", "47", "", "Retry-After"},
		{"of a server", 503, "30", "", "30", "", "Retry-After"},
		{"none", 429, "", "", "1", "", "Retry-After"},
		{"nonsense", 429, "soon", "", "1", "", "Retry-After"},
		{"zero", 429, "0", "", "1", "", "Retry-After"},
		{"a date that has passed", 503, "Fri, 02 Jan 2015 03:04:35 GMT", "", "1", "", "Retry-After"},
		{"a date", 503, time.Now().Add(40 * time.Second).UTC().Format(http.TimeFormat), "", "40", "", "Retry-After"},
		{"an hour", 429, "3600", "", "", "false", "Try again in 3600 seconds."},
		{"a veto", 429, "", "false", "", "false", "The rate limit is reached.\""},
		{"a veto and a wait", 503, "7", "false", "", "false", "The service is not available just now.\""},
		{"a wish", 400, "", "true", "", "", ""},
		{"a wait where none belongs", 404, "7", "", "", "", ""},
	} {
		answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			if c.retry != "" {
				w.Header().Set("X-Should-Retry", c.retry)
			}
			http.Error(w, "secret", c.status)
		})
		behind := serve(t, answer, false)
		target, err := url.Parse(behind.URL)
		require.NoError(t, err)
		for way, h := range map[string]http.Handler{
			"itself": answer, "Timeout": ew.Timeout(middleware.Timeout{Total: time.Hour})(answer),
			"inside of another": (&middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(slog.DiscardHandler)}).Wrap(answer),
			"proxied":           &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }},
		} {
			w := httptest.NewRecorder()
			ew.Wrap(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Equal(t, c.status, w.Code)
			if after := w.Header()["Retry-After"]; c.name == "a date" {
				require.Regexp(t, "^(3[0-9]|40)$", after[0], "%s %s", c.name, way)
			} else {
				require.Equal(t, c.wantAfter, strings.Join(after, ","), "%s %s", c.name, way)
			}
			require.Equal(t, c.wantVeto, strings.Join(w.Header()["X-Should-Retry"], ","), "%s %s", c.name, way)
			require.Contains(t, w.Body.String(), c.message, "%s %s", c.name, way)
			require.NotContains(t, w.Body.String(), "secret")
		}
	}

	w := httptest.NewRecorder()
	ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Retry-After", "47") // for an answer that was not given
		return &errcodes.Error{Code: errcodes.RateLimited}
	}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "1", w.Header().Get("Retry-After"))
}

// An error is not the answer that the handler had in mind.
func TestStaleHeaders(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
		srv := serve(t, ew.Timeout(limits)(ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
			for _, k := range []string{"Location", "Content-MD5", "Content-Digest", "Repr-Digest", "Digest", "ETag", "Content-Range", "Retry-After"} {
				w.Header().Set(k, "stale")
			}
			w.Header().Set("Transfer-Encoding", "chunked")
			w.Header().Set("Link", "</a>; rel=next")
			return &errcodes.Error{Code: errcodes.NotFound}
		})), false)
		res, body := do(t, srv, http.MethodGet, "/", "")
		require.Equal(t, 404, res.StatusCode)
		require.Equal(t, int64(len(body)), res.ContentLength)
		require.Empty(t, res.TransferEncoding)
		require.Equal(t, "</a>; rel=next", res.Header.Get("Link"))
		for k, values := range res.Header {
			require.NotContains(t, values, "stale", k)
		}
	}
}

// Who asks for too much of a file learns how long it is.
func TestRangeNotSatisfiable(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	srv := serve(t, ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("0123456789"))
	})), false)
	res, body := do(t, srv, http.MethodGet, "/", "", "Range", "bytes=100-")
	require.Equal(t, 416, res.StatusCode)
	require.Equal(t, "bytes */10", res.Header.Get("Content-Range"))
	require.Contains(t, body, `{"error":`)
	res, body = do(t, srv, http.MethodGet, "/", "", "Range", "bytes=1-3")
	require.Equal(t, 206, res.StatusCode)
	require.Equal(t, "123", body)
}

// textDialect is a dialect of somebody else, whose errors are text.
type textDialect struct{ errcodes.OpenAIDialect }

func (textDialect) ContentType() string { return "text/plain" }
func (textDialect) Append(dst []byte, b errcodes.Body) []byte {
	return append(append(dst, "refused: "...), b.Message...)
}

func TestAnErrorInTextIsNotShapedTwice(t *testing.T) {
	reg, err := errcodes.New("text", textDialect{})
	require.NoError(t, err)
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(logs)}
	for _, between := range []func(http.ResponseWriter) http.ResponseWriter{
		func(w http.ResponseWriter) http.ResponseWriter { return w },
		func(w http.ResponseWriter) http.ResponseWriter { return counted{w} },
	} {
		logs.clear()
		w := httptest.NewRecorder()
		ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ew.WriteError(between(w), r, &errcodes.Error{Code: errcodes.RunNotFound, Message: "There is no such run."})
		})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, "refused: There is no such run.", w.Body.String())
		require.Len(t, logs.all(), 1)
	}
}

// A writer between may drop the error that it was to hand on, as http.TimeoutHandler does when its time is up, and say something of its own instead. That is a text like
// any other.
func TestTimeoutHandlerAfterAnError(t *testing.T) {
	inText, err := errcodes.New("text", textDialect{})
	require.NoError(t, err)
	for _, reg := range append(registries(), inText) {
		synctest.Test(t, func(t *testing.T) {
			logs := newRecords()
			ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(logs)}
			answered, left := make(chan struct{}), make(chan struct{})
			w := httptest.NewRecorder()
			ew.Wrap(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(left)
				ew.WriteError(w, r, &errcodes.Error{Code: errcodes.RunNotFound})
				<-answered // who returns in time gets its answer through
			}), time.Second, "<h1>late</h1>")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			close(answered)
			<-left
			require.Equal(t, 503, w.Code, reg.Name())
			require.Equal(t, reg.Dialect().ContentType(), w.Header().Get("Content-Type"))
			require.NotContains(t, w.Body.String(), "late")
			require.NotEmpty(t, w.Body.String())
			if reg != inText {
				got, err := reg.Dialect().Decode(w.Body.Bytes())
				require.NoError(t, err)
				require.NotEmpty(t, got.Message)
			}
			all := logs.all()
			require.Equal(t, "503", all[len(all)-1]["status"], "what the caller got is told too")
			require.Contains(t, all[len(all)-1]["cause"], "<h1>late</h1>")
		})
	}
}

// ClientClosed is logged and never written, also to a caller who is still there.
func TestClientClosedIsNeverWritten(t *testing.T) {
	for _, reg := range registries() {
		logs := newRecords()
		ew := &middleware.ErrorWriter{Registry: reg, Logger: slog.New(logs)}
		srv := serve(t, ew.Handler(func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("write: %w", &errcodes.Error{Code: errcodes.ClientClosed})
		}), false)
		conn := dial(t, srv)
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Empty(t, got)
		record := logs.next(t)[0]
		require.Equal(t, "499", record["status"])
		require.Equal(t, "unsent", record["outcome"])
		require.Contains(t, record["cause"], "write")
		require.Equal(t, "INFO", record["level"])
	}
}

func TestMuxRedirectsAndRoutesPass(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/dir/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "dir") })
	srv := serve(t, quiet(errcodes.OpenAI()).Wrap(mux), false)
	client := *srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(srv.URL + "/dir")
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusTemporaryRedirect, res.StatusCode)
	require.Equal(t, "/dir/", res.Header.Get("Location"))
	require.Regexp(t, requestIDForm, res.Header.Get("X-Request-Id"))
}

// Large files still go the short way, and are whole.
func TestReadFrom(t *testing.T) {
	name := t.TempDir() + "/file"
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	require.NoError(t, os.WriteFile(name, want, 0o600))
	for _, http2 := range []bool{false, true} {
		srv := serve(t, quiet(nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, name)
		})), http2)
		res, body := do(t, srv, http.MethodGet, "/", "")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, string(want), body)
	}
}

// readFromRecorder counts what goes the short way.
type readFromRecorder struct {
	*httptest.ResponseRecorder

	n int64
}

func (w *readFromRecorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseRecorder, src)
	w.n += n
	return n, err
}

func TestReadFromIsWatchedWhereItMatters(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	long := strings.Repeat("abcd", 256)
	for _, c := range []struct {
		name string
		h    http.Handler
		want int64
	}{
		{"plain", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, onlyReader(long)) }), 512},
		{"begun", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.Copy(w, onlyReader(long))
		}), 1024},
		{"event stream", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.Copy(w, onlyReader(strings.Repeat("data: 1\n\n", 256)))
			panic("the event after it needs the boundary")
		}), 0},
		{"Timeout", ew.Timeout(middleware.Timeout{Total: time.Hour})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, onlyReader(long))
		})), 0},
		{"after the error", ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			ew.WriteError(w, r, errKilled)
			if _, err := io.Copy(w, onlyReader("abc")); err == nil {
				panic("copied")
			}
			return nil
		}), 0},
	} {
		w := &readFromRecorder{ResponseRecorder: httptest.NewRecorder()}
		ew.Wrap(c.h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, c.want, w.n, c.name)
		if c.name == "event stream" {
			require.Contains(t, w.Body.String(), "data: 1\n\ndata: {\"error\":{")
		}
	}
}

// A copy that fails before its first byte leaves the error its status; later it breaks the answer off.
func TestCopyThatFails(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
			for _, begin := range []int{0, 1, firstCopied - 1, firstCopied, firstCopied + 1, 1 << 16} {
				ew := quiet(errcodes.Runbase())
				srv := serve(t, ew.Wrap(ew.Timeout(limits)(ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
					w.Header().Set("Content-Type", "application/json")
					src := io.MultiReader(strings.NewReader(strings.Repeat(" ", begin)), iotest.ErrReader(errKilled))
					if n, err := io.Copy(w, src); err != nil && n == int64(begin) {
						return &errcodes.Error{Code: errcodes.BadGateway, Err: err}
					}
					return nil
				}))), http2)
				res, err := srv.Client().Get(srv.URL)
				if begin == 0 {
					require.NoError(t, err)
					body, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.Equal(t, 502, res.StatusCode)
					require.Contains(t, string(body), `"bad_gateway"`)
				} else if err == nil { // else it broke with its header
					_, err = io.ReadAll(res.Body)
					require.Error(t, err)
				}
				if res != nil {
					_ = res.Body.Close()
				}
				srv.Close()
			}
		}
	}
}

// firstCopied is where the short way begins.
const firstCopied = 512

func TestTrailers(t *testing.T) {
	ew := quiet(errcodes.RunInfra())
	limit := ew.Timeout(middleware.Timeout{Total: time.Hour})
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Trailer", "X-Sum, x-more")
		w.Header().Add("Trailer", "X-Unset")
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
		w.Header().Set("X-More", "43")
		w.Header().Set("X-Unannounced", "44")
		w.Header().Set(http.TrailerPrefix+"X-Late", "45")
	})
	stream := ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Trailer", "X-Sum, X-More")
		s := ew.Stream(w, r, middleware.Chat)
		if r.URL.Path == "/held" {
			s.HoldFor(time.Hour)
		}
		if err := s.Send([]byte("{}")); err != nil {
			return err
		}
		w.Header().Set("X-Sum", "42")
		w.Header().Set("X-More", "43")
		w.Header().Set("X-Unannounced", "44")
		w.Header().Set(http.TrailerPrefix+"X-Late", "45")
		return s.Done()
	})
	for _, c := range []struct {
		name, path string
		h          http.Handler
	}{
		{"bare", "/", plain},
		{"Wrap", "/", ew.Wrap(plain)},
		{"Timeout", "/", ew.Wrap(limit(plain))},
		{"Stream", "/", ew.Wrap(stream)},
		{"HoldFor", "/held", ew.Wrap(stream)},
		{"Timeout and Stream", "/", ew.Wrap(limit(stream))},
		{"Timeout and HoldFor", "/held", ew.Wrap(limit(stream))},
	} {
		for _, http2 := range []bool{false, true} {
			res, _ := do(t, serve(t, c.h, http2), http.MethodGet, c.path, "")
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, "42", res.Trailer.Get("X-Sum"), "%s http2=%v", c.name, http2)
			require.Equal(t, "43", res.Trailer.Get("X-More"), "%s http2=%v", c.name, http2)
			require.Equal(t, "45", res.Trailer.Get("X-Late"), "%s http2=%v", c.name, http2)
			require.NotContains(t, res.Trailer, "X-Unannounced", "%s http2=%v", c.name, http2)
			require.NotContains(t, res.Header, "X-Unannounced", "%s http2=%v", c.name, http2)
		}
	}
}

// Nothing to copy is no error.
func TestCopyOfNothing(t *testing.T) {
	srv := serve(t, quiet(nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, onlyReader("")) })), false)
	res, body := do(t, srv, http.MethodGet, "/", "")
	require.Equal(t, 200, res.StatusCode)
	require.Empty(t, body)
}

func onlyReader(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

// A writer with nothing but the three methods is enough.
type plainWriter struct {
	h      http.Header
	status int
	b      bytes.Buffer
}

func (w *plainWriter) Header() http.Header         { return w.h }
func (w *plainWriter) WriteHeader(status int)      { w.status = status }
func (w *plainWriter) Write(p []byte) (int, error) { return w.b.Write(p) }

func TestPlainWriter(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	w := &plainWriter{h: http.Header{}}
	ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		_, hijacker := w.(http.Hijacker)
		require.False(t, hijacker)
		require.ErrorIs(t, http.NewResponseController(w).SetReadDeadline(time.Time{}), errors.ErrUnsupported)
		s := ew.Stream(w, r, middleware.Chat)
		require.NoError(t, s.Send([]byte("{}")))
		require.ErrorIs(t, http.NewResponseController(w).Flush(), errors.ErrUnsupported)
		w.(http.Flusher).Flush()
		return s.Done()
	}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "data: {}\n\ndata: [DONE]\n\n", w.b.String())
}

// wrapper is somebody else's middleware around the writer.
type wrapper struct {
	http.ResponseWriter

	wrote int
}

func (w *wrapper) Write(p []byte) (int, error) {
	w.wrote += len(p)
	return w.ResponseWriter.Write(p)
}

func (w *wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A middleware between Wrap and the handler sees the error pass, and whether the answer has begun is known all the same.
func TestWrapperBetween(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	var between *wrapper
	handler := func(begin bool) http.Handler {
		return ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			between = &wrapper{ResponseWriter: w}
			ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
				if begin {
					_, _ = io.WriteString(w, "half")
				}
				return &errcodes.Error{Code: errcodes.RunNotFound}
			}).ServeHTTP(between, r)
		}))
	}
	w := httptest.NewRecorder()
	handler(false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 404, w.Code)
	require.Equal(t, w.Body.Len(), between.wrote)
	w = httptest.NewRecorder()
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		handler(true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	})
	require.Equal(t, "half", w.Body.String())
}

// wrappers are writers that somebody puts between Wrap and the handler.
type (
	counted  struct{ http.ResponseWriter }
	unsized  struct{ http.ResponseWriter }
	negative struct{ http.ResponseWriter }
	buffered struct {
		http.ResponseWriter

		status int
		b      bytes.Buffer
	}
)

func (w counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w unsized) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

// WriteHeader declares a length that no body has, which net/http passes over.
func (w negative) WriteHeader(status int) {
	w.Header().Set("Content-Length", "-5")
	w.ResponseWriter.WriteHeader(status)
}

func (w *buffered) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}
func (w *buffered) Write(p []byte) (int, error) { return w.b.Write(p) }

func (w *buffered) done() {
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(w.b.Bytes())
}

// A handler that forgets to return after its error adds nothing to it, whoever stands between.
func TestWritesAfterAnErrorAreDropped(t *testing.T) {
	ew := quiet(errcodes.Runbase())
	forget := func(w http.ResponseWriter, r *http.Request) {
		ew.WriteError(w, r, &errcodes.Error{Code: errcodes.RunNotFound})
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"id":"secret"}`)
		_, _ = io.Copy(w, onlyReader(`{"id":"secret"}`))
	}
	for name, h := range map[string]http.HandlerFunc{
		"nobody":   forget,
		"counted":  func(w http.ResponseWriter, r *http.Request) { forget(counted{w}, r) },
		"unsized":  func(w http.ResponseWriter, r *http.Request) { forget(unsized{w}, r) },
		"negative": func(w http.ResponseWriter, r *http.Request) { forget(negative{w}, r) },
		"two":      func(w http.ResponseWriter, r *http.Request) { forget(counted{counted{w}}, r) },
		"buffered": func(w http.ResponseWriter, r *http.Request) {
			b := &buffered{ResponseWriter: w}
			forget(b, r)
			b.done()
		},
	} {
		for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
			for _, http2 := range []bool{false, true} {
				res, body := do(t, serve(t, ew.Wrap(ew.Timeout(limits)(h)), http2), http.MethodGet, "/", "")
				require.Equal(t, 404, res.StatusCode, name)
				require.NotContains(t, body, "secret", "%s http2=%v", name, http2)
				got, err := errcodes.Runbase().Dialect().Decode([]byte(body))
				require.NoError(t, err)
				require.NotEmpty(t, got.Message)
			}
		}
	}
}

// An event stream of the handler's own takes an error where its reader will find it, whatever the registry speaks elsewhere.
func TestEventBoundaries(t *testing.T) {
	const none, chat, messages = "", "data: {\"error\":{", "event: error\ndata: {\"type\":\"error\""
	for _, c := range []struct {
		writes []string
		event  string
	}{
		{[]string{"data: 1\n\n"}, chat},
		{[]string{"data:1\n\ndata\n\n"}, chat},
		{[]string{"data: 1\n", "\n"}, chat},
		{[]string{"data: 1", "\n", "\n"}, chat},
		{[]string{"d", "at", "a: 1\n\n"}, chat},
		{[]string{"data: 1\r\n\r\n"}, chat},
		{[]string{"data: 1\r", "\n\r", "\n"}, chat},
		{[]string{"data: 1\r\r"}, chat},
		{[]string{"data: 1\n\n", ""}, chat},
		{[]string{"data: event: x\ndata: 1\n\n"}, chat},
		{[]string{"event: a\ndata: 1\n\n"}, messages},
		{[]string{"event:a\r\ndata:1\r\n\r\n"}, messages},
		{[]string{"ev", "ent: a\ndata: 1\n\n"}, messages},
		{[]string{"data: 1\nevent: a\n\n"}, messages},
		{[]string{": wait\n\n", "event: a\nid: 1\ndata: 1\n\n"}, messages},
		{[]string{""}, none},
		{[]string{"\n\n"}, none},
		{[]string{": wait\n\n"}, none},
		{[]string{": wait\n\n", "data: 1\n\n"}, none},
		{[]string{"data: 1\n\n", ":\n\n"}, none},
		{[]string{"id: 1\ndata: 1\n\n"}, none},
		{[]string{"retry: 1\n\ndata: 1\n\n"}, none},
		{[]string{"\ufeffdata: 1\n\n"}, none},
		{[]string{"database: 1\n\n"}, none},
		{[]string{"eventful: 1\ndata: 1\n\n"}, none},
		{[]string{" data: 1\n\n"}, none},
		{[]string{"{}\n\n"}, none},
		{[]string{"data: 1\n"}, none},
		{[]string{"data: 1\r\n"}, none},
		{[]string{"data: 1\r\n\r"}, none},
		{[]string{"data: 1\n\nd"}, none},
		{[]string{"event: a\ndata: 1\n\nevent: b\n"}, none},
		{[]string{"\n"}, none},
	} {
		for _, reg := range registries() {
			w := httptest.NewRecorder()
			h := quiet(reg).Handler(func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				for _, s := range c.writes {
					_, _ = io.WriteString(w, s)
				}
				return errKilled
			})
			run := func() { h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)) }
			whole := strings.Join(c.writes, "")
			if c.event != none {
				require.NotPanics(t, run, "%s %q", reg.Name(), c.writes)
				require.True(t, strings.HasPrefix(w.Body.String(), whole+c.event), "%s %q: %q", reg.Name(), c.writes, w.Body)
			} else {
				require.PanicsWithError(t, http.ErrAbortHandler.Error(), run, "%s %q", reg.Name(), c.writes)
				require.Equal(t, whole, w.Body.String())
			}
		}
	}
}

// A handler's goroutine that outlives it cannot write into the next answer of the connection.
func TestWritesAfterTheEndFail(t *testing.T) {
	var late http.ResponseWriter
	srv := serve(t, quiet(nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		late = w
		_, _ = io.WriteString(w, "x")
	})), false)
	do(t, srv, http.MethodGet, "/", "")
	srv.Close()
	_, err := late.Write([]byte("late"))
	require.Error(t, err)
	require.Error(t, http.NewResponseController(late).Flush())
	_, _, err = http.NewResponseController(late).Hijack()
	require.Error(t, err)
}

// A server behind a reverse proxy has ids and limits of its own. The caller gets those of the server that it talks to.
func TestRequestIDBehindProxy(t *testing.T) {
	for _, status := range []int{200, 404} {
		behind := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for _, k := range []string{"X-Request-Id", "Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
				w.Header().Set(k, "7777")
			}
			w.WriteHeader(status)
		}), false)
		target, err := url.Parse(behind.URL)
		require.NoError(t, err)
		logs := newRecords()
		for _, short := range []bool{false, true} {
			for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
				ew := &middleware.ErrorWriter{RequestIDs: middleware.RequestIDs{Short: short}, Logger: slog.New(logs)}
				rate := ew.LimitRate(middleware.RateRules{Limiter: &middleware.LocalLimiter{Quota: middleware.Quota{Requests: 10}}})
				proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
				srv := serve(t, ew.Wrap(ew.Timeout(limits)(rate(proxy))), false)
				logs.clear()
				res, _ := do(t, srv, http.MethodGet, "/", "", "Authorization", "Bearer k")
				require.Equal(t, status, res.StatusCode)
				ids := res.Header["X-Request-Id"]
				require.Len(t, ids, 1)
				require.Regexp(t, requestIDForm, ids[0])
				if status == 404 {
					require.Equal(t, ids[0], logs.next(t)[0]["request_id"])
				}
				if short {
					require.Equal(t, ids, res.Header["Request-Id"])
				}
				require.Equal(t, []string{"10"}, res.Header["X-Ratelimit-Limit"])
				require.Equal(t, []string{"9"}, res.Header["X-Ratelimit-Remaining"])
				require.Len(t, res.Header["X-Ratelimit-Reset"], 1)

				free := serve(t, ew.Wrap(ew.Timeout(limits)(proxy)), false)
				res, _ = do(t, free, http.MethodGet, "/", "")
				require.Equal(t, []string{"7777"}, res.Header["X-Ratelimit-Limit"], "nobody here counts")
				require.Len(t, res.Header["X-Request-Id"], 1)
				require.Regexp(t, requestIDForm, res.Header["X-Request-Id"][0])
			}
		}
	}
}

// Nor can a handler give the answer another id, or none.
func TestRequestIDStays(t *testing.T) {
	for _, path := range []string{"/written", "/empty"} {
		w := httptest.NewRecorder()
		quiet(nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "mine")
			if path == "/empty" {
				w.Header().Del("X-Request-Id")
				return
			}
			_, _ = io.WriteString(w, "x")
		})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Len(t, w.Header()["X-Request-Id"], 1)
		require.Regexp(t, requestIDForm, w.Header().Get("X-Request-Id"))
	}
}
