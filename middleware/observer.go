package middleware

import (
	"context"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Observer is told of every refused request.
type Observer interface {
	// Refused is called once for each refused request, and once more for a panic that comes after it. The answer is written by then. It runs
	// on the goroutine of the request, under a [Timeout] also on others; so it is called concurrently and must not block. It
	// must not change what it is given. A panic costs the caller nothing and is logged.
	Refused(refusal *Refusal)
}

// Refusal says how one request was refused. None of it but Entry's public fields was seen by the caller.
type Refusal struct {
	// Context is the context of the request as the refusing handler saw it.
	Context context.Context
	// RequestID is the id of the request, ClientRequestID the one that the caller sent, if such are accepted.
	RequestID, ClientRequestID string
	// Registry is the name of the registry that Entry comes from.
	Registry string
	// Entry is the row that was reported.
	Entry errcodes.Entry
	// Undeclared is the code that a handler reported and the registry lacks, so that Entry is the row of
	// Internal; "" otherwise.
	Undeclared errcodes.Code
	// Param is the field at fault, "" for none, and for one in whose place [Decode] found a name that the caller chose.
	Param string
	// Err is the cause, never nil. After a panic it says the value, and wraps one that is an error.
	Err error
	// Panic is the value of a panic, nil otherwise.
	Panic any
	// Stack is where the panic happened, as [runtime/debug.Stack] prints it.
	Stack []byte
	// Outcome says what became of the answer.
	Outcome Outcome
	// Sent is the status on the wire, 0 for none. It differs from Entry.Status when the answer had begun.
	Sent int
	// RetryAfter is what the Retry-After header said, 0 for none.
	RetryAfter time.Duration
	// Vetoed says that X-Should-Retry: false was sent.
	Vetoed bool
	// Route is the pattern that matched, "" for none.
	Route string
	// Duration is the time since the request arrived.
	Duration time.Duration
}

// Outcome says what became of the answer to a refused request. The zero value is [Answered].
type Outcome uint8

const (
	// Answered: the whole answer is the error.
	Answered Outcome = iota
	// Event: the answer was an event stream that had begun; the error is its last event.
	Event
	// Aborted: the answer had begun and could not take an error, so the connection was broken.
	Aborted
	// Unsent: nothing of the error was written, because the caller had left, or had been answered before a handler panicked that a [Timeout] gave up on.
	Unsent
)

var outcomeNames = [...]string{Answered: "answered", Event: "event", Aborted: "aborted", Unsent: "unsent"}

// String returns "answered", "event", "aborted" or "unsent"; "answered" for a value out of range.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return outcomeNames[Answered]
	}
	return outcomeNames[o]
}
