package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// drive runs the command and returns its exit status and what it wrote.
func drive(t *testing.T, in []byte, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(args, terminal{in: bytes.NewReader(in), out: &stdout, err: &stderr})
	return status, stdout.String(), stderr.String()
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestExplainGolden(t *testing.T) {
	for _, tt := range []struct {
		in   string
		args []string
	}{
		{"rate.http", []string{"-registry", "runbase"}},
		{"quota.http", nil},
		{"hostile.http", nil},
		{"redirect.http", nil},
		{"once.http", []string{"-registry", "runbase"}},
		{"page.http", []string{"-registry", "runinfra"}},
		{"gateway.http", nil},
		{"veto.http", nil},
	} {
		t.Run(tt.in, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata", tt.in))
			require.NoError(t, err)
			status, out, errs := drive(t, raw, append([]string{"explain"}, tt.args...)...)
			require.Equal(t, exitOK, status)
			require.Empty(t, errs)
			require.NotContains(t, out, "\x1b")
			golden(t, strings.TrimSuffix(tt.in, ".http")+".txt", out)

			// A file instead of the standard input says the same.
			_, fromFile, _ := drive(t, nil, append(append([]string{"explain"}, tt.args...), filepath.Join("testdata", tt.in))...)
			require.Equal(t, out, fromFile)
		})
	}
}

// The verdict says by itself what the lines below it restrict.
func TestHeadline(t *testing.T) {
	for _, tt := range []struct{ registry, in, want string }{
		{"", "500", "Send it once more; if it fails again, stop."},
		{"", "502", "Send it again, more slowly each time."},
		{"", "503\r\nRetry-After: 2", "Send it again after 2s, more slowly each time."},
		{"", "503\r\nX-Should-Retry: false", "Do not send it again: the server asks not to."},
		{"", "401\r\nX-Should-Retry: false", "Do not send it again: the same request would fail again."},
		{"runbase", "500", "Only if it is safe to repeat: send it once more; if it fails again, stop."},
		{"runbase", "500\r\nRetry-After: 2", "Only if it is safe to repeat: send it once more after 2s; if it fails again, stop."},
		{"runbase", "500\r\nX-Should-Retry: false", "Do not send it again: the server asks not to."},
		{"runinfra", "504", "Change the request, then send it: the same one would fail again."},
	} {
		t.Run(tt.registry+" "+tt.in, func(t *testing.T) {
			args := []string{"explain"}
			if tt.registry != "" {
				args = append(args, "-registry", tt.registry)
			}
			status, out, errs := drive(t, []byte("HTTP/1.1 "+tt.in+"\r\n\r\n"), args...)
			require.Equal(t, exitOK, status)
			require.Empty(t, errs)
			head, _, _ := strings.Cut(out, "\n")
			require.Equal(t, tt.want, head)
		})
	}
}

func TestExplainLinesGolden(t *testing.T) {
	raw, err := os.ReadFile("testdata/lines.jsonl")
	require.NoError(t, err)
	status, out, errs := drive(t, raw, "explain", "-jsonl", "-registry", "runbase", "-registry", "openai")
	require.Equal(t, exitFailed, status)
	require.Equal(t, "errwire explain: 6 lines could not be read\n", errs)
	golden(t, "lines.out.jsonl", out)

	// Output line n answers input line n, whatever it was.
	in := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	answers := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, answers, len(in))
	for i, line := range answers {
		var answer map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &answer))
		if n, ok := answer["line"]; ok {
			require.InDelta(t, i+1, n, 0)
			require.NotEmpty(t, answer["error"])
		} else {
			require.Len(t, answer, 11)
		}
	}
}

func TestExplainColor(t *testing.T) {
	raw, err := os.ReadFile("testdata/quota.http")
	require.NoError(t, err)
	var out bytes.Buffer
	require.Equal(t, exitOK, run([]string{"explain"}, terminal{in: bytes.NewReader(raw), out: &out, color: true}))
	require.True(t, strings.HasPrefix(out.String(), red))
	require.Equal(t, 1, strings.Count(out.String(), plain))
}

func TestWantsColor(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	require.False(t, wantsColor(file, env()), "a file is no terminal")
	device, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer device.Close()
	require.True(t, wantsColor(device, env()))
	require.False(t, wantsColor(device, env("NO_COLOR", "1")))
	require.False(t, wantsColor(device, env("TERM", "dumb")))
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args   string
		in     string
		status int
		out    string // what the standard output contains
		errs   string // what the standard error contains
	}{
		{"", "", exitUsage, "", "Usage:"},
		{"-h", "", exitOK, "Exit status:", ""},
		{"help", "", exitOK, "Exit status:", ""},
		{"help explain", "", exitOK, "-jsonl", ""},
		{"explain -h", "", exitOK, "NO_COLOR", ""},
		{"docs -h", "", exitOK, "Markdown", ""},
		{"frobnicate", "", exitUsage, "", `the command "frobnicate" is not known`},
		{"explain -frob", "", exitUsage, "", "flag provided but not defined: -frob"},
		{"explain -registry nobody", "", exitUsage, "", `the registry "nobody" is not known; there are anthropic`},
		{"explain a b", "", exitUsage, "", `the argument "b" is one too many`},
		{"explain no-such-file", "", exitFailed, "", "no-such-file"},
		{"explain", "", exitFailed, "", "the input is empty"},
		{"explain", `{"error":"no status line"}`, exitFailed, "", "call curl with -i"},
		{"explain", "HTTP/1.1 099 x\r\n\r\n", exitFailed, "", "not between 100 and 999"},
		{"explain -jsonl", "", exitOK, "", ""},
		{"explain -jsonl", "\n", exitFailed, `{"line":1,"error":"the line is empty"}`, "1 line could not be read\n"},
		{"docs", "", exitUsage, "", "-registry is missing"},
		{"docs -registry nobody", "", exitUsage, "", "is not known"},
		{"docs -registry runbase x", "", exitUsage, "", "one too many"},
		{"docs -registry runbase", "", exitOK, "RATE_LIMITED", ""},
	} {
		t.Run(tt.args+"|"+tt.in, func(t *testing.T) {
			status, out, errs := drive(t, []byte(tt.in), strings.Fields(tt.args)...)
			require.Equal(t, tt.status, status)
			require.Contains(t, out, tt.out)
			require.Contains(t, errs, tt.errs)
			if tt.out == "" {
				require.Empty(t, out)
			}
			if tt.errs == "" {
				require.Empty(t, errs)
			}
		})
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestOutputThatFails(t *testing.T) {
	raw, err := os.ReadFile("testdata/rate.http")
	require.NoError(t, err)
	for _, args := range [][]string{{"explain"}, {"explain", "-jsonl"}, {"docs", "-registry", "openai"}} {
		in := raw
		if len(args) > 1 {
			in = []byte(`{"status":500}`)
		}
		var errs bytes.Buffer
		require.Equal(t, exitFailed, run(args, terminal{in: bytes.NewReader(in), out: brokenWriter{}, err: &errs}))
		require.Contains(t, errs.String(), "the disk is full")
	}
}

func TestLongLines(t *testing.T) {
	in := append([]byte(`{"status":500,"body":"`), bytes.Repeat([]byte("x"), maxLine)...)
	in = append(in, []byte("\"}\n{\"status\":402}\n")...)
	status, out, _ := drive(t, in, "explain", "-jsonl")
	require.Equal(t, exitFailed, status)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "longer than")
	require.Contains(t, lines[1], `"class":"billing"`)
}

func FuzzExplain(f *testing.F) {
	for _, name := range []string{"rate.http", "hostile.http", "redirect.http", "lines.jsonl"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, out, _ := drive(t, raw, "explain")
		require.NotContains(t, out, "\x1b")
		_, out, _ = drive(t, raw, "explain", "-jsonl")
		require.Equal(t, strings.Count(string(raw), "\n")+btoi(len(raw) > 0 && raw[len(raw)-1] != '\n'), strings.Count(out, "\n"))
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
