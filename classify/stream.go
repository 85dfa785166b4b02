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
	// maxEvent bounds what is held back of an event that has not arrived whole. In a longer one an error is looked for no further.
	maxEvent = 64 << 10
	// eventRoom is how much room there is at least for a read into what is held back.
	eventRoom = 4 << 10
)

// Rules of a Decision about a stream.
const (
	ruleStreamEnd    = "stream: no terminal event"
	ruleStreamReport = "stream: an error reported"
	adviceStream     = "The stream ended before the answer was complete: what arrived may be cut short. Ask again, or go on from there."
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
	empty  int   // reads in a row that brought nothing
	events int

	scan    eventScan // of the present event
	seen    int       // so much of it was scanned and not handed out
	counted bool      // it is one of events
	passed  bool      // its beginning was handed out: it is too long to be held
	ended   bool      // the end was announced
	formed  bool      // an event has arrived whole that is no ping: the stream has a form
	endless bool      // no event yet was of a form whose streams have a terminal event

	open choiceSet // these choices go on
	over choiceSet // these ended
	late int       // the HTTP status of the error that one of them ended in, which is told when the others ended
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
	b.finish(err)
}

// take looks at the events in data, of which b.seen bytes were looked at before, and returns how much of it may be handed out: up to
// the end of the last whole event, or all of it within a long one. It decides alike however the bytes arrive.
func (b *eventBody) take(data []byte, err error) int {
	whole, at := 0, b.seen
	for b.err == nil && at < len(data) {
		limit := len(data)
		if !b.passed {
			limit = min(limit, whole+maxEvent)
		}
		n, end := b.scan.feed(data[at:limit])
		at += n
		if !end {
			if at-whole == maxEvent && !b.passed {
				b.judge(data[whole:at], true)
				b.passed = b.err == nil
			}
			continue
		}
		passed := b.passed
		b.look(data[whole:at], false)
		if b.err == nil || passed {
			whole, b.passed, b.counted = at, false, false
			b.scan.next()
		}
	}
	if b.err == nil && err != nil && (whole < len(data) || b.passed) {
		passed := b.passed
		b.look(data[whole:], true) // the last event lacks the empty line behind it
		b.passed = b.err == nil || passed
	}
	if b.passed {
		whole = len(data)
	}
	b.seen = at - whole
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
	case b.ended, b.over != choiceSet{} && b.open == choiceSet{}, b.endless && isEOF(err):
		if b.err = err; b.late != 0 {
			b.failed(b.reasoned(b.late))
		}
	case isEOF(err):
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

// look looks at one event, or at what is left of one of which the beginning was handed out. torn says that the stream ended within it.
func (b *eventBody) look(event []byte, torn bool) {
	if torn {
		b.scan.json.tear()
	}
	if !b.passed {
		b.judge(event, false)
	} else if failure := b.scan.failure(); failure != 0 {
		b.failed(b.reasoned(failure)) // behind what was handed out
	} else {
		b.lost()
	}
	if b.err == nil && b.late != 0 && b.scan.ends(torn) {
		b.failed(b.reasoned(b.late))
	}
	if b.err == nil && !b.scan.empty() {
		b.note(torn)
	}
}

// judge fails the stream if an event is an error. part says that the event is but the beginning of one.
func (b *eventBody) judge(event []byte, part bool) {
	if b.scan.empty() {
		return
	}
	b.count()
	failure := b.scan.failure()
	if b.scan.answer() {
		return
	}
	if failure == 0 && !mayBeError(event) {
		b.lost()
		return
	}
	event = plainLines(event)
	d := b.classifier.Body(b.resp.StatusCode, b.resp.Header, event)
	switch {
	case failure == 0 && !d.Failed():
	case part || b.scan.answers():
		// The answer and the prompt stand in it as well, and may stand before the error.
		d = b.stated(event, failure)
	case d.Failed():
	case b.scan.namedError() || b.scan.json.fault:
		// Of no shape that says so by itself, but the name does.
		d = b.classifier.Body(failure, b.resp.Header, dataOf(event))
	default:
		d = b.reasoned(failure)
	}
	d.Status = b.resp.StatusCode
	if b.failed(d); b.err == nil {
		b.lost()
	}
}

// lost fails the stream if a choice ended in an error and no other goes on. While one does the error waits for its end.
func (b *eventBody) lost() {
	status := b.scan.failedChoice()
	if status == 0 {
		return
	}
	j := &b.scan.json
	for i := range b.open {
		if (b.open[i]|j.open[i]|j.named[i]&^b.over[i])&^(j.ended[i]|j.failed[i]) != 0 {
			b.late = status
			return
		}
	}
	b.failed(b.reasoned(status))
}

// reasoned judges an event that says by nothing but the reason for the end that something failed. What else is in it a model wrote, so that
// the request was executed.
func (b *eventBody) reasoned(failure int) Decision {
	d := b.classifier.Body(failure, b.resp.Header, nil)
	d.Status, d.Rule, d.Safety = b.resp.StatusCode, ruleStreamReport, MaybeExecuted
	return d
}

// stated judges an event in which more stands than an error by nothing but the error.
func (b *eventBody) stated(event []byte, failure int) Decision {
	if failure == 0 {
		failure = http.StatusInternalServerError
	}
	said := errorIn(event)
	if said == nil {
		return b.reasoned(failure)
	}
	if d := b.classifier.Body(b.resp.StatusCode, b.resp.Header, said); d.Failed() {
		return d
	}
	return b.classifier.Body(failure, b.resp.Header, said)
}

// failed ends the stream if d is about a failure.
func (b *eventBody) failed(d Decision) {
	if !d.Failed() {
		return
	}
	if b.events > 1 {
		d.Safety = MaybeExecuted
	}
	b.fail(d, nil)
}

// count counts an event once.
func (b *eventBody) count() {
	if !b.counted {
		b.events++
		b.counted = true
	}
}

// note takes in what an event says about the end of its stream.
func (b *eventBody) note(torn bool) {
	b.count()
	s := &b.scan
	if s.answer() {
		s.json = jsonScan{}
	}
	b.ended = b.ended || s.ends(torn)
	for i := range b.open {
		b.over[i] = b.over[i]&^s.json.open[i] | s.json.ended[i] | s.json.failed[i]
		b.open[i] = (b.open[i] | s.json.open[i] | s.json.named[i]) &^ b.over[i]
	}
	switch {
	case s.hasEnd():
		b.endless, b.formed = false, true
	case !torn && !b.formed && !s.ping():
		b.endless, b.formed = true, true
	}
}

// Close closes the stream.
func (b *eventBody) Close() error { return b.rc.Close() }

// plainLines returns an event without a byte order mark, and with line feeds alone at the ends of its lines.
func plainLines(event []byte) []byte {
	event = bytes.TrimPrefix(event, []byte(byteOrderMark))
	if bytes.IndexByte(event, '\r') < 0 {
		return event
	}
	event = bytes.ReplaceAll(event, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(event, []byte("\r"), []byte("\n"))
}

// dataOf returns the data of an event of plain lines.
func dataOf(event []byte) []byte {
	var data []byte
	for line := range bytes.SplitSeq(event, []byte("\n")) {
		field, value, _ := bytes.Cut(line, []byte(":"))
		if string(field) != "data" && (string(field) != "error" || !bytes.HasPrefix(bytes.TrimLeft(value, " \t"), []byte("{"))) {
			continue
		}
		if value = bytes.TrimPrefix(value, []byte(" ")); data != nil {
			data = append(append(data, '\n'), value...)
		} else {
			data = bytes.Clone(value)
		}
	}
	return data
}

// errorIn returns what an event of plain lines says of an error, as an object: the error in its response or outermost, the message and the code that
// stand outermost. It returns nil where there is none.
func errorIn(event []byte) []byte {
	data := dataOf(event)
	if data == nil {
		data = event // a body that was written into the stream as it is
	}
	src := string(data)
	d, ok := readJSON(src, skipBlank(src, 0), nil)
	if !ok || !d.is(0, kindObject) {
		return nil
	}
	said := []byte("{")
	add := func(name string, i int32) {
		if len(said) > 1 {
			said = append(said, ',')
		}
		said = append(strconv.AppendQuote(said, name), ':')
		n := &d.nodes[i]
		if value := src[n.start:n.end]; n.kind == kindString {
			said = append(append(append(said, '"'), value...), '"')
		} else {
			said = append(said, value...)
		}
	}
	for _, name := range []string{"message", "code"} {
		if i := d.get(0, name); d.text(i) != "" {
			add(name, i)
		}
	}
	for _, i := range []int32{d.get(d.get(0, "response"), "error"), d.get(0, "error"), d.get(0, "last_error")} {
		if d.is(i, kindObject) && !d.blank(i) || d.str(i) != "" {
			add("error", i) // the last, because it may be cut off
			break
		}
	}
	switch {
	case len(said) == 1:
		return nil
	case !d.whole:
		return said
	}
	return append(said, '}')
}

// mayBeError reports whether it is worth reading an event as JSON: few events of a stream that is well are. It looks at the quotation marks
// outside of text, which in a string are escaped.
func mayBeError(event []byte) bool {
	for at := 0; ; at++ {
		n := bytes.IndexByte(event[at:], '"')
		if n < 0 {
			return false
		}
		at += n
		next := event[at+1:]
		if len(next) == 0 {
			return bytes.HasSuffix(event[:at], []byte("failed"))
		}
		switch {
		case next[0] == 'e' && bytes.HasPrefix(next, []byte("error")), next[0] == 'd' && bytes.HasPrefix(next, []byte(`detail"`)):
			if at == 0 || event[at-1] != '\\' {
				return true
			}
		case at > 0 && event[at-1] == 'd' && bytes.HasSuffix(event[:at], []byte("failed")):
			return true
		}
	}
}
