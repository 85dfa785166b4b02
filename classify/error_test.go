package classify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// A nil *Error is no failure, and nothing breaks on it.
func TestErrorNil(t *testing.T) {
	var e *Error
	require.EqualError(t, e, "classify: a nil *Error, which says that nothing failed, was used as an error")
	require.Empty(t, e.Unwrap())
	require.NotErrorIs(t, e, context.DeadlineExceeded)
	require.NotErrorIs(t, e, errcodes.ClassUnknown)
	require.False(t, e.Timeout())
	require.False(t, e.Temporary())
	require.Equal(t, errcodes.ClassUnknown.String(), e.ErrorType())
	class, wait := e.Upstream()
	require.Equal(t, errcodes.ClassUnknown, class)
	require.Zero(t, wait)
	require.Equal(t, netUnknown.rule, (&Classifier{}).Err(e).Rule)
}

// An operation that returns a nil *Error as its error has failed: it said so. It is not done again.
func TestDoOfANilError(t *testing.T) {
	for _, wrap := range []func(error) error{
		func(err error) error { return err },
		func(err error) error { return fmt.Errorf("op: %w", err) },
		func(err error) error { return errors.Join(err, errors.New("more")) },
	} {
		for _, canceled := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(t.Context())
			if canceled {
				cancel(errors.New("the user left"))
			}
			n := 0
			v, err := Do(ctx, nil, func(context.Context) (int, error) {
				n++
				return 7, wrap(ErrorOf(&http.Response{StatusCode: 200}))
			})
			cancel(nil)
			require.Equal(t, 7, v)
			require.Equal(t, 1, n)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, opUnknown.rule, e.Decision.Rule)
			require.ErrorContains(t, err, "a nil *Error")
			require.Equal(t, canceled, e.Stop == StopCanceled)
		}
	}
}

func TestTransportOfANilError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *Error
		s := &fakeServer{script: []answer{{err: none}}}
		_, err := (&Transport{Base: s, AttemptTimeout: time.Minute}).RoundTrip(get(t, t.Context()))
		require.ErrorContains(t, err, "a nil *Error")
		require.Len(t, s.times, 2)
	})
}

func TestDoWithoutContext(t *testing.T) {
	for _, p := range []*Policy{nil, {Budget: &TokenBucket{}}} {
		_, err := Do(nil, p, func(ctx context.Context) (int, error) { //nolint:staticcheck // a mistake that must not cost more than it has to
			require.NoError(t, ctx.Err())
			return 0, errors.New("what")
		})
		require.ErrorContains(t, err, "what")
		_, err = Do(nil, p, func(context.Context) (int, error) { return 1, nil }) //nolint:staticcheck // the same
		require.NoError(t, err)
	}
}
