package codedoc

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

var update = flag.Bool("update", false, "rewrite docs/codes from the registries")

var registries = []*errcodes.Registry{
	errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
}

// The pages in docs/codes are the registries. The flag -update rewrites them.
func TestMarkdownGolden(t *testing.T) {
	for _, r := range registries {
		t.Run(r.Name(), func(t *testing.T) {
			golden := filepath.Join("..", "..", "docs", "codes", r.Name()+".md")
			got := markdown(t, r)
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
				return
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "rewrite it with: go test ./errcodes/codedoc -update")
		})
	}
}

func markdown(t *testing.T, r *errcodes.Registry) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Markdown(&b, r))
	return b.String()
}

// What the package writes, it reads as what was meant.
func TestMarkdownHasNoDrift(t *testing.T) {
	for _, r := range append(registries, hostile(t, errcodes.OpenAIDialect{}), hostile(t, oddDialect{})) {
		t.Run(r.Name(), func(t *testing.T) {
			drifts, err := Diff(r, strings.NewReader(markdown(t, r)))
			require.NoError(t, err)
			require.Empty(t, drifts)

			var table bytes.Buffer
			require.NoError(t, Table(&table, r))
			drifts, err = Diff(r, &table)
			if r.Dialect().Slots() != 0 {
				require.NoError(t, err)
			}
			require.Empty(t, drifts)
		})
	}
}

// Every condition has its row in the section of its status, in both forms, and nothing else has.
func TestMarkdownIsWhole(t *testing.T) {
	for _, r := range registries {
		t.Run(r.Name(), func(t *testing.T) {
			p, err := readPage(strings.NewReader(markdown(t, r)))
			require.NoError(t, err)
			glance, sections := map[string]string{}, map[string]string{}
			for _, table := range p.tables {
				near := p.headings[table.heading[len(table.heading)-1]].text
				if table.header.cells[0] != "Condition" {
					require.Equal(t, "Headers", near)
					continue
				}
				for _, row := range table.rows {
					require.Len(t, row.cells, len(table.header.cells), row.line)
					if near == "At a glance" {
						glance[row.cells[0]] = row.cells[1]
						continue
					}
					require.NotContains(t, sections, row.cells[0])
					sections[row.cells[0]] = near[:3]
				}
			}
			want := map[string]string{}
			for e := range r.All() {
				want["`"+string(e.Code)+"`"] = statusTitle(e.Status)[:3]
			}
			require.Equal(t, want, glance)
			require.Equal(t, want, sections)
		})
	}
}

// oddDialect has no slots and writes no JSON, but what would end a code block.
type oddDialect struct{}

func (oddDialect) Append(dst []byte, _ errcodes.Body) []byte {
	return append(dst, "<error>\n```\n| 418 | `teapot` | Yes |\n</error>"...)
}
func (oddDialect) Decode([]byte) (errcodes.Body, error) { return errcodes.Body{}, errcodes.ErrNotError }
func (oddDialect) Slots() errcodes.Slot                 { return 0 }
func (oddDialect) ContentType() string                  { return "text/x\r\n\r\n```" }

// hostile returns a registry whose rows try to break out of their cells.
func hostile(t *testing.T, d errcodes.Dialect) *errcodes.Registry {
	t.Helper()
	r, err := errcodes.New("hostile", d,
		errcodes.Entry{
			Code: "a", Status: 418, Message: "m", Cause: "x | y\n\n### 499 Nothing\n| `b` | 400 |", Fix: "``` <!-- <b> [c](d) \\| \\",
			Source: "A page; of two | parts; type: errwire",
		},
		errcodes.Entry{Code: "b", Status: 418, Message: "m", Cause: "\xff\xfe\x00\u202e_x_ a_b $1$ &amp; {y} *z* ~~q~~", Retry: errcodes.RetryNever},
		errcodes.Entry{
			Code: "c", Status: 451, Message: "m", Retry: errcodes.RetryChanged, MaybeExecuted: true, RetryAfter: 1, Fix: "Retry at once.",
			Source: "Another page; retry rule and retry-after: errwire",
		},
	)
	require.NoError(t, err)
	return r
}

func TestMarkdownEscapes(t *testing.T) {
	page := markdown(t, hostile(t, errcodes.OpenAIDialect{}))
	for _, want := range []string{
		"| `a` | `a` | – | `unknown` | No | x \\| y ### 499 Nothing \\| \\`b\\` \\| 400 \\| " +
			"| \\`\\`\\` \\<!-- \\<b> \\[c\\](d) \\\\\\| \\\\ | [1](#sources); type: errwire |\n",
		"| `b` | `b` | – | `unknown` | No | \uFFFD \\_x\\_ a_b \\$1\\$ \\&amp; \\{y\\} \\*z\\* \\~\\~q\\~\\~ | – | – |\n",
		"| `c` | `c` | – | `unknown` | Only a changed request, if safe to repeat (1 s unless stated) | – | Retry at once. " +
			"| [2](#sources); retry rule, retry-after: errwire |\n",
		"1. A page; of two \\| parts\n2. Another page\n",
	} {
		require.Contains(t, page, want)
	}

	page = markdown(t, hostile(t, oddDialect{}))
	require.Contains(t, page, "````http\nHTTP/1.1 429 Too Many Requests\nContent-Type: text/x ```\nRetry-After: 1\n")
	require.Contains(t, page, "\n</error>\n````\n\nA body carries a message. ")
	require.Contains(t, page, "one shape. Branch on the status. ")
	require.Contains(t, page, "| Condition | Class | Retry | Cause | Fix | Source |\n| --- | --- | --- | --- | --- | --- |\n")
	require.Contains(t, page, "| Condition | Status | Retry |\n| --- | --- | --- |\n")
}

func TestMarkdownErrors(t *testing.T) {
	for name, write := range map[string]func(*failing, *errcodes.Registry) error{
		"markdown": func(w *failing, r *errcodes.Registry) error { return Markdown(w, r) },
		"table":    func(w *failing, r *errcodes.Registry) error { return Table(w, r) },
	} {
		t.Run(name, func(t *testing.T) {
			w := &failing{}
			for _, r := range []*errcodes.Registry{nil, {}} {
				require.EqualError(t, write(w, r), "codedoc: registry is nil or was not made by errcodes.New")
			}
			require.Zero(t, w.calls)
			err := write(w, errcodes.Runbase())
			require.ErrorIs(t, err, errDisk)
			require.EqualError(t, err, "codedoc: write page: disk is full")
			require.Equal(t, 1, w.calls)
		})
	}
}

var errDisk = errors.New("disk is full")

type failing struct{ calls int }

func (w *failing) Write([]byte) (int, error) { w.calls++; return 0, errDisk }

func TestSplitSource(t *testing.T) {
	for _, tt := range []struct {
		source, page string
		ours         []string
	}{
		{"", "", nil},
		{"errwire", "", nil},
		{"P, 2026-11-21", "P, 2026-11-21", nil},
		{"P; type: errwire", "P", []string{"type"}},
		{"P; Q; retry rule and retry-after: errwire", "P; Q", []string{"retry rule", "retry-after"}},
	} {
		page, ours := splitSource(tt.source)
		require.Equal(t, tt.page, page, tt.source)
		require.Equal(t, tt.ours, ours, tt.source)
	}
}
