package classify

import (
	"context"
	"time"
)

// Observer sees the calls of a [Transport] or of [Do] whose first attempt failed, was held or refused by a [Gate], or lacked its body: each attempt
// before the wait that follows it, and the end. It must be safe for concurrent use and must not keep or
// change what it is given. ctx is that of the call.
//
// A call that succeeds at once is not reported, so that it costs nothing. What happens to the body of
// a response that was handed out is not reported either.
type Observer interface {
	// Attempt is called after each attempt, the successful last one included, and
	// before the wait.
	Attempt(ctx context.Context, e *AttemptEvent)
	// Done is called once, when the call is over.
	Done(ctx context.Context, e *DoneEvent)
}

// AttemptEvent tells an [Observer] about one attempt.
type AttemptEvent struct {
	// Attempt is the attempt that ended.
	Attempt Attempt
	// Wait is the wait that follows, jitter included; 0 when no further attempt follows.
	Wait time.Duration
	// WaitFrom is where that wait was read; SourceBackoff for the client's own.
	WaitFrom Source
	// Last says that no further attempt follows.
	Last bool
}

// DoneEvent tells an [Observer] how a call ended.
type DoneEvent struct {
	// Attempts is the whole history, the last attempt included; empty when a [Gate] refused the first one, or its body could not be read.
	Attempts []Attempt
	// Waited is the sum of the waits between attempts.
	Waited time.Duration
	// Queued is how long attempts were held by a [Gate], in all.
	Queued time.Duration
	// Err is nil when the last attempt succeeded.
	Err *Error
}
