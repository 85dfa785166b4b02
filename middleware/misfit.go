package middleware

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/errwire/errwire/errcodes"
)

// fieldNames holds the names that occur in a type, at any depth, by what all their spellings have in common. Where two fields
// differ in case alone, "" stands for both.
type fieldNames map[string]string

// namesOf returns the names in t.
func (d *Decoder) namesOf(t reflect.Type) fieldNames {
	if known, ok := d.types.Load(t); ok {
		return known.(fieldNames) //nolint:forcetypeassert // Nothing else is put there.
	}
	names := fieldNames{}
	names.collect(t, map[reflect.Type]bool{})
	d.types.Store(t, names)
	return names
}

func (n fieldNames) collect(t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		if !seen[t] {
			seen[t] = true
			n.collect(t.Elem(), seen)
		}
	case reflect.Struct:
		if seen[t] {
			return
		}
		seen[t] = true
		for f := range t.Fields() {
			name, embedded, skipped := jsonName(&f)
			if skipped {
				continue
			}
			if !embedded {
				folded := string(appendFolded(nil, []byte(name)))
				if like, ok := n[folded]; ok && like != name {
					name = ""
				}
				n[folded] = name
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

// suspects reports whether data, which is valid JSON, may hold a name that encoding/json takes for that of a field, though it is spelled otherwise. It looks
// at names only, wherever they stand, and is sometimes wrong: misfits knows.
func (n fieldNames) suspects(data []byte) bool {
	var room [64]byte
	for {
		begin := bytes.IndexByte(data, '"')
		if begin < 0 {
			return false
		}
		data = data[begin+1:]
		end := stringEnd(data)
		if end < 0 {
			return false
		}
		name := data[:end]
		data = data[end+1:]
		for len(data) > 0 && (data[0] == ' ' || data[0] == '\t' || data[0] == '\r' || data[0] == '\n') {
			data = data[1:]
		}
		if len(data) == 0 || data[0] != ':' {
			continue
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			var plain string
			if json.Unmarshal(append(append([]byte{'"'}, name...), '"'), &plain) != nil {
				return true
			}
			name = []byte(plain)
		}
		if like, ok := n[string(appendFolded(room[:0], name))]; ok && like != string(name) {
			return true
		}
	}
}

// stringEnd returns where the string ends that data is inside of, -1 for nowhere.
func stringEnd(data []byte) int {
	for end := 0; ; end++ {
		i := bytes.IndexByte(data[end:], '"')
		if i < 0 {
			return -1
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

// misfits lists what in data, which is valid JSON, does not fit the type t, in the order of data: values of the wrong kind, and if strict unknown names.
// encoding/json stops at the first and does not say in which item of an array. Where it would take a name for that of a field which is spelled otherwise, the
// name is made unrecognisable in data.
func misfits(data []byte, t reflect.Type, strict bool) []errcodes.FieldError {
	m := misfitting{data: data, dec: json.NewDecoder(bytes.NewReader(data)), strict: strict, structs: map[reflect.Type]map[string]member{}}
	_ = m.value(t, false, place{})
	return m.found
}

type misfitting struct {
	data    []byte
	dec     *json.Decoder
	strict  bool
	found   []errcodes.FieldError
	structs map[reflect.Type]map[string]member
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
)

// isLeaf reports whether t reads its value as a whole.
func isLeaf(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// value looks at the next value, which is for a t.
func (m *misfitting) value(t reflect.Type, quoted bool, at place) error {
	for t.Kind() == reflect.Pointer && !isLeaf(t) {
		t = t.Elem()
	}
	kind := t.Kind()
	if quoted || isLeaf(t) || kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return m.leaf(t, quoted, at)
	}
	switch kind {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
	default:
		return m.leaf(t, false, at)
	}
	token, err := m.dec.Token()
	if err != nil {
		return err
	}
	switch object := kind == reflect.Struct || kind == reflect.Map; {
	case token == nil:
		return nil
	case token == json.Delim('{') && object:
		return m.object(t, at)
	case token == json.Delim('[') && !object:
		for i := 0; m.dec.More(); i++ {
			if err := m.value(t.Elem(), false, at.item(i)); err != nil {
				return err
			}
		}
		_, err := m.dec.Token()
		return err
	}
	if err := m.add(at, "type", "must be "+kindWords(t)); err != nil {
		return err
	}
	return m.skip(token)
}

// skip reads what remains of the value that begins with token.
func (m *misfitting) skip(token json.Token) error {
	for depth := 0; ; {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if token, err = m.dec.Token(); err != nil {
			return err
		}
	}
}

// leaf lets encoding/json read the next value.
func (m *misfitting) leaf(t reflect.Type, quoted bool, at place) error {
	var raw json.RawMessage
	if err := m.dec.Decode(&raw); err != nil {
		return err
	}
	target, text := t, []byte(raw)
	if quoted {
		target = reflect.StructOf([]reflect.StructField{{Name: "V", Type: t, Tag: `json:"v,string"`}})
		text = append(append([]byte(`{"v":`), raw...), '}')
	}
	if json.Unmarshal(text, reflect.New(target).Interface()) == nil {
		return nil
	}
	predicate := "must be " + kindWords(t)
	if quoted {
		predicate += ", written as a string"
	}
	return m.add(at, "type", predicate)
}

// object looks at what follows a brace.
func (m *misfitting) object(t reflect.Type, at place) error {
	var members map[string]member
	if t.Kind() == reflect.Struct {
		members = m.members(t)
	}
	for m.dec.More() {
		before := m.dec.InputOffset()
		token, err := m.dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if t.Kind() == reflect.Map {
			err = m.entry(t, name, at.field(name))
		} else {
			err = m.member(members, name, before, at)
		}
		if err != nil {
			return err
		}
	}
	_, err := m.dec.Token()
	return err
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

// member looks at the field of a struct whose name was read, from somewhere behind the offset before.
func (m *misfitting) member(members map[string]member, name string, before int64, at place) error {
	if f, ok := members[name]; ok && !f.hidden {
		return m.value(f.t, f.quoted, at.field(name))
	}
	predicate := "is unknown"
	if like, found := spelledOtherwise(members, name); found {
		predicate += fmt.Sprintf("; there is one that is spelled %q", like)
		written := m.data[before:m.dec.InputOffset()]
		written = written[bytes.IndexByte(written, '"')+1 : len(written)-1]
		for i := range written {
			written[i] = noName
		}
	}
	if m.strict {
		if err := m.add(at.field(name), "unknown", predicate); err != nil {
			return err
		}
	}
	var ignored json.RawMessage
	return m.dec.Decode(&ignored)
}

func spelledOtherwise(members map[string]member, name string) (string, bool) {
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
func (m *misfitting) members(t reflect.Type) map[string]member {
	if known, ok := m.structs[t]; ok {
		return known
	}
	all := map[string]member{}
	gather(t, 0, all, map[reflect.Type]bool{})
	m.structs[t] = all
	return all
}

func gather(t reflect.Type, depth int, all map[string]member, on map[reflect.Type]bool) {
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
		found := member{
			name: name, t: f.Type, depth: depth, tagged: validName(tag),
			quoted: strings.Contains(","+options+",", ",string,") && quotable(f.Type),
		}
		other, taken := all[name]
		switch {
		case !taken, depth < other.depth, depth == other.depth && found.tagged && !other.tagged:
			all[name] = found
		case depth == other.depth && found.tagged == other.tagged:
			other.hidden = true
			all[name] = other
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
	case t == reflect.TypeFor[json.Number]():
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
