package storm

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	recordClients = flag.Bool("record.clients", false, "run all clients through all scenarios and record what comes of it: some minutes")
	recordSweep   = flag.Bool("record.sweep", false, "run the sweep of the gate's constants and record it: some minutes")
	recordSeeds   = flag.Int("record.seeds", 3, "the number of runs of which medians are taken")
	update        = flag.Bool("update", false, "write the plots and the tables of the documentation from what is recorded")
)

const docs = "../../docs"

func results(name string) string { return filepath.Join("results", name) }

func writeTable(t *testing.T, name string, table *Table) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, table.Write(&b))
	require.NoError(t, os.MkdirAll("results", 0o755))
	require.NoError(t, os.WriteFile(results(name), b.Bytes(), 0o644))
}

func readTable(t *testing.T, name string) *Table {
	t.Helper()
	f, err := os.Open(results(name))
	require.NoError(t, err)
	defer f.Close()
	table, err := ReadTable(f)
	require.NoError(t, err)
	return table
}

// scenarioOrder is the order of the recorded table.
var scenarioOrder = []string{"A", "A+", "B", "B+", "B5", "C", "C+", "C1", "R", "P", "PB", "T", "TP", "TB", "V", "VD", "L", "S", "W", "herd", "herd after quiet traffic"}

func TestRecordClients(t *testing.T) {
	if !*recordClients {
		t.Skip("writes results/; asked for with -record.clients")
	}
	scenarios := Scenarios(1)
	require.Len(t, scenarios, len(scenarioOrder))
	clients := append([]Client{NoRetry()}, append(Peers(), Default(), Gated(), Parked())...)
	table := &Table{Header: append([]string{"scenario", "client"}, clientColumns...)}
	for _, name := range scenarioOrder {
		s := scenarios[name]
		for _, c := range clients {
			var rows [][]float64
			for seed := range *recordSeeds {
				rows = append(rows, clientFigures(s, s.Run(t, c, uint64(seed)+1)))
			}
			row := append([]string{name, c.Name}, cells(medians(rows))...)
			t.Log(strings.Join(row, " "))
			table.Rows = append(table.Rows, row)
		}
	}
	writeTable(t, "clients.csv", table)
}

// What is drawn second by second.
func TestRecordFollow(t *testing.T) {
	if !*recordClients {
		t.Skip("writes results/; asked for with -record.clients")
	}
	v := Scenarios(1)["V"]
	drawn := []Client{Gated(), Default(), OpenAI()}
	follow := &Table{Header: []string{"second", "capacity"}}
	var served [][]int
	for _, c := range drawn {
		follow.Header = append(follow.Header, c.Name)
		served = append(served, v.Run(t, c, 1).Served())
	}
	for second := range int(v.Load.For / time.Second) {
		row := []string{strconv.Itoa(second), strconv.FormatFloat(varying(1)(time.Duration(second)*time.Second), 'f', -1, 64)}
		for _, s := range served {
			row = append(row, strconv.Itoa(s[second]))
		}
		follow.Rows = append(follow.Rows, row)
	}
	writeTable(t, "follow.csv", follow)
}

func TestRecordSweep(t *testing.T) {
	if !*recordSweep {
		t.Skip("writes results/; asked for with -record.sweep")
	}
	table := &Table{Header: []string{"constant", "value", "chosen"}}
	for _, c := range sweepColumns {
		table.Header = append(table.Header, c.name)
	}
	for _, s := range append(sweepSettings(), gridSettings()...) {
		p := s.measure(t, 0.4, *recordSeeds)
		row := append([]string{p.Constant, p.Value, strconv.FormatBool(p.Chosen)}, cells(p.Figures)...)
		t.Log(strings.Join(row, " "))
		table.Rows = append(table.Rows, row)
	}
	writeTable(t, "sweep.csv", table)
}

// The plots and tables of the documentation are what the recorded results give.
func TestDocumentation(t *testing.T) {
	clients, follow, sweep := readTable(t, "clients.csv"), readTable(t, "follow.csv"), readTable(t, "sweep.csv")
	for name, want := range map[string]string{
		"amplification.svg": drawAmplification(clients),
		"goodput.svg":       drawGoodput(clients),
		"follow.svg":        drawFollow(follow),
		"sweep.svg":         drawSweep(sweep),
	} {
		file := filepath.Join(docs, "img", name)
		require.NoError(t, wellFormed(want), name)
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		}
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, want, string(got), "%s is not what results/ give: run with -update", name)
	}

	file := filepath.Join(docs, "performance.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	page := string(text)
	for _, v := range views {
		page = between(t, page, v.name, v.render(clients, clientNames(clients)))
	}
	page = between(t, page, "sweep", renderSweep(sweep))
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
		return
	}
	require.Equal(t, page, string(text), "the tables of performance.md are not what results/ give: run with -update")
}

// between puts a table between its two comments.
func between(t *testing.T, page, name, table string) string {
	t.Helper()
	begin, end := "<!-- storm: "+name+" -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(page, begin)
	require.True(t, ok, "performance.md has no place for the table %q", name)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok, "the table %q of performance.md has no end", name)
	return head + begin + "\n" + table + "\n" + end + tail
}

func wellFormed(svg string) error {
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		switch _, err := d.Token(); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// The constants that the sweep calls chosen are those of the library, and every one of them was swept.
func TestSweepIsOfTheChosenConstants(t *testing.T) {
	chosenOnes := map[string]int{}
	for _, row := range readTable(t, "sweep.csv").Rows {
		if row[2] == "true" {
			chosenOnes[row[0]]++
		}
	}
	var names []string
	settings := map[string]bool{}
	for _, s := range append(sweepSettings(), gridSettings()...) {
		if s.chosen && !settings[s.constant] {
			settings[s.constant] = true
			names = append(names, s.constant)
		}
	}
	require.Equal(t, []string{"increase", "decrease", "convex", "floor", "window", "measure", "doubling", "relax", "increase x decrease"}, names)
	for _, name := range names {
		require.Equal(t, 1, chosenOnes[name], name)
	}
}

func TestTable(t *testing.T) {
	table := &Table{Header: []string{"scenario", "client", "goodput"}, Rows: [][]string{{"A", "x, y", "1.5"}, {"B", "x, y", ""}, {"B", "z", "never"}}}
	var b bytes.Buffer
	require.NoError(t, table.Write(&b))
	back, err := ReadTable(&b)
	require.NoError(t, err)
	require.Equal(t, table, back)
	require.InDelta(t, 1.5, back.number("goodput", "A", "x, y"), 0)
	require.True(t, math.IsNaN(back.number("goodput", "B", "x, y")))
	require.True(t, math.IsNaN(back.number("goodput", "B", "z")))
	require.Empty(t, back.find("nothing", "A"))
	require.Equal(t, []string{"x, y", "z"}, clientNames(back))
	require.Equal(t, []string{"", "never", "0.25"}, cells([]float64{math.NaN(), math.Inf(1), 0.25}))
	_, err = ReadTable(strings.NewReader(""))
	require.Error(t, err)
	_, err = ReadTable(strings.NewReader("a,b\n1\n"))
	require.Error(t, err)
}
