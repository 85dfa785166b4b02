package policy

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// arrow is what one package may import besides the standard library. A name without a dot in its first element is a package of this
// module; any other names a third-party module and everything below it.
type arrow struct {
	pkg string
	may []string
}

// arrows point down: errcodes <- middleware, classify <- otelhook. A package that has no row fails, so that a new one states its place.
var arrows = []arrow{
	{pkg: "errcodes"},
	{pkg: "errcodes/codedoc", may: []string{"errcodes"}},
	{pkg: "internal/jsonbody"},
	{pkg: "internal/jsonbody/jsonbodytest"},
	{pkg: "internal/pacing"},
	{pkg: "internal/policy"},
	{pkg: "internal/reachable", may: []string{"errcodes", "middleware"}},
	{pkg: "internal/readme"}, // its tests import what the README shows
	{pkg: "middleware", may: []string{"errcodes", "internal/jsonbody", "github.com/go-playground/validator/v10", "golang.org/x/time"}},
	{pkg: "classify", may: []string{"errcodes", "internal/pacing", "github.com/cenkalti/backoff/v4"}},
	{pkg: "otelhook", may: []string{
		"errcodes", "middleware", "classify", "go.opentelemetry.io/otel", "go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/trace",
	}},
	{pkg: "cmd/errwire", may: []string{"errcodes", "errcodes/codedoc", "classify"}},
}

// apart are pairs that never meet: not directly, not through a third package, not in their own tests.
var apart = [][2]string{
	{"middleware", "classify"},
	{"classify", "middleware"},
}

// banned never enters a program through this module: each is the choice of an application, or is for tests. "go.opentelemetry.io/otel"
// is a path that the SDK shares with the API, so the arrows alone would let it in.
var banned = []string{
	"github.com/go-chi",
	"github.com/go-redis",
	"github.com/redis",
	"github.com/stretchr/testify",
	"go.opentelemetry.io/contrib",
	"go.opentelemetry.io/otel/exporters",
	"go.opentelemetry.io/otel/sdk",
	"go.uber.org/goleak",
}

// forTests are packages that only tests import, so that what they import enters no program: a table that several modules run needs its assertions where it
// stands. No arrow leads to them, so the first import outside of a test is a violation.
var forTests = map[string][]string{
	"internal/reachable": {"github.com/stretchr/testify"},
}

// violations holds the packages against the tables above. It is a pure function of its arguments.
func violations(pkgs []source, arrows []arrow, apart [][2]string, banned []string) []string {
	var found []string
	rows := map[string]arrow{}
	for _, a := range arrows {
		rows[a.pkg] = a
	}
	byPath := map[string]source{}
	for _, s := range pkgs {
		byPath[s.path()] = s
	}

	for _, s := range pkgs {
		row, ok := rows[s.dir]
		if !ok && s.dir != "." {
			found = append(found, fmt.Sprintf("%s has no row in the table of import arrows", s.dir))
			continue
		}
		for _, p := range s.imports {
			switch {
			case standard(p):
			case slices.ContainsFunc(forTests[s.dir], func(b string) bool { return within(p, b) }):
			case slices.ContainsFunc(banned, func(b string) bool { return within(p, b) }):
				found = append(found, fmt.Sprintf("%s imports %s, which no package here may outside its tests", s.dir, p))
			case !slices.ContainsFunc(row.may, func(m string) bool { return allows(m, p) }):
				found = append(found, fmt.Sprintf("%s imports %s, which its arrows do not allow", s.dir, p))
			}
		}
	}

	for _, pair := range apart {
		from, ok := byPath[module+"/"+pair[0]]
		if !ok {
			continue
		}
		start := slices.Concat(from.imports, from.tests)
		if route := reach(byPath, start, module+"/"+pair[1]); route != nil {
			found = append(found, fmt.Sprintf("%s reaches %s: %s", pair[0], pair[1], strings.Join(route, " -> ")))
		}
	}
	return found
}

// reach finds a route over compiled imports from any of start to target, or nil.
func reach(byPath map[string]source, start []string, target string) []string {
	type step struct {
		at    string
		route []string
	}
	seen := map[string]bool{}
	var queue []step
	for _, p := range start {
		queue = append(queue, step{p, []string{p}})
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s.at == target {
			return s.route
		}
		if seen[s.at] {
			continue
		}
		seen[s.at] = true
		for _, p := range byPath[s.at].imports {
			queue = append(queue, step{p, append(slices.Clip(s.route), p)})
		}
	}
	return nil
}

// allows tells whether the entry m of an arrow covers the import p.
func allows(m, p string) bool {
	if standard(m) {
		return p == module+"/"+m
	}
	return within(p, m)
}

func within(p, tree string) bool {
	return p == tree || strings.HasPrefix(p, tree+"/")
}

// standard tells a path of the standard library by what the go command goes by: no dot in its first element.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

func TestImportArrows(t *testing.T) {
	none(t, violations(sources(t), arrows, apart, banned))
}

func TestViolationsAreFound(t *testing.T) {
	clean := func() []source {
		return []source{
			{dir: "errcodes", imports: []string{"fmt", "net/http"}, tests: []string{"github.com/stretchr/testify/require"}},
			{dir: "middleware", imports: []string{"log/slog", module + "/errcodes", "github.com/go-playground/validator/v10"}},
			{dir: "classify", imports: []string{module + "/errcodes", "github.com/cenkalti/backoff/v4"}},
			{dir: "otelhook", imports: []string{module + "/middleware", module + "/classify", "go.opentelemetry.io/otel/trace"}},
			{dir: "internal/jsonbody", imports: []string{"unicode/utf8"}},
		}
	}
	const ecodes, mware, class, hook, body = 0, 1, 2, 3, 4
	require.Empty(t, violations(clean(), arrows, apart, banned))

	for _, tt := range []struct {
		name  string
		plant func([]source) []source
		want  []string
	}{
		{
			name: "third party on the ground floor",
			plant: func(s []source) []source {
				s[ecodes].imports = append(s[ecodes].imports, "golang.org/x/text/language")
				return s
			},
			want: []string{"errcodes imports golang.org/x/text/language, which its arrows do not allow"},
		},
		{
			name: "an arrow that points up",
			plant: func(s []source) []source {
				s[ecodes].imports = append(s[ecodes].imports, module+"/otelhook")
				return s
			},
			want: []string{
				"errcodes imports " + module + "/otelhook, which its arrows do not allow",
				"middleware reaches classify: " + module + "/errcodes -> " + module + "/otelhook -> " + module + "/classify",
				"classify reaches middleware: " + module + "/errcodes -> " + module + "/otelhook -> " + module + "/middleware",
			},
		},
		{
			name: "server meets client",
			plant: func(s []source) []source {
				s[mware].imports = append(s[mware].imports, module+"/classify")
				return s
			},
			want: []string{
				"middleware imports " + module + "/classify, which its arrows do not allow",
				"middleware reaches classify: " + module + "/classify",
			},
		},
		{
			name: "client meets server in a test",
			plant: func(s []source) []source {
				s[class].tests = append(s[class].tests, module+"/middleware")
				return s
			},
			want: []string{"classify reaches middleware: " + module + "/middleware"},
		},
		{
			name: "server meets client through a third package",
			plant: func(s []source) []source {
				s[mware].imports = append(s[mware].imports, module+"/internal/jsonbody")
				s[body].imports = append(s[body].imports, module+"/classify")
				return s
			},
			want: []string{
				"internal/jsonbody imports " + module + "/classify, which its arrows do not allow",
				"middleware reaches classify: " + module + "/internal/jsonbody -> " + module + "/classify",
			},
		},
		{
			name: "a dependency of the other side",
			plant: func(s []source) []source {
				s[mware].imports = append(s[mware].imports, "github.com/cenkalti/backoff/v4")
				return s
			},
			want: []string{"middleware imports github.com/cenkalti/backoff/v4, which its arrows do not allow"},
		},
		{
			name: "another major version",
			plant: func(s []source) []source {
				s[class].imports = append(s[class].imports, "github.com/cenkalti/backoff/v40")
				return s
			},
			want: []string{"classify imports github.com/cenkalti/backoff/v40, which its arrows do not allow"},
		},
		{
			name: "the OpenTelemetry SDK, whose path lies below the API's",
			plant: func(s []source) []source {
				s[hook].imports = append(s[hook].imports, "go.opentelemetry.io/otel/sdk/trace")
				return s
			},
			want: []string{"otelhook imports go.opentelemetry.io/otel/sdk/trace, which no package here may outside its tests"},
		},
		{
			name: "a test library in a program",
			plant: func(s []source) []source {
				s[class].imports = append(s[class].imports, "github.com/stretchr/testify/assert")
				return s
			},
			want: []string{"classify imports github.com/stretchr/testify/assert, which no package here may outside its tests"},
		},
		{
			name: "a package for tests in a program",
			plant: func(s []source) []source {
				s[hook].imports = append(s[hook].imports, module+"/internal/reachable")
				return append(s, source{dir: "internal/reachable", imports: []string{"github.com/stretchr/testify/require", "go.uber.org/goleak"}})
			},
			want: []string{
				"otelhook imports " + module + "/internal/reachable, which its arrows do not allow",
				"internal/reachable imports go.uber.org/goleak, which no package here may outside its tests",
			},
		},
		{
			name: "a package without a place",
			plant: func(s []source) []source {
				return append(s, source{dir: "internal/helpers"})
			},
			want: []string{"internal/helpers has no row in the table of import arrows"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, violations(tt.plant(clean()), arrows, apart, banned))
		})
	}
}

// listed is a part of what `go list -json` prints of a package.
type listed struct {
	ImportPath string
	Standard   bool
}

// outsiders are the packages among deps that are neither the standard library's nor own.
func outsiders(deps []listed, own string) []string {
	var found []string
	for _, d := range deps {
		if !d.Standard && !within(d.ImportPath, own) {
			found = append(found, d.ImportPath)
		}
	}
	return found
}

func TestOutsidersAreFound(t *testing.T) {
	deps := []listed{
		{ImportPath: "fmt", Standard: true},
		{ImportPath: "vendor/golang.org/x/net/idna", Standard: true},
		{ImportPath: module + "/errcodes"},
	}
	require.Empty(t, outsiders(deps, module+"/errcodes"))
	deps = append(deps, listed{ImportPath: module + "/errcodesx"}, listed{ImportPath: "golang.org/x/text/language"})
	require.Equal(t, []string{module + "/errcodesx", "golang.org/x/text/language"}, outsiders(deps, module+"/errcodes"))
}

// A program outside that imports only errcodes must compile nothing but the standard library and errcodes, and must build on a machine that has
// never downloaded a module: its go.mod names errwire alone, its module cache is empty, and there is no proxy to ask.
func TestConsumerOfErrcodesNeedsOnlyTheStandardLibrary(t *testing.T) {
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	dir := t.TempDir()
	goMod := "module example.com/consumer\n\ngo 1.26.0\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + quoted(here) + "\n"
	main := "package main\n\nimport \"" + module + "/errcodes\"\n\nfunc main() { println(errcodes.CodeOf(nil)) }\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(goMod), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o600))
	env := append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOMODCACHE="+t.TempDir())

	deps := decodeList(t, goCommand(t, dir, env, "list", "-deps", "-json=ImportPath,Standard", "."))
	require.Equal(t, []string{"example.com/consumer"}, outsiders(deps, module+"/errcodes"))

	program := filepath.Join(dir, "consumer.exe")
	goCommand(t, dir, env, "build", "-o", program, ".")
	info, err := buildinfo.ReadFile(program)
	require.NoError(t, err)
	var modules []string
	for _, m := range info.Deps {
		modules = append(modules, m.Path)
	}
	require.Equal(t, []string{module}, modules, "modules compiled into the program")
}

// quoted is a path as go.mod spells one that holds a blank.
func quoted(p string) string {
	return "\"" + strings.ReplaceAll(p, `\`, `\\`) + "\""
}

// goCommand runs the go command that runs this test, which go test puts first in PATH, and returns its standard output.
func goCommand(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	require.NoError(t, err)
	return out
}

func decodeList(t *testing.T, out []byte) []listed {
	t.Helper()
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var l listed
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, l)
	}
}
