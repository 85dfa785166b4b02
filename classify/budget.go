package classify

import (
	"context"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/errwire/errwire/internal/pacing"
)

// Budget bounds the retries of everybody who shares it, so that clients which all fail at once do not keep a server
// from recovering. It must be safe for concurrent use, and must not keep or change what it is given. See [TokenBucket] for the default.
//
// [Transport] and [Do] withdraw, once for each retry and before they wait for it; a retry that a [Gate] paces or parks is not asked
// for. They deposit for a call that was served, and for nothing else: not for one that ends for lack of the server (a rate limit, an overload, a
// 500, a timeout, no connection), and not for one that was cancelled. While nothing is served nothing comes in, so an outage sees what had been
// saved up before it, and then no retry.
type Budget interface {
	// Deposit is called at the end of each call that the server served, or refused for what was asked of it (a 400, a 401, a 404), and
	// for each retry that was granted and then not sent, which is a refund. It is on the path of every call, which is why d is a
	// value and not a pointer.
	Deposit(ctx context.Context, d BudgetDeposit)
	// Withdraw asks for one retry, before the wait that precedes it. When it returns false the call ends at once with
	// what it has, and with [StopBudget].
	Withdraw(ctx context.Context, w *BudgetWithdrawal) bool
}

// BudgetDeposit tells a [Budget] what to put in.
type BudgetDeposit struct {
	// Refund says that a retry was granted but never sent. Otherwise it is a call that was served.
	Refund bool
}

// BudgetWithdrawal tells a [Budget] what it is asked for.
type BudgetWithdrawal struct {
	// Request is the request that failed; nil in [Do].
	Request *http.Request
	// Attempt is the attempt that failed.
	Attempt *Attempt
	// Wait is the wait before the retry, jitter not included.
	Wait time.Duration
}

// TokenBucket is the [Budget] of every [Transport] and [Policy] that names no other: each call that
// the server serves pays for Ratio of a retry, and Burst of them are there from the start. All retries together are at most Ratio of those
// calls, plus Burst once; while a server serves nothing, no retries are sent to it beyond the Burst.
//
// The zero value is ready to use. It is safe for concurrent use as long as its fields do not change, takes no lock, and must not be
// copied after first use. A nil *TokenBucket in a Transport or a Policy is a nil Budget, so that they have one of their own; by itself it refuses nothing and
// counts nothing.
//
// Share one among the transports that talk to the same server, side by side. Of two of which one stands within the other, or of a Policy around a
// Transport, only one is to have it: each pays in for a call that both of them made.
type TokenBucket struct {
	// Ratio is how many retries each served call pays for; 0 means 0.2, a negative number none: then Burst is all there will ever be.
	Ratio float64
	// Burst is how many retries can be saved up; 0 means 10, a negative number none, so that nothing is ever sent again.
	Burst int

	state atomic.Pointer[pacing.Budget] // made by the first withdrawal: until then the bucket is full
}

// Deposit implements [Budget].
func (b *TokenBucket) Deposit(_ context.Context, d BudgetDeposit) {
	if b == nil {
		return
	}
	s := b.state.Load()
	switch {
	case s == nil:
	case d.Refund:
		s.Untake()
	default:
		s.Deposit()
	}
}

// Withdraw implements [Budget].
func (b *TokenBucket) Withdraw(context.Context, *BudgetWithdrawal) bool {
	if b == nil {
		return true
	}
	s := b.state.Load()
	if s == nil {
		b.state.CompareAndSwap(nil, &pacing.Budget{Ratio: b.Ratio, Burst: b.Burst})
		s = b.state.Load()
	}
	return s.Take()
}

// Left returns how many retries the bucket holds at the moment; +Inf for nil.
func (b *TokenBucket) Left() float64 {
	if b == nil {
		return math.Inf(1)
	}
	if s := b.state.Load(); s != nil {
		return s.Left()
	}
	return float64(b.burst())
}

func (b *TokenBucket) burst() int {
	switch {
	case b.Burst == 0:
		return pacing.DefaultBurst
	case b.Burst < 0:
		return 0
	}
	return min(b.Burst, math.MaxInt32)
}

// Unlimited is a [Budget] that grants every retry: it turns the budget off. Without one, a client that makes four attempts
// per call sends four times its load to a server that is down.
type Unlimited struct{}

// Deposit implements [Budget].
func (Unlimited) Deposit(context.Context, BudgetDeposit) {}

// Withdraw implements [Budget].
func (Unlimited) Withdraw(context.Context, *BudgetWithdrawal) bool { return true }

// deposit accounts for a call that was served. own holds the default budget, which is not made before a call fails.
func deposit(ctx context.Context, b Budget, own *atomic.Value) {
	if !unset(b) {
		b.Deposit(ctx, BudgetDeposit{})
		return
	}
	if bucket, ok := own.Load().(*TokenBucket); ok {
		bucket.Deposit(ctx, BudgetDeposit{})
	}
}

// unset reports whether b is none: nil, or what an optional *TokenBucket becomes in a Budget.
func unset(b Budget) bool { return b == nil || b == Budget((*TokenBucket)(nil)) }

// budgetOr returns b, or the default one that own holds.
func budgetOr(b Budget, own *atomic.Value) Budget {
	if !unset(b) {
		return b
	}
	if own.Load() == nil {
		own.CompareAndSwap(nil, &TokenBucket{})
	}
	bucket, _ := own.Load().(*TokenBucket) // nothing else is ever stored
	return bucket
}
