// Package middleware answers HTTP requests that have to be refused: with the status, the body, the headers and the
// log record that a provider's [errcodes.Registry] declares, and with a request id on every answer. It is for net/http and everything that
// takes func(http.Handler) http.Handler, such as [http.ServeMux] and chi.
//
// An [ErrorWriter] knows how to say no. [ErrorWriter.Wrap] goes around the server, [ErrorWriter.Handler] makes a handler out of a function that
// returns an error, and each other method is a middleware that can refuse.
//
// # Order
//
// From the outside to the inside, and why:
//
//	Wrap              first, so that every answer has an id and every panic an answer
//	LimitConcurrency  around everything: work that will not be done in time is refused before it costs anything; or
//	                  inside of Authenticate, so that strangers take no places; or inside of Timeout, so that handlers which
//	                  ignore their contexts still count
//	Authenticate      before anything about the request is told: no key and broken JSON is 401
//	AllowIP           and whatever else the key decides: plan, spend limit
//	LimitRate         it needs the key, and must come before the work
//	Timeout           its clock starts when the request is let in, and it covers the reading of the body
//	RequireJSON       size, content type, JSON, fields: the cheap checks before any look-up
//	Handler           model, balance, and the work
//
// Compression belongs outside of Wrap. A middleware that buffers or encodes the answer inside of it hides from Wrap what was sent.
// What observes the answer belongs outside of Wrap as well, an access log or a counter of bytes: inside of it, the events of a [Stream] and what a [Timeout] answers
// go past its writer, because timers write them too and nobody else's writer is made for that. The route is known outside all the same, see [ErrorWriter.Wrap].
// CORS belongs outside of Authenticate, which lets preflights pass all the same; browsers may read only the headers that
// Access-Control-Expose-Headers names: X-Request-Id, Retry-After, X-Should-Retry, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset.
//
// # Retries
//
// Popular clients repeat a request by its status alone. So an answer says more: Retry-After in whole seconds from 1 to 60, on a rate
// limit and an overload unless X-Should-Retry stands there; X-Should-Retry: false where the status would have a client repeat what must not be repeated. That is
// a row of RetryNever with 408, 409, 429 or 500 and more, such as a spent quota; a row of RetryChanged; a row of RetryOnce when X-Stainless-Retry-Count says that
// this was the repetition; a row of MaybeExecuted for a request that is neither idempotent nor has an Idempotency-Key; and a wait beyond 60 seconds, which is no
// header but a sentence in the message. All of it follows from the row of the registry; a handler sets at most [errcodes.Error.RetryAfter]. Where
// the text of somebody else's limiter or server is replaced, its Retry-After and its X-Should-Retry: false take the place of that.
//
// # Gateways
//
// A server that calls other servers returns their errors as they are, those of package classify first of all: its own callers read 502, 503 or 504 and nothing of what
// the other server wrote, which was meant for this one and may name its keys and accounts; see [ErrorWriter.WriteError]. What the caller can mend needs a word of the
// handler's own, as in &errcodes.Error{Code: errcodes.ContextLengthExceeded, Err: err}.
//
// # Log records
//
// Each refused request is one record, "request refused" or "handler panicked": at ERROR for a row with a status of 500 or more, at WARN for keys that are missing
// or wrong and for spent quotas, at INFO for everything else and for callers who left. Its attributes, left out where there is nothing to say:
//
//	request_id         the id that the caller got
//	client_request_id  the id that the caller sent, see RequestIDs.Inbound
//	code               the condition, as in handlers; the code on the wire may be spelled otherwise
//	status             that of the row, also where the answer had begun with another one
//	outcome            what became of the answer, see Outcome
//	route              the pattern that the mux chose; of a mux inside of a Timeout it is not known where that has struck
//	duration           since the request arrived, a time.Duration: a JSON handler writes it in nanoseconds
//	undeclared_code    a code that the registry lacks, so that code is internal
//	param              the field at fault that the handler named
//	cause              the error behind it, or the value of the panic
//	stack              where it panicked
//
// Few other records exist. A [Limiter] that failed (ERROR), a handler that writes a status twice (WARN), an [Observer] that panicked and a log handler that did (ERROR, the
// latter in the records of [slog.Default]) cost the caller nothing.
//
// # Answers that have begun
//
// An error cannot follow a body that has begun. [Stream] holds the 200 back until the first event and then knows how to end with an error event, as does
// an event stream of a handler's own, or of a proxy, whose lines have shown its form; other answers are broken off, so that no client takes the half for the whole.
//
// # Promises
//
// No cause, panic value, body, key or header of the caller ever reaches an answer. Every method is safe for concurrent use. [ErrorWriter.Timeout] runs the
// handler in a goroutine, which ends when the handler returns; the timers of [Timeout], [Stream.HoldFor] and [Stream.KeepAlive] end with their request. Nothing else
// in the package runs on its own.
//
// What no handler can reach, this package cannot shape: net/http itself answers malformed request lines and headers, a missing Host, and
// headers that are too long.
package middleware
