package pacing

import (
	"context"
	"time"
)

// Reason says why a caller was refused locally. Its zero value is not used.
type Reason uint8

// The reasons.
const (
	QueueFull Reason = iota + 1 // QueueSize callers wait already
	TooLong                     // the turn would come, or did not come, within the longest wait
	Closed                      // the server is down for longer than the longest wait
	Deadline                    // the turn would come after the caller's deadline
	Canceled                    // the caller gave up while it waited
)

var reasonTexts = [...]struct{ name, text string }{
	0:         {"none", "no reason"},
	QueueFull: {"queue_full", "the queue is full"},
	TooLong:   {"queue_wait", "the wait for a turn is too long"},
	Closed:    {"closed", "the server said to stay away for longer than the wait allowed"},
	Deadline:  {"deadline", "the deadline comes before the turn"},
	Canceled:  {"canceled", "the caller gave up waiting for a turn"},
}

// String returns the reason in snake_case; "none" for a value out of range.
func (r Reason) String() string {
	if int(r) >= len(reasonTexts) {
		r = 0
	}
	return reasonTexts[r].name
}

// Refusal is the error of a caller whom the Gate did not let through: nothing was sent. Its text says that it is
// local; what the server said last stands behind it.
type Refusal struct { //nolint:errname // it is one, in the words of the domain; classify has the type that callers see
	// Reason is why.
	Reason Reason
	// RetryAt is when a turn is to be expected; zero if that is unknown.
	RetryAt time.Time
	// Err is the context's error of a caller that gave up, else nil.
	Err error
	// Cause is what the server said last, as it was reported; nil if nothing was.
	Cause error
}

// Error names the refusal local, and then the cause.
func (r *Refusal) Error() string {
	reason := r.Reason
	if int(reason) >= len(reasonTexts) {
		reason = 0
	}
	text := "refused locally, nothing was sent: " + reasonTexts[reason].text
	if r.Cause != nil {
		text += "; the server's last refusal: " + r.Cause.Error()
	}
	return text
}

// Unwrap returns the context's error and the cause, those that are set.
func (r *Refusal) Unwrap() []error {
	var errs []error
	if r.Err != nil {
		errs = append(errs, r.Err)
	}
	if r.Cause != nil {
		errs = append(errs, r.Cause)
	}
	return errs
}

// Is reports a turn after the deadline as [context.DeadlineExceeded], although the deadline has not come yet.
func (r *Refusal) Is(target error) bool {
	return target == context.DeadlineExceeded && r.Reason == Deadline
}
