package errcodes

import (
	"fmt"
	"slices"
)

// Retry says whether sending the same request again can help. It is a fact about
// the error; how long to wait and when to stop is the client's judgement.
// The zero value is [RetryNever].
type Retry uint8

const (
	// RetryNever: the same request fails again until somebody changes something.
	RetryNever Retry = iota
	// RetryOnce: one more try, then tell somebody.
	RetryOnce
	// RetryBackoff: again, slower each time, and never before the server's Retry-After.
	RetryBackoff
	// RetryChanged: only a changed request can succeed, such as one with fewer
	// tokens or a streamed one.
	RetryChanged
)

var retryNames = [...]string{
	RetryNever:   "never",
	RetryOnce:    "once",
	RetryBackoff: "backoff",
	RetryChanged: "changed",
}

// String returns "never", "once", "backoff" or "changed"; "never" for a value out
// of range.
func (r Retry) String() string {
	if int(r) >= len(retryNames) {
		return retryNames[RetryNever]
	}
	return retryNames[r]
}

// MarshalText returns what [Retry.String] returns. It never fails.
func (r Retry) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [Retry.String] writes. Any other text is an error and
// leaves r as it was.
func (r *Retry) UnmarshalText(text []byte) error {
	i := slices.Index(retryNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("errcodes: retry rule %q is not known", text)
	}
	*r = Retry(i)
	return nil
}
