package pacing

import (
	"math"
	"sync/atomic"
	"time"
)

// The defaults of a Budget.
const (
	DefaultRatio = 0.2
	DefaultBurst = 10
)

// tokenUnit is one token in the fixed-point arithmetic of Budget. It is decimal, as ratios are: five times 0.2 are one token.
const tokenUnit = 1_000_000

// maxTokens bounds Burst and Ratio, so that the arithmetic cannot overflow.
const maxTokens = 1 << 30

// Budget bounds the retries of everybody who shares it: a token bucket that starts full. A call that the server served puts in Ratio
// tokens, a retry takes one, so that there are at most Ratio retries per call, plus Burst once. While nothing is served nothing is put
// in: an outage sees the burst and then no retry at all, and its end does not meet the retries of its last second. That is also what
// gRPC's retry throttling does.
//
// The zero value is ready to use and holds the defaults. It is safe for concurrent use, takes no lock, and must not be copied after first use.
type Budget struct {
	// Ratio is the number of retries that each served call pays for; 0 means 0.2, a negative number or NaN none at all.
	Ratio float64
	// Burst is how many retries may be saved up; 0 means 10, a negative number none at all.
	Burst int

	// spent is what is missing from a full bucket, so that the zero value is a full one.
	spent atomic.Int64
}

// Deposit accounts for one call that the server served, or refused for what it asked. On a full bucket, the usual state, it is a load.
func (b *Budget) Deposit() {
	for {
		spent := b.spent.Load()
		if spent <= 0 {
			return
		}
		if b.spent.CompareAndSwap(spent, max(spent-b.deposit(), 0)) {
			return
		}
	}
}

// Take takes one token for a retry; false if there is none, and then the retry must not be sent.
func (b *Budget) Take() bool {
	for {
		spent := b.spent.Load()
		if spent+tokenUnit > b.capacity() {
			return false
		}
		if b.spent.CompareAndSwap(spent, spent+tokenUnit) {
			return true
		}
	}
}

// Untake puts a token back that was taken for a retry which was never sent.
func (b *Budget) Untake() {
	for {
		spent := b.spent.Load()
		if b.spent.CompareAndSwap(spent, max(spent-tokenUnit, 0)) {
			return
		}
	}
}

// Left returns how many retries the bucket holds at the moment.
func (b *Budget) Left() float64 {
	return float64(b.capacity()-b.spent.Load()) / tokenUnit
}

func (b *Budget) deposit() int64 {
	switch {
	case b.Ratio == 0:
		return DefaultRatio * tokenUnit
	case b.Ratio > 0:
		return int64(math.Round(min(b.Ratio, maxTokens) * tokenUnit))
	}
	return 0 // negative, or no number
}

func (b *Budget) capacity() int64 {
	switch {
	case b.Burst == 0:
		return DefaultBurst * tokenUnit
	case b.Burst < 0:
		return 0
	}
	return int64(min(b.Burst, maxTokens)) * tokenUnit
}

// seconds converts a number of seconds that may be too large for a Duration.
func seconds(s float64) time.Duration {
	if s >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(s * float64(time.Second))
}
