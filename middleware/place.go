package middleware

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/errwire/errwire/errcodes"
)

// place is where a value stands in a body. The zero value is the body itself.
type place struct {
	steps    []step
	size     int  // of the names, in bytes
	internal bool // not read from JSON
	cut      bool // the last steps are missing: somewhere inside of this
	theirs   int  // 1 more than the number of steps up to the first that has its name from the caller; 0 for none
}

// step leads from a value to one of its parts.
type step struct {
	name  string // of a field or in a map
	index int    // of an item, else -1
	order []int  // of a field: where it is declared, through the structs that are embedded; nil in maps
}

const (
	// maxName bounds the names in a body that an error repeats, in bytes.
	maxName = 128
	// maxPlace bounds what an error says of one place.
	maxPlace = 512
	// stepSize is what a step counts beside its name.
	stepSize = 4
)

func (p place) field(name string, order ...int) place {
	if p.cut || len(name) > maxName || !utf8.ValidString(name) {
		p.cut = true
		return p
	}
	return p.then(step{name: name, index: -1, order: order})
}

// named is field for a name that the caller chose: that of a map's entry, or of an unknown field.
func (p place) named(name string) place {
	if p.theirs == 0 {
		p.theirs = 1 + len(p.steps)
	}
	return p.field(name)
}

func (p place) item(i int) place {
	return p.then(step{index: i})
}

func (p place) then(s step) place {
	if p.size += len(s.name) + stepSize; p.cut || p.size > maxPlace {
		p.cut = true
		return p
	}
	p.steps = append(slices.Clip(p.steps), s)
	return p
}

// compare orders places as the type has them: fields as declared, items by index, names in maps by their bytes.
func (p place) compare(q place) int {
	return slices.CompareFunc(p.steps, q.steps, func(a, b step) int {
		return cmp.Or(slices.Compare(a.order, b.order), cmp.Compare(a.index, b.index), cmp.Compare(a.name, b.name))
	})
}

// pointer returns p as a JSON Pointer (RFC 6901), "" for the body.
func (p place) pointer() string {
	var b strings.Builder
	for _, s := range p.steps {
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			_, _ = pointerEscapes.WriteString(&b, s.name)
		}
	}
	return b.String()
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// path returns p as a dotted path: messages[0].role. Names that would be misread in it are quoted: metadata["a.b"].
func (p place) path() string {
	var b strings.Builder
	for i, s := range p.steps {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case !plain(s.name):
			fmt.Fprintf(&b, "[%q]", s.name)
		default:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}

func plain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '$', c == '@':
		default:
			return false
		}
	}
	return name != ""
}

// flaw is a field at fault, and what the server may write down of its place.
type flaw struct {
	errcodes.FieldError

	theirs bool   // the place holds a name that the caller chose
	inside string // up to which it is the type's
	void   bool   // does not count any more
}

// fails is the error of the value at p, which breaks rule. predicate continues the name of the field.
func (p place) fails(rule, predicate string) flaw {
	path := p.path()
	subject := "The field " + path
	switch {
	case p.cut && path == "":
		subject = "A field"
	case p.cut:
		subject = "A field inside of " + path
	case path == "":
		subject = "The request body"
	}
	f := flaw{FieldError: errcodes.FieldError{Pointer: p.pointer(), Path: path, Rule: rule, Message: subject + " " + predicate + "."}}
	if p.theirs > 0 {
		f.theirs, f.inside = true, place{steps: p.steps[:p.theirs-1]}.path()
	}
	return f
}

// jsonName returns the name of a struct field in JSON by the rules of encoding/json. An embedded struct without a name of its own lends its
// fields to the struct around it.
func jsonName(f *reflect.StructField) (name string, embedded, skipped bool) {
	tag, tagged := f.Tag.Lookup("json")
	if tag == "-" {
		return "", false, true
	}
	name, _, _ = strings.Cut(tag, ",")
	t := f.Type
	if f.Anonymous && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !f.IsExported() && (!f.Anonymous || t.Kind() != reflect.Struct) {
		return "", false, true
	}
	if tagged && validName(name) {
		return name, false, false
	}
	return f.Name, f.Anonymous && t.Kind() == reflect.Struct, false
}

func validName(s string) bool {
	for _, r := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return s != ""
}

// locate reads a namespace of validator, which spells the way to a value inside of v in Go names, and returns the place in JSON and the type of the struct
// around it. The value of an embedded struct has no place of its own; lender is its type then, else nil. Keys of maps stand in a namespace as they are, brackets and all, so the value has to show how it is meant.
func locate(rest string, v reflect.Value) (at place, parent, lender reflect.Type) {
	var l locator
	if l.walk(rest, v, v.Type(), place{}, nil) {
		return l.found, l.parent, l.lender
	}
	l.best.cut = l.best.cut || rest != "" && len(l.best.steps) > 0
	return l.best, l.parent, nil
}

type locator struct {
	found, best place
	parent      reflect.Type
	lender      reflect.Type
	tries       int
}

// maxTries bounds what keys full of brackets can cost.
const maxTries = 256

func (l *locator) walk(rest string, v reflect.Value, t reflect.Type, at place, parent reflect.Type, embedded ...int) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		if v.IsValid() && !v.IsNil() {
			v = v.Elem()
			t = v.Type()
			continue
		}
		if t.Kind() == reflect.Interface {
			break
		}
		v, t = reflect.Value{}, t.Elem()
	}
	if len(at.steps) >= len(l.best.steps) {
		l.best, l.parent = at, parent
	}
	if l.tries++; l.tries > maxTries+2*len(at.steps) {
		return false
	}
	if rest == "" || at.cut {
		l.found = at
		if len(embedded) > 0 {
			l.lender = t
		}
		return true
	}
	if rest[0] == '[' {
		return l.walkItem(rest[1:], v, t, at, parent)
	}
	rest = strings.TrimPrefix(rest, ".")
	if t.Kind() != reflect.Struct {
		return false
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name != rest[:end] {
			continue
		}
		var fv reflect.Value
		if v.IsValid() {
			fv = v.Field(i)
		}
		order := append(slices.Clip(embedded), i)
		name, inline, skipped := jsonName(&f)
		if inline && !skipped {
			return l.walk(rest[end:], fv, f.Type, at, t, order...)
		}
		next := at.field(name, order...)
		next.internal = next.internal || skipped
		return l.walk(rest[end:], fv, f.Type, next, t)
	}
	return false
}

// walkItem goes on behind a bracket.
func (l *locator) walkItem(rest string, v reflect.Value, t reflect.Type, at place, parent reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		number, after, _ := strings.Cut(rest, "]")
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || !v.IsValid() || i >= v.Len() {
			return false
		}
		return l.walk(after, v.Index(i), t.Elem(), at.item(i), parent)
	case reflect.Map:
		if !v.IsValid() {
			return false
		}
		// A key may hold brackets, so every one that could end it is tried, the last first: most namespaces end there.
		for end := len(rest); l.tries < maxTries; {
			end = strings.LastIndexByte(rest[:end], ']')
			if end < 0 {
				return false
			}
			if after := rest[end+1:]; after == "" || after[0] == '.' || after[0] == '[' {
				l.tries++
				if item, ok := entry(v, rest[:end]); ok && l.walk(after, item, t.Elem(), at.named(rest[:end]), parent) {
					return true
				}
			}
		}
	default:
	}
	return false
}

// entry returns the value in the map m whose key is printed as s, for keys that are strings or whole numbers: JSON writes those as they are printed, and
// they are found without a search through a map that the caller can make large.
func entry(m reflect.Value, s string) (reflect.Value, bool) {
	t := m.Type().Key()
	key := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.String:
		key.SetString(s)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, t.Bits())
		if err != nil {
			return reflect.Value{}, false
		}
		key.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, t.Bits())
		if err != nil {
			return reflect.Value{}, false
		}
		key.SetUint(n)
	default:
		return reflect.Value{}, false
	}
	item := m.MapIndex(key)
	return item, item.IsValid()
}
