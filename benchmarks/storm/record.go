package storm

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Table is a recorded table: what a run of the simulations came to, as it is kept in results/.
type Table struct {
	Header []string
	Rows   [][]string
}

// Write writes the table as CSV.
func (t *Table) Write(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write(t.Header); err != nil {
		return err
	}
	return c.WriteAll(t.Rows) // flushes
}

// ReadTable reads what Write wrote.
func ReadTable(r io.Reader) (*Table, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading a table: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("reading a table: %w", io.ErrUnexpectedEOF)
	}
	return &Table{rows[0], rows[1:]}, nil
}

// column returns the index of a column, -1 if there is none.
func (t *Table) column(name string) int {
	for i, h := range t.Header {
		if h == name {
			return i
		}
	}
	return -1
}

// find returns the cell of a column in the first row that begins with these keys; "" if there is none.
func (t *Table) find(column string, keys ...string) string {
	c := t.column(column)
	for _, row := range t.Rows {
		match := c >= 0 && len(row) > c && len(row) >= len(keys)
		for i := range keys {
			match = match && row[i] == keys[i]
		}
		if match {
			return row[c]
		}
	}
	return ""
}

// number is find for a number; NaN if there is none.
func (t *Table) number(column string, keys ...string) float64 {
	v, err := strconv.ParseFloat(t.find(column, keys...), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// markdown writes a table of Markdown, numbers to the right.
func markdown(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(header)
	b.WriteString("|---|" + strings.Repeat("---:|", len(header)-1) + "\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// clientColumns are the columns of the table of clients after scenario and client.
var clientColumns = []string{"attempts a call", "goodput", "failed %", "p99 s", "attempts a call in the outage", "peak after", "fine after s", "finished", "attempts"}

// clientFigures returns the figures of clientColumns; NaN for what does not apply, infinity for what never happens.
func clientFigures(s *Scenario, r *Result) []float64 {
	f := []float64{
		r.Amplification(), r.Goodput(0, s.Load.For), r.Failed(), r.P99().Seconds(), math.NaN(), math.NaN(), math.NaN(),
		float64(r.Finished()), float64(r.Attempts()),
	}
	if s.DownTo > 0 {
		f[4] = r.AttemptsPerCall(s.DownFrom, s.DownTo)
		f[5] = float64(r.Peak(s.DownTo))
		f[6] = math.Inf(1)
		if d := r.FineAfter(s.DownTo); d >= 0 {
			f[6] = d.Seconds()
		}
	}
	return f
}

// cells formats figures: "" for what does not apply, "never" for what does not happen.
func cells(figures []float64) []string {
	var out []string
	for _, f := range figures {
		switch {
		case math.IsNaN(f):
			out = append(out, "")
		case math.IsInf(f, 1):
			out = append(out, "never")
		default:
			out = append(out, strconv.FormatFloat(f, 'f', -1, 64))
		}
	}
	return out
}

// view is one table of the documentation: columns of the table of clients, each from a scenario.
type view struct {
	name    string
	columns []viewColumn
}

type viewColumn struct {
	title, scenario, column string
	decimals                int
}

var views = []view{
	{"overload", []viewColumn{
		{"A: attempts a call", "A", "attempts a call", 2}, {"A: goodput", "A", "goodput", 1}, {"A: p99 s", "A", "p99 s", 2},
		{"A+: attempts a call", "A+", "attempts a call", 2}, {"A+: goodput", "A+", "goodput", 1},
		{"P: attempts a call", "P", "attempts a call", 2}, {"P: goodput", "P", "goodput", 1},
		{"L: goodput", "L", "goodput", 1}, {"V: goodput", "V", "goodput", 1},
	}},
	{"outage", []viewColumn{
		{"B: attempts a call in it", "B", "attempts a call in the outage", 2}, {"B: peak after", "B", "peak after", 0},
		{"B: failed %", "B", "failed %", 2}, {"B: p99 s", "B", "p99 s", 2}, {"B: fine after s", "B", "fine after s", 0},
		{"B+: goodput", "B+", "goodput", 1},
		{"B5: attempts a call in it", "B5", "attempts a call in the outage", 2}, {"B5: failed %", "B5", "failed %", 2},
		{"PB: attempts a call in it", "PB", "attempts a call in the outage", 2}, {"PB: peak after", "PB", "peak after", 0},
	}},
	{"tenants", []viewColumn{
		{"T: attempts a call", "T", "attempts a call", 2}, {"T: goodput", "T", "goodput", 1},
		{"TP: attempts a call", "TP", "attempts a call", 2}, {"TP: goodput", "TP", "goodput", 1},
		{"TB: attempts a call in it", "TB", "attempts a call in the outage", 2}, {"TB: peak after", "TB", "peak after", 0},
		{"TB: failed %", "TB", "failed %", 2}, {"TB: p99 s", "TB", "p99 s", 2},
	}},
	{"chance", []viewColumn{
		{"C: failed %", "C", "failed %", 2}, {"C: attempts a call", "C", "attempts a call", 2},
		{"C+: failed %", "C+", "failed %", 2}, {"C+: attempts a call", "C+", "attempts a call", 2},
		{"C1: failed %", "C1", "failed %", 2}, {"R: failed %", "R", "failed %", 2},
		{"W: goodput", "W", "goodput", 1}, {"W: attempts a call", "W", "attempts a call", 2},
		{"herd: finished", "herd", "finished", 0}, {"herd: attempts", "herd", "attempts", 0},
		{"herd after quiet traffic: finished", "herd after quiet traffic", "finished", 0}, {"attempts", "herd after quiet traffic", "attempts", 0},
	}},
}

// render writes a view of the table of clients as Markdown.
func (v *view) render(t *Table, clients []string) string {
	header := make([]string, 0, 1+len(v.columns))
	header = append(header, "client")
	for _, c := range v.columns {
		header = append(header, c.title)
	}
	rows := make([][]string, 0, len(clients))
	for _, name := range clients {
		row := make([]string, 0, len(header))
		row = append(row, name)
		for _, c := range v.columns {
			cell := t.find(c.column, c.scenario, name)
			if f, err := strconv.ParseFloat(cell, 64); err == nil {
				cell = strconv.FormatFloat(f, 'f', c.decimals, 64)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return markdown(header, rows)
}

// clientNames returns the clients of a table of clients, in order.
func clientNames(t *Table) []string {
	var names []string
	seen := map[string]bool{}
	for _, row := range t.Rows {
		if !seen[row[1]] {
			seen[row[1]] = true
			names = append(names, row[1])
		}
	}
	return names
}

// renderSweep writes the sweep as Markdown; the value that the library uses is in bold type.
func renderSweep(t *Table) string {
	var rows [][]string
	for _, row := range t.Rows {
		if strings.Contains(row[0], " x ") {
			continue // the grid is in the file
		}
		cells := []string{row[0], row[1]}
		if row[2] == "true" {
			cells[1] = "**" + row[1] + "**"
		}
		for i, cell := range row[3:] {
			if f, err := strconv.ParseFloat(cell, 64); err == nil {
				cell = strconv.FormatFloat(f, 'f', sweepColumns[i].decimals, 64)
			}
			cells = append(cells, cell)
		}
		rows = append(rows, cells)
	}
	header := make([]string, 0, 2+len(sweepColumns))
	header = append(header, "constant", "value")
	for _, c := range sweepColumns {
		header = append(header, c.name)
	}
	return markdown(header, rows)
}
