package storm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The drawings are plain SVG with their own background, so that they can be read on any page.

const (
	inkText  = "#1f2328"
	inkFaint = "#d0d7de"
	inkNote  = "#656d76"
	inkOurs  = "#0969da"
	inkPeer  = "#9198a1"
	inkWarm  = "#bc4c00"
)

type drawing struct {
	b             strings.Builder
	width, height float64
}

func newDrawing(width, height float64, title string) *drawing {
	d := &drawing{width: width, height: height}
	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" font-family="system-ui, sans-serif" font-size="12" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&d.b, "<title>%s</title>\n", escape(title))
	fmt.Fprintf(&d.b, `<rect width="%g" height="%g" fill="#ffffff"/>`+"\n", width, height)
	return d
}

func (d *drawing) text(x, y float64, anchor, fill, weight, s string) {
	fmt.Fprintf(&d.b, `<text x="%s" y="%s" text-anchor="%s" fill="%s" font-weight="%s" stroke="#ffffff" stroke-width="3" paint-order="stroke">%s</text>`+"\n", num(x), num(y), anchor, fill, weight, escape(s))
}

func (d *drawing) rect(x, y, w, h float64, fill string) {
	fmt.Fprintf(&d.b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", num(x), num(y), num(w), num(h), fill)
}

func (d *drawing) line(x1, y1, x2, y2 float64, stroke, dash string) {
	fmt.Fprintf(&d.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-dasharray="%s"/>`+"\n", num(x1), num(y1), num(x2), num(y2), stroke, dash)
}

func (d *drawing) path(xs, ys []float64, stroke string, width float64) {
	var p strings.Builder
	for i := range xs {
		if i == 0 {
			p.WriteByte('M')
		} else {
			p.WriteByte('L')
		}
		p.WriteString(num(xs[i]) + " " + num(ys[i]))
	}
	fmt.Fprintf(&d.b, `<path d="%s" fill="none" stroke="%s" stroke-width="%g"/>`+"\n", p.String(), stroke, width)
}

func (d *drawing) dot(x, y, r float64, fill string) {
	fmt.Fprintf(&d.b, `<circle cx="%s" cy="%s" r="%s" fill="%s"/>`+"\n", num(x), num(y), num(r), fill)
}

func (d *drawing) String() string { return d.b.String() + "</svg>\n" }

func num(v float64) string { return strconv.FormatFloat(round(v, 1), 'f', -1, 64) }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// bar is one bar of a chart.
type bar struct {
	label string
	value float64
	ours  bool
}

// mark is a line across a chart of bars.
type mark struct {
	label string
	value float64
}

// barCharts draws charts of bars below each other, one scale each.
func barCharts(title string, charts []barChart) string {
	const width, left, right, row, gap = 720.0, 190.0, 90.0, 22.0, 64.0
	height := 16.0
	for _, c := range charts {
		height += gap + row*float64(len(c.bars))
	}
	d := newDrawing(width, height, title)
	y := 0.0
	for _, c := range charts {
		y += 26
		d.text(12, y, "start", inkText, "600", c.title)
		most := 0.0
		for _, b := range c.bars {
			most = math.Max(most, b.value)
		}
		for _, m := range c.marks {
			most = math.Max(most, m.value)
		}
		scale := (width - left - right) / most
		top := y + 26
		for _, m := range c.marks {
			x := left + m.value*scale
			d.line(x, top-6, x, top+row*float64(len(c.bars))-4, inkWarm, "4 3")
			d.text(x, top-10, "middle", inkWarm, "400", m.label)
		}
		for i, b := range c.bars {
			at := top + row*float64(i)
			fill := inkPeer
			if b.ours {
				fill = inkOurs
			}
			d.text(left-8, at+12, "end", inkText, "400", b.label)
			d.rect(left, at, math.Max(b.value*scale, 1), row-7, fill)
			d.text(left+math.Max(b.value*scale, 1)+6, at+12, "start", inkText, "400", strconv.FormatFloat(b.value, 'f', c.decimals, 64))
		}
		y = top + row*float64(len(c.bars)) + 12
	}
	return d.String()
}

type barChart struct {
	title    string
	bars     []bar
	marks    []mark
	decimals int
}

// drawAmplification draws what the server gets to see.
func drawAmplification(t *Table) string {
	chart := func(title, scenario, column string) barChart {
		c := barChart{title: title, decimals: 2, marks: []mark{{"one", 1}}}
		for _, name := range clientNames(t) {
			c.bars = append(c.bars, bar{name, t.number(column, scenario, name), strings.HasPrefix(name, "errwire")})
		}
		return c
	}
	return barCharts("Attempts a call", []barChart{
		chart("Attempts a call: 200 req/s at a capacity of 100, a refusal costs 0.2 of a request", "A+", "attempts a call"),
		chart("Attempts a call during an outage of 20 s", "B", "attempts a call in the outage"),
	})
}

// drawGoodput draws what callers get.
func drawGoodput(t *Table) string {
	chart := func(title, scenario string, most float64) barChart {
		c := barChart{title: title, decimals: 1, marks: []mark{{"possible", most}}}
		for _, name := range clientNames(t) {
			c.bars = append(c.bars, bar{name, t.number("goodput", scenario, name), strings.HasPrefix(name, "errwire")})
		}
		return c
	}
	return barCharts("Calls per second that succeed", []barChart{
		chart("Calls a second that succeed: 200 req/s at a capacity of 100, a refusal costs 0.2 of a request", "A+", capacity),
		chart("The same from 200 processes of one request a second each", "P", capacity),
		chart("An outage of 20 s in 300 s of 70 req/s", "B+", most),
	})
}

// drawFollow draws what is served while capacity changes, from a table with a row for each second: second, capacity, and a column for each client.
func drawFollow(t *Table) string {
	const width, height, left, top, right, bottom = 720.0, 340.0, 48.0, 56.0, 28.0, 36.0
	d := newDrawing(width, height, "Requests served while capacity changes")
	d.text(12, 22, "start", inkText, "600", "Requests served a second, 150 req/s offered, capacity 100, 300, 33, 100")
	values := func(c int) []float64 {
		v := make([]float64, 0, len(t.Rows))
		for _, row := range t.Rows {
			f, err := strconv.ParseFloat(row[c], 64)
			if err != nil {
				f = math.NaN()
			}
			v = append(v, f)
		}
		return v
	}
	const high = 310.0
	x := func(s float64) float64 { return left + (width-left-right)*s/float64(len(t.Rows)) }
	y := func(v float64) float64 { return height - bottom - (height-top-bottom)*v/high }
	for v := 0.0; v <= 300; v += 50 {
		d.line(left, y(v), width-right, y(v), inkFaint, "")
		d.text(left-6, y(v)+4, "end", inkNote, "400", num(v))
	}
	for s := 0; s <= len(t.Rows); s += 25 {
		d.text(x(float64(s)), height-bottom+18, "middle", inkNote, "400", strconv.Itoa(s)+" s")
	}
	inks := []string{inkFaint, inkOurs, inkPeer, inkWarm}
	legend := left
	for c := 1; c < len(t.Header); c++ {
		ink, w := inks[(c-1)%len(inks)], 1.6
		if c == 1 {
			ink, w = "#57ab5a", 1.2
		}
		var xs, ys []float64
		for s, v := range values(c) {
			xs, ys = append(xs, x(float64(s)+0.5)), append(ys, y(v))
		}
		d.path(xs, ys, ink, w)
		d.line(legend, 40, legend+18, 40, ink, "")
		d.text(legend+24, 44, "start", inkText, "400", t.Header[c])
		legend += 40 + 7*float64(len(t.Header[c]))
	}
	return d.String()
}

// drawSweep draws the figures that each constant was chosen by: goodput, in which more is better, and the time that it takes to follow.
func drawSweep(t *Table) string {
	panels := []struct{ constant, column, title string }{
		{"increase", "A+ goodput", "increase: goodput in overload"},
		{"increase", "V return", "increase: seconds to find capacity again"},
		{"increase", "R p99", "increase: p99 in s, 2 % refused by chance"},
		{"decrease", "A+ goodput", "decrease: goodput in overload"},
		{"decrease, whatever is served", "A+ goodput", "decrease without its bound: the same"},
		{"decrease, whatever is served", "R p99", "without its bound: p99 in s, 2 % refused"},
		{"convex", "V return", "convex: seconds to find capacity again"},
		{"convex", "V goodput", "convex: goodput while capacity changes"},
		{"decrease", "P goodput", "decrease: goodput of 200 processes"},
		{"floor", "P goodput", "floor: goodput of 200 processes"},
		{"floor", "L goodput", "floor: goodput with slow answers"},
		{"doubling", "L goodput", "doubling: goodput with slow answers"},
	}
	const across, w, h, left, top, bottom = 3, 310.0, 190.0, 44.0, 34.0, 34.0
	rows := (len(panels) + across - 1) / across
	d := newDrawing(across*w, float64(rows)*h, "The sweep of the constants")
	for i, p := range panels {
		x0, y0 := float64(i%across)*w, float64(i/across)*h
		d.text(x0+12, y0+20, "start", inkText, "600", p.title)
		var labels []string
		var values []float64
		chosen := -1
		for _, row := range t.Rows {
			if row[0] != p.constant {
				continue
			}
			if row[2] == "true" {
				chosen = len(labels)
			}
			v, err := strconv.ParseFloat(row[t.column(p.column)], 64)
			if err != nil {
				v = math.NaN()
			}
			labels, values = append(labels, row[1]), append(values, v)
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range values {
			if !math.IsNaN(v) {
				low, high = math.Min(low, v), math.Max(high, v)
			}
		}
		pad := math.Max((high-low)*0.15, math.Max(high*0.01, 0.1))
		low, high = math.Max(low-pad, 0), high+pad
		x := func(n int) float64 {
			return x0 + left + 14 + (w-left-40)*float64(n)/math.Max(float64(len(labels)-1), 1)
		}
		y := func(v float64) float64 { return y0 + h - bottom - (h-top-bottom)*(v-low)/(high-low) }
		for _, v := range []float64{low, (low + high) / 2, high} {
			d.line(x0+left, y(v), x0+w-12, y(v), inkFaint, "")
			d.text(x0+left-6, y(v)+4, "end", inkNote, "400", strconv.FormatFloat(v, 'g', 3, 64))
		}
		var xs, ys []float64
		for n, v := range values {
			d.text(x(n), y0+h-bottom+18, "middle", inkNote, "400", labels[n])
			if math.IsNaN(v) {
				d.text(x(n), y0+h-bottom-6, "middle", inkWarm, "400", "never")
				continue
			}
			xs, ys = append(xs, x(n)), append(ys, y(v))
		}
		d.path(xs, ys, inkPeer, 1.4)
		for n, v := range values {
			if math.IsNaN(v) {
				continue
			}
			fill, r := inkPeer, 3.0
			if n == chosen {
				fill, r = inkOurs, 5
			}
			d.dot(x(n), y(v), r, fill)
		}
	}
	return d.String()
}
