package otelhooktest

import (
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

const ownProcess = "ERRWIRE_TEST_GLOBAL_PROVIDER"

// A hook that is made before the program sets its providers, and was used before, sees them from the next call on. Global
// providers can be set once, so this has a process of its own.
func TestGlobalProviderThatComesLater(t *testing.T) {
	if os.Getenv(ownProcess) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGlobalProviderThatComesLater$", "-test.count=1")
		cmd.Env = append(os.Environ(), ownProcess+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	s := &fakeServer{script: []answer{{status: 200}}}
	rt := (&otelhook.Client{}).Transport(&classify.Transport{Base: s})
	for range 200 {
		resp, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, target))
		require.NoError(t, err)
		resp.Body.Close()
	}
	require.NotContains(t, s.headers[199], "Traceparent")

	tel := newTelemetry()
	otel.SetTracerProvider(tel.tracer)
	_, err := call(t, t.Context(), rt)
	require.NoError(t, err)
	require.Len(t, tel.outer(), 1)
	require.Len(t, tel.attempts(), 1)
	tel.balanced(t)
}
