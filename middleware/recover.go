package middleware

import (
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Who can lie: nobody needs to. Who has found the request that makes a handler panic can send it as often as they like, and reads every answer with care. So a
// panic costs one request and no more, its value goes nowhere but to the log, and an answer that it cuts off must not look whole to the caller who did no wrong.

// Wrap returns next inside of the outermost shell: every request gets its id, the answer is tracked, a panic becomes
// an error, and answers in plain text become errors of the registry.
//
//   - The X-Request-Id of every answer is the id in the log, and the only one: what a handler puts there is replaced, so is what a reverse proxy adds.
//   - A panic before the first byte is answered as Internal; its value and stack go to the log and nowhere else. After the first byte
//     it ends the answer as [ErrorWriter.WriteError] does: a recovered panic must not look like a short success.
//     [http.ErrAbortHandler] is raised again untouched, with nothing written. A panic in a goroutine that the handler
//     started ends the process, here as anywhere.
//   - An answer with a status of 400 or more in text/plain or text/html is replaced: that of [http.ServeMux] for an unknown path or
//     method, of [http.Error], of [http.TimeoutHandler]. So is one without a Content-Type, unless its body begins like JSON. The header
//     Allow is kept, and so is what Retry-After (seconds or a date) and X-Should-Retry: false say, as far as the answer of such an error may say it; redirects
//     pass, and the text goes to the log alone.
//   - The Pattern that a mux sets on the request inside is set on the request outside too, for those who name spans and log lines by route.
//   - The writer that next sees keeps Flush, Hijack where the server has it, ReadFrom, and everything that [http.ResponseController]
//     reaches by Unwrap. Server push is not kept.
//
// A caller who leaves cancels the context of the request without a reason. So a server that cancels its requests to shut down gives one, with a BaseContext of
// [context.WithCancelCause]: without it those requests look like callers who left, and nobody is answered.
//
// Put it around the whole server. Around a part of a server that is already wrapped, it makes that part speak
// with its own ErrorWriter, under the same request id.
func (ew *ErrorWriter) Wrap(next http.Handler) http.Handler {
	var clock watch
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer := requestFrom(r.Context())
		if outer != nil && outer.response != nil {
			ew.inside(outer.response, next, w, r) //nolint:contextcheck // The response carries the context.
			return
		}
		x := &response{base: w, owner: ew, start: clock.now()}
		x.hijack.response = x
		x.ctx.Context, x.ctx.response = r.Context(), x //nolint:fatcontext // One context for each request, not a chain.
		x.request = r.WithContext(&x.ctx)              //nolint:contextcheck // It is a child of the request's own.
		x.watch()
		if outer == nil {
			x.ctx.assign(&ew.RequestIDs, r, x.start)
		} else {
			x.ctx.id, x.ctx.clientID = outer.id, outer.clientID
		}
		defer x.recover(r)
		x.ctx.announce(w.Header(), ew.RequestIDs.Short)
		x.registry = ew.registryFor(r)
		if isAnthropic(x.registry) {
			x.ctx.announce(w.Header(), true)
		}
		next.ServeHTTP(x.writer(), x.request)
		x.finish() //nolint:contextcheck // The response carries the context.
	})
}

// inside lets ew speak for a part of a wrapped server. A panic leaves it in charge, so that it speaks for the panic too.
func (ew *ErrorWriter) inside(x *response, next http.Handler, w http.ResponseWriter, r *http.Request) {
	if owner, _ := x.voice(); ew == owner {
		next.ServeHTTP(w, r)
		return
	}
	mine := ew.registryFor(r)
	owner, registry := x.swap(ew, mine)
	if ew.RequestIDs.Short || isAnthropic(mine) {
		x.ctx.announce(w.Header(), true)
	}
	next.ServeHTTP(w, r)
	x.settle()
	x.swap(owner, registry)
}

func (x *response) swap(ew *ErrorWriter, reg *errcodes.Registry) (*ErrorWriter, *errcodes.Registry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	owner, registry := x.owner, x.registry
	x.owner, x.registry = ew, reg
	return owner, registry
}

var (
	errUnfinished = errors.New("middleware: the handler returned without Stream.Done or Stream.Fail")
	errSlow       = errors.New("middleware: the handler returned without an answer after a deadline had ended its read of the body")
	errLeft       = errors.New("middleware: the handler returned without an answer after the caller had left")
)

// settle answers for a handler that returned and left the answer open: a text that has to be replaced, a stream without its end.
func (x *response) settle() {
	x.mu.Lock()
	owner, registry := x.owner, x.registry
	held, thrown := x.held, ""
	if x.text != nil {
		thrown = string(x.text.begin)
	}
	open := x.stream != nil && !x.stream.over && !x.closed && !x.hijacked
	silent := x.status == 0 && held == 0 && !open && !x.closed && !x.hijacked
	if x.closed || x.hijacked {
		held = 0
	}
	var h http.Header
	if held != 0 {
		h = x.Header() // a Timeout that strikes now takes private away; the map stays the handler's
	}
	x.mu.Unlock()

	var v verdict
	switch {
	case held != 0:
		v = decideStatus(registry, int(held), h, time.Now(), thrown)
	case open:
		v = verdict{reg: registry, err: errUnfinished}
		v.decide(&x.ctx, x.gone())
	case silent && !x.gone() && callerGone(x.ctx.Context):
		v = verdict{reg: registry, err: &errcodes.Error{Code: errcodes.RequestTimeout, Err: errSlow}}
		v.decide(&x.ctx, false)
	case silent && x.gone():
		v = verdict{reg: registry, err: errLeft}
		v.decide(&x.ctx, true)
	default:
		return
	}
	x.refuse(owner, x.writer(), factsOf(x.request), &v)
}

// finish ends a request whose handler returned.
func (x *response) finish() {
	if !x.complete() {
		x.settle()
		x.mu.Lock()
		x.publishTrailers()
		if x.status == 0 {
			x.sign(x.base.Header()) // net/http sends them with a 200
		}
		x.mu.Unlock()
		x.breakOff()
	}
}

// complete closes an answer that leaves nothing to do, which is the common case, and reports whether it was one.
func (x *response) complete() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.status == 0 || x.held != 0 || x.abort || x.hijacked || x.stream != nil || x.clock != nil {
		return false
	}
	x.closed, x.over = true, true
	return true
}

// breakOff breaks the connection if the answer must not end cleanly.
func (x *response) breakOff() {
	x.mu.Lock()
	abort := x.abort && !x.hijacked
	x.mu.Unlock()
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// recover is deferred by Wrap. outer is the request as Wrap got it.
func (x *response) recover(outer *http.Request) {
	value := recover()
	handOut(x.request, outer)
	if value == nil && x.over {
		return
	}
	defer x.shut()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler { //nolint:errorlint // net/http compares like this.
		panic(value)
	}
	var stack []byte
	if relayed, ok := value.(*relayedPanic); ok {
		value, stack = relayed.value, relayed.stack
	} else {
		stack = debug.Stack()
	}
	owner, reg := x.voice()
	reg = owner.usable(reg)
	v := verdict{reg: reg, row: lookup(reg, errcodes.Internal), panicked: value, stack: stack}
	x.refuse(owner, x.writer(), factsOf(x.request), &v)
	x.breakOff()
}

// handOut leaves with outer what was found out about its copy inner further inside. It is deferred by whoever makes the copy.
func handOut(inner, outer *http.Request) {
	if inner.Pattern != outer.Pattern {
		// Whoever stands outside finds the route where a mux that got outer itself would have left it: otelhttp, access logs.
		outer.Pattern = inner.Pattern
	}
	if inner.MultipartForm != nil {
		outer.MultipartForm = inner.MultipartForm // net/http removes the temporary files of the request that it made, and looks nowhere else
	}
}

// shut keeps timers, and goroutines that outlive their handler, from writing to a response that net/http takes back.
func (x *response) shut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.stream != nil {
		x.stream.stop()
	}
	if x.clock != nil {
		x.clock.stop()
	}
}
