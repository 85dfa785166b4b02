package interop

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

const (
	exampleDir = "../examples/nethttp"
	startLimit = 20 * time.Second // a server that says nothing for so long will not start
	stopLimit  = 20 * time.Second // after an interrupt, for answers under way
	buildLimit = 10 * time.Minute // first build on an empty cache
)

// buildExample builds the example server as its own module and returns the program's path.
func buildExample(t *testing.T) string {
	t.Helper()
	// What the server is made of is linked into the test as well: else go test would not see that the server has changed, and
	// give the last result from its cache.
	require.NotNil(t, (&provider.Provider{Errors: &middleware.ErrorWriter{}}).Handler())

	program := filepath.Join(t.TempDir(), "example.exe") // Windows runs nothing without the suffix, others do not care
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = exampleDir
	build.Env = append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// startExample starts the server in a dialect on a free port of the loopback and returns its base URL. At the end of the
// test the server is interrupted and must leave with exit status 0.
func startExample(t *testing.T, program, dialect string) string {
	t.Helper()
	var stderr bytes.Buffer
	stdout := firstLine{found: make(chan string, 1)}
	server := exec.Command(program, "-addr", "127.0.0.1:0", "-dialect", dialect)
	server.Stdout, server.Stderr = &stdout, &stderr
	require.NoError(t, server.Start())
	exited := make(chan error, 1)
	go func() { exited <- server.Wait() }()

	t.Cleanup(func() {
		interrupted := server.Process.Signal(os.Interrupt) // fails if it is gone already, which Wait tells better
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		select {
		case err := <-exited:
			if err != nil || interrupted != nil || t.Failed() {
				t.Logf("standard error of the server:\n%s", stderr.String())
			}
			require.NoError(t, err, "the server's exit")
			require.NoError(t, interrupted, "the server left before it was interrupted")
		case <-ctx.Done():
			require.NoError(t, server.Process.Kill())
			<-exited
			require.Fail(t, "the server did not stop when interrupted", "%s", stderr.String())
		}
	})

	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	select {
	case line := <-stdout.found:
		base, ok := strings.CutPrefix(line, "listening on ")
		require.True(t, ok, "first line of the server: %q", line)
		u, err := url.Parse(base)
		require.NoError(t, err)
		require.Equal(t, "http", u.Scheme)
		require.Equal(t, "127.0.0.1", u.Hostname())
		require.NotEmpty(t, u.Port())
		return base
	case err := <-exited:
		exited <- err // for the cleanup
		require.Fail(t, "the server left at once", "%v", err)
	case <-ctx.Done():
		require.Fail(t, "the server does not say where it listens")
	}
	return ""
}

// firstLine keeps the first line written to it and drops the rest. One goroutine writes.
type firstLine struct {
	partial []byte
	found   chan string // has room for one
	done    bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if f.done {
		return len(p), nil
	}
	f.partial = append(f.partial, p...)
	if line, _, ok := bytes.Cut(f.partial, []byte("\n")); ok {
		f.found <- strings.TrimSuffix(string(line), "\r")
		f.done, f.partial = true, nil
	}
	return len(p), nil
}
