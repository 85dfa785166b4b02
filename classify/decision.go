package classify

import (
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Decision is what a careful engineer would conclude from one failure. It is a plain value:
// copy it, compare it, print it.
type Decision struct {
	// Class is the coarse family.
	Class errcodes.Class
	// Retry says whether sending the request again can help.
	Retry errcodes.Retry
	// MaxAttempts is how many attempts, the first included, failures of this kind are worth in
	// one call: 1 for never, 2 for once and changed, 0 for backoff, where the caller decides.
	MaxAttempts int
	// Vetoed says that the server sent X-Should-Retry: false: the same request is not to be sent again. Retry
	// is never then, with two exceptions: RetryChanged, because a changed request is another one, and a
	// registry's row with MaybeExecuted, whose rule stays to be seen while MaxAttempts is 1.
	Vetoed bool
	// Wait is the wait that the failure states, exactly as stated: neither capped nor jittered.
	// 0 with WaitFrom == SourceNone means that none is stated. It may be set although
	// Retry is never: a daily quota that names its reset.
	Wait time.Duration
	// WaitFrom says where Wait was read.
	WaitFrom Source
	// Safety says whether the work may have begun.
	Safety Safety
	// Status is the HTTP status of the response, also where a success carries an error; 0 for transport errors.
	Status int
	// Code, Type, Param, Message and RequestID are what the response says, "" where it is
	// silent. They were written by a stranger: escape them before they reach a terminal or a page.
	Code, Type, Param, Message, RequestID string
	// Condition is the condition of the registry row that the response matched, "" where no
	// registry knows it.
	Condition errcodes.Code
	// Rule names the rule that decided: "registry runbase: code", "known: insufficientquota",
	// "limit: per day or longer", "text: money", "transport: timeout", "status". The set is closed but for the names of registries.
	Rule string
	// Advice tells the developer what to do, in a full sentence. It is the Fix of the registry's row
	// where there is one.
	Advice string
}

// Failed reports whether the decision is about a failure. It is false for what
// [Classifier.Body] says of a 2xx or 3xx response whose body shows no error.
func (d *Decision) Failed() bool { return d.Rule != "" && d.Rule != ruleNoError }

// ruleNoError is the rule of a decision about a response that is no failure.
const ruleNoError = "no error"

// Source says where a wait was read. Its zero value is SourceNone.
type Source uint8

// The places a wait is read from, in the order in which they are asked. A wait of 0 gives way to one in a later place.
const (
	SourceNone         Source = iota // no wait is stated
	SourceRetryAfterMs               // Retry-After-Ms, X-Ms-Retry-After-Ms
	SourceRetryAfter                 // Retry-After, RFC 9110 section 10.2.3, and headers whose names end like it
	SourceBody                       // a member of the body, such as RetryInfo.retryDelay
	SourceText                       // the message, such as "try again in 6ms"
	SourceReset                      // a rate-limit header that names the reset
	SourceBackoff                    // the client's own backoff; only in attempts, never in a Decision
)

var sourceNames = [...]string{
	SourceNone: "none", SourceRetryAfterMs: "retry_after_ms", SourceRetryAfter: "retry_after",
	SourceBody: "body", SourceText: "text", SourceReset: "reset", SourceBackoff: "backoff",
}

// String returns the source in snake_case; "none" for a value out of range.
func (s Source) String() string {
	if int(s) >= len(sourceNames) {
		return sourceNames[SourceNone]
	}
	return sourceNames[s]
}

// MarshalText returns what [Source.String] returns. It never fails.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Safety says what may have happened to the request. Its zero value is Rejected.
type Safety uint8

const (
	// Rejected: the server answered and refused, and no registry says that the work may have begun all the same. Of a 500, a 502 or a
	// 504 that is an assumption.
	Rejected Safety = iota
	// NotSent: the request never reached a server.
	NotSent
	// MaybeExecuted: the work may have begun. Only idempotent requests, and those
	// with an Idempotency-Key, are sent again.
	MaybeExecuted
)

var safetyNames = [...]string{Rejected: "rejected", NotSent: "not_sent", MaybeExecuted: "maybe_executed"}

// String returns the safety in snake_case; "rejected" for a value out of range.
func (s Safety) String() string {
	if int(s) >= len(safetyNames) {
		return safetyNames[Rejected]
	}
	return safetyNames[s]
}

// MarshalText returns what [Safety.String] returns. It never fails.
func (s Safety) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
