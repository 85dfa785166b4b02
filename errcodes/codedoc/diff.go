package codedoc

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/errwire/errwire/errcodes"
)

// Diff reads the Markdown page of a provider and returns how it differs from r, in the order of the page, with
// what the page lacks at the end in the order of r. No difference gives an empty list.
//
// The page is read as GitHub renders it. Columns are found by a word of their header: status or HTTP; code; type; retry,
// retryable or retries; beside them strategy, fix or action, which settle what a bare yes means. Any other column, and any table
// about something else, is passed over. A cell may hold one value or a list ("400, 401, 403", "5xx"), as text, code or
// link; a number in a column of codes is a status. A status also comes from the nearest heading above that names one
// ("### 400 Bad Request"), and from the row above when the cell is empty. HTML tables are not read.
//
// What is compared: every code, type and status of the page must be in r; every row of r that the provider documents (Source
// other than [errcodes.SourceErrwire]) must be on the page, by its code, else by its type, else by its status; and both must
// agree in status, type and retry rule where the page states them. A rule given for a whole status counts for the rows of
// which the page says nothing more exact; a page with rules must have one for every row whose rule the provider documents.
// Codes and types are compared byte by byte. A nil r has no rows: all of the page is added.
//
// Diff fails when the page cannot be read, is longer than [MaxPage], is not UTF-8, has no table or heading about errors, or
// has a row whose meaning would be a guess: a cell too many, no header, a code or status that is neither. The error names the
// line. What no page in good faith has, such as 65 columns or 33 statuses in a row, fails too, so that no page takes long.
// Diff does not close the reader.
func Diff(r *errcodes.Registry, page io.Reader) ([]Drift, error) {
	p, err := readPage(page)
	if err != nil {
		return nil, fmt.Errorf("codedoc: %w", err)
	}
	v := newVocabulary(r)
	facts, err := v.read(p)
	if err != nil {
		return nil, fmt.Errorf("codedoc: %w", err)
	}
	return v.compare(facts), nil
}

const (
	// Bounds that no page in good faith comes near: what a row lists, how wide a table is, what all rows say together.
	maxValues  = 32
	maxColumns = 64
	maxFacts   = 1 << 16
)

// fact is one thing that a page says: that there is a code, a type or a status, and what belongs to it.
type fact struct {
	line   int
	status int      // 0 where the page does not say
	code   string   // "" where the row has none
	types  []string // beside a code all that the row names, else the one
	retry  ruling
}

// vocabulary is a registry with its rows found by what stands on the wire.
type vocabulary struct {
	rows     []errcodes.Entry
	slots    errcodes.Slot
	byCode   map[string][]int
	byType   map[string][]int
	byStatus map[int][]int
	all      []int // the indices of rows
}

func newVocabulary(r *errcodes.Registry) *vocabulary {
	v := &vocabulary{
		rows: slices.Collect(r.All()), slots: errcodes.SlotCode | errcodes.SlotType,
		byCode: map[string][]int{}, byType: map[string][]int{}, byStatus: map[int][]int{},
	}
	if d := r.Dialect(); d != nil {
		v.slots = d.Slots()
	}
	for i, e := range v.rows {
		v.all = append(v.all, i)
		if wire := e.WireCode(); wire != "" {
			v.byCode[wire] = append(v.byCode[wire], i)
		}
		if e.Type != "" {
			v.byType[e.Type] = append(v.byType[e.Type], i)
		}
		v.byStatus[e.Status] = append(v.byStatus[e.Status], i)
	}
	return v
}

// documented reports whether the provider states the row i.
func (v *vocabulary) documented(i int) bool { return v.rows[i].Source != errcodes.SourceErrwire }

// states reports whether the provider states the part of row i that is named as in [errcodes.Entry.Source].
func (v *vocabulary) states(i int, part string) bool {
	_, ours := splitSource(v.rows[i].Source)
	return v.documented(i) && !slices.Contains(ours, part)
}

func (v *vocabulary) known(token string) bool {
	return len(v.byCode[token]) > 0 || len(v.byType[token]) > 0
}

// read turns headings and tables into facts, in the order of the page.
func (v *vocabulary) read(p page) ([]fact, error) {
	spans := make([][]span, len(p.headings))
	for i, h := range p.headings {
		spans[i] = headingStatuses(h.text)
		if len(spans[i]) > maxValues {
			return nil, fmt.Errorf("line %d: heading names more than %d statuses", h.line, maxValues)
		}
	}
	var facts []fact
	told := make([]bool, len(p.headings)) // the status of the heading was given to rows
	for _, t := range p.tables {
		// The nearest heading that names a status, which may be one of success.
		near := -1
		for _, h := range t.heading {
			if spans[h] != nil {
				near = h
			}
		}
		var above []span
		if near >= 0 {
			above = spans[near]
		}
		read, inherits, err := v.table(t, above)
		if err != nil {
			return nil, err
		}
		if facts = append(facts, read...); len(facts) > maxFacts {
			return nil, fmt.Errorf("line %d: page states more than %d values", t.header.line, maxFacts)
		}
		if inherits {
			told[near] = true
		}
	}
	for i, h := range p.headings {
		if !told[i] {
			for _, status := range v.expand(spans[i], v.all, false) {
				facts = append(facts, fact{line: h.line, status: status})
			}
		}
		if len(facts) > maxFacts {
			return nil, fmt.Errorf("line %d: page states more than %d values", h.line, maxFacts)
		}
	}
	if len(facts) == 0 {
		return nil, errors.New("page has no Markdown table and no heading about errors")
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(a.line, b.line) })
	return facts, nil
}

// expand returns the statuses of errors that spans stand for among rows. A range such as 5xx stands for those that the rows have,
// the documented ones if there are any, and for its first when they have none. Several statuses of a heading are a choice:
// a row below it has one of them.
func (v *vocabulary) expand(spans []span, rows []int, choice bool) []int {
	var list []int
	for _, s := range spans {
		if !s.failure() {
			continue
		}
		var documented, all []int
		for _, i := range rows {
			if status := v.rows[i].Status; s.lo <= status && status <= s.hi {
				all = append(all, status)
				if v.documented(i) {
					documented = append(documented, status)
				}
			}
		}
		switch {
		case documented != nil:
			list = append(list, documented...)
		case all != nil:
			list = append(list, all...)
		case !choice || len(spans) == 1:
			list = append(list, max(s.lo, 400))
		}
	}
	if list == nil && choice && len(spans) > 1 {
		return v.expand(spans, rows, false)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// table returns what the rows of t say under a heading of the given statuses, and whether they took those. A table that is not
// about errors says nothing.
func (v *vocabulary) table(t table, above []span) (facts []fact, inherits bool, err error) {
	if len(t.header.cells) > maxColumns {
		return nil, false, fmt.Errorf("line %d: table has more than %d columns", t.header.line, maxColumns)
	}
	c := columnsOf(t.header)
	named := len(c.status)+len(c.code)+len(c.typ) > 0
	if !named && (above == nil || c.retry < 0) {
		return nil, false, nil
	}
	// A column of types alone is found in every table of fields.
	about := c.retry >= 0 || len(c.code) > 0 && slices.ContainsFunc(above, span.failure)
	var last []span // statuses of the row above
	var first error
	for _, r := range t.rows {
		said, err := v.row(r, c)
		if err == nil && len(r.cells) > len(t.header.cells) {
			err = fmt.Errorf("line %d: row has %d cells and its header %d; a pipe inside a cell is written \\|", r.line, len(r.cells), len(t.header.cells))
		}
		about = about || said.known || slices.ContainsFunc(said.statuses, span.failure)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		if said.statuses == nil {
			switch {
			case above != nil:
				said.statuses, said.inherited, inherits = above, true, true
			case said.blank:
				said.statuses = last
			}
		}
		last = said.statuses
		facts = append(facts, v.factsOf(r.line, said)...)
		if len(facts) > maxFacts {
			return nil, false, fmt.Errorf("line %d: page states more than %d values", r.line, maxFacts)
		}
	}
	if !about {
		return nil, false, nil
	}
	return facts, inherits, first
}

// columns are the columns of a table that say something about errors.
type columns struct {
	status, code, typ, advice []int
	retry                     int // -1 for none
}

func columnsOf(header row) columns {
	c := columns{retry: -1}
	for i, cell := range header.cells {
		switch columnOf(cell) {
		case columnStatus:
			c.status = append(c.status, i)
		case columnCode:
			c.code = append(c.code, i)
		case columnType:
			c.typ = append(c.typ, i)
		case columnRetry:
			if c.retry < 0 {
				c.retry = i
			}
		case columnAdvice:
			c.advice = append(c.advice, i)
		case columnOther:
		}
	}
	return c
}

// saying is what one row of a table says before headings are looked at.
type saying struct {
	statuses     []span
	codes, types []string
	retry        ruling
	known        bool // the registry has one of the codes or types
	blank        bool // the cell of the status is empty
	inherited    bool // the statuses are those of a heading
}

func (v *vocabulary) row(r row, c columns) (saying, error) {
	var s saying
	for _, list := range [][]int{c.status, c.code, c.typ} {
		for _, i := range list {
			if err := v.cell(&s, r.cell(i), &c, i); err != nil {
				return s, fmt.Errorf("line %d: %w", r.line, err)
			}
		}
	}
	if len(s.statuses) > maxValues || len(s.codes) > maxValues || len(s.types) > maxValues {
		return s, fmt.Errorf("line %d: row lists more than %d values", r.line, maxValues)
	}
	if c.retry >= 0 {
		advice := make([]string, len(c.advice))
		for i, column := range c.advice {
			advice[i] = r.cell(column)
		}
		s.retry = rulingOf(r.cell(c.retry), strings.Join(advice, " "))
	}
	return s, nil
}

// cell reads a cell of the columns that name an error. What stands there decides more than the header: a
// number is a status also in a column of codes, and a known code is one also in a column of statuses, where Google has its own.
func (v *vocabulary) cell(s *saying, cell string, c *columns, i int) error {
	text, marked := plain(cell)
	inStatus, inType := slices.Contains(c.status, i), slices.Contains(c.typ, i)
	if isNone(text) {
		s.blank = s.blank || inStatus && text == ""
		return nil
	}
	spans, rest := leadingStatuses(text)
	s.statuses = append(s.statuses, spans...)
	list, ok := tokens(rest, slices.DeleteFunc(marked, func(m string) bool {
		_, isStatus := statusOf(m)
		return isStatus
	}))
	if spans != nil || inStatus {
		// The rest is a reason phrase, unless it is known better.
		list = slices.DeleteFunc(list, func(t string) bool { return !v.known(t) })
		ok = ok && len(list) > 0 || spans != nil
	}
	if !ok {
		if inStatus {
			return fmt.Errorf("status %s is not 100 to 599", quote(text))
		}
		return fmt.Errorf("code or type %s is not 1 to 64 bytes of [A-Za-z0-9_.-]", quote(text))
	}
	for _, token := range list {
		s.known = s.known || v.known(token)
		if v.isType(token, inType, len(s.codes) > 0) {
			s.types = append(s.types, token)
		} else {
			s.codes = append(s.codes, token)
		}
	}
	return nil
}

// isType reports whether a token names a type: as its column says, unless the registry knows it as the other one only or
// its dialect has a slot for the other one only.
func (v *vocabulary) isType(token string, inType, hasCode bool) bool {
	isCode, isType := len(v.byCode[token]) > 0, len(v.byType[token]) > 0
	switch {
	case inType && hasCode:
		return true
	case isCode != isType:
		return isType
	case isCode:
		return inType
	case inType:
		return v.slots&errcodes.SlotType != 0 || v.slots&errcodes.SlotCode == 0
	}
	return v.slots&errcodes.SlotCode == 0 && v.slots&errcodes.SlotType != 0
}

// factsOf gives every code, else every type, each of the statuses. A row about success alone says nothing.
func (v *vocabulary) factsOf(line int, s saying) []fact {
	if s.statuses != nil && !slices.ContainsFunc(s.statuses, span.failure) {
		return nil
	}
	var facts []fact
	add := func(f fact, rows []int) {
		statuses := v.expand(s.statuses, rows, s.inherited)
		if statuses == nil {
			statuses = []int{0}
		}
		for _, status := range statuses {
			f.line, f.status, f.retry = line, status, s.retry
			facts = append(facts, f)
		}
	}
	switch {
	case len(s.codes) > 0:
		for _, code := range s.codes {
			add(fact{code: code, types: s.types}, v.byCode[code])
		}
	case len(s.types) > 0:
		for _, typ := range s.types {
			add(fact{types: []string{typ}}, v.byType[typ])
		}
	case s.statuses != nil:
		add(fact{}, v.all)
	}
	return facts
}

// compare holds the facts of a page against the rows.
func (v *vocabulary) compare(facts []fact) []Drift {
	c := comparison{
		vocabulary: v, facts: map[subject][]fact{}, seen: map[Drift]bool{},
		wrongStatus: map[subject]bool{}, wrongRetry: map[place]bool{},
	}
	for _, f := range facts {
		c.facts[f.subject()] = append(c.facts[f.subject()], f)
		c.has[f.status] = true
		c.rules = c.rules || f.retry.words != ""
		for _, typ := range f.types {
			c.types = append(c.types, typeAt{typ, f.status})
		}
	}
	for _, f := range facts {
		rows := c.rowsOf(f.subject())
		if len(rows) == 0 {
			c.add(Drift{Kind: KindAdded, Line: f.line, Code: f.code, Type: f.typ(), Status: f.status, Page: f.name()})
			continue
		}
		c.pageType(f, rows)
		c.pageStatus(f, rows)
		c.pageRetry(f, rows)
	}
	for i := range v.rows {
		if v.documented(i) && c.present(i) {
			c.rowStatus(i)
			c.rowRetry(i)
		}
	}
	slices.SortStableFunc(c.drifts, func(a, b Drift) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return c.drifts
}

// subject is what facts are about: a code, else a type, else a status. The others are zero.
type subject struct {
	code, typ string
	status    int
}

func (f fact) subject() subject {
	switch {
	case f.code != "":
		return subject{code: f.code}
	case len(f.types) > 0:
		return subject{typ: f.types[0]}
	}
	return subject{status: f.status}
}

// typ returns the type that names the row, "" where a code or the status does.
func (f fact) typ() string { return f.subject().typ }

// name returns what names the row: its code, else its type, else its status.
func (f fact) name() string {
	s := f.subject()
	return cmp.Or(s.code, s.typ, strconv.Itoa(s.status))
}

// place is one fact about a subject.
type place struct {
	subject subject
	line    int
	status  int
}

func (f fact) place() place { return place{f.subject(), f.line, f.status} }

// typeAt is a type that the page names, with a code or without, beside a status.
type typeAt struct {
	typ    string
	status int
}

type comparison struct {
	*vocabulary

	facts       map[subject][]fact
	types       []typeAt
	has         [600]bool // the page has the status
	rules       bool      // the page has retry rules
	drifts      []Drift
	seen        map[Drift]bool
	wrongStatus map[subject]bool // a drift in status is reported
	wrongRetry  map[place]bool   // a drift in the retry rule is reported
}

func (c *comparison) add(d Drift) {
	if !c.seen[d] {
		c.seen[d] = true
		c.drifts = append(c.drifts, d)
	}
}

func (c *comparison) rowsOf(s subject) []int {
	switch {
	case s.code != "":
		return c.byCode[s.code]
	case s.typ != "":
		return c.byType[s.typ]
	}
	return c.byStatus[s.status]
}

// pageType reports a type beside a code that no row of the code has.
func (c *comparison) pageType(f fact, rows []int) {
	if f.code == "" || len(f.types) == 0 || slices.ContainsFunc(rows, func(i int) bool { return slices.Contains(f.types, c.rows[i].Type) }) {
		return
	}
	c.add(Drift{
		Kind: KindType, Line: f.line, Code: f.code, Status: f.status,
		Page: strings.Join(f.types, ", "), Registry: c.list(rows, func(e errcodes.Entry) string { return e.Type }),
	})
}

// pageStatus reports a status that none of the rows has.
func (c *comparison) pageStatus(f fact, rows []int) {
	if f.status == 0 || slices.ContainsFunc(rows, func(i int) bool { return c.rows[i].Status == f.status }) {
		return
	}
	c.wrongStatus[f.subject()] = true
	c.add(Drift{
		Kind: KindStatus, Line: f.line, Code: f.code, Type: f.typ(), Status: f.status,
		Page: strconv.Itoa(f.status), Registry: c.list(rows, func(e errcodes.Entry) string { return strconv.Itoa(e.Status) }),
	})
}

// pageRetry reports a retry rule that none of the rows has.
func (c *comparison) pageRetry(f fact, rows []int) {
	if f.retry.words == "" {
		return
	}
	rows = c.narrow(f, rows)
	if f.retry.clear && slices.ContainsFunc(rows, func(i int) bool { return c.rows[i].Retry == f.retry.rule }) {
		return
	}
	c.wrongRetry[f.place()] = true
	c.addRetry(f, rows)
}

func (c *comparison) addRetry(f fact, rows []int) {
	c.add(Drift{
		Kind: KindRetry, Line: f.line, Code: f.code, Type: f.typ(), Status: f.status,
		Page: f.retry.String(), Registry: c.list(rows, func(e errcodes.Entry) string { return e.Retry.String() }),
	})
}

// narrow leaves the rows that also have the types and the status of the fact, as far as there are any, and of these the documented ones.
func (c *comparison) narrow(f fact, rows []int) []int {
	for _, keep := range []func(int) bool{
		func(i int) bool { return len(f.types) == 0 || slices.Contains(f.types, c.rows[i].Type) },
		func(i int) bool { return f.status == 0 || c.rows[i].Status == f.status },
		c.documented,
	} {
		var kept []int
		for _, i := range rows {
			if keep(i) {
				kept = append(kept, i)
			}
		}
		if kept != nil {
			rows = kept
		}
	}
	return rows
}

// list joins a value of the rows, the documented ones if there are any, each once.
func (c *comparison) list(rows []int, value func(errcodes.Entry) string) string {
	var values []string
	for _, i := range c.narrow(fact{}, rows) {
		if s := value(c.rows[i]); s != "" && !slices.Contains(values, s) {
			values = append(values, s)
		}
	}
	return strings.Join(values, ", ")
}

// present reports whether the page has the documented row i, by its code, else by its type, else by its status, as far as the
// provider states them. What is missing is added to the drifts, unless another status was reported in its place.
func (c *comparison) present(i int) bool {
	e := c.rows[i]
	if wire := e.WireCode(); wire != "" && c.states(i, "code") {
		if c.facts[subject{code: wire}] != nil {
			return true
		}
		c.add(Drift{Kind: KindRemoved, Code: wire, Status: e.Status, Registry: wire})
		return false
	}
	if e.Type != "" && c.states(i, "type") && len(c.types) > 0 {
		typed := false // the page names types of this status
		for _, t := range c.types {
			if t.typ == e.Type && (t.status == 0 || t.status == e.Status) {
				return true
			}
			typed = typed || t.status == e.Status
		}
		if !typed && c.has[e.Status] {
			return true
		}
		if !c.wrongStatus[subject{typ: e.Type}] {
			c.add(Drift{Kind: KindRemoved, Type: e.Type, Status: e.Status, Registry: e.Type})
		}
		return false
	}
	if !c.has[e.Status] {
		c.add(Drift{Kind: KindRemoved, Status: e.Status, Registry: strconv.Itoa(e.Status)})
	}
	return c.has[e.Status]
}

// rowStatus reports the status of row i when the page gives its code others only.
func (c *comparison) rowStatus(i int) {
	e := c.rows[i]
	s := subject{code: e.WireCode()}
	facts := c.facts[s]
	if len(facts) == 0 || c.wrongStatus[s] || slices.ContainsFunc(facts, func(f fact) bool { return f.status == 0 || f.status == e.Status }) {
		return
	}
	var said []string
	for _, f := range facts {
		if status := strconv.Itoa(f.status); !slices.Contains(said, status) {
			said = append(said, status)
		}
	}
	c.add(Drift{
		Kind: KindStatus, Line: facts[0].line, Code: s.code, Status: facts[0].status,
		Page: strings.Join(said, ", "), Registry: strconv.Itoa(e.Status),
	})
}

// rowRetry reports the retry rule of row i when the page gives others only, by the most exact name that it gives a rule to: one
// rule for a whole status may be right for another row of that status and wrong for this one. A page that has rules but none for
// the row is a drift as well, where the provider is said to state it.
func (c *comparison) rowRetry(i int) {
	e := c.rows[i]
	var named *fact // what stands for the row on the page
	for _, s := range []subject{{code: e.WireCode()}, {typ: e.Type}, {status: e.Status}} {
		var covering []fact
		for _, f := range c.facts[s] {
			if s == (subject{}) || !slices.Contains(c.narrow(f, c.rowsOf(s)), i) {
				continue
			}
			if named == nil {
				named = &f
			}
			if f.retry.words != "" {
				covering = append(covering, f)
			}
		}
		if covering == nil {
			continue
		}
		if !slices.ContainsFunc(covering, func(f fact) bool {
			return f.retry.clear && f.retry.rule == e.Retry || c.wrongRetry[f.place()]
		}) {
			c.addRetry(covering[0], []int{i})
		}
		return
	}
	if named != nil && c.rules && c.states(i, "retry rule") {
		c.addRetry(*named, []int{i})
	}
}
