package classify

import (
	"context"
	"testing"
	"testing/synctest"

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
