// Package policy holds what the whole repository promises and no compiler checks: which package may import which, what an exported
// name must say about itself, and what may not stand in a tracked file. It has tests only.
package policy

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module = "github.com/errwire/errwire"
	root   = "../.."
)

// source is one package of the root module as its files say, whatever their build constraints: a rule that holds on one
// system only is no rule.
type source struct {
	dir     string   // slash-separated, from the root of the repository; "." is the root
	imports []string // of files that are compiled into a program, sorted
	tests   []string // of _test.go files, sorted
	files   []string // compiled files, paths as the operating system spells them
}

func (s source) path() string {
	return path.Join(module, s.dir)
}

// sources reads the packages of the root module: not those of nested modules, not testdata.
func sources(t *testing.T) []source {
	t.Helper()
	byDir := map[string]*source{}
	imports, tests := map[string]map[string]bool{}, map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(name, d)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		if byDir[dir] == nil {
			byDir[dir] = &source{dir: dir}
			imports[dir], tests[dir] = map[string]bool{}, map[string]bool{}
		}
		into := tests[dir]
		if !strings.HasSuffix(name, "_test.go") {
			into = imports[dir]
			byDir[dir].files = append(byDir[dir].files, name)
		}
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			into[p] = true
		}
		return nil
	})
	require.NoError(t, err)

	var all []source
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		s := *byDir[dir]
		s.imports = slices.Sorted(maps.Keys(imports[dir]))
		s.tests = slices.Sorted(maps.Keys(tests[dir]))
		all = append(all, s)
	}
	require.NotEmpty(t, all, "no package below %s", root)
	return all
}

// skipDir keeps a walk inside the root module's own packages, as the go command does.
func skipDir(name string, d fs.DirEntry) error {
	if filepath.Clean(name) == filepath.Clean(root) {
		return nil
	}
	if base := d.Name(); base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// published are the packages that someone outside can import or run.
func published(t *testing.T) []source {
	t.Helper()
	return slices.DeleteFunc(sources(t), func(s source) bool {
		return len(s.files) == 0 || strings.HasPrefix(s.dir+"/", "internal/") || strings.Contains(s.dir+"/", "/internal/")
	})
}

// none fails with one finding a line, for a person to go through.
func none(t *testing.T, found []string) {
	t.Helper()
	if len(found) > 0 {
		t.Fatalf("found %d:\n%s", len(found), strings.Join(found, "\n"))
	}
}

func TestRootIsTheModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(text), "module "+module+"\n")
}
