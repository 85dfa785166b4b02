package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// printer writes the results for a person.
type printer struct {
	w      io.Writer
	colour bool
}

// wantsColour reports whether w is a terminal that may be coloured (https://no-color.org).
func wantsColour(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

func (p printer) paint(colour, s string) string {
	if !p.colour {
		return s
	}
	return colour + s + reset
}

// table prints one line for each outcome, in columns.
func (p printer) table(title string, outcomes []outcome) {
	rows := make([][]string, 0, 1+len(outcomes))
	rows = append(rows, []string{title, "status", "code or type", "request id", "class", "decision", "attempts", "waited"})
	for _, o := range outcomes {
		d := o.first
		spelling := d.Code
		if spelling == "" {
			spelling = d.Type
		}
		if spelling == "" {
			spelling = "-"
		}
		rows = append(rows, []string{
			o.name(), strconv.Itoa(d.Status), spelling, d.RequestID, d.Class.String(), o.decision(),
			strconv.Itoa(len(o.attempts)), fmt.Sprintf("%.1f s", o.waited().Seconds()),
		})
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			pad := strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell))
			switch {
			case i == 0:
				cell = p.paint(bold, cell)
			case j == 5:
				cell = p.paint(outcomes[i-1].colour(), cell)
			}
			if j >= 6 {
				line.WriteString(pad + cell + "  ") // numbers stand right
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(p.w, strings.TrimRight(line.String(), " "))
	}
	for _, o := range outcomes {
		if o.final >= 300 && o.first.Advice != "" && o.stop != classify.StopNever {
			fmt.Fprintf(p.w, "stopped at %s, so its advice: %s\n", o.name(), o.first.Advice)
		}
	}
	fmt.Fprintln(p.w)
}

// name returns the condition and what is special about the request.
func (o *outcome) name() string {
	if o.note == "" {
		return string(o.condition)
	}
	return string(o.condition) + ", " + o.note
}

// decision says in a few words what the client did.
func (o *outcome) decision() string {
	switch {
	case o.recovers && o.final < 300:
		return o.first.Retry.String() + ": recovered with " + strconv.Itoa(o.final)
	case o.first.Retry == errcodes.RetryNever:
		return "never"
	default:
		return o.first.Retry.String() + ": stopped, " + o.stop.String()
	}
}

func (o *outcome) colour() string {
	switch {
	case len(o.diffs) > 0:
		return red
	case o.final < 300:
		return green
	default:
		return yellow
	}
}

// diff prints what o should have been.
func (p printer) diff(o outcome) {
	for _, d := range o.diffs {
		fmt.Fprintf(p.w, "%s %s: %s\n", p.paint(red, "differs:"), o.name(), d)
	}
}

// exchanges prints what was on the wire, and the advice.
func (p printer) exchanges(outcomes []outcome) {
	for _, o := range outcomes {
		fmt.Fprintln(p.w, p.paint(bold, o.name()))
		for _, e := range o.exchanges {
			p.lines("> ", e.request)
			p.lines("< ", e.answer)
		}
		fmt.Fprintf(p.w, "  rule: %s\n  advice: %s\n\n", o.first.Rule, o.first.Advice)
	}
}

// lines prints every line of text behind a mark.
func (p printer) lines(mark, text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintln(p.w, strings.TrimRight(mark+strings.TrimRight(line, "\n"), " "))
	}
}
