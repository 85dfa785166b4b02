package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// What is logged: facts of ours, and the cause. What never is: bodies, keys, header values, paths. A cause may hold anything that an error of
// the application says, so log handlers have to quote, as those of log/slog do.

// report is a refusal on its way to log and observer.
type report struct {
	facts
	hint

	c       *requestContext
	outcome Outcome
	sent    int
	start   time.Time // zero outside of Wrap
}

func (rep *report) duration() time.Duration {
	if rep.start.IsZero() {
		return 0
	}
	return time.Since(rep.start)
}

// tell writes the record and calls the observer. Both are anybody's code and run where nobody else would survive their panic, such as on the goroutine of a timer; and
// the answer is out, which must not break for it. So a panic of theirs is one more record.
func (ew *ErrorWriter) tell(rep *report, v *verdict) {
	logger := ew.logger()
	if stack, value := survive(func() {
		if level := v.level(); logger.Enabled(rep.ctx, level) {
			rep.log(v, logger, level)
		}
	}); stack != nil {
		complain(rep.ctx, slog.Default(), msgLogPanicked, value, stack)
	}
	if ew.Observer == nil {
		return
	}
	if stack, value := survive(func() { ew.Observer.Refused(rep.refusal(v)) }); stack != nil {
		complain(rep.ctx, logger, "observer panicked", value, stack)
	}
}

// record writes a record that is not about a refusal.
func (ew *ErrorWriter) record(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	if stack, value := survive(func() { ew.logger().LogAttrs(ctx, level, msg, attrs...) }); stack != nil {
		complain(ctx, slog.Default(), msgLogPanicked, value, stack)
	}
}

func (ew *ErrorWriter) logger() *slog.Logger {
	if ew.Logger == nil {
		return slog.Default()
	}
	return ew.Logger
}

// survive calls f and returns where and with what it panicked, a nil stack if it did not.
func survive(f func()) (stack []byte, value any) {
	defer func() {
		if value = recover(); value != nil {
			stack = debug.Stack()
		}
	}()
	f()
	return nil, nil
}

const msgLogPanicked = "log handler panicked"

// complain records a panic of those who are told of refusals. Where that panics too, nobody is left to tell.
func complain(ctx context.Context, logger *slog.Logger, msg string, value any, stack []byte) {
	attrs := make([]slog.Attr, 0, 3)
	if id := RequestIDFrom(ctx); id != "" {
		attrs = append(attrs, slog.String(attrRequestID, id))
	}
	attrs = append(attrs, slog.String("cause", panicText(value)), slog.String("stack", string(stack)))
	_, _ = survive(func() { logger.LogAttrs(ctx, slog.LevelError, msg, attrs...) })
}

func (v *verdict) level() slog.Level {
	switch {
	case v.gone:
		return slog.LevelInfo
	case v.row.Status >= 500:
		return slog.LevelError
	}
	switch v.row.Class {
	case errcodes.ClassAuthentication, errcodes.ClassQuotaExhausted:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

func (rep *report) log(v *verdict, logger *slog.Logger, level slog.Level) {
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String(attrRequestID, rep.c.id[0]))
	if rep.c.clientID != "" {
		attrs = append(attrs, slog.String("client_request_id", rep.c.clientID))
	}
	attrs = append(attrs,
		slog.String("code", string(v.row.Code)),
		slog.Int("status", v.row.Status),
		slog.String("outcome", rep.outcome.String()),
	)
	if rep.route != "" {
		attrs = append(attrs, slog.String("route", rep.route))
	}
	if !rep.start.IsZero() {
		attrs = append(attrs, slog.Duration("duration", rep.duration()))
	}
	if v.undeclared != "" {
		attrs = append(attrs, slog.String("undeclared_code", string(v.undeclared)))
	}
	if param := v.param(); param != "" {
		attrs = append(attrs, slog.String("param", param))
	}
	msg := "request refused"
	if v.panicked != nil {
		msg = "handler panicked"
		attrs = append(attrs, slog.String("cause", panicText(v.panicked)), slog.String("stack", string(v.stack)))
	} else if cause := v.cause(); cause != "" {
		attrs = append(attrs, slog.String("cause", cause))
	}
	logger.LogAttrs(rep.ctx, level, msg, attrs...)
}

// cause returns what the record says beyond the row: the text of the error, but of a bare *errcodes.Error only what it wraps.
func (v *verdict) cause() string {
	switch e := v.err.(type) { //nolint:errorlint // Only this very value.
	case *errcodes.Error:
		if e != nil && e == v.public {
			return causeText(e.Err)
		}
	case *coveredError:
		return causeText(e.told.Err)
	}
	if v.public == nil || len(v.public.Fields) == 0 {
		return causeText(v.err)
	}
	// Somebody may have taken the error out of its cover and wrapped it again.
	return bounded(strings.ReplaceAll(textOf(v.err), textOf(v.public), textOf(&coveredError{told: v.public})))
}

// callerNamed reports whether Decode found a name that the caller chose in place of the field at fault.
func (v *verdict) callerNamed() bool {
	if v.public == nil {
		return false
	}
	_, ok := v.public.Err.(*callerNameError) //nolint:errorlint // Only Decode puts it there.
	return ok
}

func panicText(v any) (s string) {
	defer func() {
		if recover() != nil {
			s = "the panic value panicked when asked for its text"
		}
	}()
	return bounded(fmt.Sprint(v))
}

// panicError is the cause of a refusal that a panic brought about.
type panicError struct{ value any }

func (e *panicError) Error() string { return "middleware: the handler panicked: " + panicText(e.value) }

// Unwrap returns the value if it is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

func (rep *report) refusal(v *verdict) *Refusal {
	err := v.err
	if v.panicked != nil {
		err = &panicError{value: v.panicked}
	}
	return &Refusal{
		Context: rep.ctx, RequestID: rep.c.id[0], ClientRequestID: rep.c.clientID,
		Registry: v.reg.Name(), Entry: v.row, Undeclared: v.undeclared, Param: v.param(),
		Err: err, Panic: v.panicked, Stack: v.stack,
		Outcome: rep.outcome, Sent: rep.sent, RetryAfter: time.Duration(rep.seconds) * time.Second, Vetoed: rep.veto,
		Route: rep.route, Duration: rep.duration(),
	}
}

// param returns the field at fault, else the one that the row names; "" for none. One that has its name from the caller is not told.
func (v *verdict) param() string {
	if v.public == nil || v.public.Param == "" {
		return v.row.Param
	}
	if v.callerNamed() {
		return v.row.Param
	}
	return v.public.Param
}

// logMisuse records a mistake of a handler that costs the caller nothing. It names where the handler made it.
func (ew *ErrorWriter) logMisuse(x *response, msg string, status int) {
	attrs := []slog.Attr{slog.String(attrRequestID, x.ctx.id[0]), slog.Int("status", status)}
	if caller := callerOutside(); caller != "" {
		attrs = append(attrs, slog.String("caller", caller))
	}
	ew.record(&x.ctx, slog.LevelWarn, msg, attrs...)
}

// callerOutside returns where the nearest caller stands that belongs neither to this package nor to net/http, "" for none.
func callerOutside() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	own := ""
	for {
		frame, more := frames.Next()
		name := frame.Function[:strings.LastIndexByte(frame.Function, '/')+1]
		rest, _, _ := strings.Cut(frame.Function[len(name):], ".")
		name += rest
		if own == "" {
			own = name
		}
		if name != own && name != "net/http" {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		if !more {
			return ""
		}
	}
}

const attrRequestID = "request_id"
