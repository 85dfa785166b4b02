package errcodes_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func TestClassText(t *testing.T) {
	seen := map[string]bool{}
	for c := errcodes.ClassUnknown; c <= errcodes.ClassNetwork; c++ {
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, c.String())
		require.False(t, seen[c.String()], "two classes are called %s", c)
		seen[c.String()] = true
		text, err := c.MarshalText()
		require.NoError(t, err)
		var back errcodes.Class
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, c, back)
		require.ErrorIs(t, fmt.Errorf("call: %w", c), c)
		require.EqualError(t, c, c.String())
	}
	require.Equal(t, "unknown", errcodes.Class(200).String())
	require.Equal(t, "unknown", (errcodes.ClassNetwork + 1).String(), "the loop above ends at the last class")
	c := errcodes.ClassBilling
	require.EqualError(t, c.UnmarshalText([]byte("Billing")), `errcodes: class "Billing" is not known`)
	require.Equal(t, errcodes.ClassBilling, c)
}

func TestRetryText(t *testing.T) {
	for r, want := range map[errcodes.Retry]string{
		errcodes.RetryNever: "never", errcodes.RetryOnce: "once", errcodes.RetryBackoff: "backoff", errcodes.RetryChanged: "changed",
	} {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		require.Equal(t, `"`+want+`"`, string(text))
		var back errcodes.Retry
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, r, back)
	}
	require.Equal(t, "never", errcodes.Retry(200).String(), "what is not known is not retried")
	var r errcodes.Retry
	require.EqualError(t, r.UnmarshalText([]byte("always")), `errcodes: retry rule "always" is not known`)
}
