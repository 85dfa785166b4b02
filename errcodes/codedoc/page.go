package codedoc

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxPage is the longest page, in bytes, that [Diff] reads.
const MaxPage = 1 << 20

// page is what a Markdown text says in headings and tables. What stands in fenced code, comments and front matter is not
// part of it. Lines count from 1.
type page struct {
	headings []heading
	tables   []table
}

type heading struct {
	line, level int
	text        string
}

type table struct {
	header  row
	rows    []row
	heading []int // indices of the headings above it, from the outermost to the nearest
}

type row struct {
	line  int
	cells []string // as they stand in the source, but for the escape of pipes
}

// cell returns the cell of column i, "" where the row is shorter than its header.
func (r row) cell(i int) string {
	if i >= len(r.cells) {
		return ""
	}
	return r.cells[i]
}

// readPage reads the headings and tables of a page. A row that stands in no table is an error: its header or delimiter row was lost,
// and with it what the row means.
func readPage(r io.Reader) (page, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxPage+1))
	if err != nil {
		return page{}, fmt.Errorf("read page: %w", err)
	}
	if len(data) > MaxPage {
		return page{}, fmt.Errorf("page is longer than %d bytes", MaxPage)
	}
	if !utf8.Valid(data) {
		return page{}, errors.New("page is not valid UTF-8")
	}
	lines, err := visible(strings.Split(strings.TrimPrefix(string(data), "\uFEFF"), "\n"))
	if err != nil {
		return page{}, err
	}
	return parsePage(lines)
}

// visible returns the lines with everything emptied that is no text, and with quote marks removed.
func visible(lines []string) ([]string, error) {
	out := make([]string, len(lines))
	start := 0
	if strings.TrimSpace(lines[0]) == "---" { // front matter
		for i, line := range lines[1:] {
			if strings.TrimSpace(line) == "---" {
				start = i + 2
				break
			}
		}
	}
	fence, fenced := "", 0 // the open fence and its line
	comment := 0           // the line of the open comment
	for i := start; i < len(lines); i++ {
		line := lines[i]
		if fence != "" {
			if closes(strings.Trim(line, "> \t\r"), fence) {
				fence = ""
			}
			continue
		}
		var open bool
		if line, open = uncomment(line, comment > 0); !open {
			comment = 0
		} else if comment == 0 {
			comment = i + 1
		}
		line = strings.TrimSpace(line)
		for strings.HasPrefix(line, ">") {
			line = strings.TrimSpace(line[1:])
		}
		if fence = opens(line); fence != "" {
			fenced = i + 1
			continue
		}
		out[i] = line
	}
	if fence != "" {
		return nil, fmt.Errorf("line %d: code fence is never closed", fenced)
	}
	if comment > 0 {
		return nil, fmt.Errorf("line %d: comment is never closed", comment)
	}
	return out, nil
}

// opens returns the fence that a line opens, "" for none.
func opens(line string) string {
	for _, mark := range []string{"`", "~"} {
		n := len(line) - len(strings.TrimLeft(line, mark))
		if n >= 3 && (mark == "~" || !strings.Contains(line[n:], mark)) {
			return line[:n]
		}
	}
	return ""
}

// closes reports whether a line is a fence at least as long as the open one.
func closes(line, fence string) bool {
	return len(line) >= len(fence) && strings.Trim(line, fence[:1]) == ""
}

// uncomment removes HTML comments from a line and reports whether one is still open at its end. A mark in a code span is text.
func uncomment(line string, open bool) (string, bool) {
	var kept strings.Builder
	ticks := 0
	for {
		if open {
			i := strings.Index(line, "-->")
			if i < 0 {
				return kept.String(), true
			}
			line = line[i+3:]
		}
		i := strings.Index(line, "<!--")
		if i < 0 {
			kept.WriteString(line)
			return kept.String(), false
		}
		ticks += strings.Count(line[:i], "`")
		kept.WriteString(line[:i])
		line = line[i:]
		if open = ticks%2 == 0; !open {
			kept.WriteString(line[:4])
		}
		line = line[4:]
	}
}

func parsePage(lines []string) (page, error) {
	var p page
	var above []int // headings that hold here
	paragraph := -1 // the line before, if it is text that an underline turns into a heading
	add := func(line, level int, text string) {
		for len(above) > 0 && p.headings[above[len(above)-1]].level >= level {
			above = above[:len(above)-1]
		}
		above = append(above, len(p.headings))
		p.headings = append(p.headings, heading{line: line, level: level, text: text})
	}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		before := paragraph
		paragraph = -1
		if line == "" {
			continue
		}
		if level, text := atx(line); level > 0 {
			add(i+1, level, text)
			continue
		}
		if level := underline(line); level > 0 {
			if before >= 0 {
				add(before+1, level, lines[before])
			}
			continue
		}
		if i+1 < len(lines) && strings.Contains(line, "|") && isDelimiter(lines[i+1]) {
			t := table{header: row{i + 1, splitRow(line)}, heading: append([]int(nil), above...)}
			if n := len(splitRow(lines[i+1])); n != len(t.header.cells) {
				return page{}, fmt.Errorf("line %d: header has %d cells and the delimiter row below it %d", i+1, len(t.header.cells), n)
			}
			for i += 2; i < len(lines) && !endsTable(lines[i]); i++ {
				t.rows = append(t.rows, row{i + 1, splitRow(lines[i])})
			}
			i--
			p.tables = append(p.tables, t)
			continue
		}
		if line[0] == '|' {
			return page{}, fmt.Errorf("line %d: row %s stands in no table: its header or delimiter row is missing", i+1, quote(line))
		}
		paragraph = i
	}
	return p, nil
}

// atx returns level and text of a heading such as "### 400 Bad Request", 0 for any other line.
func atx(line string) (int, string) {
	text := strings.TrimLeft(line, "#")
	level := len(line) - len(text)
	if level == 0 || level > 6 || text != "" && text[0] != ' ' && text[0] != '\t' {
		return 0, ""
	}
	return level, strings.TrimSpace(strings.TrimRight(strings.TrimSpace(text), "#"))
}

// underline returns the level that a line of equals signs or hyphens gives to the text above it, 0 for any other line.
func underline(line string) int {
	switch "" {
	case strings.Trim(line, "="):
		return 1
	case strings.Trim(line, "-"):
		return 2
	}
	return 0
}

// isDelimiter reports whether a line is the delimiter row of a table, as in GitHub Flavored Markdown.
func isDelimiter(line string) bool {
	if !strings.Contains(line, "|") || strings.Trim(line, "|-: \t") != "" {
		return false
	}
	for _, c := range splitRow(line) {
		dashes := strings.TrimSuffix(strings.TrimPrefix(c, ":"), ":")
		if dashes == "" || strings.Trim(dashes, "-") != "" {
			return false
		}
	}
	return true
}

// endsTable reports whether a line is no row of the table above it. A line without a pipe is a row, unless another
// block begins there.
func endsTable(line string) bool {
	if line == "" {
		return true
	}
	if strings.Contains(line, "|") {
		return false
	}
	level, _ := atx(line)
	return level > 0 || underline(line) > 0 || strings.ContainsRune("<:{", rune(line[0])) ||
		strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "+ ")
}

// splitRow cuts a line at every pipe that no backslash escapes, also inside code spans, as GitHub does.
func splitRow(line string) []string {
	line = strings.TrimPrefix(strings.TrimSpace(line), "|")
	var cells []string
	start := 0
	for i := range len(line) {
		if line[i] == '|' && (i == 0 || line[i-1] != '\\') {
			cells = append(cells, unpipe(line[start:i]))
			start = i + 1
		}
	}
	if last := strings.TrimSpace(line[start:]); last != "" || len(cells) == 0 {
		cells = append(cells, unpipe(last))
	}
	return cells
}

func unpipe(cell string) string {
	return strings.TrimSpace(strings.ReplaceAll(cell, `\|`, "|"))
}

// quote quotes what a page says in an error, cut to a length that a person reads.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}
