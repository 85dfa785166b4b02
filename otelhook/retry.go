package otelhook

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
)

// maxWaitEvents bounds the waits that one span tells of. SDKs keep 128 events of a span and drop the oldest.
const maxWaitEvents = 32

// Attempt implements [classify.Observer]: it is called before each wait, which is when the wait has to be told of.
func (h *hook) Attempt(ctx context.Context, e *classify.AttemptEvent) {
	switch c := h.callFrom(ctx); {
	case e.Last:
	case c != nil:
		c.wait(e)
	default:
		h.unseenWait(ctx, e)
	}
	if h.next != nil {
		h.next.Attempt(ctx, e)
	}
}

// Done implements [classify.Observer]. It is not called for every call, so that how one ends is read from its result; what that does
// not say is taken from here.
func (h *hook) Done(ctx context.Context, e *classify.DoneEvent) {
	if c := h.callFrom(ctx); c != nil {
		c.told, c.attempts, c.waited, c.queued = true, len(e.Attempts), e.Waited, e.Queued
	}
	if h.next != nil {
		h.next.Done(ctx, e)
	}
}

// wait tells of a wait that begins.
func (c *call) wait(e *classify.AttemptEvent) {
	a, d := &e.Attempt, &e.Attempt.Decision
	c.pending, c.waitSince = a.N, time.Now()
	source := delaySource(e.WaitFrom)
	if e.Wait > 0 {
		c.hook.waits(c, c.op.name, source, d.Class.String(), e.Wait)
	}
	if a.N <= maxWaitEvents && !c.unseen {
		c.event(eventWait, log.SeverityDebug, append(failure(a),
			keyDelay.Float64(e.Wait.Seconds()), keyDelaySource.String(source)))
	}
	if l := c.hook.log; l != nil && l.Enabled(c, slog.LevelDebug) {
		l.LogAttrs(c, slog.LevelDebug, "request will be sent again", append(c.failureLog(a),
			slog.Duration("delay", e.Wait), slog.String("delay_source", source))...)
	}
}

// giveUp tells why there is no further attempt.
func (c *call) giveUp(e *classify.Error) {
	c.category = e.Decision.Class.String()
	last := classify.Attempt{N: c.attempts, Status: e.Decision.Status, Decision: e.Decision, Code: e.Decision.Code, RequestID: e.Decision.RequestID}
	if n := len(e.Attempts); n > 0 && e.Stop != classify.StopBegun {
		last = e.Attempts[n-1]
	}
	d := &e.Decision
	attrs := append(failure(&last), keyReason.String(c.outcome.reason))
	if d.Wait > 0 {
		attrs = append(attrs, keyDelay.Float64(d.Wait.Seconds()), keyDelaySource.String(delaySource(d.WaitFrom)))
	}
	c.event(eventGiveUp, log.SeverityWarn, attrs)
	text := c.causeText(e)
	c.description = text
	if cause := thrown(e, &last); cause != nil {
		attrs := []attribute.KeyValue{semconv.ExceptionType(typeOf(cause))}
		if text != "" {
			attrs = append(attrs, semconv.ExceptionMessage(text))
		}
		c.event(eventException, log.SeverityWarn, attrs)
	}
	if l := c.hook.log; l != nil && l.Enabled(c, slog.LevelWarn) {
		record := append(c.failureLog(&last), slog.String("reason", c.outcome.reason), slog.Duration("waited", c.waited))
		if text != "" {
			record = append(record, slog.String("cause", text))
		}
		l.LogAttrs(c, slog.LevelWarn, "request given up", record...)
	}
}

// thrown returns the error that somebody else ended the last attempt with; nil if it ended with an answer, or there was none: a gate or a deadline
// of our own is a reason, and stands there.
func thrown(e *classify.Error, last *classify.Attempt) error {
	switch {
	case e.Stop == classify.StopBegun:
		return e.Err
	case last.Status != 0:
		return nil
	}
	return last.Err
}

// causeText returns what may be told of the error behind e: "" where there is none, or an answer says it all.
func (c *call) causeText(e *classify.Error) string {
	if e.Err == nil || e.Decision.Status != 0 && e.Stop != classify.StopBegun {
		return ""
	}
	if g, ok := errors.AsType[*classify.GateError](e.Err); ok {
		return errorText(c.hook.redactor, g)
	}
	if inner, ok := errors.AsType[*classify.Error](e.Err); ok {
		return c.causeText(inner)
	}
	return errorText(c.hook.redactor, e.Err)
}

// failure describes a failed attempt in the attributes of an event.
func failure(a *classify.Attempt) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 10)
	if a.N > 0 {
		attrs = append(attrs, keyAttempt.Int(a.N))
	}
	if a.Status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.Status))
	}
	return append(attrs, judgement(&a.Decision)...)
}

// judgement describes a decision in attributes of spans and events; its texts are too many for metrics.
func judgement(d *classify.Decision) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 4)
	attrs = append(attrs, keyCategory.String(d.Class.String()))
	if d.Code != "" {
		attrs = append(attrs, keyCode.String(bounded(d.Code)))
	}
	if d.Condition != "" {
		attrs = append(attrs, keyCondition.String(string(d.Condition)))
	}
	if d.Rule != "" {
		attrs = append(attrs, keyRule.String(bounded(d.Rule)))
	}
	return attrs
}

// failureLog describes a failed attempt in a log record.
func (c *call) failureLog(a *classify.Attempt) []slog.Attr {
	attrs := make([]slog.Attr, 0, 10)
	if c.op.name != "" {
		attrs = append(attrs, slog.String("operation", c.op.name))
	}
	attrs = append(attrs, slog.Int("attempt", a.N), slog.String("category", a.Decision.Class.String()))
	if a.Status != 0 {
		attrs = append(attrs, slog.Int("status", a.Status))
	}
	if a.Code != "" {
		attrs = append(attrs, slog.String("code", bounded(a.Code)))
	}
	if a.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", bounded(a.RequestID)))
	}
	return attrs
}

// event puts an event on the span, or into the log if the program wants them there.
func (c *call) event(name string, severity log.Severity, attrs []attribute.KeyValue) {
	if c.hook.events == nil {
		if c.traced {
			c.span.AddEvent(name, trace.WithAttributes(attrs...))
		}
		return
	}
	var r log.Record
	now := time.Now()
	r.SetEventName(name)
	r.SetTimestamp(now)
	r.SetObservedTimestamp(now)
	r.SetSeverity(severity)
	r.AddAttributes(attrs...)
	c.hook.events.Emit(c, r)
}
