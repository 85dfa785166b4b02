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

// Timeout bounds how long a request may take; 0 sets no bound. Each field is a time as the caller sees it.
//
// When a bound strikes, the context of the handler is cancelled, with an *[errcodes.Error] of Timeout as its
// cause ([context.Cause]), and the caller gets its answer at once: before the first byte that error as a 504; after it, if the answer is an
// event stream that stands between two events, the error as its last event; any other answer is broken off.
//
// A handler that ignores its context goes on running, in a goroutine of its own, and nobody waits for it: what it writes fails with
// [http.ErrHandlerTimeout], and a panic is only logged. It holds what it holds until it returns, so a server whose handlers ignore
// their contexts needs [ErrorWriter.LimitConcurrency] inside of the Timeout. A write that a stuck caller blocks is ended by a write deadline, a read of
// the body by a read deadline.
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
		body: r.ContentLength != 0, http1: r.ProtoMajor == 1, start: time.Now(), struck: make(chan struct{}),
	}
	c.ctx, c.asked, c.request = ctx, askedBy(r), nil
	if !x.arm(c) {
		next.ServeHTTP(w, r)
		return
	}
	defer x.disarm(c)
	g := &guest{c: c, w: w, header: x.private, direct: x.owns(w), done: make(chan struct{})}
	g.hijack.guest = g
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		g.body = &guestBody{rc: r.Body}
		r.Body = g.body
	}
	go g.run(next, g.writer(), r)
	select {
	case <-g.done:
	case <-c.struck:
	}
	g.leave()
}

// guest is the goroutine of a handler under a Timeout, and the writer that it gets. mu keeps it apart from the goroutine of the
// request, which may leave it behind.
type guest struct {
	c      *clock
	header http.Header // only the guest touches it
	direct bool        // nothing stands between the writer and the response
	hijack guestHijackable
	body   *guestBody // nil for none
	done   chan struct{}

	mu    sync.Mutex
	w     http.ResponseWriter // nil once the request is over
	value any                 // of a panic
	stack []byte
}

type guestHijackable struct{ *guest }

// guestBody is the body of a guest's request. net/http must not find a read under way when it takes the body back: it would
// lift the read deadline that ends the read, and wait for ever.
type guestBody struct {
	mu sync.Mutex
	rc io.ReadCloser // nil once the request is over
}

// Read implements io.Reader.
func (b *guestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rc == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.rc.Read(p)
}

// Close implements io.Closer.
func (b *guestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rc == nil {
		return nil
	}
	return b.rc.Close()
}

func (b *guestBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rc = nil
}

// relayedPanic is a panic of a guest on the goroutine of its request.
type relayedPanic struct {
	value any
	stack []byte
}

// String returns what the value says, for recoverers that are not Wrap.
func (p *relayedPanic) String() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

func (g *guest) run(next http.Handler, w http.ResponseWriter, r *http.Request) {
	defer close(g.done)
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		stack := debug.Stack()
		g.mu.Lock()
		left := g.w == nil
		g.value, g.stack = value, stack
		g.mu.Unlock()
		if left && value != http.ErrAbortHandler { //nolint:errorlint // net/http compares like this.
			c := g.c
			v := verdict{reg: c.registry, row: lookup(c.registry, errcodes.Internal), panicked: value, stack: stack}
			c.x.refuse(c.ew, nil, c.facts, &v)
		}
	}()
	next.ServeHTTP(w, r)
}

func (g *guest) writer() http.ResponseWriter {
	if _, ok := g.w.(http.Hijacker); ok {
		return &g.hijack
	}
	return g
}

// leave takes writer and body away from the guest and raises its panic, if there was one in time.
func (g *guest) leave() {
	if g.body != nil {
		g.body.leave()
	}
	g.mu.Lock()
	g.w = nil
	value, stack := g.value, g.stack
	g.mu.Unlock()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler { //nolint:errorlint // net/http compares like this.
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

func (x *response) disarm(c *clock) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c.stop()
	x.clock = nil
	if x.status == 0 && !x.closed && !x.timedOut {
		x.publish()
	}
	x.private = nil
}

// clock watches over one response. Its fields are guarded by the response's mu, but for those that never change and the
// atomic ones.
type clock struct {
	facts

	x        *response
	ew       *ErrorWriter
	registry *errcodes.Registry
	limits   Timeout
	cancel   context.CancelCauseFunc
	start    time.Time
	body     bool // the request has one
	http1    bool
	struck   chan struct{} // closed when the request was answered by the clock

	timer   *time.Timer
	last    time.Time // of the last write, or of the beginning
	stopped bool
	reading atomic.Bool // the body is being read
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
const stuck = 200 * time.Millisecond

// strike is the timer.
func (c *clock) strike() {
	x := c.x
	if !x.mu.TryLock() {
		// A write is under way. If it is stuck, the caller does not read, and only a deadline ends it.
		rescue := time.AfterFunc(stuck, func() { _ = http.NewResponseController(x.base).SetWriteDeadline(time.Now()) })
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
	if x.status == 0 && c.reading.Load() {
		cause.Code = errcodes.RequestTimeout
	}
	v := decide(context.Background(), x.ctx.Context, c.registry, cause)
	rep := c.refuse(&v)
	x.mu.Unlock()
	c.cancel(cause)
	if c.body {
		// The guest may be reading, and net/http waits for it before it ends the request.
		_ = http.NewResponseController(x.base).SetReadDeadline(now)
	}
	close(c.struck)
	if rep != nil {
		c.ew.tell(rep, &v)
	}
}

// refuse answers on the goroutine of the timer. x.mu is held.
func (c *clock) refuse(v *verdict) *report {
	x := c.x
	rep := &report{facts: c.facts, c: &x.ctx, start: x.start, outcome: Unsent, sent: x.status}
	first := !x.refused
	x.refused = true
	switch {
	case v.gone:
		x.closed, x.abort = true, true
	case x.status != 0:
		rep.outcome = x.interrupt(v)
	default:
		h := x.base.Header()
		if c.http1 && c.body {
			h["Connection"] = valueClose // or net/http would read the rest of the body first
		}
		rep.hint = c.ew.write((*unguarded)(x), h, &x.ctx, &c.facts, v)
		_ = x.flush()
		rep.outcome, rep.sent, x.closed = Answered, v.row.Status, true
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
