package middleware

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Who can lie: the caller decides how fast a body arrives and how fast an answer is read, and a handler may ignore that it was cancelled. Either would hold a
// connection and a goroutine for as long as it likes. So every bound is kept without the help of the one or the other: by a timer that answers in the handler's
// place, and by deadlines on the connection.

// Timeout bounds how long a request may take; 0 sets no bound. Each field is a time as the caller sees it.
//
// When a bound strikes, the context of the handler is cancelled, with an *[errcodes.Error] of Timeout as its
// cause ([context.Cause]), and the caller gets its answer at once: before the first byte that error as a 504; after it, if the answer is an
// event stream that can take it, the error as its last event, as in [ErrorWriter.WriteError]; any other answer is broken off.
//
// A handler that ignores its context goes on running, in a goroutine of its own, and nobody waits for it: what it writes fails with
// [http.ErrHandlerTimeout], and a panic is only logged, or nothing at all if it is [http.ErrAbortHandler]. It holds what it holds until it returns, so a server whose handlers ignore
// their contexts needs [ErrorWriter.LimitConcurrency] inside of the Timeout. A write that a stuck caller blocks is ended by a write deadline, a read of
// the body by a read deadline.
//
// The connection goes on to serve further requests if the handler had read the body to its end. If not, an HTTP/1.1 answer that begins with the bound says
// Connection: close, and one that had begun is broken off behind its last event unless the server has dealt with the rest of the body. HTTP/2 loses the
// stream at most.
type Timeout struct {
	// FirstByte bounds the time until the answer begins.
	FirstByte time.Duration
	// Idle bounds the time between two writes of an answer that has begun.
	Idle time.Duration
	// Total bounds the whole request. It is also the deadline of the handler's context.
	Total time.Duration
}

var (
	errFirstByte = errors.New("middleware: no first byte within Timeout.FirstByte")
	errIdle      = errors.New("middleware: no further byte within Timeout.Idle")
	errTotal     = errors.New("middleware: not finished within Timeout.Total")
)

// Timeout returns a middleware that holds requests to the limits. It does not buffer, so streams keep working. Place it inside of
// authentication and outside of the body check: a body that arrives too slowly for [Timeout.FirstByte] or [Timeout.Total] is
// answered as RequestTimeout, 408. A request that is inside of one Timeout already keeps to that one.
func (ew *ErrorWriter) Timeout(limits Timeout) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if limits.FirstByte <= 0 && limits.Idle <= 0 && limits.Total <= 0 {
			return next
		}
		return ew.wrapped(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ew.limitTime(limits, next, w, r)
		}))
	}
}

func (ew *ErrorWriter) limitTime(limits Timeout, next http.Handler, w http.ResponseWriter, r *http.Request) {
	x := responseFrom(r.Context())
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(context.Canceled)
	if limits.Total > 0 {
		var release context.CancelFunc
		ctx, release = context.WithTimeoutCause(ctx, limits.Total, &errcodes.Error{Code: errcodes.Timeout, Err: errTotal})
		defer release()
	}
	c := &clock{
		x: x, ew: ew, registry: x.registryOf(ew, r), limits: limits, cancel: cancel, facts: factsOf(r),
		body: guestBodyOf(r), http1: r.ProtoMajor == 1, start: time.Now(), struck: make(chan struct{}),
	}
	c.ctx, c.asked, c.request = ctx, askedBy(r), nil
	if !x.arm(c) {
		next.ServeHTTP(w, r)
		return
	}
	g := &guest{c: c, w: w, header: x.private, direct: x.owns(w), done: make(chan struct{})}
	g.hijack.guest = g
	inner := r.WithContext(ctx)
	if c.body != nil {
		inner.Body = c.body
	}
	go g.run(next, g.writer(), inner)
	select {
	case <-g.done:
		handOut(inner, r) // a guest that was left behind may still write there
	case <-c.struck:
	}
	struck := x.disarm(c)
	if struck {
		<-c.struck // the handler may have been quicker; who observes the request wants to be told before it ends
		if c.body != nil {
			c.body.settle()
		}
	}
	c.finish()
	c.linger()
	g.leave(struck)
}

// guest is the goroutine of a handler under a Timeout, and the writer that it gets. mu keeps it apart from the goroutine of the
// request, which may leave it behind.
type guest struct {
	c      *clock
	header http.Header // only the guest touches it
	direct bool        // nothing stands between the writer and the response
	hijack guestHijackable
	done   chan struct{}

	mu    sync.Mutex
	w     http.ResponseWriter // nil once the request is over
	value any                 // of a panic
	stack []byte
}

type guestHijackable struct{ *guest }

// guestBody is the body of a guest's request, which comes from the connection. When a bound has struck, net/http must not find a read under way as it takes
// the body back: it would lift the read deadline that ends the read, and wait for ever.
type guestBody struct {
	rc io.ReadCloser

	left    atomic.Bool // the request is over, no read begins any more
	reading atomic.Bool // set before left is looked at, so that whoever sets left sees every read that did not
	ended   atomic.Bool // the guest has read all of it
	deaf    atomic.Bool // no deadline can end a read

	mu sync.Mutex // held while a read is under way
}

// guestBodyOf returns the body of r, nil for none and for one that is in memory: only one that still comes from the connection can hold anybody up.
func guestBodyOf(r *http.Request) *guestBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	if _, ok := r.Body.(*bufferedBody); ok {
		return nil
	}
	return &guestBody{rc: r.Body}
}

// Read implements io.Reader.
func (b *guestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading.Store(true)
	defer b.reading.Store(false)
	if b.left.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.rc.Read(p)
	if err == io.EOF { // readers return it bare; a wrapped one is a failure
		b.ended.Store(true)
	}
	return n, err
}

// Close implements io.Closer. That of net/http reads on for the end of the body.
func (b *guestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading.Store(true)
	defer b.reading.Store(false)
	if b.left.Load() {
		return nil
	}
	return b.rc.Close()
}

// settle returns when no read is under way, after left was set and a deadline.
func (b *guestBody) settle() {
	if !b.deaf.Load() {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
}

// open reports whether some of the body may still be on the connection. It is true a moment too long, never too short.
func (b *guestBody) open() bool { return b != nil && !b.ended.Load() }

// underWay reports whether the guest waits for the body.
func (b *guestBody) underWay() bool { return b != nil && b.reading.Load() }

// relayedPanic is a panic of a guest on the goroutine of its request.
type relayedPanic struct {
	value any
	stack []byte
}

// String returns what the value says, for recoverers that are not Wrap.
func (p *relayedPanic) String() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

func (g *guest) run(next http.Handler, w http.ResponseWriter, r *http.Request) {
	defer close(g.done)
	returned := false
	defer func() {
		value := recover()
		if value == nil {
			if returned {
				return
			}
			// runtime.Goexit. Without a Timeout it ends the goroutine of the connection, and with it the connection.
			value = http.ErrAbortHandler
		}
		stack := debug.Stack()
		g.mu.Lock()
		left := g.w == nil
		g.value, g.stack = value, stack
		g.mu.Unlock()
		if left && value != http.ErrAbortHandler { //nolint:errorlint // net/http compares like this.
			c := g.c
			v := verdict{reg: c.registry, row: lookup(c.registry, errcodes.Internal), panicked: value, stack: stack}
			f := c.facts
			if f.route == "" {
				f.route = r.Pattern // the guest alone may look there
			}
			c.x.refuse(c.ew, nil, f, &v)
		}
	}()
	next.ServeHTTP(w, r)
	returned = true
}

func (g *guest) writer() http.ResponseWriter {
	if _, ok := g.w.(http.Hijacker); ok {
		return &g.hijack
	}
	return g
}

// leave takes writer and body away from the guest and raises its panic, if there was one in time. A read that the guest left to a goroutine of its own is
// the server's to end, as without a Timeout.
//
// A guest that asks for the connection to be broken means its own answer, as a reverse proxy does whose copy was cancelled. When the clock has struck, the answer is the
// clock's, and whole or broken as that has decided.
func (g *guest) leave(struck bool) {
	if g.c.body != nil {
		g.c.body.left.Store(true)
	}
	g.mu.Lock()
	g.w = nil
	value, stack := g.value, g.stack
	g.mu.Unlock()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler { //nolint:errorlint // net/http compares like this.
		if struck {
			return
		}
		panic(value)
	}
	panic(&relayedPanic{value: value, stack: stack})
}

// Header implements http.ResponseWriter.
func (g *guest) Header() http.Header { return g.header }

// WriteHeader implements http.ResponseWriter.
func (g *guest) WriteHeader(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w != nil {
		g.w.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (g *guest) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return 0, http.ErrHandlerTimeout
	}
	return g.w.Write(p)
}

// FlushError sends what is buffered.
func (g *guest) FlushError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(g.w).Flush()
}

// Flush implements http.Flusher.
func (g *guest) Flush() { _ = g.FlushError() }

// Unwrap lets http.ResponseController reach deadlines and full duplex. After the request it leads nowhere.
func (g *guest) Unwrap() http.ResponseWriter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return nowhere{}
	}
	return g.w
}

// Hijack implements http.Hijacker.
func (h *guestHijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.w == nil {
		return nil, nil, http.ErrHandlerTimeout
	}
	return http.NewResponseController(h.w).Hijack()
}

// nowhere is the writer of a request that is over.
type nowhere struct{}

func (nowhere) Header() http.Header       { return http.Header{} }
func (nowhere) WriteHeader(int)           {}
func (nowhere) Write([]byte) (int, error) { return 0, http.ErrHandlerTimeout }

// arm starts c, unless the response has a clock or is beyond help.
func (x *response) arm(c *clock) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.clock != nil || x.closed || x.hijacked {
		return false
	}
	x.clock = c
	if x.private == nil {
		// The timer answers with the headers as they are now; the handler gets its own.
		x.private = x.base.Header().Clone()
	}
	c.last = c.start
	c.timer = time.AfterFunc(time.Hour, c.strike) // Reset comes after the assignment, strike after Reset
	c.timer.Reset(c.next(c.start))
	return true
}

// disarm ends c and reports whether it has struck.
func (x *response) disarm(c *clock) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	c.stop()
	x.clock = nil
	switch {
	case x.timedOut: // the headers may still be in use
	case x.status != 0:
		x.publishTrailers()
	case !x.closed:
		x.publish()
	}
	x.private = nil
	return x.timedOut
}

// clock watches over one response. Its fields are guarded by the response's mu, but for those that never change.
type clock struct {
	facts

	x        *response
	ew       *ErrorWriter
	registry *errcodes.Registry
	limits   Timeout
	cancel   context.CancelCauseFunc
	start    time.Time
	body     *guestBody // nil for none that comes from the connection
	http1    bool
	struck   chan struct{} // closed when the clock has answered the request and told of it

	rescuing sync.Mutex // guards what follows; a stuck write holds the response's mu
	finished bool       // the connection is no longer ours
	deafened bool       // a deadline ends every read

	timer   *time.Timer
	last    time.Time // of the last write, or of the beginning
	stopped bool
	parting bool // the caller was told that the connection closes, and may still be sending the body
}

// next returns how long it is until the nearest bound.
func (c *clock) next(now time.Time) time.Duration {
	d := time.Duration(-1)
	nearer := func(limit time.Duration, since time.Time) {
		if limit > 0 {
			if left := max(0, limit-now.Sub(since)); d < 0 || left < d {
				d = left
			}
		}
	}
	nearer(c.limits.Total, c.start)
	if c.x.status == 0 {
		nearer(c.limits.FirstByte, c.start)
	} else {
		nearer(c.limits.Idle, c.last)
	}
	if d < 0 {
		d = time.Hour // only Idle is set and the answer has not begun: began sets the timer
	}
	return d
}

func (c *clock) began() {
	if c.stopped {
		return
	}
	c.last = time.Now()
	c.timer.Reset(c.next(c.last))
}

func (c *clock) touched() {
	c.last = time.Now()
}

func (c *clock) stop() {
	c.stopped = true
	c.timer.Stop()
}

// due returns the bound that is reached, nil for none.
func (c *clock) due(now time.Time) error {
	switch {
	case c.limits.Total > 0 && now.Sub(c.start) >= c.limits.Total:
		return errTotal
	case c.x.status == 0 && c.limits.FirstByte > 0 && now.Sub(c.start) >= c.limits.FirstByte:
		return errFirstByte
	case c.x.status != 0 && c.limits.Idle > 0 && now.Sub(c.last) >= c.limits.Idle:
		return errIdle
	}
	return nil
}

// stuck is how long a write may take that a bound finds under way.
const stuck = 500 * time.Millisecond

// strike is the timer.
func (c *clock) strike() {
	x := c.x
	if !x.mu.TryLock() {
		// A write is under way, and may be stuck.
		rescue := c.rescue()
		x.mu.Lock()
		rescue.Stop()
	}
	now := time.Now()
	reason := c.due(now)
	if c.stopped || x.closed || x.hijacked || reason == nil {
		if !c.stopped && !x.closed && !x.hijacked {
			c.timer.Reset(c.next(now))
		}
		x.mu.Unlock()
		return
	}
	cause := &errcodes.Error{Code: errcodes.Timeout, Err: reason}
	if x.status == 0 && c.body.underWay() {
		cause.Code = errcodes.RequestTimeout
	}
	v := verdict{reg: c.registry, err: cause}
	v.decide(context.Background(), x.gone())
	rep := c.refuse(&v, now)
	x.mu.Unlock()
	c.cancel(cause)
	if rep != nil {
		c.ew.tell(rep, &v)
	}
	close(c.struck)
}

// rescue ends a write that is stuck, unless it is stopped: when the caller does not read, or when net/http waits for the rest of the body before it sends
// the header, to announce the end of the connection in it. Only a deadline ends either, and with it the connection.
func (c *clock) rescue() *time.Timer {
	return time.AfterFunc(stuck, func() {
		c.rescuing.Lock()
		defer c.rescuing.Unlock()
		if c.finished {
			return
		}
		now := time.Now()
		if c.http1 && c.body.open() {
			c.deafened = true
			c.endReads(now)
			now = now.Add(stuck)
		}
		_ = http.NewResponseController(c.x.base).SetWriteDeadline(now)
	})
}

// finish gives the connection back. Reads that a rescue has ended, and that a goroutine of the guest's begins all the same, have to be over by then: net/http would
// lift the deadline to end them, and then wait for the rest of the body for ever.
func (c *clock) finish() {
	c.rescuing.Lock()
	c.finished = true
	deafened := c.deafened
	c.rescuing.Unlock()
	if deafened {
		c.body.left.Store(true)
		c.body.settle()
	}
}

// endReads ends reads of the body, the one that is under way and those to come.
func (c *clock) endReads(now time.Time) {
	c.x.deaf.Store(true)
	if http.NewResponseController(c.x.base).SetReadDeadline(now) != nil {
		c.body.deaf.Store(true)
	}
}

// refuse answers on the goroutine of the timer. x.mu is held.
func (c *clock) refuse(v *verdict, now time.Time) *report {
	x := c.x
	rep := &report{facts: c.facts, c: &x.ctx, start: x.start, outcome: Unsent, sent: int(x.status)}
	first := !x.refused
	x.refused = true
	if c.body != nil {
		c.body.left.Store(true)
	}
	// A read deadline on an HTTP/1.1 connection is not for the body alone: once net/http has the whole body it watches the connection for a caller who leaves,
	// and takes the deadline for that, so that this request and every later one on the connection is cancelled. So it is set only where
	// the connection is given up, and where the caller knows.
	open := c.body.open()
	switch {
	case v.gone:
		x.closed, x.abort = true, true
	case x.status != 0:
		// With its header net/http has read the rest of the body, or announced the end of the connection. Where it did neither, the rest of the body would be
		// read as the next request.
		lost := c.http1 && open && (x.duplex || c.body.underWay())
		if lost || open && !c.http1 {
			c.endReads(now)
		}
		rescue := c.rescue()
		rep.outcome = x.interrupt(v)
		x.abort = !rescue.Stop() || lost || x.abort
	default:
		h := x.base.Header()
		c.part(h)
		rep.hint = c.ew.write((*unguarded)(x), h, &x.ctx, &c.facts, v)
		_ = x.flush()
		rep.outcome, rep.sent, x.closed = Answered, v.row.Status, true
	}
	if open && (x.status == 0 || c.parting || !c.http1) {
		c.endReads(now)
	}
	x.timedOut = true
	c.stopped = true
	if x.stream != nil {
		x.stream.stop()
	}
	if !first {
		return nil
	}
	return rep
}

// part announces the end of the connection in an answer that has not begun, if the body is not read to its end: net/http would read the rest before it
// answers, however long that takes.
func (c *clock) part(h http.Header) {
	if c.http1 && c.body.open() {
		h["Connection"] = valueClose
		c.parting = true
	}
}

// linger gives a caller that was told of the end of the connection the time to finish sending. A connection that is closed with unread bytes is reset, and the
// reset can overtake the answer; net/http reads some of them, as long as the deadline lets it.
func (c *clock) linger() {
	if c.parting {
		_ = http.NewResponseController(c.x.base).SetReadDeadline(time.Now().Add(lingerTime))
	}
}

// lingerTime is short: who has not sent a body in time was told so, and nothing is lost but the telling.
const lingerTime = 200 * time.Millisecond
