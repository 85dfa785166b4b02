package otelhook

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

func TestDelaySource(t *testing.T) {
	known := map[string]bool{delayBackoff: true, delayRetryAfter: true, delayServerHint: true, delayNone: true}
	for s := range classify.Source(16) {
		require.True(t, known[delaySource(s)], s.String())
	}
	require.Equal(t, delayNone, delaySource(classify.SourceNone))
	require.Equal(t, delayBackoff, delaySource(classify.SourceBackoff))
	require.Equal(t, delayRetryAfter, delaySource(classify.SourceRetryAfterMs))
	require.Equal(t, delayServerHint, delaySource(classify.SourceText))
}

func TestBounded(t *testing.T) {
	require.Equal(t, "short", bounded("short"))
	require.Equal(t, strings.Repeat("x", maxText), bounded(strings.Repeat("x", 1000)))
	require.Equal(t, strings.Repeat("x", maxText-1)+"\ufffd", bounded(strings.Repeat("x", maxText-1)+"é"))
}

// No metric comes near the number of attribute sets at which SDKs fold them.
func TestAttributeSetsAreFew(t *testing.T) {
	classes := 0
	for c := errcodes.Class(0); c == 0 || c.String() != errcodes.ClassUnknown.String(); c++ {
		classes++
	}
	const sources = 3 // of a wait that is one
	names := maxOperations + 2
	require.Less(t, names*sources*classes, 2000)
	require.Less(t, names*(1+1+classes+1), 1000)
}

// The document for the engineer on call knows every name.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/tracing.md")
	require.NoError(t, err)
	names := []string{
		eventWait, eventGiveUp, eventException, outcomeSuccess, outcomeGiveUp, outcomeCancelled, errorTypePanic,
		delayBackoff, delayRetryAfter, delayServerHint, delayNone, otherOperation, unnamed,
		"errwire.client.operation.duration", "errwire.client.retries", "errwire.client.retry.delay", "http.client.request.duration",
		"http.response.header.x-request-id", "http.response.header.request-id", "http.response.header.retry-after",
		"answered", "event", "aborted", "unsent",
	}
	for _, k := range []attribute.Key{
		keyOperation, keyCategory, keyCode, keyCondition, keyRule, keyMaxAttempts, keyAttempts, keyAttempt, keyWaitTotal, keyQueueTotal,
		keyOutcome, keyReason, keyDelay, keyDelaySource, keyAnswer,
	} {
		names = append(names, string(k))
	}
	for _, s := range stops() {
		if s != classify.StopCanceled {
			names = append(names, s.String())
		}
	}
	for c := errcodes.ClassInvalidRequest; c.String() != errcodes.ClassUnknown.String(); c++ {
		names = append(names, c.String())
	}
	names = append(names, secretQuery...)
	for _, name := range names {
		require.True(t, strings.Contains(string(text), "`"+name+"`"), "docs/tracing.md does not know %s", name) //nolint:testifylint // the whole page would be printed
	}
}
