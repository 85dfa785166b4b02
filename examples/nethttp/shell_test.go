package main

import (
	"log/slog"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// The shell lines of the Runbase page work against this server with only the URL and the
// model changed: one line of body for head -1, no file names out of an unquoted echo, 201 for a new run.
func TestShellLinesOfTheRunbasePage(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	srv, err := serve(t.Context(), "127.0.0.1:0", errcodes.Runbase(), slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.close()) }()
	for name, tt := range map[string]struct{ key, model, want string }{
		"created":        {"sk-test-good", "test/image", ""},
		"unknown model":  {"sk-test-good", "google/nano-banana-2", "Error 400: There is no such model.\n"},
		"unknown key":    {"sk-unknown", "test/image", "Error 401: The API key is not valid.\n"},
		"empty key":      {"", "test/image", "Error 401: No API key was given. Send it in the Authorization header as a Bearer token.\n"},
		"no balance":     {"sk-test-no-balance", "test/image", "Error 402: The balance of the account is too low for this run.\n"},
		"rate limited":   {"sk-test-rate-limited", "test/image", "Error 429: Too many requests in a short time. Wait as the Retry-After header says and try again.\n"},
		"usage exceeded": {"sk-test-usage-exceeded", "test/image", "Error 429: The usage quota of this API key is exhausted.\n"},
		"broken server":  {"sk-test-good", "test/panic", "Error 500: The server failed unexpectedly.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			script := `response=$(curl -s -w "\n%{http_code}" ` + srv.url + `/api/v1/runs \
  -H "Authorization: Bearer $RUNBASE_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"model": "` + tt.model + `", "input": {"prompt": "test"}}')

http_code=$(echo "$response" | tail -1)
body=$(echo "$response" | head -1)

if [ "$http_code" -ne 201 ]; then
  echo "Error $http_code: $(echo $body | jq -r '.error.message')"
fi
`
			cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
			cmd.Env = append(cmd.Environ(), "RUNBASE_API_KEY="+tt.key, "no_proxy=127.0.0.1")
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			require.Equal(t, tt.want, string(out))
		})
	}
}
