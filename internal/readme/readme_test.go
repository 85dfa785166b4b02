// Package readme keeps README.md true: its code is run here, its tables are made from the registries.
package readme

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/errcodes/codedoc"
	"github.com/errwire/errwire/middleware"
)

var update = flag.Bool("update", false, "rewrite the tables in README.md")

const file = "../../README.md"

// Example runs the server and the client that the README shows.
func Example() {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the README's server logs to the default logger

	errs := &middleware.ErrorWriter{Registry: errcodes.Runbase()}
	check := errs.RequireJSON(middleware.JSONRules{Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString, Code: errcodes.MissingModel},
		{Name: "input", Kind: middleware.JSONObject, Code: errcodes.MissingInput},
	}})
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/runs", check(errs.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return &errcodes.Error{Code: errcodes.UsageExceeded, Err: errors.New("tenant 7 used all of it")}
	})))
	srv := httptest.NewServer(errs.Wrap(mux)) // or http.ListenAndServe
	defer srv.Close()

	if err := call(srv.URL + "/api/v1/runs"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// true 1 USAGE_EXCEEDED Contact support or make a new key; waiting does not help.
}

func call(url string) error {
	retrying := &classify.Transport{Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}}}
	client := &http.Client{Transport: retrying}
	resp, err := client.Post(url, "application/json", strings.NewReader(`{"model":"a/b","input":{}}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if e := classify.ErrorOf(resp); e != nil {
		fmt.Println(errors.Is(e, errcodes.ClassQuotaExhausted), len(e.Attempts), e.Decision.Code, e.Decision.Advice)
	}
	return nil
}

// The Go code of the README stands in this file, line by line, so it compiles and does what the README says.
func TestCodeOfTheReadmeIsRun(t *testing.T) {
	readme, err := os.ReadFile(file)
	require.NoError(t, err)
	self, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, 2)
	for _, b := range blocks {
		require.Contains(t, flat(string(self)), flat(b[1]), "README.md shows code that this file does not run")
		require.LessOrEqual(t, strings.Count(b[1], "\n"), 10, "ten lines, the headings say")
	}
}

// flat takes the indentation out of code.
func flat(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

func TestTablesOfTheReadme(t *testing.T) {
	var want bytes.Buffer
	for _, seed := range []struct {
		title string
		r     *errcodes.Registry
	}{{"RunInfra", errcodes.RunInfra()}, {"Runbase", errcodes.Runbase()}} {
		fmt.Fprintf(&want, "### %s\n\n", seed.title)
		require.NoError(t, codedoc.Table(&want, seed.r))
		fmt.Fprintln(&want)
	}
	const begin, end = "<!-- codes:begin -->\n", "<!-- codes:end -->"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(data), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	made := before + begin + want.String() + end + after
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(made), 0o644))
		return
	}
	require.Equal(t, made, string(data), "run go test ./internal/readme -update")
}

// A reader needs two commands to set up, and no third.
func TestTwoCommandsSetUp(t *testing.T) {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	require.NotEmpty(t, blocks)
	require.Equal(t, "go -C examples/nethttp run .\ngo test ./...\n", blocks[0][1])
}
