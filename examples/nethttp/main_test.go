package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMainJobComesOutAsTheRegistriesSay(t *testing.T) {
	var out, errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), nil, &out, &errs), "%s%s", out.String(), errs.String())
	require.Empty(t, errs.String())
	require.Equal(t, readmeTable(t), normal(out.String()), "README.md shows the real output: paste it there")
}

// normal takes out of the output what differs from run to run: ids, and the jitter of waits.
func normal(s string) string {
	s = regexp.MustCompile(`req_[0-9a-f]{32}`).ReplaceAllString(s, "req_"+strings.Repeat("0", 32))
	s = regexp.MustCompile(`\d+\.\d s`).ReplaceAllStringFunc(s, func(wait string) string {
		if wait == "0.0 s" {
			return wait
		}
		return "n.n s"
	})
	return strings.TrimSpace(s)
}

// readmeTable returns the output of the main job as the README shows it.
func readmeTable(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "<!-- main job:begin -->\n```\n")
	require.True(t, ok)
	table, _, ok := strings.Cut(rest, "```\n<!-- main job:end -->")
	require.True(t, ok)
	return normal(table)
}

func TestVerboseShowsTheWire(t *testing.T) {
	var out, errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"-v"}, &out, &errs))
	require.Contains(t, out.String(), "> Content-Type: text/plain\n")
	require.Contains(t, out.String(), `> {"model":"test/slow","messages":[{"role":"user","content":"Hi"}],"max_tokens":512}`)
	require.Contains(t, out.String(), "> Authorization: Bearer (not shown)\n")
	require.Contains(t, out.String(), "< HTTP/1.1 429 Too Many Requests\n")
	require.Contains(t, out.String(), "< Retry-After: 1\n")
	require.Contains(t, out.String(), "< X-Should-Retry: false\n")
	require.Contains(t, out.String(), `< {"error":{"message":"The usage quota of this API key is exhausted.","code":"USAGE_EXCEEDED"}}`)
	require.Contains(t, out.String(), "advice: Lower max_tokens or switch to streaming")
	require.Contains(t, errs.String(), "code=internal")
	require.NotContains(t, out.String()+errs.String(), "sk-test-", "keys are shown nowhere")
}

// A server that answers otherwise than the registry says makes the main job fail.
func TestDrivenErrorsThatDifferAreFound(t *testing.T) {
	scenarios := []scenario{chatCase(errcodes.ModelNotFound, goodKey, ask("test/ok")), chatCase(errcodes.ModelNotFound, goodKey, ask("test/none"))}
	outcomes, err := drive(t.Context(), errcodes.RunInfra(), scenarios, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	require.NotEmpty(t, outcomes[0].diffs)
	require.Empty(t, outcomes[1].diffs)
	var out bytes.Buffer
	p := printer{w: &out}
	p.diff(outcomes[0])
	require.Contains(t, out.String(), "differs: model_not_found: status is 0, expected 404\n")
}

// The comparison must be able to fail: each fact of a row, changed, is found.
func TestCompareFindsEveryDifference(t *testing.T) {
	good := outcome{
		scenario: scenario{condition: errcodes.RateLimited, attempts: 1, stop: classify.StopAttempts},
		attempts: []classify.Attempt{{N: 1}}, stop: classify.StopAttempts, final: 429,
		first: classify.Decision{
			Status: 429, Code: "RATE_LIMITED", Class: errcodes.ClassRateLimited, Retry: errcodes.RetryBackoff,
			Message: "m", RequestID: "req_0123456789abcdef0123456789abcdef",
		},
	}
	same := good
	same.compare(errcodes.Runbase(), 1)
	require.Empty(t, same.diffs)
	for name, change := range map[string]func(*outcome){
		"status":              func(o *outcome) { o.first.Status = 503 },
		"code":                func(o *outcome) { o.first.Code = "rate_limited" },
		"type":                func(o *outcome) { o.first.Type = "t" },
		"class":               func(o *outcome) { o.first.Class = errcodes.ClassBilling },
		"retry rule":          func(o *outcome) { o.first.Retry = errcodes.RetryNever },
		"attempts told":       func(o *outcome) { o.attempts = nil },
		"reason to stop":      func(o *outcome) { o.stop = classify.StopNone },
		"success at the end":  func(o *outcome) { o.final = 200 },
		"there is no message": func(o *outcome) { o.first.Message = "" },
		"request id":          func(o *outcome) { o.first.RequestID = "req_1" },
		"no such row":         func(o *outcome) { o.condition = "teapot" },
		"the server said": func(o *outcome) {
			o.scenario.attempts, o.first.Wait = 2, 1e9
			o.attempts = []classify.Attempt{{N: 1}, {N: 2, Waited: 5e8}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			o.compare(errcodes.Runbase(), o.scenario.attempts)
			require.Len(t, o.diffs, 1, o.diffs)
			require.Contains(t, o.diffs[0], name)
		})
	}
	o := good
	o.compare(errcodes.Runbase(), 3)
	require.Equal(t, []string{"requests sent is 3, expected 1"}, o.diffs)
}

func TestEveryDocumentedErrorIsDriven(t *testing.T) {
	require.Empty(t, undriven(errcodes.RunInfra(), runInfra()))
	require.Empty(t, undriven(errcodes.Runbase(), runbase()))
	require.Equal(t, []errcodes.Code{errcodes.InvalidJSON}, undriven(errcodes.Runbase(), runbase()[1:]))
}

func TestServeUntilInterrupted(t *testing.T) {
	for _, r := range dialects() {
		t.Run(r.Name(), func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			out, in := io.Pipe()
			code := make(chan int)
			go func() {
				code <- run(ctx, []string{"-addr", "127.0.0.1:0", "-dialect", r.Name()}, in, io.Discard)
				_ = in.Close()
			}()
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
			require.True(t, ok, line)

			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Get(url + "/healthz")
			require.NoError(t, err)
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&struct{}{}))
			require.NoError(t, resp.Body.Close())
			require.Equal(t, 200, resp.StatusCode)

			resp, err = client.Get(url + "/v1/models")
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, 401, resp.StatusCode)
			_, err = r.Dialect().Decode(body)
			require.NoError(t, err, string(body))

			interrupt()
			require.Equal(t, exitOK, <-code)
		})
	}
}

func TestUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"help":         {[]string{"-h"}, exitOK, "one of runbase, runinfra, openai"},
		"unknown flag": {[]string{"-x"}, exitUsage, "flag provided but not defined"},
		"argument":     {[]string{"x"}, exitUsage, `argument "x" is not expected`},
		"dialect":      {[]string{"-addr", "127.0.0.1:0", "-dialect", "x"}, exitUsage, `dialect "x" is not one of`},
		"no address":   {[]string{"-dialect", "runbase"}, exitUsage, "-dialect needs -addr"},
		"address":      {[]string{"-addr", "127.0.0.1:http-what"}, exitDiff, "serve runbase"},
	} {
		t.Run(name, func(t *testing.T) {
			var errs bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), tt.args, io.Discard, &errs))
			require.Contains(t, errs.String(), tt.want)
		})
	}
}

func TestColourOnlyOnATerminal(t *testing.T) {
	require.False(t, wantsColour(&bytes.Buffer{}))
	f, err := os.CreateTemp(t.TempDir(), "out")
	require.NoError(t, err)
	defer f.Close()
	require.False(t, wantsColour(f))
	require.Equal(t, "x", printer{}.paint(red, "x"))
	require.Equal(t, red+"x"+reset, printer{colour: true}.paint(red, "x"))
}
