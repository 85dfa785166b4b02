package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	nodeDir      = "node"
	installLimit = 10 * time.Minute // npm ci on an empty cache
	driverLimit  = 2 * time.Minute  // one client, the whole table
)

// sendNode makes the calls with a driver in node/: it reads the calls as a JSON array and prints a JSON outcome a line.
func sendNode(driver string) func(*testing.T, []call) []outcome {
	return func(t *testing.T, calls []call) []outcome {
		t.Helper()
		for _, tool := range []string{"node", "npm"} {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("%s is not installed", tool)
			}
		}
		require.NoError(t, install())

		input, err := json.Marshal(calls)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), driverLimit)
		defer cancel()
		node := exec.CommandContext(ctx, "node", driver)
		node.Dir = nodeDir
		// Nothing else of the environment: keys, proxies and tracing of whoever runs this stay out.
		node.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
		var stdout, stderr bytes.Buffer
		node.Stdin, node.Stdout, node.Stderr = bytes.NewReader(input), &stdout, &stderr
		require.NoError(t, node.Run(), "%s: %s", driver, stderr.String())
		if stderr.Len() > 0 {
			t.Logf("%s on standard error:\n%s", driver, stderr.String())
		}

		outcomes := make([]outcome, 0, len(calls))
		lines := json.NewDecoder(&stdout)
		for {
			var got outcome
			switch err := lines.Decode(&got); {
			case errors.Is(err, io.EOF):
				return outcomes
			case err != nil:
				require.NoError(t, err, "outcome %d of %s", len(outcomes), driver)
			}
			outcomes = append(outcomes, got)
		}
	}
}

// install runs npm ci where the packages are absent or are not those of package.json.
var install = sync.OnceValue(func() error {
	installed, err := upToDate()
	if installed || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), installLimit)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	npm.Dir = nodeDir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, out)
	}
	if installed, err = upToDate(); err == nil && !installed {
		err = errors.New("npm ci has not installed what package.json names")
	}
	return err
})

// upToDate reports whether every package that package.json names is installed in exactly that version.
func upToDate() (bool, error) {
	var wanted struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := readJSON(filepath.Join(nodeDir, "package.json"), &wanted); err != nil {
		return false, err
	}
	// npm writes this file last: without it an installation was cut short.
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules", ".package-lock.json")); err != nil {
		return false, nil //nolint:nilerr // absent is an answer
	}
	for name, version := range wanted.Dependencies {
		var found struct {
			Version string `json:"version"`
		}
		err := readJSON(filepath.Join(nodeDir, "node_modules", filepath.FromSlash(name), "package.json"), &found)
		if errors.Is(err, os.ErrNotExist) || (err == nil && found.Version != version) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func readJSON(name string, into any) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
