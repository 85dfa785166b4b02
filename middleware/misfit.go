package middleware

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fieldNames is what the names in a type, at any depth, look like.
type fieldNames struct {
	// spelled holds them by what all their spellings have in common.
	spelled map[string]spelling
	// exact says that there are arrays of a fixed length.
	exact bool
	// unordered says that there may be maps.
	unordered bool
	// unsettable is an embedded pointer that encoding/json cannot set, "" for none.
	unsettable string
}

// spelling is a name. Where two fields differ in case alone, "" stands for both.
type spelling struct {
	name   string
	number int
}

// namesOf returns the names in t.
func (d *Decoder) namesOf(t reflect.Type) *fieldNames {
	if known, ok := d.types.Load(t); ok {
		return known.(*fieldNames) //nolint:forcetypeassert // Nothing else is put there.
	}
	names := &fieldNames{spelled: map[string]spelling{}}
	names.collect(t, map[reflect.Type]bool{})
	d.types.Store(t, names)
	return names
}

func (n *fieldNames) collect(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		n.unordered = true
	case reflect.Pointer, reflect.Slice, reflect.Map:
		n.unordered = n.unordered || t.Kind() == reflect.Map
		n.collect(t.Elem(), seen)
	case reflect.Array:
		n.exact = n.exact || !isLeaf(t)
		n.collect(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			name, embedded, skipped := jsonName(&f)
			if skipped {
				continue
			}
			if embedded && !f.IsExported() && f.Type.Kind() == reflect.Pointer {
				n.unsettable = f.Name
			}
			if !embedded {
				folded := string(appendFolded(nil, []byte(name)))
				like, ok := n.spelled[folded]
				if !ok {
					like = spelling{name: name, number: len(n.spelled)}
				} else if like.name != name {
					like.name = ""
				}
				n.spelled[folded] = like
			}
			n.collect(f.Type, seen)
		}
	default:
	}
}

// appendFolded appends what all names have in common that encoding/json takes for the same as name: the least of the runes that differ in case alone.
func appendFolded(dst, name []byte) []byte {
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(name[i:])
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(r) {
			if next < r {
				r = next
				break
			}
			r = next
		}
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst
}

// numbersSeen says which names an object has; of a type with more than 256, some share a place.
type numbersSeen [4]uint64

// add reports whether n was there.
func (s *numbersSeen) add(n int) bool {
	word, bit := &s[n/64%len(s)], uint64(1)<<(n%64)
	was := *word&bit != 0
	*word |= bit
	return was
}

// suspects reports whether encoding/json may read data, which is valid JSON, in another way than what stands in front of the handler does: because it takes
// names for that of a field which are spelled otherwise, because it mixes the values of a field that is given twice, or because it fits lists to arrays of a
// fixed length. It looks at names only, wherever they stand, and is sometimes wrong: misfits knows.
func (n *fieldNames) suspects(data []byte) bool {
	if n.exact {
		return true
	}
	var room [64]byte
	var levels [16]numbersSeen
	objects := levels[:0]
	for i := 0; i < len(data); {
		c := data[i]
		i++
		switch c {
		case '{':
			objects = append(objects, numbersSeen{})
			continue
		case '}':
			objects = objects[:len(objects)-1]
			continue
		case '"':
		default:
			continue
		}
		end := stringEnd(data[i:])
		name := data[i : i+end]
		if i = skipSpace(data, i+end+1); i == len(data) || data[i] != ':' {
			continue
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unquoted(name))
		}
		like, ok := n.spelled[string(appendFolded(room[:0], name))]
		if ok && (like.name != string(name) || objects[len(objects)-1].add(like.number)) {
			return true
		}
	}
	return false
}

// stringEnd returns where the string ends that data is inside of. In valid JSON there is such a place.
func stringEnd(data []byte) int {
	for end := 0; ; end++ {
		i := bytes.IndexByte(data[end:], '"')
		if i < 0 {
			return len(data)
		}
		end += i
		slashes := 0
		for slashes < end && data[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
	}
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n') {
		i++
	}
	return i
}

// unquoted decodes what stands between quotation marks in valid JSON.
func unquoted(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var plain string
	_ = json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &plain)
	return plain
}

// misfits lists what in data, which is valid JSON, does not fit the type t, in the order of data: values of the wrong kind, and if strict unknown names.
// encoding/json stops at the first and does not say in which item of an array.
//
// What encoding/json should not look at is made unrecognisable in data: names that it would take for that of a field which is spelled otherwise, and fields that
// are given again later in the same object. It would leave in place what the last value does not overwrite.
func misfits(data []byte, t reflect.Type, strict bool) []flaw {
	m := misfitting{data: data, next: skipSpace(data, 0), strict: strict, structs: map[reflect.Type]map[string]*member{}}
	_ = m.value(t, false, place{})
	return slices.DeleteFunc(m.found, func(f flaw) bool { return f.void })
}

// misfitting walks over valid JSON: that of a value begins at next.
type misfitting struct {
	data    []byte
	next    int
	strict  bool
	found   []flaw
	structs map[reflect.Type]map[string]*member
}

// noName stands in names that nobody has: no tag can hold it.
const noName = 0x7f

// member is a field of a struct as encoding/json sees it.
type member struct {
	name   string
	t      reflect.Type
	quoted bool // by the option string
	depth  int
	tagged bool
	hidden bool // by another of the same name and depth
}

// full ends the walk.
var errFull = fmt.Errorf("middleware: more than %d fields", maxFields)

func (m *misfitting) add(p place, rule, predicate string) error {
	m.found = append(m.found, p.fails(rule, predicate))
	if len(m.found) == maxFields {
		return errFull
	}
	return nil
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	rawMessageType  = reflect.TypeFor[json.RawMessage]()
	jsonNumberType  = reflect.TypeFor[json.Number]()
)

// isLeaf reports whether t reads its value as a whole.
func isLeaf(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// value looks at the next value, which is for a t, and goes behind it.
func (m *misfitting) value(t reflect.Type, quoted bool, at place) error {
	for t.Kind() == reflect.Pointer && !isLeaf(t) {
		t = t.Elem()
	}
	kind := t.Kind()
	object := kind == reflect.Struct || kind == reflect.Map
	list := kind == reflect.Array || kind == reflect.Slice && t.Elem().Kind() != reflect.Uint8
	if quoted || isLeaf(t) || !object && !list {
		return m.leaf(t, quoted, at)
	}
	switch c := m.data[m.next]; {
	case c == 'n':
	case c == '{' && object:
		return m.object(t, at)
	case c == '[' && list:
		return m.list(t, at)
	default:
		if err := m.add(at, "type", "must be "+kindWords(t)); err != nil {
			return err
		}
	}
	m.skip()
	return nil
}

// skip goes behind the next value and returns it.
func (m *misfitting) skip() []byte {
	begin := m.next
	switch m.data[begin] {
	case '"':
		m.text()
	case '{', '[':
		for depth := 0; ; {
			switch m.data[m.next] {
			case '"':
				m.text()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			m.next++
			if depth == 0 {
				break
			}
		}
	default:
		for m.next < len(m.data) && strings.IndexByte(",]} \t\r\n", m.data[m.next]) < 0 {
			m.next++
		}
	}
	return m.data[begin:m.next]
}

// text goes behind the string that is next, and returns what stands between its quotation marks.
func (m *misfitting) text() []byte {
	begin := m.next + 1
	end := begin + stringEnd(m.data[begin:])
	m.next = end + 1
	return m.data[begin:end]
}

// more goes to the next part of an object or a list, behind its bracket or behind a part; or behind the bracket that closes it, and then there is none.
func (m *misfitting) more() bool {
	m.next = skipSpace(m.data, m.next)
	switch m.data[m.next] {
	case ',':
		m.next = skipSpace(m.data, m.next+1)
	case '}', ']':
		m.next++
		return false
	}
	return true
}

// list looks at the items behind a bracket.
func (m *misfitting) list(t reflect.Type, at place) error {
	before, n := len(m.found), 0
	for m.next++; m.more(); n++ {
		if t.Kind() == reflect.Array && n >= t.Len() {
			m.skip()
		} else if err := m.value(t.Elem(), false, at.item(n)); err != nil {
			return err
		}
	}
	if t.Kind() == reflect.Array && n != t.Len() {
		// encoding/json would throw away what is too much, and put zeros where there is too little.
		wrong := at.fails("type", fmt.Sprintf("must have exactly %d %s", t.Len(), plural(t.Len(), "item")))
		if m.found = slices.Insert(m.found, before, wrong); len(m.found) == maxFields {
			return errFull
		}
	}
	return nil
}

// leaf lets encoding/json read the next value, unless it is plain that it can.
func (m *misfitting) leaf(t reflect.Type, quoted bool, at place) error {
	raw := m.skip()
	if !quoted && suits(raw, t) {
		return nil
	}
	target, text := t, raw
	if quoted {
		target = reflect.StructOf([]reflect.StructField{{Name: "V", Type: t, Tag: `json:"v,string"`}})
		text = append(append([]byte(`{"v":`), raw...), '}')
	}
	if json.Unmarshal(text, reflect.New(target).Interface()) == nil {
		return nil
	}
	predicate := "must be " + kindWords(t)
	switch {
	case quoted:
		predicate += ", written as a string"
	case isNumeric(t) && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		predicate = "must be " + rangeWords(t)
		if t.Kind() != reflect.Float32 && t.Kind() != reflect.Float64 && bytes.ContainsAny(raw, ".eE") {
			predicate += ", without fraction and exponent"
		}
	}
	return m.add(at, "type", predicate)
}

// suits reports whether it is plain that raw can be read as a t.
func suits(raw []byte, t reflect.Type) bool {
	if t == rawMessageType {
		return true
	}
	if isLeaf(t) || t == jsonNumberType {
		return false
	}
	switch t.Kind() {
	case reflect.String:
		return raw[0] == '"'
	case reflect.Bool:
		return raw[0] == 't' || raw[0] == 'f'
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if len(raw) > len("9999") {
			return false
		}
		for _, c := range raw {
			if c < '0' || c > '9' {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// given is a field that an object has.
type given struct {
	field          *member
	name           []byte // in the body
	flawed, behind int    // what is wrong with its value: found[flawed:behind]
}

// object looks at what follows a brace.
func (m *misfitting) object(t reflect.Type, at place) error {
	var members map[string]*member
	if t.Kind() == reflect.Struct {
		members = m.members(t)
	}
	var room [8]given
	before := room[:0]
	for m.next++; m.more(); {
		written := m.text()
		name := unquoted(written)
		m.next = skipSpace(m.data, skipSpace(m.data, m.next)+1) // the colon
		if t.Kind() == reflect.Map {
			if err := m.entry(t, name, at.named(name)); err != nil {
				return err
			}
			continue
		}
		f := members[name]
		if f == nil || f.hidden {
			if err := m.unknown(members, name, written, at); err != nil {
				return err
			}
			continue
		}
		i := slices.IndexFunc(before, func(g given) bool { return g.field == f })
		if i < 0 {
			i = len(before)
			before = append(before, given{field: f})
		} else {
			m.void(&before[i])
		}
		flawed := len(m.found)
		if err := m.value(f.t, f.quoted, at.field(name)); err != nil {
			return err
		}
		before[i].name, before[i].flawed, before[i].behind = written, flawed, len(m.found)
	}
	return nil
}

// void makes that a field was not given.
func (m *misfitting) void(g *given) {
	erase(g.name)
	for i := g.flawed; i < g.behind; i++ {
		m.found[i].void = true
	}
}

func erase(name []byte) {
	for i := range name {
		name[i] = noName
	}
}

// entry looks at the entry of a map whose name was read.
func (m *misfitting) entry(t reflect.Type, name string, at place) error {
	if k := t.Key(); k.Kind() != reflect.String || isLeaf(k) {
		text, err := json.Marshal(map[string]bool{name: true})
		if err != nil || json.Unmarshal(text, reflect.New(reflect.MapOf(k, reflect.TypeFor[any]())).Interface()) != nil {
			if err := m.add(at, "type", "must have as its name "+kindWords(k)); err != nil {
				return err
			}
		}
	}
	return m.value(t.Elem(), false, at)
}

// unknown looks at a field that the struct has not, whose name was read and is written like that.
func (m *misfitting) unknown(members map[string]*member, name string, written []byte, at place) error {
	predicate := "is unknown"
	if like, found := spelledOtherwise(members, name); found {
		predicate += fmt.Sprintf("; there is one that is spelled %q", like)
		erase(written)
	}
	m.skip()
	if m.strict {
		return m.add(at.named(name), "unknown", predicate)
	}
	return nil
}

func spelledOtherwise(members map[string]*member, name string) (string, bool) {
	folded := appendFolded(nil, []byte(name))
	like, found := "", false
	for _, f := range members {
		if !f.hidden && bytes.Equal(appendFolded(nil, []byte(f.name)), folded) && (!found || f.name < like) {
			like, found = f.name, true
		}
	}
	return like, found
}

// members returns the fields of a struct by the rules of encoding/json: of two with one name the less deep counts, then the one with a
// name of its own, and else neither.
func (m *misfitting) members(t reflect.Type) map[string]*member {
	if known, ok := m.structs[t]; ok {
		return known
	}
	all := map[string]*member{}
	gather(t, 0, all, map[reflect.Type]bool{})
	m.structs[t] = all
	return all
}

func gather(t reflect.Type, depth int, all map[string]*member, on map[reflect.Type]bool) {
	if on[t] {
		return
	}
	on[t] = true
	defer delete(on, t)
	for f := range t.Fields() {
		name, embedded, skipped := jsonName(&f)
		if skipped {
			continue
		}
		if embedded {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			gather(inner, depth+1, all, on)
			continue
		}
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		found := &member{
			name: name, t: f.Type, depth: depth, tagged: validName(tag),
			quoted: strings.Contains(","+options+",", ",string,") && quotable(f.Type),
		}
		other, taken := all[name]
		switch {
		case !taken, depth < other.depth, depth == other.depth && found.tagged && !other.tagged:
			all[name] = found
		case depth == other.depth && found.tagged == other.tagged:
			other.hidden = true
		}
	}
}

// quotable reports whether the option string works on t.
func quotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	default:
		return false
	}
}

// kindWords says what JSON a t is read from.
func kindWords(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == timeType:
		return "a time such as 2006-01-02T15:04:05Z (RFC 3339)"
	case t == jsonNumberType:
		return "a number"
	case reflect.PointerTo(t).Implements(jsonUnmarshaler):
		return "of the form that is expected here"
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return "a string of the form that is expected here"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		limit := int64(1) << (t.Bits() - 1)
		return fmt.Sprintf("a whole number from %d to %d", -limit, limit-1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "of the form that is expected here"
	}
}

// isNumeric reports whether t is read from a number.
func isNumeric(t reflect.Type) bool {
	return !isLeaf(t) && quotable(t) && t.Kind() != reflect.Bool && t.Kind() != reflect.String
}

// rangeWords is kindWords of a numeric type, to who sent a number.
func rangeWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		limit := uint64(1) << (t.Bits() - 1)
		return fmt.Sprintf("a whole number from -%d to %d", limit, limit-1)
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Float32, reflect.Float64:
		return fmt.Sprintf("a number that %d bits of floating point can hold", t.Bits())
	default:
		return kindWords(t)
	}
}
