package classify

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// True lifts what the status alone calls final, and nothing that is known to be: money, quotas, and rows of registries.
func TestShouldRetryLiftsNoKnownNever(t *testing.T) {
	h := http.Header{"X-Should-Retry": {"true"}}
	var none *Classifier
	for _, status := range []int{400, 401, 404, 422} {
		d := none.Body(status, h, nil)
		require.Equal(t, errcodes.RetryBackoff, d.Retry, status)
		require.Equal(t, ruleLift, d.Rule)
	}
	require.Equal(t, errcodes.RetryNever, none.Body(402, h, nil).Retry)
	require.Equal(t, errcodes.RetryNever, none.Body(429, h, []byte(`{"error":{"code":"insufficient_quota"}}`)).Retry)

	own := []*errcodes.Registry{errcodes.OpenAI(), errcodes.RunInfra(), errcodes.Anthropic(), errcodes.Google(), errcodes.Runbase(), errcodes.Problem()}
	for i, r := range own {
		for _, regs := range [][]*errcodes.Registry{{r}, {r, own[(i+1)%len(own)]}, {own[(i+1)%len(own)], r}} {
			for _, status := range []int{400, 401, 402, 403, 404, 409, 413, 422, 501} {
				row, by := r.MatchBy(status, "", "")
				if by != errcodes.MatchedStatus || row.Retry != errcodes.RetryNever {
					continue
				}
				d := (&Classifier{Registries: regs}).Body(status, h, nil)
				require.Equal(t, errcodes.RetryNever, d.Retry, "%s of %d: %d", r.Name(), len(regs), status)
				require.Equal(t, 1, d.MaxAttempts)
			}
		}
	}
	// What no registry knows may be lifted.
	require.Equal(t, errcodes.RetryBackoff, (&Classifier{Registries: own}).Body(418, h, nil).Retry)
}

// False is a veto however a proxy or a server spells it.
func TestShouldRetryVetoes(t *testing.T) {
	for _, tt := range []struct {
		values []string
		vetoed bool
	}{
		{[]string{"false"}, true},
		{[]string{"False"}, true},
		{[]string{" FALSE "}, true},
		{[]string{"false, false"}, true},
		{[]string{"true,false"}, true},
		{[]string{"true", "false"}, true},
		{[]string{"false", "true"}, true},
		{[]string{"true"}, false},
		{[]string{"falsehood"}, false},
		{[]string{"0"}, false},
		{[]string{""}, false},
		{nil, false},
	} {
		d := (*Classifier)(nil).Body(503, http.Header{"X-Should-Retry": tt.values}, nil)
		require.Equal(t, tt.vetoed, d.Vetoed, tt.values)
		require.Equal(t, tt.vetoed, d.Retry == errcodes.RetryNever, tt.values)
		require.NotEqual(t, errcodes.RetryBackoff, (*Classifier)(nil).Body(400, http.Header{"X-Should-Retry": {"true", "False"}}, nil).Retry)
	}
}
