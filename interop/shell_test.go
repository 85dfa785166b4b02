package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sendShell makes the calls with the shell lines of the Runbase page: curl, head -1, an unquoted echo and jq. URL and model
// are put in their place; a case that needs another method, header or body replaces that word of the curl command and nothing else.
// What the lines themselves do not keep, the response's head, curl writes beside them as its configuration file tells it.
func sendShell(shell string) func(*testing.T, []call) []outcome {
	return func(t *testing.T, calls []call) []outcome {
		t.Helper()
		for _, tool := range []string{shell, "curl", "jq"} {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("%s is not installed", tool)
			}
		}
		lines, err := os.ReadFile("testdata/runbase.sh")
		require.NoError(t, err)
		outcomes := make([]outcome, 0, len(calls))
		for _, c := range calls {
			got, err := runShell(t, shell, string(lines), c)
			if err != nil {
				got.Failure = err.Error()
			}
			got.Name = c.Name
			outcomes = append(outcomes, got)
		}
		return outcomes
	}
}

// kept is appended to the page's lines: it writes down what they hold in their variables, through the same unquoted echo.
const kept = `
printf '%s' "$response" >response
echo $body | jq -c '.error | {message, type, code, param}' >fields
`

func runShell(t *testing.T, shell, lines string, c call) (outcome, error) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	// -D and a bound in time, without a word on the command line. The other files are there for patterns that escape to match.
	write(".curlrc", fmt.Appendf(nil, "dump-header = \"head\"\nmax-time = %d\n", int(callLimit.Seconds())))
	write("x", nil)

	put := func(old, replacement string) {
		require.Equal(t, 1, strings.Count(lines, old), "%q in the lines of the page", old)
		lines = strings.Replace(lines, old, replacement, 1)
	}
	put("https://runbase.net/api/v1/runs", c.Base+c.path)
	const data = ` -d '{"model": "google/nano-banana-2", "input": {"prompt": "test"}}'`
	body := c.Replace.Body
	if body == nil {
		body = c.body()
	}
	switch {
	case c.Replace.Method == http.MethodGet:
		put(data, " -X GET")
	case c.path == runsPath && c.Replace.Method == "" && bytes.Equal(body, c.body()):
		put("google/nano-banana-2", c.Model)
	default:
		write("request", body)
		method := ""
		if c.Replace.Method != "" {
			method = " -X " + c.Replace.Method
		}
		put(data, method+" --data-binary @request")
	}
	if c.Replace.Authorization != nil {
		header := "Authorization:" // curl's word for no such header
		if *c.Replace.Authorization != "" {
			header += " " + *c.Replace.Authorization
		}
		put("Authorization: Bearer $RUNBASE_API_KEY", header)
	}
	if c.Replace.MediaType != "" {
		put("application/json", c.Replace.MediaType)
	}
	write("script", []byte(lines+kept))

	ctx, cancel := context.WithTimeout(t.Context(), 2*callLimit)
	defer cancel()
	script := exec.CommandContext(ctx, shell, "script")
	script.Dir = dir
	script.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "CURL_HOME=" + dir, "RUNBASE_API_KEY=" + c.Key}
	var stdout, stderr bytes.Buffer
	script.Stdout, script.Stderr = &stdout, &stderr
	if err := script.Run(); err != nil {
		return outcome{}, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return readShell(dir, stdout.String(), stderr.String())
}

// readShell makes an outcome of what the lines printed and of the files beside them.
func readShell(dir, stdout, stderr string) (outcome, error) {
	var got outcome
	if stderr != "" {
		return got, fmt.Errorf("standard error: %s", stderr)
	}
	response, err := os.ReadFile(filepath.Join(dir, "response"))
	if err != nil {
		return got, err
	}
	text, code, ok := cutLast(string(response), "\n")
	if !ok {
		return got, fmt.Errorf("response %q has no status after it", response)
	}
	status, err := strconv.Atoi(code)
	if err != nil {
		return got, err
	}
	wire := exchange{Status: status, Body: text}
	if wire.Header, err = readHead(filepath.Join(dir, "head")); err != nil {
		return got, err
	}
	got.Wire = []exchange{wire}
	id := wire.get("X-Request-Id")

	fields, err := os.ReadFile(filepath.Join(dir, "fields"))
	if err != nil {
		return got, err
	}
	if status < http.StatusBadRequest {
		got.Text, got.RequestID = text, id
		if printed := status != http.StatusCreated; printed != (stdout != "") {
			return got, fmt.Errorf("status %d, printed %q", status, stdout)
		}
		return got, nil
	}
	got.Error = &surfaced{Status: status, RequestID: id}
	if err := json.Unmarshal(fields, got.Error); err != nil {
		return got, fmt.Errorf("jq printed %q: %w", fields, err)
	}
	if want := fmt.Sprintf("Error %d: %s\n", status, got.Error.Message); stdout != want {
		return got, fmt.Errorf("the lines of the page print %q, not %q", stdout, want)
	}
	return got, nil
}

// readHead reads the head that curl -D wrote: the last one, after any 100 Continue.
func readHead(name string) (map[string]string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	_, last, ok := cutLast(strings.TrimSuffix(string(content), "\r\n\r\n"), "\r\n\r\n")
	if !ok {
		last = strings.TrimSuffix(string(content), "\r\n\r\n")
	}
	header := map[string]string{}
	for _, line := range strings.Split(last, "\r\n")[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("header line %q", line)
		}
		header[strings.ToLower(name)] = textproto.TrimString(value)
	}
	return header, nil
}

// cutLast is strings.Cut around the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
