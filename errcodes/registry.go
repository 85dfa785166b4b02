package errcodes

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
)

// Registry is a provider's whole error vocabulary. It never changes and is safe for
// concurrent use. Make one with [New] or [Registry.With]; the zero value and nil
// hold no rows, and [Registry.Match] of them still answers from the status alone.
type Registry struct {
	name    string
	dialect Dialect
	rows    []Entry
	given   int // rows[:given] were given to New, the others are generic
	byCode  map[Code]int
	byWire  map[string][]int
	byType  map[string][]int
}

// New returns a registry of the given rows, in the dialect d, completed with the generic rows for
// every condition of this package's first list that is missing (Source "errwire"). A generic
// row that the wire cannot tell from a row already there takes over its status, class, retry rule and
// MaybeExecuted, because no reader could know better; where that changes what it means, its prose and RetryAfter too.
//
// It fails with one joined error that names every bad row: a duplicate code; rows that
// the wire cannot tell apart but that disagree in status, class, retry or MaybeExecuted; a row whose own
// status, code and type [Registry.Match] would read as another rule; a field outside the bounds that [Entry]
// states. name must be a token as well; d must not be nil.
func New(name string, d Dialect, entries ...Entry) (*Registry, error) {
	var errs []error
	if !isToken(name) {
		errs = append(errs, fmt.Errorf("name %q must be 1 to 64 bytes of [A-Za-z0-9_.-]", name))
	}
	if d == nil {
		errs = append(errs, errors.New("dialect must not be nil"))
		return nil, joinNamed(name, errs)
	}
	r := &Registry{
		name: name, dialect: d,
		rows:   make([]Entry, 0, len(entries)+len(genericRows)),
		byCode: make(map[Code]int, len(entries)+len(genericRows)),
		byWire: make(map[string][]int), byType: make(map[string][]int),
	}
	for _, e := range entries {
		errs = append(errs, e.check()...)
		if _, ok := r.byCode[e.Code]; ok {
			errs = append(errs, fmt.Errorf("row %q: code is defined twice", string(e.Code)))
			continue
		}
		e = r.trim(e)
		if twin, ok := r.twin(e); ok && !agree(twin, e) {
			errs = append(errs, fmt.Errorf(
				"row %q: the wire cannot tell it from row %q (status %d, code %q, type %q), so both need the same status, class, retry and MaybeExecuted",
				string(e.Code), string(twin.Code), e.Status, e.WireCode(), e.Type))
		}
		r.add(e)
	}
	if err := joinNamed(name, errs); err != nil {
		return nil, err
	}
	r.given = len(r.rows)
	for _, e := range genericRows {
		if _, ok := r.byCode[e.Code]; ok {
			continue
		}
		e = r.trim(e)
		if twin, ok := r.twin(e); ok && !agree(twin, e) {
			twin.Code, twin.Wire, twin.Source = e.Code, e.Wire, SourceErrwire
			if e.Status == twin.Status && e.Retry == twin.Retry && e.MaybeExecuted == twin.MaybeExecuted {
				// Only the class is out of reach for the reader: the prose is still right.
				twin.Message, twin.Cause, twin.Fix, twin.Param, twin.RetryAfter = e.Message, e.Cause, e.Fix, e.Param, e.RetryAfter
			}
			e = twin
		}
		r.add(e)
	}
	for i := range r.rows {
		e := &r.rows[i]
		if got := r.Match(e.Status, e.WireCode(), e.Type); !agree(got, *e) {
			errs = append(errs, fmt.Errorf(
				"row %q: status %d, code %q, type %q would be read as row %q, which has another status, class, retry or MaybeExecuted",
				string(e.Code), e.Status, e.WireCode(), e.Type, string(got.Code)))
		}
	}
	if err := joinNamed(name, errs); err != nil {
		return nil, err
	}
	return r, nil
}

// With returns a new registry in which entries replace the rows of the same code and stand
// before the others; r stays as it was. It fails as [New] does. The name stays, and so does the order
// of what is not replaced.
func (r *Registry) With(entries ...Entry) (*Registry, error) {
	if r.Dialect() == nil {
		return nil, errors.New("errcodes: registry is nil or was not made by New")
	}
	replaced := make(map[Code]bool, len(entries))
	for _, e := range entries {
		replaced[e.Code] = true
	}
	all := slices.Clone(entries)
	// The generic rows are filled in anew, so that they give way to the new entries.
	for _, e := range r.rows[:r.given] {
		if !replaced[e.Code] {
			all = append(all, e)
		}
	}
	return New(r.name, r.dialect, all...)
}

// Name returns the name given to [New], "" for nil.
func (r *Registry) Name() string {
	if r == nil {
		return ""
	}
	return r.name
}

// Dialect returns the dialect given to [New], nil for a nil or zero registry.
func (r *Registry) Dialect() Dialect {
	if r == nil {
		return nil
	}
	return r.dialect
}

// Lookup returns the row of the condition c, and whether there is one. A nil registry has none.
func (r *Registry) Lookup(c Code) (Entry, bool) {
	if r == nil {
		return Entry{}, false
	}
	i, ok := r.byCode[c]
	if !ok {
		return Entry{}, false
	}
	return r.rows[i], true
}

// All returns every row: those given to [New] in their order, then the generic ones.
func (r *Registry) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if r == nil {
			return
		}
		for _, e := range r.rows {
			if !yield(e) {
				return
			}
		}
	}
}

// Match returns the row that a response means: by its wire code, else by its type, else by
// its status, else a row made from the status alone, whose Code is "". It always answers.
//
// wire and typ are compared byte by byte; "" is absent. A type that stands for rows of several classes
// or retry rules is settled by the status: server_error with 503 is the row for 503. Where several rows are left, the one
// without a code wins, then the one that stands for its status in general, then the earlier one: a code that is absent is
// not read into a response, unless type and status leave no other retry rule.
func (r *Registry) Match(status int, wire, typ string) Entry {
	if e, by := r.MatchBy(status, wire, typ); by != MatchedNothing {
		return e
	}
	return byStatus(status)
}

// Matched says what led [Registry.MatchBy] to its row.
type Matched uint8

// What a row was found by.
const (
	MatchedNothing Matched = iota // no row of the registry fits
	MatchedCode                   // the code on the wire
	MatchedType                   // the type
	MatchedStatus                 // the status
)

// MatchBy is [Registry.Match] without its last resort. It returns the row and what led
// to it, or the zero Entry and MatchedNothing when no row of the registry fits.
func (r *Registry) MatchBy(status int, wire, typ string) (Entry, Matched) {
	if r == nil {
		return Entry{}, MatchedNothing
	}
	if i := r.matchCode(status, wire, typ); i >= 0 {
		return r.rows[i], MatchedCode
	}
	general := r.forStatus(status)
	if i, firm := r.matchType(status, typ); i >= 0 {
		e := &r.rows[i]
		// A special row needs its code, unless what the status says in general would be another rule.
		if firm || general < 0 || e.Status == status && e.Retry != r.rows[general].Retry {
			return *e, MatchedType
		}
	}
	if general >= 0 {
		return r.rows[general], MatchedStatus
	}
	return Entry{}, MatchedNothing
}

// matchCode returns the row with that code, best with that type and status too; -1 for none.
func (r *Registry) matchCode(status int, wire, typ string) int {
	found, score := -1, -1
	if wire == "" {
		return found
	}
	for _, i := range r.byWire[wire] {
		s := 0
		if r.rows[i].Type == typ {
			s += 2
		}
		if r.rows[i].Status == status {
			s++
		}
		if s > score {
			found, score = i, s
		}
	}
	return found
}

// matchType returns the row for that type, -1 for none, and whether type and status are enough to be sure: a row of that
// status that needs no code, or a type all of whose rows follow one rule.
func (r *Registry) matchType(status int, typ string) (int, bool) {
	rows := r.byType[typ]
	if typ == "" || len(rows) == 0 {
		return -1, false
	}
	if i := r.preferred(func(e *Entry) bool { return e.Type == typ && e.Status == status }); i >= 0 {
		return i, r.rows[i].stands()
	}
	first := &r.rows[rows[0]]
	firm := !slices.ContainsFunc(rows, func(i int) bool {
		e := &r.rows[i]
		return e.Class != first.Class || e.Retry != first.Retry || e.MaybeExecuted != first.MaybeExecuted
	})
	return r.preferred(func(e *Entry) bool { return e.Type == typ }), firm
}

// forStatus returns the row that stands for a status when no code and no type is known; -1 for none. One without a
// type comes first, since that is what such a response would be on the wire.
func (r *Registry) forStatus(status int) int {
	i := r.preferred(func(e *Entry) bool { return e.Status == status && e.Type == "" && e.stands() })
	if i < 0 {
		i = r.preferred(func(e *Entry) bool { return e.Status == status && e.stands() })
	}
	return i
}

// stands reports whether e can be meant by a response without a code.
func (e Entry) stands() bool { return e.WireCode() == "" || e.Code == generalCode(e.Status) }

// preferred returns the row among those that fit which says the least: without a code and standing for its status
// in general, else without a code, else standing for its status, else the first; -1 for none.
func (r *Registry) preferred(fits func(*Entry) bool) int {
	found, score := -1, -1
	for i := range r.rows {
		e := &r.rows[i]
		if !fits(e) {
			continue
		}
		s := 0
		if e.WireCode() == "" {
			s += 2
		}
		if e.Code == generalCode(e.Status) {
			s++
		}
		if s > score {
			found, score = i, s
		}
	}
	return found
}

// trim takes away what the dialect has no slot for, so that a row says what the wire says.
func (r *Registry) trim(e Entry) Entry {
	slots := r.dialect.Slots()
	if slots&SlotCode == 0 {
		e.Wire = NoCode
	}
	if slots&SlotType == 0 {
		e.Type = ""
	}
	return e
}

// twin returns a row that the wire cannot tell from e: the same code and type, or
// for rows without a code the same type and status.
func (r *Registry) twin(e Entry) (Entry, bool) {
	wire := e.WireCode()
	for _, o := range r.rows {
		if o.WireCode() == wire && o.Type == e.Type && (wire != "" || o.Status == e.Status) {
			return o, true
		}
	}
	return Entry{}, false
}

func agree(a, b Entry) bool {
	return a.Status == b.Status && a.Class == b.Class && a.Retry == b.Retry && a.MaybeExecuted == b.MaybeExecuted
}

func (r *Registry) add(e Entry) {
	i := len(r.rows)
	r.rows = append(r.rows, e)
	r.byCode[e.Code] = i
	if wire := e.WireCode(); wire != "" {
		r.byWire[wire] = append(r.byWire[wire], i)
	}
	if e.Type != "" {
		r.byType[e.Type] = append(r.byType[e.Type], i)
	}
}

// byStatus returns a row for a status that the registry does not know, its Code empty.
func byStatus(status int) Entry {
	e := Entry{Wire: NoCode, Status: status, Message: emptyMessage, Source: SourceErrwire}
	switch code := generalCode(status); {
	case code != "":
		g := genericRow(code)
		e.Class, e.Retry, e.Message = g.Class, g.Retry, g.Message
		e.Cause, e.Fix = g.Cause, g.Fix
	case status == http.StatusProxyAuthRequired, status == http.StatusNetworkAuthenticationRequired:
		e.Class = ClassAuthentication
	case status == http.StatusGone:
		e.Class = ClassNotFound
	case status == http.StatusUnavailableForLegalReasons:
		e.Class = ClassPermission
	case status == http.StatusRequestHeaderFieldsTooLarge, status == http.StatusRequestURITooLong:
		e.Class = ClassTooLarge
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		e.Class = ClassUnsupported
	case status == http.StatusTooEarly:
		// RFC 8470 section 5.2: the request may be sent again once it is not early data.
		e.Class, e.Retry = ClassServerError, RetryOnce
	case status == 522, status == 524: // edges in front of a server that does not answer in time
		e.Class, e.Retry = ClassTimeout, RetryBackoff
	case status >= 520 && status < 600:
		e.Class, e.Retry = ClassServerError, RetryBackoff
	case status >= 500 && status < 600:
		e.Class, e.Retry = ClassServerError, RetryOnce
	case status >= 400 && status < 500:
		e.Class = ClassInvalidRequest
	}
	return e
}
