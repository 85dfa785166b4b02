package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite api/v0.txt from the code")

const golden = root + "/api/v0.txt"

// The exported names of the library, with their types and the values of their constants, as the compiler sees them. A line that goes or changes
// is a change that some caller has to follow: it belongs into CHANGELOG.md.
func TestAPI(t *testing.T) {
	exports := exportData(t)
	fset := token.NewFileSet()
	gc := importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) {
		file, ok := exports[p]
		if !ok {
			return nil, fmt.Errorf("no export data of %q", p)
		}
		return os.Open(file)
	})

	var lines []string
	for _, s := range published(t) {
		pkg, err := gc.Import(s.path())
		require.NoError(t, err)
		if pkg.Name() != "main" {
			lines = append(lines, exported(pkg, s.dir)...)
		}
	}

	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
		return
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	if diff := lineDiff(strings.Split(strings.TrimSpace(string(want)), "\n"), lines); len(diff) > 0 {
		t.Fatalf("the exported API is not what api/v0.txt says:\n%s\nIf that is meant: go test ./internal/policy -update, and a line in CHANGELOG.md",
			strings.Join(diff, "\n"))
	}
}

// lineDiff lists what is in want alone with a minus, then what is in got alone with a plus.
func lineDiff(want, got []string) []string {
	var diff []string
	for _, l := range want {
		if !slices.Contains(got, l) {
			diff = append(diff, "-"+l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			diff = append(diff, "+"+l)
		}
	}
	return diff
}

func TestLineDiff(t *testing.T) {
	require.Empty(t, lineDiff([]string{"a", "b"}, []string{"b", "a"}))
	require.Equal(t, []string{"-a", "-c", "+d"}, lineDiff([]string{"a", "b", "c"}, []string{"b", "d"}))
}

// exportData names the compiler's export data of every package that the library compiles.
func exportData(t *testing.T) map[string]string {
	t.Helper()
	out := goCommand(t, root, os.Environ(), "list", "-export", "-deps", "-json=ImportPath,Export", "./...")
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct{ ImportPath, Export string }
		err := dec.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return exports
		}
		require.NoError(t, err)
		if pkg.Export != "" {
			exports[pkg.ImportPath] = pkg.Export
		}
	}
}

// exported lists what a package shows, one sorted line for each constant, variable, function, type, exported field and method.
func exported(pkg *types.Package, dir string) []string {
	qualify := func(p *types.Package) string {
		if p == pkg {
			return ""
		}
		return p.Name()
	}
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, "pkg "+dir+", "+fmt.Sprintf(format, args...))
	}
	signature := func(f *types.Func) string {
		return strings.TrimPrefix(types.TypeString(f.Signature(), qualify), "func")
	}

	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			add("const %s %s = %s", name, types.TypeString(obj.Type(), qualify), value(obj.Val()))
		case *types.Var:
			add("var %s %s", name, types.TypeString(obj.Type(), qualify))
		case *types.Func:
			add("func %s%s", name, signature(obj))
		case *types.TypeName:
			lines = append(lines, exportedType(obj, dir, qualify)...)
		}
	}
	slices.Sort(lines)
	return lines
}

// exportedType lists a type, its exported fields or interface methods, and its exported methods, promoted ones included.
func exportedType(obj *types.TypeName, dir string, qualify types.Qualifier) []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, "pkg "+dir+", "+fmt.Sprintf(format, args...))
	}
	typ := obj.Type()
	if obj.IsAlias() {
		add("type %s = %s", obj.Name(), types.TypeString(types.Unalias(typ), qualify))
		return lines
	}
	name := types.TypeString(typ, qualify)

	switch under := typ.Underlying().(type) {
	case *types.Struct:
		add("type %s struct", name)
		for f := range under.Fields() {
			switch {
			case !f.Exported():
			case f.Embedded():
				add("type %s struct, embedded %s", name, types.TypeString(f.Type(), qualify))
			default:
				add("type %s struct, %s %s", name, f.Name(), types.TypeString(f.Type(), qualify))
			}
		}
	case *types.Interface:
		add("type %s interface", name)
		for m := range under.Methods() {
			// An interface with an unexported method cannot be implemented elsewhere: that is part of its contract.
			add("type %s interface, %s%s", name, m.Name(), strings.TrimPrefix(types.TypeString(m.Signature(), qualify), "func"))
		}
		return lines
	default:
		add("type %s %s", name, types.TypeString(under, qualify))
	}

	onValue := types.NewMethodSet(typ)
	for sel := range types.NewMethodSet(types.NewPointer(typ)).Methods() {
		m, ok := sel.Obj().(*types.Func)
		if !ok || !m.Exported() {
			continue
		}
		receiver := "*" + obj.Name()
		if onValue.Lookup(m.Pkg(), m.Name()) != nil {
			receiver = obj.Name()
		}
		add("method (%s) %s%s", receiver, m.Name(), strings.TrimPrefix(types.TypeString(m.Signature(), qualify), "func"))
	}
	return lines
}

func value(v constant.Value) string {
	if v.Kind() == constant.String {
		return fmt.Sprintf("%q", constant.StringVal(v))
	}
	return v.ExactString()
}

func TestExported(t *testing.T) {
	const text = `package sample

import "io"

type Class uint8

const (
	A Class = iota + 1
	B
	hidden
)

const Word = "a\"b"

var ErrGone error

type Pair[K comparable, V any] struct {
	Key K
	io.Reader
	secret V
}

func (p *Pair[K, V]) Swap(k K) (V, error) { return p.secret, nil }
func (p Pair[K, V]) Len() int             { return 2 }
func (p Pair[K, V]) quiet()               {}

type Doer interface {
	Do(name string, more ...int) error
	sealed()
}

type Also = Class

func New(r io.Reader) (*Pair[string, int], error) { return nil, nil }
func private()                                    {}
`
	pkg := check(t, text)
	require.Equal(t, []string{
		`pkg sample, const A Class = 1`,
		`pkg sample, const B Class = 2`,
		`pkg sample, const Word untyped string = "a\"b"`,
		`pkg sample, func New(r io.Reader) (*Pair[string, int], error)`,
		`pkg sample, method (*Pair) Swap(k K) (V, error)`,
		`pkg sample, method (Pair) Len() int`,
		`pkg sample, method (Pair) Read(p []byte) (n int, err error)`,
		`pkg sample, type Also = Class`,
		`pkg sample, type Class uint8`,
		`pkg sample, type Doer interface`,
		`pkg sample, type Doer interface, Do(name string, more ...int) error`,
		`pkg sample, type Doer interface, sealed()`,
		`pkg sample, type Pair[K comparable, V any] struct`,
		`pkg sample, type Pair[K comparable, V any] struct, Key K`,
		`pkg sample, type Pair[K comparable, V any] struct, embedded io.Reader`,
		`pkg sample, var ErrGone error`,
	}, exported(pkg, "sample"))
}

func check(t *testing.T, text string) *types.Package {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "sample.go", text, 0)
	require.NoError(t, err)
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	pkg, err := conf.Check("example.com/sample", fset, []*ast.File{file}, nil)
	require.NoError(t, err)
	return pkg
}

// Whoever meets a name in an editor reads its comment and nothing else.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range published(t) {
		t.Run(s.dir, func(t *testing.T) {
			fset := token.NewFileSet()
			var files []*ast.File
			for _, name := range s.files {
				file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
				require.NoError(t, err)
				files = append(files, file)
			}
			none(t, undocumented(fset, files, path.Base(s.dir)))
		})
	}
}

// undocumented lists the exported names of one package that have no comment, or one that does not start with the name. In a group of
// constants or variables a comment at the end of the line will do when the group itself has one; a field or an interface method
// needs a comment of any wording, above it, behind it, or above the first of a run of neighbours.
func undocumented(fset *token.FileSet, files []*ast.File, dir string) []string {
	var found []string
	report := func(n ast.Node, name, what string) {
		p := fset.Position(n.Pos())
		found = append(found, fmt.Sprintf("%s:%d: %s %s", path.Base(filepath.ToSlash(p.Filename)), p.Line, name, what))
	}
	named := func(n ast.Node, name string, doc *ast.CommentGroup) {
		switch {
		case doc.Text() == "":
			report(n, name, "has no comment")
		case !startsWith(doc, name):
			report(n, name, "has a comment that does not start with its name")
		}
	}

	var packageDocs int
	for _, file := range files {
		if file.Doc.Text() != "" {
			packageDocs++
			want := "Package " + file.Name.Name
			if file.Name.Name == "main" {
				want = "Command " + dir
			}
			if !startsWith(file.Doc, want) {
				report(file, "the package comment", "does not start with "+want)
			}
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && receiverExported(d) {
					named(d, d.Name.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if !spec.Name.IsExported() {
							continue
						}
						doc := spec.Doc
						if doc == nil && !d.Lparen.IsValid() {
							doc = d.Doc
						}
						named(spec, spec.Name.Name, doc)
						for _, member := range bare(spec.Type) {
							report(member, spec.Name.Name+"."+member.Name, "has no comment")
						}
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							switch {
							case !name.IsExported():
							case spec.Doc == nil && spec.Comment.Text() != "" && d.Doc.Text() != "":
							case spec.Doc == nil && !d.Lparen.IsValid():
								named(name, name.Name, d.Doc)
							default:
								named(name, name.Name, spec.Doc)
							}
						}
					}
				}
			}
		}
	}
	if packageDocs != 1 {
		found = append(found, fmt.Sprintf("%d package comments, want 1", packageDocs))
	}
	return found
}

// bare are the exported fields or methods of a struct or interface that no comment speaks of.
func bare(typ ast.Expr) []*ast.Ident {
	var members *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		members = typ.Fields
	case *ast.InterfaceType:
		members = typ.Methods
	default:
		return nil
	}
	var found []*ast.Ident
	for _, m := range members.List {
		if m.Doc.Text() != "" || m.Comment.Text() != "" {
			continue
		}
		for _, name := range m.Names {
			if name.IsExported() {
				found = append(found, name)
			}
		}
	}
	return found
}

// startsWith tells whether a comment's first words are want. "RetryNever:" and "Code's" are other words than "Retry" and "Cod", but fine for their own.
func startsWith(doc *ast.CommentGroup, want string) bool {
	rest, ok := strings.CutPrefix(doc.Text(), want)
	return ok && (rest == "" || !token.IsIdentifier("x"+rest[:1]))
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

func TestUndocumentedIsFound(t *testing.T) {
	const text = `// Package sample is a sample.
package sample

// Good is documented.
type Good struct {
	// Above is documented.
	Above int
	Behind int // as this
	Bare int
	hidden int
}

// A Wrong start.
type Wrong int

type None struct{}

// Group of constants.
const (
	One = 1 // has its word here
	Two = 2
	// Three is documented.
	Three = 3
	// Another number.
	Four = 4
)

const (
	Five = 5 // no comment above the group
)

// Good is not its prefix.
const Goo = 1

// Do does.
func (g *Good) Do() {}

func (g Good) Undone() {}

func (h hidden[T]) Free() {}

type hidden[T any] struct{ Field T }

// Doer does.
type Doer interface {
	Do()
	Redo() // does again
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "sample.go", text, parser.ParseComments)
	require.NoError(t, err)
	require.Equal(t, []string{
		"sample.go:9: Good.Bare has no comment",
		"sample.go:14: Wrong has a comment that does not start with its name",
		"sample.go:16: None has no comment",
		"sample.go:21: Two has no comment",
		"sample.go:25: Four has a comment that does not start with its name",
		"sample.go:29: Five has no comment",
		"sample.go:33: Goo has a comment that does not start with its name",
		"sample.go:38: Undone has no comment",
		"sample.go:46: Doer.Do has no comment",
	}, undocumented(fset, []*ast.File{file}, "sample"))

	bare, err := parser.ParseFile(fset, "bare.go", "package main\n", parser.ParseComments)
	require.NoError(t, err)
	require.Equal(t, []string{"0 package comments, want 1"}, undocumented(fset, []*ast.File{bare}, "tool"))
	wrong, err := parser.ParseFile(fset, "wrong.go", "// Package main is a tool.\npackage main\n", parser.ParseComments)
	require.NoError(t, err)
	require.Equal(t, []string{"wrong.go:2: the package comment does not start with Command tool"}, undocumented(fset, []*ast.File{wrong}, "tool"))
}
