//go:build jaeger || prometheus

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// startBackend builds a backend with its script in tools, unless that was done before, and runs it on free ports of loopback until the test ends. It returns
// the variables that the script exports, so many of them, of which those of OpenTelemetry are set for the test.
func startBackend(t *testing.T, script string, ports []string, variables int) map[string]string {
	t.Helper()
	env := map[string]string{}
	cmd := exec.CommandContext(t.Context(), "bash", script, "run")
	cmd.Env = cmd.Environ()
	for _, name := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", name, l.Addr().(*net.TCPAddr).Port))
		require.NoError(t, l.Close())
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that the script stops what it has started
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // the context of a test is cancelled before its cleanups
	for lines := bufio.NewScanner(out); len(env) < variables && lines.Scan(); {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		require.True(t, ok, lines.Text())
		env[name] = value
		if strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value)
		}
	}
	require.Len(t, env, variables, "%s", &errs)
	return env
}

// fetch returns the answer to a GET.
func fetch(t require.TestingT, client *http.Client, address string) []byte {
	resp, err := client.Get(address)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return body
}

// reportf prints one line of what docs/tracing.md shows.
func reportf(t *testing.T, format string, args ...any) {
	t.Helper()
	fmt.Fprintf(t.Output(), format+"\n", args...)
}

// fiveQuestions is the part of docs/tracing.md that says how to ask.
func fiveQuestions(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/tracing.md")
	require.NoError(t, err)
	_, part, found := strings.Cut(string(page), "\n## Five questions\n")
	require.True(t, found)
	part, _, _ = strings.Cut(part, "\n## ")
	return part
}

// blocks returns the code blocks of a language.
func blocks(text, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
