package middleware

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// errAnswered is what a handler gets that goes on writing after its request was refused.
var errAnswered = errors.New("middleware: the request was refused, nothing more can be written")

// maxText bounds how much of a replaced plain-text answer is kept for the log.
const maxText = 512

// response is the http.ResponseWriter that Wrap hands on, and all that is known about one request. It knows whether the
// answer has begun, because what an error may do depends on nothing else.
//
// The goroutine of the handler and the timers of Timeout and Stream meet here: mu guards everything below it, and the
// writer that net/http gave us, which is not safe for concurrent use.
type response struct {
	ctx     requestContext
	base    http.ResponseWriter
	request *http.Request // as handed on
	start   time.Time
	hijack  hijackable
	body    watchedBody
	deaf    atomic.Bool // a deadline of ours, or of the server, has ended a read

	mu       sync.Mutex
	owner    *ErrorWriter // the innermost Wrap
	registry *errcodes.Registry
	private  http.Header // while a timer may answer: the handler's headers, which only it touches
	stream   *Stream
	clock    *clock

	text     *text // what is thrown away of a held answer
	held     int32 // status that waits for the first byte of its body, 0 for none
	status   int32 // status that was sent, 0 for none
	passed   int   // bytes of the body, but for those that went by ReadFrom
	room     int   // of an error whose length is known, what is still to come of it
	tail     [4]byte
	lines    lines
	wroteAny bool   // something of the body was written
	relaying bool   // somebody else's writer hands on an error of ours
	relayed  string // the Content-Type of that error
	bounded  bool   // room bounds the body
	sse      bool   // the answer is an event stream in the clear
	duplex   bool   // the handler reads the body beside the answer
	closed   bool   // nothing more is written
	timedOut bool   // closed by a Timeout
	abort    bool   // the connection has to break
	hijacked bool
	refused  bool // Observer and log know
	rated    bool // LimitRate has said where the key stands
	over     bool // the handler has returned and left nothing to do; not guarded, for the goroutine of the request alone
}

// text is an error in plain text, which is replaced.
type text struct {
	declared bool // by its Content-Type
	worded   bool // something else than white space has passed
	begin    []byte
}

// hijackable is the same writer where the connection can be taken over, so that a type assertion tells the truth.
type hijackable struct{ *response }

// watchedBody is the body of a request. net/http takes a read that a deadline has ended for a caller who left, and tells nobody but the reader.
type watchedBody struct {
	io.ReadCloser

	x *response
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		b.x.deaf.Store(true)
	}
	return n, err
}

// watch puts the body of the request under watch, if it has one that is not in memory.
func (x *response) watch() {
	r := x.request
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if _, ok := r.Body.(*bufferedBody); !ok {
		x.body = watchedBody{ReadCloser: r.Body, x: x}
		r.Body = &x.body
	}
}

func (x *response) writer() http.ResponseWriter {
	if _, ok := x.base.(http.Hijacker); ok {
		return &x.hijack
	}
	return x
}

// owns reports whether w is x itself and not something around it.
func (x *response) owns(w http.ResponseWriter) bool {
	switch w := w.(type) {
	case *response:
		return w == x
	case *hijackable:
		return w.response == x
	case *guest:
		return w.c.x == x && w.direct
	case *guestHijackable:
		return w.c.x == x && w.direct
	}
	return false
}

// gone reports that the caller has left. net/http takes a read of the body that fails for that, also one that a deadline has ended, and
// then there is somebody to answer. In HTTP/2 such a read ends the body alone.
func (x *response) gone() bool {
	return callerGone(x.ctx.Context) && (x.request.ProtoMajor != 1 || !x.deaf.Load())
}

// Unwrap lets http.ResponseController reach deadlines and full duplex.
func (x *response) Unwrap() http.ResponseWriter { return x.base }

// Header implements http.ResponseWriter.
func (x *response) Header() http.Header {
	if x.private != nil {
		return x.private
	}
	return x.base.Header()
}

// WriteHeader implements http.ResponseWriter. Informational statuses pass; a second final status is ignored and
// logged.
func (x *response) WriteHeader(status int) {
	if !x.writeHeader(status) {
		owner, _ := x.voice()
		owner.logMisuse(x, "second WriteHeader ignored", status)
	}
}

// writeHeader reports whether the call was in order.
func (x *response) writeHeader(status int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.hijacked:
		x.base.WriteHeader(status) // net/http has the words for this
	case x.timedOut:
	case x.closed, x.status != 0, x.held != 0:
		return false
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		x.publish()
		x.base.WriteHeader(status)
	case status >= http.StatusBadRequest && status <= 599 && x.shapeable():
		x.held = int32(status)
	default:
		x.commit(status)
	}
	return true
}

// shapeable reports whether the headers leave it open that an error is plain text: http.Error, http.NotFound, ServeMux and
// http.TimeoutHandler all declare text, many handlers declare nothing.
func (x *response) shapeable() bool {
	h := x.Header()
	if len(h["Content-Encoding"]) > 0 {
		return false
	}
	declared := h["Content-Type"]
	if x.relaying && len(declared) == 1 && declared[0] == x.relayed {
		return false // it is ours; what somebody else's writer says instead of it is not
	}
	if len(declared) == 0 {
		x.text = new(text)
		return true
	}
	media, _, _ := strings.Cut(declared[0], ";")
	media = strings.TrimSpace(media)
	if strings.EqualFold(media, "text/plain") || strings.EqualFold(media, "text/html") {
		x.text = &text{declared: true}
		return true
	}
	return false
}

// publish makes the handler's headers those of the response.
func (x *response) publish() {
	if x.private != nil {
		replaceHeader(x.base.Header(), x.private)
	}
}

// publishTrailers makes the handler's trailers those of the response: what it has set by its end of the names that it announced, and of those that [http.TrailerPrefix]
// marks. Whoever answered in the handler's place has announced nothing.
func (x *response) publishTrailers() {
	if x.private == nil || x.status == 0 || x.hijacked {
		return
	}
	dst := x.base.Header()
	for k, v := range x.private {
		if strings.HasPrefix(k, http.TrailerPrefix) || announces(dst["Trailer"], k) {
			dst[k] = v
		}
	}
}

// announces reports whether one of the comma-separated lists in values has the name.
func announces(values []string, name string) bool {
	for _, list := range values {
		for announced := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(announced), name) {
				return true
			}
		}
	}
	return false
}

func replaceHeader(dst, src http.Header) {
	for k := range dst {
		if _, ok := src[k]; !ok {
			delete(dst, k)
		}
	}
	maps.Copy(dst, src)
}

// commit sends the header.
func (x *response) commit(status int) {
	x.publish()
	x.send(status)
}

// send sends what base's header map holds.
func (x *response) send(status int) {
	h := x.base.Header()
	x.sign(h)
	x.sse = isEventStream(h) // as it is here: whoever compresses outside adds a header of its own
	if x.relaying && len(h["Content-Length"]) == 1 && len(h["Content-Encoding"]) == 0 {
		n, err := strconv.Atoi(h["Content-Length"][0])
		x.room, x.bounded = n, err == nil && n >= 0
	}
	x.base.WriteHeader(status)
	x.held, x.status = 0, int32(status)
	if x.clock != nil {
		x.clock.began()
	}
}

// sign keeps the id of the answer that of the log, and the limits those of this server: a reverse proxy adds those of the server behind it.
func (x *response) sign(h http.Header) {
	if id := h[headerRequestID]; len(id) != 1 || id[0] != x.ctx.id[0] {
		h[headerRequestID] = x.ctx.id[:]
	}
	if len(h[headerRequestIDShort]) > 1 {
		h[headerRequestIDShort] = x.ctx.id[:]
	}
	if x.rated {
		for _, k := range rateHeaders {
			if values := h[k]; len(values) > 1 {
				h[k] = values[:1:1]
			}
		}
	}
}

// isEventStream reports whether the body is made of server-sent events that another can be added to.
func isEventStream(h http.Header) bool {
	const sse = "text/event-stream"
	ct := h["Content-Type"]
	return len(ct) > 0 && len(ct[0]) >= len(sse) && strings.EqualFold(ct[0][:len(sse)], sse) &&
		len(h["Content-Encoding"]) == 0 && len(h["Content-Length"]) == 0
}

// Write implements http.ResponseWriter.
func (x *response) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.write(p)
}

func (x *response) write(p []byte) (int, error) {
	if x.closed {
		return 0, x.closedError()
	}
	if x.status == 0 && !x.hijacked {
		if x.held == 0 {
			x.commit(http.StatusOK)
		} else if x.swallow(p) {
			return len(p), nil
		}
	}
	kept := p
	if x.bounded && !x.hijacked && len(p) >= x.room {
		kept = p[:x.room] // what follows is of a handler that has gone on after its error
		x.closed = true
	}
	n, err := x.base.Write(kept)
	n = max(0, min(n, len(kept)))
	x.wrote(kept[:n])
	x.room -= n
	if x.clock != nil {
		x.clock.touched()
	}
	if err == nil && n == len(kept) {
		n = len(p)
	}
	return n, err
}

// swallow reports whether p belongs to a text that is replaced when the handler is done. An error whose type is not
// declared and that begins like JSON is the handler's own.
func (x *response) swallow(p []byte) bool {
	if !x.text.declared && !x.text.worded {
		rest := bytes.TrimLeft(p, " \t\r\n")
		if len(rest) > 0 && (rest[0] == '{' || rest[0] == '[') {
			x.commit(int(x.held))
			if blank := x.text.begin; len(blank) > 0 {
				n, _ := x.base.Write(blank) //nolint:gosec // It is white space. An error comes again with the next write.
				x.wrote(blank[:max(0, min(n, len(blank)))])
			}
			return false
		}
		x.text.worded = len(rest) > 0 || len(x.text.begin)+len(p) > maxText
	}
	x.text.begin = append(x.text.begin, p[:min(len(p), maxText-len(x.text.begin))]...)
	return true
}

// wrote takes note of what went into the body.
func (x *response) wrote(p []byte) {
	if len(p) == 0 {
		return
	}
	x.wroteAny = true
	x.passed += len(p)
	if x.sse {
		if x.stream == nil || !x.stream.begun { // a Stream knows its form
			x.lines.pass(p)
		}
		if len(p) >= len(x.tail) {
			copy(x.tail[:], p[len(p)-len(x.tail):])
		} else {
			copy(x.tail[:], x.tail[len(p):])
			copy(x.tail[len(x.tail)-len(p):], p)
		}
	}
}

// lines tells by the lines that have passed which form an event stream has that no Stream writes. What the registry speaks does not tell: one server has endpoints of
// both forms, and a proxy hands on whatever comes.
type lines struct {
	begin  [len("event:")]byte // of the line that is under way
	n      uint8               // bytes in begin
	data   bool                // some line was data
	named  bool                // some line named its event
	others bool                // some line was neither
}

// pass takes note of p.
func (l *lines) pass(p []byte) {
	for len(p) > 0 {
		chunk, rest, ended := bytes.Cut(p, lineFeed)
		for {
			line, more, cr := bytes.Cut(chunk, carriageReturn)
			l.n += uint8(copy(l.begin[l.n:], line))
			if !cr {
				break
			}
			l.end()
			chunk = more
		}
		if ended {
			l.end()
		}
		p = rest
	}
}

var lineFeed, carriageReturn = []byte{'\n'}, []byte{'\r'}

func (l *lines) end() {
	field, _, _ := bytes.Cut(l.begin[:l.n], []byte{':'})
	switch {
	case l.n == 0:
	case string(field) == "data":
		l.data = true
	case string(field) == "event":
		l.named = true
	default:
		l.others = true // a comment, id, retry, or no field at all
	}
	l.n = 0
}

// form returns the form that an error event must have, if readers of either form would find it: those of messages pass over lines they do not look for, some of those
// of chat read no error after one.
func (l *lines) form() (Form, bool) {
	if l.named {
		return Messages, true
	}
	return Chat, l.data && !l.others
}

// betweenEvents reports whether the body of an event stream ends with a whole event, so that another can follow.
func (x *response) betweenEvents() bool {
	if !x.wroteAny {
		return true
	}
	last := string(x.tail[:])
	return strings.HasSuffix(last, "\n\n") || strings.HasSuffix(last, "\r\r") || last == "\r\n\r\n"
}

func (x *response) closedError() error {
	if x.timedOut {
		return http.ErrHandlerTimeout
	}
	return errAnswered
}

// ReadFrom implements io.ReaderFrom, so that io.Copy can use what the base has, such as sendfile. The answer begins with the first byte of src and not before: a src that
// fails at once leaves the error its status.
func (x *response) ReadFrom(src io.Reader) (n int64, err error) {
	// src may block for long, and the lock is not held while it does.
	rf, ok := x.base.(io.ReaderFrom)
	if ok && !x.passes() {
		n, err = io.Copy(struct{ io.Writer }{x}, io.LimitReader(src, firstCopied))
		if err != nil || n < firstCopied {
			return n, err
		}
	}
	var rest int64
	if !ok || !x.passes() {
		rest, err = io.Copy(struct{ io.Writer }{x}, src)
		return n + rest, err
	}
	rest, err = rf.ReadFrom(src)
	if rest > 0 {
		x.mu.Lock()
		x.wroteAny = true
		x.mu.Unlock()
	}
	return n + rest, err
}

// firstCopied is how much of a body ReadFrom copies itself to begin the answer; net/http does it with as much, to look for the type.
const firstCopied = 512

// passes reports whether the body needs no watching: the answer has begun, no timer may write, no event could follow and nothing is replaced.
func (x *response) passes() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status != 0 && !x.bounded && !x.closed && !x.hijacked && x.clock == nil && x.stream == nil && !x.sse
}

// FlushError sends what is buffered. It fails with an error that is errors.ErrUnsupported where the server cannot flush.
func (x *response) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return x.closedError()
	case x.held != 0:
		return nil // the answer is replaced as a whole when the handler is done
	case x.status == 0 && !x.hijacked:
		x.commit(http.StatusOK)
	}
	return x.flush()
}

func (x *response) flush() error {
	switch f := x.base.(type) {
	case interface{ FlushError() error }:
		return f.FlushError()
	case http.Flusher:
		f.Flush()
		return nil
	}
	return http.NewResponseController(x.base).Flush()
}

// EnableFullDuplex is what [http.ResponseController] calls.
func (x *response) EnableFullDuplex() error {
	err := http.NewResponseController(x.base).EnableFullDuplex()
	if err == nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.duplex = true
	}
	return err
}

// Flush implements http.Flusher.
func (x *response) Flush() { _ = x.FlushError() }

// Hijack implements http.Hijacker. A connection that was taken over is the handler's alone.
func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x := h.response
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, nil, x.closedError()
	}
	conn, rw, err := x.base.(http.Hijacker).Hijack() //nolint:forcetypeassert // writer looked.
	if err == nil {
		x.hijacked = true
	}
	return conn, rw, err
}

// unguarded is the response for whoever holds mu.
type unguarded response

func (u *unguarded) Header() http.Header { return u.base.Header() }

func (u *unguarded) WriteHeader(status int) { (*response)(u).send(status) }

func (u *unguarded) Write(p []byte) (int, error) {
	n, err := u.base.Write(p)
	(*response)(u).wrote(p[:max(0, min(n, len(p)))])
	return n, err
}
