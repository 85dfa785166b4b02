package storm

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/errwire/errwire/internal/pacing"
)

// Point is one setting of one constant of the gate, and what came of it: medians over seeds.
type Point struct {
	Constant string
	Value    string
	Chosen   bool
	Figures  []float64 // one for each of SweepColumns
}

// sweepColumns are the figures of a sweep.
var sweepColumns = [...]struct {
	name, about string
	decimals    int
}{
	{"A+ goodput", "req/s of 100, where a 429 costs 0.2 of a request", 1},
	{"A+ refused", "attempts that the server refused, per attempt served", 3},
	{"V rise", "seconds until 90 % of a capacity that tripled is used, or of what is offered", 0},
	{"V fall", "seconds until attempts are at most 1.25 of a capacity that fell to a ninth", 0},
	{"V return", "seconds until 90 % of a capacity that came back from a third is used", 0},
	{"V goodput", "req/s of 108, the mean of what is possible", 1},
	{"R p99", "seconds, where 2 % of 70/s are refused by chance", 2},
	{"L goodput", "req/s of 100, where answers take 3 s and refusals 0.2 s", 1},
	{"P goodput", "req/s of 100, from 200 processes of one request a second", 1},
	{"P refused", "attempts that the server refused, per attempt served", 2},
	{"herd", "attempts of 200 callers at once, 20/s granted, if all of them are served", 0},
	{"herd after quiet traffic", "the same after 20 of them were served", 0},
}

// setting is one value of one constant.
type setting struct {
	constant, value string
	chosen          bool
	tuning          pacing.Tuning
}

// sweepSettings varies one constant at a time around the chosen ones, and the two of AIMD together.
func sweepSettings() []setting {
	list := make([]setting, 0, 64)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for _, v := range []float64{0.01, 0.02, 0.03, 0.05, 0.1, 0.2} {
		list = append(list, setting{"increase", number(v), v == chosen.Increase, pacing.Tuning{Increase: v}})
	}
	for _, v := range []float64{0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95} {
		list = append(list, setting{"decrease", number(v), v == chosen.Decrease, pacing.Tuning{Decrease: v}})
	}
	for _, v := range []float64{0.5, 0.7, 0.85, 0.95} {
		list = append(list, setting{"decrease, whatever is served", number(v), false, pacing.Tuning{Decrease: v, Plain: true}})
	}
	list = append(list, setting{"convex", "off", false, pacing.Tuning{Convex: -1}})
	for _, v := range milliseconds(1000, 1500, 2500, 4000, 8000) {
		list = append(list, setting{"convex", v.String(), v == chosen.Convex, pacing.Tuning{Convex: v}})
	}
	for _, v := range []float64{0.05, 0.1, 0.2, 0.35, 0.5, 1, 2} {
		list = append(list, setting{"floor", number(v), v == chosen.Floor, pacing.Tuning{Floor: v}})
	}
	for _, v := range milliseconds(125, 250, 500, 1000, 2000) {
		list = append(list, setting{"window", v.String(), v == chosen.Window, pacing.Tuning{Window: v}})
	}
	for _, v := range milliseconds(250, 500, 1000, 2000) {
		list = append(list, setting{"measure", v.String(), v == chosen.Measure, pacing.Tuning{Measure: v}})
	}
	for _, v := range milliseconds(250, 500, 1000, 2000) {
		list = append(list, setting{"doubling", v.String(), v == chosen.Doubling, pacing.Tuning{Doubling: v}})
	}
	for _, v := range milliseconds(1000, 2000, 5000, 10_000, 20_000) {
		list = append(list, setting{"relax", v.String(), v == chosen.Relax, pacing.Tuning{Relax: v}})
	}
	return list
}

func milliseconds(ms ...int) []time.Duration {
	list := make([]time.Duration, 0, len(ms))
	for _, n := range ms {
		list = append(list, time.Duration(n)*time.Millisecond)
	}
	return list
}

// gridSettings are increase and decrease together.
func gridSettings() []setting {
	list := make([]setting, 0, 25)
	for _, i := range []float64{0.01, 0.02, 0.05, 0.1, 0.2} {
		for _, d := range []float64{0.3, 0.5, 0.7, 0.85, 0.95} {
			list = append(list, setting{"increase x decrease", strconv.FormatFloat(i, 'g', -1, 64) + " x " + strconv.FormatFloat(d, 'g', -1, 64),
				i == chosen.Increase && d == chosen.Decrease, pacing.Tuning{Increase: i, Decrease: d}})
		}
	}
	return list
}

// chosen are the constants that the library uses.
var chosen = pacing.DefaultTuning()

// measure runs one setting.
func (s *setting) measure(t *testing.T, l Length, seeds int) Point {
	t.Helper()
	client := Tuned(s.tuning)
	scenarios := Scenarios(l)
	rows := make([][]float64, 0, seeds)
	for seed := range seeds {
		run := func(name string) *Result {
			t.Helper()
			return scenarios[name].Run(t, client, uint64(seed)+1)
		}
		a, v, r, slow, p := run("A+"), run("V"), run("R"), run("L"), run("P")
		load := scenarios["A+"].Load.For
		quarter := load / time.Duration(len(changes))
		rows = append(rows, []float64{
			a.Goodput(0, load), a.Refused(),
			v.Rose(quarter, 0.9*150), v.Fell(2*quarter, 1.25*changes[2]), v.Rose(3*quarter, 0.9*changes[3]), v.Goodput(0, load),
			r.P99().Seconds(), slow.Goodput(0, load), p.Goodput(0, load), p.Refused(),
			run("herd").AttemptsForAll(), run("herd after quiet traffic").AttemptsForAll(),
		})
	}
	return Point{s.constant, s.value, s.chosen, medians(rows)}
}

// medians returns the median of each column.
func medians(rows [][]float64) []float64 {
	out := make([]float64, 0, len(rows[0]))
	for c := range rows[0] {
		column := make([]float64, 0, len(rows))
		for _, row := range rows {
			column = append(column, row[c])
		}
		slices.Sort(column)
		out = append(out, round(column[len(column)/2], 3))
	}
	return out
}

// Refused returns how many attempts the server refused for each that it served.
func (r *Result) Refused() float64 {
	return float64(r.server.total.attempts-r.server.total.served) / float64(r.server.total.served)
}

// AttemptsForAll returns all attempts if every call ended well, else infinity: fewer attempts are worth nothing if callers go without.
func (r *Result) AttemptsForAll() float64 {
	if r.Finished() < len(r.calls) {
		return math.Inf(1)
	}
	return float64(r.Attempts())
}

// Rose returns how many seconds after from the server begins to serve at least rate a second, for three seconds; NaN if never.
func (r *Result) Rose(from time.Duration, rate float64) float64 {
	return r.settled(from, func(c counts) bool { return float64(c.served) >= rate })
}

// Fell returns how many seconds after from the server sees at most rate attempts a second, for three seconds; NaN if never.
func (r *Result) Fell(from time.Duration, rate float64) float64 {
	return r.settled(from, func(c counts) bool { return float64(c.attempts) <= rate })
}

func (r *Result) settled(from time.Duration, holds func(counts) bool) float64 {
	const span = 3
	bins := r.server.bins[min(int(from/time.Second), len(r.server.bins)):]
	for i := 0; i+span <= len(bins); i++ {
		if !slices.ContainsFunc(bins[i:i+span], func(c counts) bool { return !holds(c) }) {
			return float64(i)
		}
	}
	return math.NaN()
}
