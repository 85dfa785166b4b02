//nolint:testifylint // Handlers that check run on the goroutine of the test, through a recorder.
package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// recorded are two complete streams, each with the text "abc".
var recorded = map[middleware.Form]string{
	middleware.Chat: `data: {"choices":[{"delta":{"content":"a"}}]}` + "\n\n" +
		`data: {"choices":[{"delta":{"content":"b"}}]}` + "\n\n" +
		`data: {"choices":[{"delta":{"content":"c"},"finish_reason":"stop"}]}` + "\n\n" +
		"data: [DONE]\n\n",
	middleware.Messages: "event: message_start\ndata: {\"type\":\"message_start\"}\n\n" +
		"event: content_block_delta\ndata: {\"delta\":{\"text\":\"a\"}}\n\n" +
		"event: content_block_delta\ndata: {\"delta\":{\"text\":\"bc\"}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
}

// seen is what a reader makes of a stream.
type seen struct {
	status   int
	text     string
	terminal bool
	failed   string // message of the error event
	broken   error  // of the connection
	lines    []string
}

// success is what the most trusting client takes for one: no error event and a clean end.
func (s *seen) success() bool { return s.status == 200 && s.failed == "" && s.broken == nil }

// read reads a stream as clients do: by lines, an event ends with a blank one.
func read(t *testing.T, form middleware.Form, res *http.Response) seen {
	t.Helper()
	s := seen{status: res.StatusCode}
	if res.StatusCode != 200 {
		return s
	}
	require.True(t, strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"))
	rd := bufio.NewReader(res.Body)
	var name, data string
	for {
		line, err := rd.ReadString('\n')
		if err != nil {
			if err != io.EOF {
				s.broken = err
			} else {
				require.Empty(t, line, "a clean end inside of an event")
			}
			return s
		}
		line = strings.TrimRight(line, "\r\n")
		s.lines = append(s.lines, line)
		if form == middleware.Chat && line != "" {
			require.True(t, strings.HasPrefix(line, "data: "), "a line that stops a popular Go client: %q", line)
		}
		switch {
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			data += line[len("data: "):]
		case line == "":
			s.event(t, form, name, data)
			name, data = "", ""
		}
	}
}

func (s *seen) event(t *testing.T, form middleware.Form, name, data string) {
	t.Helper()
	if data == "[DONE]" || name == "message_stop" {
		s.terminal = true
		return
	}
	var e struct {
		Choices []struct{ Delta struct{ Content string } }
		Delta   struct{ Text string }
		Error   struct {
			Message   string
			RequestID string `json:"request_id"`
		}
		RequestID string `json:"request_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(data), &e), "%q", data)
	for _, c := range e.Choices {
		s.text += c.Delta.Content
	}
	s.text += e.Delta.Text
	if e.Error.Message != "" {
		require.Empty(t, s.failed, "one error event")
		s.failed = e.Error.Message
		id := e.RequestID
		if form == middleware.Chat {
			require.True(t, strings.HasPrefix(data, `{"error":{`), data)
			id = e.Error.RequestID
		} else {
			require.Equal(t, "error", name)
		}
		require.Regexp(t, requestIDForm, id)
	}
}

var errKilled = errors.New("canary in the kill")

// kills end a handler before it is done.
var kills = map[string]func(r *http.Request, kill context.CancelCauseFunc) error{
	"panic":        func(*http.Request, context.CancelCauseFunc) error { panic("canary in the panic") },
	"upstream EOF": func(*http.Request, context.CancelCauseFunc) error { return io.ErrUnexpectedEOF },
	"refusal": func(*http.Request, context.CancelCauseFunc) error {
		return &errcodes.Error{Code: errcodes.Overloaded, Err: errKilled}
	},
	"cancel": func(r *http.Request, kill context.CancelCauseFunc) error {
		kill(errKilled)
		return r.Context().Err()
	},
	"timeout": func(r *http.Request, _ context.CancelCauseFunc) error {
		<-r.Context().Done()
		return r.Context().Err()
	},
}

// killed is a server that writes the first n bytes of a recorded stream and dies.
func killed(t *testing.T, ew *middleware.ErrorWriter, http2 bool) *httptest.Server {
	t.Helper()
	return serve(t, ew.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		var form middleware.Form
		_, err := fmt.Sscanf(r.URL.RawQuery, "%d-%d", &n, &form)
		if err != nil {
			panic(err)
		}
		how := strings.TrimPrefix(r.URL.Path, "/")
		ctx, kill := context.WithCancelCause(r.Context())
		defer kill(nil)
		r = r.WithContext(ctx)
		h := ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Type", "text/event-stream")
			if n > 0 {
				_, _ = io.WriteString(w, recorded[form][:n])
				_ = http.NewResponseController(w).Flush()
			}
			return kills[how](r, kill)
		})
		if how == "timeout" {
			limits := middleware.Timeout{Idle: time.Millisecond} // counts from the write, however late that comes
			if n == 0 {
				limits = middleware.Timeout{FirstByte: time.Millisecond}
			}
			h = ew.Timeout(limits)(h)
		}
		h.ServeHTTP(w, r)
	})), http2)
}

func TestStreamKilledAtEveryByteIsNoSuccess(t *testing.T) {
	type way struct {
		form     middleware.Form
		registry *errcodes.Registry
		http2    bool
	}
	var ways []way
	for form := range recorded {
		for _, registry := range registries() {
			ways = append(ways, way{form, registry, false})
		}
	}
	ways = append(ways, way{middleware.Chat, errcodes.RunInfra(), true}, way{middleware.Messages, errcodes.Anthropic(), true})
	for _, c := range ways {
		form, registry := c.form, c.registry
		srv := killed(t, quiet(registry), c.http2)
		for how := range kills {
			t.Run(fmt.Sprintf("%s %s %s http2=%v", form, registry.Name(), how, c.http2), func(t *testing.T) {
				whole := recorded[form]
				events := 0
				for n := range len(whole) {
					res, err := srv.Client().Get(fmt.Sprintf("%s/%s?%d-%d", srv.URL, strings.ReplaceAll(how, " ", "%20"), n, form))
					if err != nil && how == "timeout" && n > 0 && !strings.HasSuffix(whole[:n], "\n\n") {
						continue // on a busy machine the bound strikes before the flush, and the break comes before the header
					}
					require.NoError(t, err)
					got := read(t, form, res)
					_ = res.Body.Close()
					switch {
					case n == 0:
						require.GreaterOrEqual(t, got.status, 400, "before the first byte the status tells")
					case strings.HasSuffix(whole[:n], "\n\n"):
						require.NotEmpty(t, got.failed, "an error event after %d bytes", n)
						require.NoError(t, got.broken, "a clean end after the event")
						require.NotContains(t, got.failed, "canary")
						events++
					default:
						require.Error(t, got.broken, "a break after %d bytes", n)
					}
					require.False(t, got.success() && got.text != "abc", "n=%d: %+v", n, got)
					require.False(t, got.terminal && got.text != "abc")
				}
				require.Equal(t, 3, events)
			})
		}
	}
}

// The same for handlers that use Stream: at every event, with every way to die, returning nil too.
func TestStreamWriterKilledAtEveryEventIsNoSuccess(t *testing.T) {
	ends := map[string]func(r *http.Request, kill context.CancelCauseFunc) error{
		"nothing": func(*http.Request, context.CancelCauseFunc) error { return nil },
	}
	maps.Copy(ends, kills)
	for _, form := range []middleware.Form{middleware.Chat, middleware.Messages} {
		for _, reg := range registries() {
			ew := quiet(reg)
			for _, http2 := range []bool{false, true} {
				for how, end := range ends {
					handler := ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
						ctx, kill := context.WithCancelCause(r.Context())
						defer kill(nil)
						r = r.WithContext(ctx)
						s := ew.Stream(w, r, form)
						var n int
						_, err := fmt.Sscanf(r.URL.RawQuery, "%d", &n)
						if err != nil {
							return err
						}
						for range n {
							if err := s.Send([]byte(`{"delta":{"text":"a"},"choices":[]}`)); err != nil {
								return err
							}
						}
						if err := end(r, kill); err != nil {
							return err
						}
						return nil
					})
					h := handler
					if how == "timeout" {
						h = ew.Timeout(middleware.Timeout{Total: time.Millisecond})(handler)
					}
					srv := serve(t, h, http2)
					for n := range 3 {
						res, err := srv.Client().Get(fmt.Sprintf("%s/?%d", srv.URL, n))
						require.NoError(t, err)
						got := read(t, form, res)
						_ = res.Body.Close()
						require.False(t, got.success(), "%s %s after %d: %+v", reg.Name(), how, n, got)
						if got.status == 200 {
							require.NotEmpty(t, got.failed, "%s %s after %d: %+v", reg.Name(), how, n, got)
							require.NoError(t, got.broken)
							require.False(t, got.terminal)
						}
						if n == 0 {
							require.GreaterOrEqual(t, got.status, 400)
						}
					}
					srv.Close()
				}
			}
		}
	}
}

func TestStreamErrorEventOfEveryRow(t *testing.T) {
	for _, reg := range registries() {
		for _, form := range []middleware.Form{middleware.Chat, middleware.Messages} {
			ew := quiet(reg)
			for row := range reg.All() {
				if row.Code == errcodes.ClientClosed {
					continue
				}
				w := httptest.NewRecorder()
				ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
					s := ew.Stream(w, r, form)
					require.NoError(t, s.Send([]byte(`{}`)))
					return &errcodes.Error{Code: row.Code}
				}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
				body, ok := strings.CutPrefix(w.Body.String(), "data: {}\n\n")
				require.True(t, ok)
				if form == middleware.Chat {
					data, ok := strings.CutPrefix(body, `data: `)
					require.True(t, ok)
					require.True(t, strings.HasPrefix(data, `{"error":{"message":"`), data)
					got, err := errcodes.OpenAI().Dialect().Decode([]byte(data))
					require.NoError(t, err)
					require.Equal(t, row.WireCode(), got.Code)
					require.Equal(t, row.Type, got.Type)
				} else {
					data, ok := strings.CutPrefix(body, "event: error\ndata: ")
					require.True(t, ok, body)
					got, err := errcodes.Anthropic().Dialect().Decode([]byte(data))
					require.NoError(t, err)
					require.NotEmpty(t, got.Type, "%s %s", reg.Name(), row.Code)
					require.Equal(t, w.Header().Get("X-Request-Id"), got.RequestID)
				}
				require.True(t, strings.HasSuffix(body, "\n\n"))
				require.NotContains(t, body, "Retry-After", "an event has no header beside it")
			}
		}
	}
}

// tallied is the writer of an access log.
type tallied struct {
	http.ResponseWriter

	status, n int
}

func (w *tallied) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *tallied) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += n
	return n, err
}

func (w *tallied) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// An access log that stands outside of Wrap sees every byte, those of timers too.
func TestStreamIsSeenOutsideOfWrap(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for _, end := range []error{nil, errKilled} {
		for _, limits := range []middleware.Timeout{{}, {Total: time.Hour}} {
			h := ew.Wrap(ew.Timeout(limits)(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				s.HoldFor(0)
				if err := s.Send([]byte("{}")); err != nil {
					return err
				}
				if end != nil {
					return end
				}
				return s.Done()
			})))
			w := httptest.NewRecorder()
			seen := &tallied{ResponseWriter: w}
			h.ServeHTTP(seen, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Equal(t, 200, seen.status)
			require.Equal(t, w.Body.Len(), seen.n)
			require.True(t, strings.HasPrefix(w.Body.String(), "data: {}\n\ndata: "))
		}
	}
}

func TestStreamHeaders(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	w := httptest.NewRecorder()
	ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Length", "5")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Connection", "close")
		w.Header().Set("X-Own", "kept")
		s := ew.Stream(w, r, middleware.Messages)
		require.NoError(t, s.SendEvent("message_start", []byte("{\n\"a\":\r\n1}")))
		require.Error(t, s.SendEvent("a\nb", nil))
		return s.Done()
	}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	res := w.Result()
	for _, k := range []string{"Content-Length", "Content-Encoding", "Connection"} {
		require.Empty(t, res.Header.Get(k), k)
	}
	require.Equal(t, "kept", res.Header.Get("X-Own"))
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	require.Equal(t, res.Header.Get("X-Request-Id"), res.Header.Get("Request-Id"))
	require.Equal(t, "event: message_start\ndata: { \"a\":  1}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", w.Body.String())
	require.True(t, w.Flushed)
}

func TestStreamEnds(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	run := func(form middleware.Form, h func(s *middleware.Stream) error) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		ew.Handler(func(w http.ResponseWriter, r *http.Request) error { return h(ew.Stream(w, r, form)) }).
			ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w
	}
	t.Run("done without an event", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error { return s.Done() })
		require.Equal(t, "data: [DONE]\n\n", w.Body.String())
	})
	t.Run("failed after the end", func(t *testing.T) {
		logs := newRecords()
		told := 0
		ew := &middleware.ErrorWriter{
			Registry: errcodes.OpenAI(), Logger: slog.New(logs), Observer: observerFunc(func(*middleware.Refusal) { told++ }),
		}
		for _, end := range []func(s *middleware.Stream){
			func(s *middleware.Stream) { require.NoError(t, s.Done()) },
			func(s *middleware.Stream) { s.Fail(errKilled) },
		} {
			logs.clear()
			told = 0
			before := 0
			w := httptest.NewRecorder()
			ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				require.NoError(t, s.Send([]byte("{}")))
				end(s)
				before = len(logs.all())
				s.Fail(errKilled)
				return nil
			}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Len(t, logs.all(), before)
			require.Equal(t, before, told)
		}
	})
	t.Run("done twice", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error { return errors.Join(s.Done(), s.Done()) })
		require.Equal(t, "data: [DONE]\n\n", w.Body.String())
	})
	t.Run("the terminal event was sent by hand", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error {
			return errors.Join(s.Send([]byte("{}")), s.Send([]byte("[DONE]")), s.Done())
		})
		require.Equal(t, "data: {}\n\ndata: [DONE]\n\n", w.Body.String())
		w = run(middleware.Messages, func(s *middleware.Stream) error {
			return errors.Join(s.SendEvent("message_stop", []byte("{}")), s.Done())
		})
		require.Equal(t, "event: message_stop\ndata: {}\n\n", w.Body.String())
	})
	t.Run("the terminal event without done is an end", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error { return s.Send([]byte("[DONE]")) })
		require.Equal(t, "data: [DONE]\n\n", w.Body.String())
	})
	t.Run("nothing after the end", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error {
			require.NoError(t, s.Done())
			require.Error(t, s.Send([]byte("{}")))
			s.Fail(errKilled)
			return errKilled
		})
		require.Equal(t, "data: [DONE]\n\n", w.Body.String())
	})
	t.Run("fail first", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error {
			s.Fail(&errcodes.Error{Code: errcodes.RateLimited})
			require.Error(t, s.Send([]byte("{}")))
			require.Error(t, s.Done())
			return nil
		})
		require.Equal(t, 429, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	})
	t.Run("fail later", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error {
			require.NoError(t, s.Send([]byte("{}")))
			s.Fail(nil)
			s.Fail(&errcodes.Error{Code: errcodes.RateLimited})
			require.Error(t, s.Done())
			return nil
		})
		require.Contains(t, w.Body.String(), `data: {"error":{"message":"The rate limit is reached. Try again in 1 second."`)
		require.NotContains(t, w.Body.String(), "DONE")
	})
	t.Run("a chat stream has no names", func(t *testing.T) {
		w := run(middleware.Chat, func(s *middleware.Stream) error { return s.SendEvent("x", []byte("{}")) })
		require.Equal(t, 500, w.Code)
	})
	t.Run("the answer had begun", func(t *testing.T) {
		w := httptest.NewRecorder()
		require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
			ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				_, _ = io.WriteString(w, "text")
				s := ew.Stream(w, r, middleware.Chat)
				require.Error(t, s.Send([]byte("{}")))
				return s.Done()
			}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		})
		require.Equal(t, "text", w.Body.String())
	})
	t.Run("one stream for each request", func(t *testing.T) {
		w := httptest.NewRecorder()
		ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			require.Same(t, ew.Stream(w, r, middleware.Chat), ew.Stream(w, r, middleware.Messages))
			return ew.Stream(w, r, middleware.Chat).Done()
		}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	})
	t.Run("outside of Wrap", func(t *testing.T) {
		w := httptest.NewRecorder()
		s := ew.Stream(w, httptest.NewRequest(http.MethodGet, "/", nil), middleware.Chat)
		require.Error(t, s.Send(nil))
		require.Error(t, s.Done())
		s.Fail(errKilled)
		s.HoldFor(time.Second)
		s.KeepAlive(time.Second)
		require.Empty(t, w.Body.String())
	})
}

// brokenWriter fails in the middle of its nth write.
type brokenWriter struct {
	*httptest.ResponseRecorder

	left int
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		n, _ := w.ResponseRecorder.Write(p[:len(p)/2])
		return n, io.ErrClosedPipe
	}
	return w.ResponseRecorder.Write(p)
}

func TestStreamAfterHalfAnEventIsBroken(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	w := &brokenWriter{ResponseRecorder: httptest.NewRecorder(), left: 1}
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			s := ew.Stream(w, r, middleware.Chat)
			require.NoError(t, s.Send([]byte("{}")))
			require.ErrorIs(t, s.Send([]byte("{}")), io.ErrClosedPipe)
			require.Error(t, s.Done())
			s.Fail(errKilled)
			return nil
		}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	})
	require.Equal(t, "data: {}\n\ndata:", w.Body.String()[:len("data: {}\n\ndata:")])
	require.NotContains(t, w.Body.String(), "error")
}

// unflushable takes what is written and cannot send it.
type unflushable struct{ *httptest.ResponseRecorder }

func (unflushable) FlushError() error { return io.ErrClosedPipe }

// A handler that shrugs at a failed Send has not finished its stream.
func TestStreamThatCannotBeSentIsBroken(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for name, w := range map[string]http.ResponseWriter{
		"write": &brokenWriter{ResponseRecorder: httptest.NewRecorder(), left: 0}, "flush": unflushable{httptest.NewRecorder()},
	} {
		require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
			ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(w, r, middleware.Chat)
				require.ErrorIs(t, s.Send([]byte("{}")), io.ErrClosedPipe)
				require.Error(t, s.Send([]byte("{}")), "nothing follows half an event")
				return nil
			}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		}, name)
	}
}

// pause waits d in the time of a synctest bubble.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// safeRecorder is a ResponseRecorder that two goroutines may look at.
type safeRecorder struct {
	mu sync.Mutex
	*httptest.ResponseRecorder
}

func newSafeRecorder() *safeRecorder { return &safeRecorder{ResponseRecorder: httptest.NewRecorder()} }

func (w *safeRecorder) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ResponseRecorder.WriteHeader(status)
}

func (w *safeRecorder) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ResponseRecorder.Write(p)
}

func (w *safeRecorder) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ResponseRecorder.Flush()
}

func (w *safeRecorder) state() (bool, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Flushed, w.Body.String()
}

func TestStreamHoldFor(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for _, c := range []struct {
		name       string
		hold, work time.Duration
		status     int
	}{
		{"the work is faster", 2 * time.Second, time.Second, 503},
		{"the bound is reached", time.Second, 2 * time.Second, 200},
		{"no bound", -1, time.Hour, 503},
		{"at once", 0, time.Second, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSafeRecorder()
				ew.Handler(func(rw http.ResponseWriter, r *http.Request) error {
					s := ew.Stream(rw, r, middleware.Chat)
					if c.hold >= 0 {
						s.HoldFor(c.hold)
						s.HoldFor(c.work / 4) // changes nothing
					}
					rw.Header().Set("X-Late", "1") // must not race with the timer
					pause(c.work)
					flushed, body := w.state()
					require.Equal(t, c.status == 200, flushed)
					require.Empty(t, body)
					return &errcodes.Error{Code: errcodes.Unavailable}
				}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				require.Equal(t, c.status, w.Code)
				if c.status == 200 {
					require.True(t, strings.HasPrefix(w.Body.String(), `data: {"error":{`))
					require.Equal(t, "text/event-stream", w.Result().Header.Get("Content-Type"))
					require.Regexp(t, requestIDForm, w.Result().Header.Get("X-Request-Id"))
				}
			})
		})
	}
}

func TestStreamKeepAlive(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	for form, ping := range map[middleware.Form]string{
		middleware.Chat:     "data: {\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n",
		middleware.Messages: "event: ping\ndata: {\"type\":\"ping\"}\n\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newSafeRecorder()
			ew.Handler(func(rw http.ResponseWriter, r *http.Request) error {
				s := ew.Stream(rw, r, form)
				s.KeepAlive(10 * time.Second)
				pause(25 * time.Second)
				_, body := w.state()
				require.Empty(t, body, "a keep-alive must not begin the answer")
				require.NoError(t, s.Send([]byte("{}")))
				pause(9 * time.Second)
				_, body = w.state()
				require.Equal(t, "data: {}\n\n", body)
				pause(2 * time.Second)
				_, body = w.state()
				require.Equal(t, "data: {}\n\n"+ping, body)
				pause(10 * time.Second)
				_, body = w.state()
				require.Equal(t, "data: {}\n\n"+ping+ping, body)
				s.KeepAlive(0)
				pause(time.Minute)
				s.KeepAlive(20 * time.Second)
				pause(19 * time.Second)
				return s.Done()
			}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Equal(t, 2, strings.Count(w.Body.String(), ping))
			pause(time.Hour) // nothing is written after the end
			require.Equal(t, 2, strings.Count(w.Body.String(), ping))
		})
	}
}

// Several goroutines may send: events stay whole.
func TestStreamConcurrentSend(t *testing.T) {
	ew := quiet(errcodes.OpenAI())
	srv := serve(t, ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		s := ew.Stream(w, r, middleware.Chat)
		s.KeepAlive(time.Microsecond)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					_ = s.Send([]byte(`{"choices":[{"delta":{"content":"x"}}]}`))
				}
			})
		}
		wg.Wait()
		return s.Done()
	}), false)
	res, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	got := read(t, middleware.Chat, res)
	require.True(t, got.success() && got.terminal)
	require.Len(t, got.text, 400)
}

// A stuck caller must not hold a handler for ever: a write that blocks ends with the Timeout.
func TestStreamToStuckCaller(t *testing.T) {
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: errcodes.OpenAI(), Logger: slog.New(logs)}
	ended := make(chan error, 1)
	srv := serve(t, ew.Timeout(middleware.Timeout{Idle: 250 * time.Millisecond})(ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
		s := ew.Stream(w, r, middleware.Chat)
		chunk := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if err := s.Send(chunk); err != nil {
				ended <- err
				return err
			}
		}
	})), false)
	conn := dial(t, srv)
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	require.Error(t, <-ended)
	got, _ := io.ReadAll(conn)
	require.Contains(t, string(got), "200 OK", "the stream had begun")
	require.False(t, bytes.HasSuffix(got, []byte("\r\n0\r\n\r\n")), "no clean end")
}
