package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
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

// tell writes the record and calls the observer.
func (ew *ErrorWriter) tell(rep *report, v *verdict) {
	logger := ew.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if level := v.level(); logger.Enabled(rep.ctx, level) {
		rep.log(v, logger, level)
	}
	if ew.Observer != nil {
		ew.Observer.Refused(rep.refusal(v))
	}
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
	if e, ok := v.err.(*errcodes.Error); ok && e != nil && e == v.public { //nolint:errorlint // Only this very value.
		return causeText(e.Err)
	}
	return causeText(v.err)
}

func panicText(v any) (s string) {
	defer func() {
		if recover() != nil {
			s = "the panic value panicked when asked for its text"
		}
	}()
	return bounded(fmt.Sprint(v))
}

func (rep *report) refusal(v *verdict) *Refusal {
	return &Refusal{
		Context: rep.ctx, RequestID: rep.c.id[0], ClientRequestID: rep.c.clientID,
		Registry: v.reg.Name(), Entry: v.row, Undeclared: v.undeclared, Param: v.param(),
		Err: v.err, Panic: v.panicked, Stack: v.stack,
		Outcome: rep.outcome, Sent: rep.sent, RetryAfter: time.Duration(rep.seconds) * time.Second, Vetoed: rep.veto,
		Route: rep.route, Duration: rep.duration(),
	}
}

// param returns the field at fault, else the one that the row names; "" for none. One that has its name from the caller is not told.
func (v *verdict) param() string {
	if v.public == nil || v.public.Param == "" {
		return v.row.Param
	}
	if _, ok := v.public.Err.(*callerNameError); ok { //nolint:errorlint // Only Decode puts it there.
		return v.row.Param
	}
	return v.public.Param
}

// logMisuse records a mistake of a handler that costs the caller nothing. It names where the handler made it.
func (ew *ErrorWriter) logMisuse(x *response, msg string, status int) {
	logger := ew.Logger
	if logger == nil {
		logger = slog.Default()
	}
	ctx := context.Context(&x.ctx)
	if !logger.Enabled(ctx, slog.LevelWarn) {
		return
	}
	attrs := []slog.Attr{slog.String(attrRequestID, x.ctx.id[0]), slog.Int("status", status)}
	const skip = 3 // this function, WriteHeader, and one to name the caller
	if _, file, line, ok := runtime.Caller(skip - 1); ok {
		attrs = append(attrs, slog.String("caller", fmt.Sprintf("%s:%d", file, line)))
	}
	logger.LogAttrs(ctx, slog.LevelWarn, msg, attrs...)
}

const attrRequestID = "request_id"
