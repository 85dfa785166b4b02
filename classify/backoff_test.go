package classify

import (
	"context"
	"errors"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
)

// The longest wait there is is waited, and not taken for none because something was added to it.
func TestLongestWaitsDoNotOverflow(t *testing.T) {
	const left = 24 * time.Hour
	forever := func() backoff.BackOff { return backoff.NewConstantBackOff(math.MaxInt64) }
	for _, tt := range []struct {
		name   string
		header http.Header
		policy func() backoff.BackOff
	}{
		{"Retry-After beyond a duration", http.Header{"Retry-After": {"10000000000"}}, nil},
		{"Retry-After just within one", http.Header{"Retry-After": {"9223372036"}}, nil},
		{"backoff", nil, forever},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(left, cancel)
				s := &fakeServer{script: []answer{{status: 503, headers: tt.header}}}
				start := time.Now()
				_, err := (&Transport{Base: s, MaxWait: math.MaxInt64, NewBackOff: tt.policy}).RoundTrip(post(t, ctx, "{}"))
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, left, time.Since(start))
				require.Len(t, s.times, 1)
				if e, ok := errors.AsType[*Error](err); ok && tt.header != nil {
					require.True(t, e.RetryAt.After(start.Add(200*365*24*time.Hour)))
					_, wait := e.Upstream()
					require.Positive(t, wait)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(left, cancel)
				n, start := 0, time.Now()
				p := &Policy{MaxWait: math.MaxInt64, NewBackOff: tt.policy, Signal: func(error) Signal { return Signal{Status: 503, Header: tt.header} }}
				_, err := Do(ctx, p, func(context.Context) (int, error) { n++; return 0, errors.New("busy") })
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, left, time.Since(start))
				require.Equal(t, 1, n)
			})
		})
	}
	require.Equal(t, time.Duration(math.MaxInt64), plus(math.MaxInt64-1, 2))
	require.Equal(t, time.Duration(3), plus(1, 2))
}

// Callers with little room before their deadline spread over what there is.
func TestJitterBeforeADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 20 {
			s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"Retry-After": "10"}}, {status: 200}}}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+100*time.Millisecond)
			start := time.Now()
			resp, err := (&Transport{Base: s}).RoundTrip(get(t, ctx))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			cancel()
			waited := s.times[1].Sub(start)
			require.GreaterOrEqual(t, waited, 10*time.Second)
			require.LessOrEqual(t, waited, 10*time.Second+50*time.Millisecond)
			seen[waited] = true
		}
		require.Greater(t, len(seen), 10)
	})
}
