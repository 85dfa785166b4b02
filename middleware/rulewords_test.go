package middleware

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"
)

// ruleError is what validator would report.
type ruleError struct {
	validator.FieldError

	tag, param string
	of         any
}

func (r ruleError) Tag() string        { return r.tag }
func (r ruleError) ActualTag() string  { return r.tag }
func (r ruleError) Param() string      { return r.param }
func (r ruleError) Kind() reflect.Kind { return reflect.TypeOf(r.of).Kind() }
func (r ruleError) Type() reflect.Type { return reflect.TypeOf(r.of) }

func said(tag, param string, of any) string {
	w := wording{FieldError: ruleError{tag: tag, param: param, of: of}}
	return w.predicate()
}

// builtIn returns the names of the rules and aliases that validator has, from its source.
func builtIn(t *testing.T) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/go-playground/validator/v10").Output()
	require.NoError(t, err)
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "baked_in.go"), nil, 0)
	require.NoError(t, err)
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "bakedIn") || len(spec.Values) != 1 {
			return true
		}
		for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
			switch key := element.(*ast.KeyValueExpr).Key.(type) {
			case *ast.BasicLit:
				name, err := strconv.Unquote(key.Value)
				require.NoError(t, err)
				names = append(names, name)
			default:
				require.Fail(t, "a rule that has no literal for its name")
			}
		}
		return true
	})
	require.Greater(t, len(names), 150)
	return names
}

func TestEveryBuiltInRuleHasWords(t *testing.T) {
	of := map[string]any{"unique": []struct{ A int }{}}
	for _, name := range builtIn(t) {
		value := any("")
		if v, ok := of[name]; ok {
			value = v
		}
		words := said(name, "A 1", value)
		require.NotContains(t, words, "rule", name)
		require.Regexp(t, `^(must|is|does) [^.]*[^ .](\.[^ ][^.]*)*$`, words, name)
		require.NotRegexp(t, `  | [*?]( |$)`, words, "a shell would expand it")
	}
}

func TestRulesInWords(t *testing.T) {
	type inner struct {
		Deep int `json:"deep"`
	}
	type outer struct {
		Kind  string `json:"kind"`
		Other string `json:"other,omitempty"`
		In    *inner `json:"in"`
		Gone  string `json:"-"`
	}
	list, entries := []inner{}, map[string]int{}
	for _, c := range []struct {
		tag, param string
		of         any
		want       string
	}{
		{"min", "1", "", "must have at least 1 character"},
		{"min", "2", "", "must have at least 2 characters"},
		{"max", "1", list, "must have at most 1 item"},
		{"len", "3", entries, "must have exactly 3 entries"},
		{"len", "1", entries, "must have exactly 1 entry"},
		{"gte", "1", 0, "must be at least 1"},
		{"lt", "0.5", 0.0, "must be less than 0.5"},
		{"lt", "5", "", "must have fewer than 5 characters"},
		{"gt", "5", list, "must have more than 5 items"},
		{"min", "1h30m", time.Duration(0), "must be at least 1h30m"},
		{"gt", "", time.Time{}, "must be in the future"},
		{"gte", "", time.Time{}, "must not be in the past"},
		{"lt", "", time.Time{}, "must be in the past"},
		{"lte", "", time.Time{}, "must not be in the future"},
		{"eq", "a b", "", `must be "a b"`},
		{"ne", "x", "", `must not be "x"`},
		{"eq", "2", list, "must have exactly 2 items"},
		{"ne", "2", list, "must not have exactly 2 items"},
		{"eq", "true", false, "must be true"},
		{"oneof", "'New York' Rome", "", "must be one of New York, Rome"},
		{"noneofci", "a b", "", "must be none of a, b, in any case"},
		{"unique", "", list, "must not hold anything twice"},
		{"unique", "Deep", list, "must not hold two items with the same deep"},
		{"eqfield", "Other", "", "must be equal to the field other"},
		{"gtcsfield", "In.Deep", 0, "must be more than the field in.deep"},
		{"eqfield", "Gone", "", "must be equal to the field that goes with it"},
		{"eqfield", "None", "", "must be equal to the field that goes with it"},
		{"required_if", "Kind card Other 'two words'", "", "is required if kind is card and other is two words"},
		{"required_if", "Other nil", "", "is required if other is left out"},
		{"required_unless", "Kind card", "", "is required unless kind is card"},
		{"required_with", "Kind Other In", "", "is required if kind, other or in is given"},
		{"required_without_all", "Kind Other", "", "is required if kind and other are left out"},
		{"required_with_all", "Kind Other", "", "is required if kind and other are given"},
		{"required_without", "Kind Other", "", "is required if kind or other is left out"},
		{"required_beyond", "Kind", "", `does not keep to the rule "required_beyond"`},
		{"skip_unless", "Kind card", "", "is required if kind is card"},
		{"excluded_if", "Kind card", "", "must be left out if kind is card"},
		{"excluded_unless", "Kind card", "", "must be left out unless kind is card"},
		{"excluded_with", "Kind", "", "must be left out if kind is given"},
		{"excluded_with_all", "Kind Other", "", "must be left out if kind and other are given"},
		{"excluded_without", "Kind Other", "", "must be left out if kind or other is left out"},
		{"excluded_without_all", "Kind Other", "", "must be left out if kind and other are left out"},
		{"postcode_iso3166_alpha2_field", "Kind", "", "must be a postal code of the country in the field kind"},
		{"datetime", "2006-01-02", "", `must be a time in the form "2006-01-02"`},
		{"ip|hostname", "", "", "must be an IP address or a host name (RFC 952)"},
		{"contains", "@", "", `must contain "@"`},
		{"mine", "7", "", `does not keep to the rule "mine"`},
		{"mine|ip", "", "", `does not keep to the rule "mine|ip"`},
	} {
		w := wording{FieldError: ruleError{tag: c.tag, param: c.param, of: c.of}, parent: reflect.TypeFor[outer](), top: reflect.TypeFor[outer]()}
		require.Equal(t, c.want, w.predicate(), c.tag)
	}
}
