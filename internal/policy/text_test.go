package policy

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// textRule is a phrase that may not stand in a file. Its pattern must not match itself: this file is read as well.
type textRule struct {
	name    string
	applies func(file string) bool
	pattern *regexp.Regexp
}

var textRules = []textRule{
	{
		name:    "left open",
		applies: func(f string) bool { return strings.HasSuffix(f, ".go") || f == ".ci/run" },
		pattern: regexp.MustCompile(`\b(TO[D]O|FIX[M]E|XX[X])\b`),
	},
	{
		name:    "a path of one machine",
		applies: func(f string) bool { return true },
		pattern: regexp.MustCompile(`(^|[\s"'` + "`" + `(\[=:,])(/(root|work|Users|tmp)/|/home/[a-z]|[A-Z]:\\Users\\)`),
	},
	{
		name:    "the address of a package registry",
		applies: func(f string) bool { return true },
		pattern: regexp.MustCompile(`proxy\.golang\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|deb\.debian\.org`),
	},
	{
		name:    "a download address in a lock file",
		applies: func(f string) bool { return path.Base(f) == "package-lock.json" },
		pattern: regexp.MustCompile(`"resolved": *"http`),
	},
	{
		name:    "a test that sleeps, where synctest, a channel or a condition would wait",
		applies: func(f string) bool { return strings.HasSuffix(f, "_test.go") },
		pattern: regexp.MustCompile(`\btime\.Sleep\(`),
	},
	{
		name:    "a merge that was not finished",
		applies: func(f string) bool { return true },
		pattern: regexp.MustCompile(`^(<{7}|>{7}) `),
	},
}

// textFindings holds one file against the rules. Files that are not text have none.
func textFindings(file string, content []byte) []string {
	if bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content) {
		return nil
	}
	var found []string
	for _, rule := range textRules {
		if !rule.applies(file) {
			continue
		}
		for n, line := range strings.Split(string(content), "\n") {
			if rule.pattern.MatchString(line) {
				found = append(found, fmt.Sprintf("%s:%d: %s: %q", file, n+1, rule.name, rule.pattern.FindString(line)))
			}
		}
	}
	return found
}

// Every file of the repository is read, nested modules included; what git never sees is not.
func TestText(t *testing.T) {
	var found []string
	var read int
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", "node_modules":
				return fs.SkipDir
			}
			if strings.HasSuffix(filepath.ToSlash(rel), "testdata/fuzz") {
				return fs.SkipDir // written by the fuzzer, byte by byte
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		read++
		found = append(found, textFindings(filepath.ToSlash(rel), content)...)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, read, 10, "files read")
	none(t, found)
}

func TestTextFindings(t *testing.T) {
	slash := "/"
	for _, tt := range []struct {
		name, file, line, want string
	}{
		{"open end", "a/b.go", "// TO" + "DO: later", `a/b.go:2: left open: "TO` + `DO"`},
		{"open end in prose", "a/b.md", "the TO" + "DO comments of others", ""},
		{"home", "a/x.md", "see " + slash + "root/x", `a/x.md:2: a path of one machine: " ` + slash + `root/"`},
		{"another home", "a/x.json", `"dir": "` + slash + `home/jo/x"`, `a/x.json:2: a path of one machine: "\"` + slash + `home/j"`},
		{"temporary", ".ci/run", "cp x " + slash + "tmp/y", `.ci/run:2: a path of one machine: " ` + slash + `tmp/"`},
		{"not a machine's", "a/x.md", "POST https://example.com/v1" + slash + "work/items and /v1" + slash + "root/", ""},
		{"registry", "a/x.md", "from proxy." + "golang.org", `a/x.md:2: the address of a package registry: "proxy.` + `golang.org"`},
		{"lock file", "n/package-lock.json", `"resol` + `ved": "https://example.com/x.tgz"`,
			`n/package-lock.json:2: a download address in a lock file: "\"resol` + `ved\": \"http"`},
		{"the same words elsewhere", "n/other.json", `"resol` + `ved": "https://example.com/x.tgz"`, ""},
		{"sleeping test", "a/b_test.go", "time.Sl" + "eep(1)", `a/b_test.go:2: a test that sleeps, where synctest, a channel or a condition would wait: "time.Sl` + `eep("`},
		{"sleeping code", "a/b.go", "time.Sl" + "eep(1)", ""},
		{"conflict", "a/x.md", strings.Repeat("<", 7) + " mine", `a/x.md:2: a merge that was not finished: "` + strings.Repeat("<", 7) + ` "`},
		{"not text", "a/x.png", "\x00 " + slash + "root/x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(textFindings(tt.file, []byte("first\n"+tt.line+"\nlast\n")), "\n")
			require.Equal(t, tt.want, got)
		})
	}
}
