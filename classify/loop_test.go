package classify

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
)

// A plain 500 is sent twice at most, whatever came between or stood beside it.
func TestPlain500sCountTogether(t *testing.T) {
	plain := answer{status: 500}
	zero := answer{status: 500, header: map[string]string{"Retry-After": "0"}}
	waits := answer{status: 500, header: map[string]string{"Retry-After": "1"}}
	text := answer{status: 500, body: `{"error":{"message":"Something went wrong. Please try again in 2 seconds."}}`}
	busy := answer{status: 500, body: `{"error":{"message":"The model is overloaded."}}`}
	limited := answer{status: 429}
	for _, tt := range []struct {
		name     string
		script   []answer
		attempts int
		stop     Stop
	}{
		{"plain", []answer{plain}, 2, StopClass},
		{"a wait of 0", []answer{zero}, 2, StopClass},
		{"a wait", []answer{waits}, 4, StopAttempts},
		{"a wait in words", []answer{text}, 4, StopAttempts},
		{"overloaded", []answer{busy}, 4, StopAttempts},
		{"a 429 between", []answer{plain, limited, plain}, 3, StopClass},
		{"a 429 between, a wait of 0", []answer{plain, limited, zero}, 3, StopClass},
		{"a wait, plain", []answer{waits, plain}, 2, StopClass},
		{"plain, a wait", []answer{plain, waits, plain}, 2, StopClass},
		{"plain, 429, a wait", []answer{plain, limited, waits}, 3, StopClass},
		{"overloaded, plain", []answer{busy, plain}, 2, StopClass},
		{"plain, overloaded, plain", []answer{plain, busy, plain}, 3, StopClass},
		{"another status", []answer{plain, {status: 502}, {status: 503}, {status: 504}}, 4, StopAttempts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: tt.script}
				resp, err := (&Transport{Base: s}).RoundTrip(post(t, t.Context(), "{}"))
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Len(t, s.times, tt.attempts)
				require.Equal(t, tt.stop, ErrorOf(resp).Stop)
			})
			synctest.Test(t, func(t *testing.T) {
				n := 0
				_, err := Do(t.Context(), &Policy{Signal: sdkSignal}, func(context.Context) (int, error) {
					a := tt.script[min(n, len(tt.script)-1)]
					n++
					h := make(map[string][]string)
					for k, v := range a.header {
						h[k] = []string{v}
					}
					return 0, &sdkError{status: a.status, header: h, body: a.body}
				})
				require.Error(t, err)
				require.Equal(t, tt.attempts, n)
			})
		})
	}
}

// A value below 0 is as good as none, and the waits of the client's own are cut to MaxWait, where those of a server end the call.
func TestBoundsBelowZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		tr := &Transport{Base: s, MaxAttempts: -1, MaxWait: -1, AttemptTimeout: -1, BufferBody: -1}
		resp, err := tr.RoundTrip(post(t, t.Context(), "{}"))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Len(t, s.times, defaultMaxAttempts)

		s = &fakeServer{script: []answer{{status: 503}}}
		tr = &Transport{Base: s, MaxWait: 2 * time.Second, MaxAttempts: 2, NewBackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Minute) }}
		resp, err = tr.RoundTrip(post(t, t.Context(), "{}"))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Len(t, s.waits(), 1)
		require.GreaterOrEqual(t, s.waits()[0], 2*time.Second)
		require.LessOrEqual(t, s.waits()[0], 2200*time.Millisecond)
	})
}

func TestStopBodyOfAGetBodyThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("the file is gone")
		s := &fakeServer{script: []answer{{status: 503}}}
		req := post(t, t.Context(), "{}")
		req.GetBody = func() (io.ReadCloser, error) { return nil, gone }
		resp, err := (&Transport{Base: s}).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, StopBody, ErrorOf(resp).Stop)
		require.ErrorIs(t, ErrorOf(resp), gone)
		require.ErrorContains(t, ErrorOf(resp), "the file is gone; the request body cannot be sent again: GetBody is not set or failed")
		require.Len(t, s.times, 1)

		req = post(t, t.Context(), "{}")
		req.GetBody = func() (io.ReadCloser, error) { return nil, nil } //nolint:nilnil // the mistake
		resp, err = (&Transport{Base: s}).RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, StopBody, ErrorOf(resp).Stop)
		require.Len(t, s.times, 2, "an empty body is not sent in its place")
	})
}
