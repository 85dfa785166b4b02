package classify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/errwire/errwire/errcodes"
)

const (
	// maxEvent bounds what is held back of an event that has not arrived whole. A longer one is no error event.
	maxEvent = 64 << 10
	// eventRoom is how much room there is at least for a read into what is held back.
	eventRoom = 4 << 10
)

// Rules of a Decision about a stream.
const (
	ruleStreamEnd = "stream: no terminal event"
	adviceStream  = "The stream ended before the answer was complete: what arrived may be cut short. Ask again, or go on from there."
)

// isEventStream reports whether resp is a stream of server-sent events that can be read as it comes.
func isEventStream(resp *http.Response) bool {
	if resp.StatusCode != http.StatusOK || !hasPrefixFold(header(resp.Header, "Content-Type"), "text/event-stream") {
		return false
	}
	media, _, err := mime.ParseMediaType(header(resp.Header, "Content-Type"))
	encoding := header(resp.Header, "Content-Encoding")
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) && media == "text/event-stream" &&
		(encoding == "" || strings.EqualFold(encoding, "identity"))
}

// watch gives resp a body that ends with an *[Error] where a stream reports one, or breaks off. earlier are the attempts
// before this one.
func (t *Transport) watch(ctx context.Context, resp *http.Response, earlier []Attempt) {
	if !isEventStream(resp) || resp.Body == nil {
		return
	}
	resp.Body = &eventBody{ctx: ctx, rc: resp.Body, resp: resp, classifier: t.Classifier, earlier: earlier}
}

// eventBody hands out a stream of events as it comes, and looks at each event before. An event that is an error is
// not handed out: the reader meets the error in its place.
//
// Events that arrive whole go straight into the reader's slice. Only what has arrived of the next one is kept aside.
type eventBody struct {
	ctx        context.Context
	rc         io.ReadCloser
	resp       *http.Response
	classifier *Classifier
	earlier    []Attempt

	held   []byte // read, not yet handed out from off on
	off    int
	ready  int   // held[off:ready] may be handed out
	err    error // what follows held[:ready]
	passed bool  // the present event is too long to be an error: it passes unseen
	tail   [2]byte
	empty  int // reads in a row that brought nothing
	seen   int // of the event that has not arrived whole, so much was looked at
	events int
	ended  bool // the end was announced

	endless bool // no event yet was of a form whose streams have a terminal event
}

// Read hands out whole events.
func (b *eventBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if b.off < b.ready {
			n := copy(p, b.held[b.off:b.ready])
			b.off += n
			return n, nil
		}
		if b.err != nil {
			return 0, b.err
		}
		rest := len(b.held) - b.off
		if rest == 0 {
			b.held, b.off, b.ready = b.held[:0], 0, 0
			n, err := b.rc.Read(p)
			whole := b.take(p[:n], err)
			b.held = append(b.held, p[whole:n]...)
			b.finish(err)
			if whole > 0 || b.off < b.ready {
				return whole, nil
			}
			if n == 0 && err == nil {
				return 0, nil
			}
			continue
		}
		b.more(rest)
	}
}

// more reads on behind what is held of an event.
func (b *eventBody) more(rest int) {
	if b.off > 0 {
		copy(b.held, b.held[b.off:])
		b.held, b.off, b.ready = b.held[:rest], 0, 0
	}
	if cap(b.held)-rest < eventRoom {
		b.held = append(make([]byte, 0, 2*cap(b.held)+eventRoom), b.held...)
	}
	n, err := b.rc.Read(b.held[rest:cap(b.held)])
	if b.empty++; n > 0 {
		b.empty = 0
	} else if err == nil && b.empty >= maxEmptyReads {
		err = io.ErrNoProgress
	}
	b.held = b.held[:rest+n]
	b.ready = b.take(b.held, err)
	if b.err == nil && b.ready == 0 && len(b.held) > maxEvent {
		b.passed, b.ready, b.seen = true, len(b.held), 0
		name, data, _ := fields(b.held)
		b.note(name, data) // the name stands before the data, and the type early in it
		b.tail = [2]byte(b.held[len(b.held)-2:])
	}
	b.finish(err)
}

// take looks at the whole events in data and returns where the last one that may be handed out ends.
func (b *eventBody) take(data []byte, err error) int {
	whole := 0
	if b.passed {
		if whole = b.passedEnd(data); whole == 0 {
			return len(data)
		}
		b.passed = false
	}
	for b.err == nil {
		n, resume := eventEnd(data[whole:], b.seen)
		if b.seen = resume; n == 0 {
			break
		}
		if b.look(data[whole : whole+n]); b.err == nil {
			whole += n
		}
	}
	if b.err == nil && err != nil && whole < len(data) {
		// The last event lacks the empty line behind it: it counts all the same.
		if b.look(data[whole:]); b.err == nil {
			whole = len(data)
		}
	}
	return whole
}

// finish takes in how the stream ended. What is held behind the last event that may be handed out is an error event then.
func (b *eventBody) finish(err error) {
	if b.err != nil {
		b.held = b.held[:max(b.ready, b.off)]
		return
	}
	switch {
	case err == nil:
	case b.ended, b.endless && errors.Is(err, io.EOF):
		b.err = err
	case errors.Is(err, io.EOF):
		d := Decision{
			Class: errcodes.ClassNetwork, Retry: errcodes.RetryBackoff, Safety: MaybeExecuted,
			Status: b.resp.StatusCode, Rule: ruleStreamEnd, Advice: adviceStream,
		}
		events := strconv.Itoa(b.events) + " events"
		if b.events == 1 {
			events = "1 event"
		}
		b.fail(d, fmt.Errorf("the stream ended after %s without its terminal event: %w", events, io.ErrUnexpectedEOF))
	default:
		d, ended, kept := byContext(b.ctx, err)
		if ended {
			d.Status = b.resp.StatusCode
			b.fail(d, kept)
			return
		}
		if _, ok := errors.AsType[*Error](err); ok {
			b.err = err // of a Transport further down
			return
		}
		d = b.classifier.Err(err)
		d.Status, d.Safety = b.resp.StatusCode, MaybeExecuted
		b.fail(d, err)
	}
}

func (b *eventBody) fail(d Decision, err error) {
	b.err = brokenOff(d, err, b.resp, len(b.earlier)+1, b.earlier)
}

// look judges one event.
func (b *eventBody) look(event []byte) {
	name, data, more := fields(event)
	if len(name) == 0 && len(data) == 0 {
		if trimmed := bytes.TrimSpace(event); len(trimmed) == 0 || trimmed[0] != '{' {
			return // a comment, or empty lines
		}
		data = event // a body that was written into the stream as it is
	}
	if b.note(name, data) {
		return
	}
	named := string(name) == "error"
	if !named && !more && !mayBeError(data) {
		return
	}
	d := b.classifier.Body(b.resp.StatusCode, b.resp.Header, event)
	if named && !d.Failed() {
		// Of no shape that says so by itself, but the name does.
		d = b.classifier.Body(http.StatusInternalServerError, b.resp.Header, data)
		d.Status = b.resp.StatusCode
	}
	if !d.Failed() {
		return
	}
	if b.events > 1 {
		d.Safety = MaybeExecuted
	}
	b.fail(d, nil)
}

// note takes in what an event says about the end of its stream, and reports whether it is nothing but the end.
func (b *eventBody) note(name, data []byte) bool {
	b.events++
	if isTerminal(name, data) {
		b.ended = true
		return true
	}
	if reason := namesReason(data); reason || hasName(data, `"delta"`) {
		b.ended = reason // of one choice: another may go on
	}
	b.endless = (b.endless || b.events == 1) && !hasEnd(name, data)
	return false
}

// Close closes the stream.
func (b *eventBody) Close() error { return b.rc.Close() }

// passedEnd returns where the event that passes unseen ends in data, 0 if it goes on.
func (b *eventBody) passedEnd(data []byte) int {
	var n int
	switch {
	case b.tail[1] == '\n' && bytes.HasPrefix(data, []byte("\n")), b.tail == [2]byte{'\n', '\r'} && bytes.HasPrefix(data, []byte("\n")):
		n = 1
	case b.tail[1] == '\n' && bytes.HasPrefix(data, []byte("\r\n")):
		n = 2
	default:
		n, _ = eventEnd(data, 0)
	}
	switch len(data) {
	case 0:
	case 1:
		b.tail = [2]byte{b.tail[1], data[0]}
	default:
		b.tail = [2]byte(data[len(data)-2:])
	}
	return n
}

// eventEnd returns the length of the first event in data, the empty line behind it included. If it is not whole, it returns 0
// and from where on to look when there is more.
func eventEnd(data []byte, from int) (length, resume int) {
	for at := from; ; {
		n := bytes.IndexByte(data[at:], '\n')
		switch {
		case n < 0 && at == from:
			return 0, len(data)
		case n < 0:
			return 0, at - 1
		}
		at += n + 1
		switch {
		case at < len(data) && data[at] == '\n':
			return at + 1, 0
		case at+1 < len(data) && data[at] == '\r' && data[at+1] == '\n':
			return at + 2, 0
		}
	}
}

// fields returns the name and the first line of data of an event, and whether there are further lines of data.
func fields(event []byte) (name, data []byte, more bool) {
	found := false
	for len(event) > 0 {
		line := event
		if n := bytes.IndexByte(event, '\n'); n >= 0 {
			line, event = event[:n], event[n+1:]
		} else {
			event = nil
		}
		field, value, _ := bytes.Cut(bytes.TrimRight(line, "\r"), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = value
		case "data":
			if found {
				more = true
			} else {
				data, found = value, true
			}
		}
	}
	return name, data, more
}

// terminals are the names of events that end an answer. The first of them stand in the data as well, as its type.
var terminals = [...]string{
	"message_stop", "response.completed", "response.incomplete", "message-end",
	"transcript.text.done", "speech.audio.done", "image_generation.completed", "image_edit.completed",
	"stream-end", "done",
}

const terminalTypes = len(terminals) - 2

// isTerminal reports whether an event ends its stream.
func isTerminal(name, data []byte) bool {
	if bytes.Equal(bytes.TrimSpace(data), []byte("[DONE]")) {
		return true
	}
	for _, t := range terminals {
		if string(name) == t {
			return true
		}
	}
	if len(name) > 0 && string(name) != "message" {
		return false
	}
	value := typeOf(data)
	for _, t := range terminals[:terminalTypes] {
		if n := len(t); len(value) > n && string(value[:n]) == t && value[n] == '"' {
			return true
		}
	}
	return false
}

// typeOf returns data from the value of its first type on, without the quotation mark; nil if there is none.
func typeOf(data []byte) []byte {
	_, value, _ := bytes.Cut(data, []byte(`"type"`))
	value, _ = bytes.CutPrefix(bytes.TrimLeft(value, " :"), []byte(`"`))
	return value
}

// namesReason reports whether a chunk says why the answer ends: Gemini has no event for the end, and some that speak the chat form send no [DONE].
func namesReason(data []byte) bool {
	for _, r := range [...]struct{ of, reason string }{{`"choices"`, `"finish_reason"`}, {`"candidates"`, `"finishReason"`}} {
		_, value, found := bytes.Cut(data, []byte(r.reason))
		value = bytes.TrimLeft(value, " :")
		if found && len(value) > 1 && value[0] == '"' && value[1] != '"' && hasName(data, r.of) {
			return true
		}
	}
	return false
}

// families are how the names begin of events whose streams have a terminal event.
var families = [...]string{
	"message_start", "message_delta", "content_block_", "response.", "message-start", "content-start", "content-delta",
	"transcript.text.", "speech.audio.", "image_generation.", "image_edit.", "thread.",
}

// hasEnd reports whether an event is of a form whose streams have a terminal event.
func hasEnd(name, data []byte) bool {
	typ := typeOf(data)
	for _, f := range families {
		if bytes.HasPrefix(name, []byte(f)) || bytes.HasPrefix(typ, []byte(f)) {
			return true
		}
	}
	return hasName(data, `"choices"`) || hasName(data, `"candidates"`)
}

// mayBeError reports whether it is worth reading data as JSON: few events of a stream that is well are.
func mayBeError(data []byte) bool {
	return hasName(data, `"error`) || hasName(data, `"detail"`) || bytes.Contains(data, []byte(`failed"`))
}

// hasName reports whether data contains name outside of text: quotation marks in a string are escaped.
func hasName(data []byte, name string) bool {
	for {
		at := bytes.Index(data, []byte(name))
		if at < 0 {
			return false
		}
		if at == 0 || data[at-1] != '\\' {
			return true
		}
		data = data[at+len(name):]
	}
}
