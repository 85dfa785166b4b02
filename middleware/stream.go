package middleware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// What clients do with a stream that fails decides all of this file. Most of them take a clean end for success, with or without a
// terminal event; so a stream that is not complete ends with an error event, or not cleanly. They look for
// that event in two forms that exclude each other. And they cannot be told anything where an event is cut in the middle.

// Form is how the events of a stream look. It belongs to the endpoint. The zero value is [Chat].
type Form uint8

const (
	// Chat is the stream of chat completions: events without a name, an error as data: {"error":{...}}, and
	// data: [DONE] at the end. No event:, id: or retry: line and no comment ever stands in it, because a popular Go client reads no error
	// after one.
	Chat Form = iota
	// Messages is the stream of Anthropic's messages: named events, an error as event: error, and event: message_stop at the end.
	Messages
)

// String returns "chat" or "messages"; "chat" for a value out of range.
func (f Form) String() string {
	if f == Messages {
		return "messages"
	}
	return "chat"
}

// Stream writes server-sent events as the answer to one request. [ErrorWriter.Stream] makes it. The 200 is held back until the
// first event, so that whatever fails before that is an ordinary error with its own status.
//
// A handler ends it with Done, with Fail, or by returning an error from [ErrorWriter.Handler]. A handler that returns without any of the
// three has not finished its stream, and the caller is told so. A Stream is safe for concurrent use.
type Stream struct {
	x    *response
	ew   *ErrorWriter
	form Form
	w    http.ResponseWriter
	r    *http.Request

	// Guarded by x.mu.
	buf      []byte
	begun    bool
	over     bool // finished, or refused
	terminal bool // the terminal event is out
	snapshot http.Header
	hold     *time.Timer
	alive    *time.Timer
	every    time.Duration
	sent     time.Time // of the last event, keep-alives included
}

var (
	errBegun         = errors.New("middleware: the answer had begun before the stream")
	errStreamOver    = errors.New("middleware: the stream is over")
	errOutsideOfWrap = errors.New("middleware: Stream was called outside of ErrorWriter.Wrap")
	errNamedEvent    = errors.New("middleware: a chat stream has no named events")
	errEventName     = errors.New("middleware: the name of an event must not hold a line break")
)

// Stream begins an event stream as the answer to r. Set headers of your own before; those that a stream must not have
// (Content-Length, Content-Encoding, Connection) are removed. In the [Messages] form the request id is sent as Request-Id too.
//
// It must run inside of [ErrorWriter.Wrap] or [ErrorWriter.Handler]; elsewhere every method of the Stream fails and nothing is written. There is one
// Stream for each request: a second call returns the first.
//
// Events go to the writer that Wrap was given. A writer that somebody has put around w inside of Wrap, as to count or to log, does not see them: put it outside of Wrap.
func (ew *ErrorWriter) Stream(w http.ResponseWriter, r *http.Request, form Form) *Stream {
	x := responseFrom(r.Context())
	s := &Stream{x: x, ew: ew, form: form, w: w, r: r}
	if x == nil {
		return s
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stream != nil {
		return x.stream
	}
	x.stream = s
	return s
}

// Send writes one event with data, which should be JSON. Line breaks in data become blanks, which changes no JSON. It fails once
// the stream is over, by Done, Fail, a [Timeout], or a caller who left, and then the handler should return the error. Sending the terminal event of the
// form, as when the events come from elsewhere, is the same as Done.
func (s *Stream) Send(data []byte) error { return s.SendEvent("", data) }

// SendEvent is Send with a name for the event, as the [Messages] form has them: event: name. An empty name writes none. In the [Chat] form any other name
// is an error, and so is a name with a line break.
func (s *Stream) SendEvent(name string, data []byte) error {
	if s.x == nil {
		return errOutsideOfWrap
	}
	if name != "" && s.form == Chat {
		return errNamedEvent
	}
	for i := range len(name) {
		if name[i] == '\n' || name[i] == '\r' {
			return errEventName
		}
	}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	return s.send(name, data)
}

// Done ends the stream with the terminal event of its form, unless that was sent already: data: [DONE], or event: message_stop.
// A second call does nothing.
func (s *Stream) Done() error {
	if s.x == nil {
		return errOutsideOfWrap
	}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	switch {
	case s.terminal:
		return nil
	case s.form == Messages:
		return s.send("message_stop", []byte(`{"type":"message_stop"}`))
	default:
		return s.send("", []byte("[DONE]"))
	}
}

// Fail ends the stream with err: as the ordinary answer of [ErrorWriter.WriteError] while nothing was sent, as the error event of the form
// afterwards. In a handler of [ErrorWriter.Handler], returning err does the same. After the end of the stream it does nothing.
func (s *Stream) Fail(err error) {
	if s.x == nil || err == nil {
		return
	}
	s.x.mu.Lock()
	ended := s.terminal || s.x.refused
	s.x.mu.Unlock()
	if ended {
		return
	}
	s.ew.WriteError(s.w, s.r, err)
}

// HoldFor sends the 200 after d at the latest, event or not, so that a caller who waits for the header knows that the request is taken. Without
// it the header waits for the first event however long that takes. A d of 0 or less sends it now. Do not touch the headers
// afterwards, but for trailers. Only the first call counts.
func (s *Stream) HoldFor(d time.Duration) {
	x := s.x
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.over || x.closed || x.status != 0 || s.hold != nil {
		return
	}
	if d <= 0 {
		s.begin(nil)
		_ = x.flush()
		return
	}
	// The handler may still reach for the headers while the timer sends them, so each gets its own.
	if x.private == nil {
		x.private = x.base.Header().Clone()
	}
	s.snapshot = x.private.Clone()
	s.hold = time.AfterFunc(d, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if !s.over && !x.closed && x.status == 0 {
			s.begin(s.snapshot)
			_ = x.flush()
		}
	})
}

// KeepAlive writes an event that says nothing whenever no other was written for the time every, once the 200 is out: for Chat a
// chunk with empty choices, for Messages a ping. Comments would break a popular client. Keep-alives do not count for [Timeout.Idle]. An
// interval of 0 or less ends them; the end of the stream does too.
func (s *Stream) KeepAlive(every time.Duration) {
	if s.x == nil {
		return
	}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.every = every
	switch {
	case s.over || s.x.closed:
	case every <= 0:
		if s.alive != nil {
			s.alive.Stop()
			s.alive = nil
		}
	case s.alive == nil:
		s.alive = time.AfterFunc(every, s.ping)
	default:
		s.alive.Reset(every)
	}
}

const (
	pingChat     = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n"
	pingMessages = "event: ping\ndata: {\"type\":\"ping\"}\n\n"
)

func (s *Stream) ping() {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.over || s.x.closed || s.every <= 0 || s.alive == nil {
		return
	}
	wait := s.every
	if s.x.status != 0 {
		if quiet := time.Since(s.sent); quiet < s.every {
			wait -= quiet
		} else {
			event := pingChat
			if s.form == Messages {
				event = pingMessages
			}
			s.buf = append(s.buf[:0], event...)
			if s.emit() != nil {
				return
			}
		}
	}
	s.alive.Reset(wait)
}

// send writes one event. x.mu is held.
func (s *Stream) send(name string, data []byte) error {
	if err := s.state(); err != nil {
		return err
	}
	s.buf = s.buf[:0]
	if name != "" {
		s.buf = append(s.buf, "event: "...)
		s.buf = append(s.buf, name...)
		s.buf = append(s.buf, '\n')
	}
	s.buf = append(s.buf, "data: "...)
	s.buf = appendLine(s.buf, data)
	s.buf = append(s.buf, "\n\n"...)
	switch {
	case s.x.status == 0:
		s.begin(nil)
	case !s.begun:
		return errBegun
	}
	if err := s.emit(); err != nil {
		return err
	}
	if s.x.clock != nil {
		s.x.clock.touched()
	}
	if s.form == Messages && name == "message_stop" || s.form == Chat && string(bytes.TrimSpace(data)) == "[DONE]" {
		s.terminal = true
		s.stop()
		s.x.closed = true
	}
	return nil
}

// state says why no event can be written, nil if one can.
func (s *Stream) state() error {
	switch {
	case s.r.Context().Err() != nil:
		return fmt.Errorf("middleware: send event: %w", context.Cause(s.r.Context()))
	case s.x.timedOut:
		return fmt.Errorf("middleware: send event: %w", http.ErrHandlerTimeout)
	case s.over || s.x.closed:
		return errStreamOver
	}
	return nil
}

// appendLine appends data as one line: in JSON a line break stands only where a blank may.
func appendLine(dst, data []byte) []byte {
	n := len(dst)
	dst = append(dst, data...)
	for i, c := range dst[n:] {
		if c == '\n' || c == '\r' {
			dst[n+i] = ' '
		}
	}
	return dst
}

// begin sends the header: from the snapshot when a timer does it, else as the handler left it.
func (s *Stream) begin(snapshot http.Header) {
	x := s.x
	if snapshot != nil {
		replaceHeader(x.base.Header(), snapshot)
	} else {
		x.publish()
	}
	h := x.base.Header()
	for _, k := range [...]string{"Content-Length", "Content-Encoding", "Connection", "Transfer-Encoding", "Etag"} {
		delete(h, k)
	}
	x.ctx.announce(h, s.ew.RequestIDs.Short || s.form == Messages || isAnthropic(x.registry))
	h["Content-Type"] = []string{"text/event-stream"}
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = valueNoStore
	}
	h["X-Content-Type-Options"] = valueNoSniff
	if len(h["X-Accel-Buffering"]) == 0 {
		h["X-Accel-Buffering"] = []string{"no"} // nginx collects a stream otherwise
	}
	x.send(http.StatusOK)
	s.begun, s.sent = true, time.Now()
}

// emit writes buf and flushes it. A write that failed may have left half an event behind, so nothing can follow it.
func (s *Stream) emit() error {
	x := s.x
	n, err := x.base.Write(s.buf) //nolint:gosec // The type is text/event-stream and nosniff: no browser reads this as a page.
	x.wrote(s.buf[:max(0, min(n, len(s.buf)))])
	if err != nil {
		x.closed, x.abort = true, true
		s.stop()
		return fmt.Errorf("middleware: send event: %w", err)
	}
	s.sent = time.Now()
	if err := x.flush(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		x.closed, x.abort = true, true
		s.stop()
		return fmt.Errorf("middleware: send event: %w", err)
	}
	return nil
}

// stop ends the timers. x.mu is held.
func (s *Stream) stop() {
	s.over = true
	if s.hold != nil {
		s.hold.Stop()
	}
	if s.alive != nil {
		s.alive.Stop()
		s.alive = nil
	}
}

// messagesType returns Anthropic's type for a row of a registry that has no types: every client of the messages form branches on it.
func messagesType(row *errcodes.Entry) string {
	like, ok := errcodes.Anthropic().Lookup(row.Code)
	if !ok {
		like = errcodes.Anthropic().Match(row.Status, "", "")
	}
	if like.Type == "" {
		return "api_error"
	}
	return like.Type
}

// appendErrorEvent appends the error event of a form. The shape is the form's whatever the dialect is: who reads a chat stream looks for
// {"error":{ at the beginning of the data, who reads messages for the event name.
func appendErrorEvent(dst []byte, form Form, v *verdict, id string) []byte {
	body := v.row.Body(v.public, id)
	if v.wait > 0 {
		body.RetryAfter = v.wait
	}
	if v.row.Retry == errcodes.RetryBackoff && body.RetryAfter > 0 {
		body.Message = waitSentence(&v.row, v.public, body.RetryAfter) // there is no Retry-After to point at
	}
	if form == Messages {
		if body.Type == "" {
			body.Type = messagesType(&v.row)
		}
		dst = append(dst, "event: error\ndata: "...)
		dst = errcodes.AnthropicDialect{}.Append(dst, body)
		return append(dst, "\n\n"...)
	}
	if v.reg.Dialect().Slots()&errcodes.SlotParam == 0 {
		body.Param = ""
	}
	dst = append(dst, "data: "...)
	dst = errcodes.OpenAIDialect{}.Append(dst, body)
	if id != "" {
		// Clients that surface the event have no header beside it.
		dst = append(dst[:len(dst)-len("}}")], `,"request_id":"`...)
		dst = append(dst, id...)
		dst = append(dst, `"}}`...)
	}
	return append(dst, "\n\n"...)
}
