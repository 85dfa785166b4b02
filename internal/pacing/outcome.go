package pacing

import "time"

// Kind is what the outcome of an attempt tells about its scope. Its zero value is Unknown.
type Kind uint8

// The kinds.
const (
	Unknown Kind = iota // nothing: cancelled, timed out, a fault of the caller
	OK                  // the server took the request up, whatever it made of it
	Slower              // refused for the rate: a 429
	Down                // refused for everybody: a 503, or no connection; or what in a row looks like it
)

// Pace says how a further attempt of the same call is to be made. Its zero value is Unpaced.
type Pace uint8

// The paces.
const (
	Unpaced Pace = iota // after the wait, out of a budget: nothing else bounds it
	Paced               // after the wait, and then when the Gate lets it through; others stand in line, whose turn it takes
	Parked              // when the Gate lets it through: it waits for the end of an outage, and may be the probe of all who do
)

// Outcome is what an attempt brought.
type Outcome struct {
	// Kind is what it tells.
	Kind Kind
	// Wait is the wait that the server stated; 0 if it stated none. Only a Down with a Wait closes a scope at once.
	Wait time.Duration
	// Err is what a local refusal shows as the server's last word. It is kept until the scope is forgotten.
	Err error
}
