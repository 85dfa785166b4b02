package pacing

import "time"

// Tuning holds the constants of the control loop. A field of 0 means the default, which comes from the sweep in
// docs/performance.md.
type Tuning struct {
	// Increase is the growth per second under demand, as a share of the rate after the last cut.
	Increase float64
	// Convex is the time under demand after which growth has doubled its pace: it grows with the cube of the time, as in RFC 9438, so that
	// capacity that comes back is found in seconds, whatever its scale. Negative switches it off: plain additive increase.
	Convex time.Duration
	// Decrease is what one cut leaves of the rate, at least.
	Decrease float64
	// Floor is the lowest rate, in attempts per wait that the server states (per second where it states none).
	Floor float64
	// Measure is how long, at most, the rate that the server serves is measured after the first refusal.
	Measure time.Duration
	// Doubling is the time in which the rate doubles while nothing is known about capacity.
	Doubling time.Duration
	// Probe is the time between two attempts while the server is down and callers are parked.
	Probe time.Duration
	// DownAfter is the number of failures in a row, with no success between them, that begin parking.
	DownAfter int
	// Window is the time over which the rate served is measured: it looks back one to two of it.
	Window time.Duration
	// Relax is how long after its last refusal a scope is watched again instead of paced, where all that is known of its rate is that it may
	// double, and how far apart refusals are if each may be chance.
	Relax time.Duration
	// Forget is how long after its last refusal a scope is forgotten.
	Forget time.Duration
	// Plain cuts by Decrease whatever the server serves: for the sweep.
	Plain bool
}

// DefaultTuning returns the constants that a zero Tuning stands for.
func DefaultTuning() Tuning { return Tuning{}.defaults() }

// defaults returns t with its zero fields filled.
func (t Tuning) defaults() Tuning {
	fill(&t.Increase, 0.05)
	fill(&t.Convex, 2500*time.Millisecond)
	fill(&t.Decrease, 0.7)
	fill(&t.Floor, 0.5)
	fill(&t.Measure, time.Second)
	fill(&t.Doubling, 500*time.Millisecond)
	fill(&t.Probe, time.Second)
	fill(&t.DownAfter, 5)
	fill(&t.Window, 500*time.Millisecond)
	fill(&t.Relax, 5*time.Second)
	fill(&t.Forget, time.Minute)
	return t
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
