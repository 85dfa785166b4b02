// Package pacing decides when a client may send: how many retries it may spend (Budget), and how fast the attempts of one
// scope may leave (Gate). It knows nothing of HTTP: callers hand in what an attempt brought, as an [Outcome].
//
// The decisions are a state machine that takes the time as an argument (state.go) and never waits. Gate is the thin
// shell around it that does: a lock, a queue and a timer for each scope.
//
// # What a refusal means
//
// Slower (a 429) says that fewer attempts would be served, not that none is. The rate of the scope falls, and
// grows again while callers wait. It falls by Tuning.Decrease, but never below the share of it that the server served in the last
// second: a server that refuses one request in fifty by chance is not sent less and less. This is additive
// increase and multiplicative decrease with the growth of CUBIC (RFC 9438), in attempts per second.
//
// How fast to begin is measured: what the server serves in the second after the first refusal. Unless it refuses more meanwhile this says
// nothing about what it can do, and may be nothing at all, since a crowd that is sent away stays away; so then the rate doubles until
// something is refused. Callers are told what to expect of it with that in mind: a rate that doubles is not one to refuse a crowd by.
//
// Down (a 503 with Retry-After) says that nobody is served. The scope closes until then and reopens with one attempt; when
// that succeeds it goes on at the rate at which callers arrived in the meantime. While others are served, or if an
// attempt that left later than the refused one is, the server is not down but sheds load: then it was "slower" after all.
// A row of Slower with nothing between, on the other hand, is a window that is used up, and closes the scope as well.
//
// Refusals are counted once: those of attempts that left before the last cut tell nothing new, so a burst in
// flight does not cut the rate again and again.
package pacing
