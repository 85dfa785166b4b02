package otelhook

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// stops lists every reason that classify has.
func stops() []classify.Stop {
	var all []classify.Stop
	for s := classify.StopNever; s.String() != classify.StopNone.String(); s++ {
		all = append(all, s)
	}
	return all
}

func TestEveryStopIsAnOutcome(t *testing.T) {
	require.GreaterOrEqual(t, len(stops()), 13)
	seen := map[string]bool{}
	for _, s := range stops() {
		e := &classify.Error{Stop: s, Decision: classify.Decision{Class: errcodes.ClassOverloaded, Status: 503}}
		got := outcomeOf(e, map[bool]error{true: context.Canceled}[s == classify.StopCanceled])
		if s == classify.StopCanceled {
			require.Equal(t, outcome{kind: outcomeCancelled}, got)
			continue
		}
		require.Equal(t, outcome{outcomeGiveUp, s.String(), "overloaded"}, got)
		require.False(t, seen[got.reason], got.reason)
		seen[got.reason] = true
	}
}

func TestOutcomeOf(t *testing.T) {
	canceled := classify.Decision{Class: errcodes.ClassCanceled}
	late := classify.Decision{Class: errcodes.ClassTimeout}
	for _, tt := range []struct {
		name   string
		e      *classify.Error
		ctxErr error
		want   outcome
	}{
		{"success", nil, nil, outcome{kind: outcomeSuccess}},
		{"success although the deadline has passed meanwhile", nil, context.DeadlineExceeded, outcome{kind: outcomeSuccess}},
		{"the caller left", &classify.Error{Stop: classify.StopCanceled, Decision: canceled}, context.Canceled, outcome{kind: outcomeCancelled}},
		{"the base was cancelled from within", &classify.Error{Stop: classify.StopNever, Decision: canceled}, nil, outcome{outcomeGiveUp, "not_retryable", "canceled"}},
		{"the base was cancelled, and then the caller left", &classify.Error{Stop: classify.StopNever, Decision: canceled}, context.Canceled, outcome{kind: outcomeCancelled}},
		{
			"the base was cancelled, and then the deadline came", &classify.Error{Stop: classify.StopNever, Decision: canceled}, context.DeadlineExceeded,
			outcome{outcomeGiveUp, "deadline", "timeout"},
		},
		{
			"a Transport further down was left by its own caller", &classify.Error{Stop: classify.StopCanceled, Decision: canceled}, nil,
			outcome{outcomeGiveUp, "not_retryable", "canceled"},
		},
		{
			"a body whose reader was cancelled from within", &classify.Error{Stop: classify.StopBegun, Decision: canceled}, nil,
			outcome{outcomeGiveUp, "response_begun", "canceled"},
		},
		{"deadline", &classify.Error{Stop: classify.StopCanceled, Decision: late}, context.DeadlineExceeded, outcome{outcomeGiveUp, "deadline", "timeout"}},
		{
			"deadline that only the error knows", &classify.Error{Stop: classify.StopCanceled, Err: context.DeadlineExceeded}, nil,
			outcome{outcomeGiveUp, "deadline", "timeout"},
		},
		{
			"the wait would have been too long", &classify.Error{Stop: classify.StopDeadline, Decision: classify.Decision{Class: errcodes.ClassRateLimited}}, nil,
			outcome{outcomeGiveUp, "deadline", "rate_limited"},
		},
		{
			"the deadline came in mid-air, which the error does not know", &classify.Error{Stop: classify.StopDeadline, Decision: classify.Decision{Class: errcodes.ClassNetwork}},
			context.DeadlineExceeded, outcome{outcomeGiveUp, "deadline", "timeout"},
		},
		{
			"the deadline came while an answer was looked at", &classify.Error{Stop: classify.StopDeadline, Decision: classify.Decision{Class: errcodes.ClassOverloaded, Status: 503}},
			context.DeadlineExceeded, outcome{outcomeGiveUp, "deadline", "overloaded"},
		},
	} {
		require.Equal(t, tt.want, outcomeOf(tt.e, tt.ctxErr), tt.name)
	}
}

type slow struct{}

func (slow) Error() string { return "slow" }
func (slow) Timeout() bool { return true }

func TestJudge(t *testing.T) {
	cancelled := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	late, cancel := context.WithTimeoutCause(t.Context(), 0, errors.New("enough"))
	defer cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want errcodes.Class
	}{
		{"an error of the network", t.Context(), os.ErrDeadlineExceeded, errcodes.ClassTimeout},
		{"the caller left", cancelled(nil), context.Canceled, errcodes.ClassCanceled},
		{"the caller left and says why", cancelled(errors.New("enough")), errors.New("enough"), errcodes.ClassCanceled},
		{"a limit on the attempt", cancelled(slow{}), context.Canceled, errcodes.ClassTimeout},
		{"a deadline with a cause", late, errors.New("enough"), errcodes.ClassTimeout},
	} {
		d := judge(tt.ctx, nil, tt.err)
		require.Equal(t, tt.want, d.Class, tt.name)
	}
}

func TestEnded(t *testing.T) {
	require.NoError(t, ended(t.Context()))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, ended(gone))
	require.Equal(t, context.DeadlineExceeded, ended(lateTimer{t.Context()}))
}

// lateTimer is a context whose deadline has passed, and whose timer has not fired.
type lateTimer struct{ context.Context }

func (lateTimer) Deadline() (time.Time, bool) { return time.Now().Add(-time.Nanosecond), true }

func TestErrorOf(t *testing.T) {
	e := &classify.Error{Stop: classify.StopBody}
	require.Same(t, e, errorOf(nil, errors.Join(errors.New("x"), e), nil))
	// No Transport returns such a thing; whoever is put in its place might.
	foreign := errorOf(nil, context.DeadlineExceeded, nil)
	require.Equal(t, errcodes.ClassTimeout, foreign.Decision.Class)
	require.ErrorIs(t, foreign, context.DeadlineExceeded)
	require.Nil(t, errorOf(nil, nil, nil))
}
