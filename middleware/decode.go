package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/jsonbody"
)

// Who can lie: every value and every name in the body is the caller's. So an error says where and which rule, and never what stood there. Names in maps and of
// unknown fields are repeated to the caller, because they are the only way to say where; long ones are not, and no log record has them.

// Decoder says how [Decode] reads a body. The zero value and nil ignore unknown fields and know the rules that validator/v10 has built in. It keeps what it
// has learned of types, so use one for many requests; it is safe for concurrent use. Do not modify or copy it after its first use.
type Decoder struct {
	// DisallowUnknownFields refuses fields that the type lacks.
	DisallowUnknownFields bool
	// Validate holds rules of your own, and the name of the tag that holds rules. nil means the built-in rules, in the tag validate, with required
	// working on structs too ([validator.WithRequiredStructEnabled]).
	Validate *validator.Validate
	// Words says what your own rules ask for, by the name of the rule, as what follows the name of the field: "must be a palindrome". It comes before the
	// words for built-in rules.
	Words map[string]string

	types     sync.Map // reflect.Type to *fieldNames
	validator func() *validator.Validate
	once      sync.Once
}

var standardDecoder = sync.OnceValue(func() *Decoder { return new(Decoder) })

// Decode returns the JSON body of r as a T and checks it by the rules of validator/v10 in T's tags. d may be nil.
//
// Its errors have an *[errcodes.Error] in their tree and are meant to be returned from a handler of [ErrorWriter.Handler], wrapped or not. What the caller got wrong is InvalidInput, with Fields listing, up
// to 1,000 of them, every field that is of the wrong kind, or unknown where that is refused; or, if there is none, every field that breaks a rule. Each stands there with its place in JSON names, the rule, and the rule in words; never with its value. The order is that of the body
// for the first, and for the others that of the fields of T, the items of arrays and the names in maps. Param is the first of them; where the caller chose a name in
// it, as in a map, neither the log nor the text of the error repeats it.
//
// Values are those that a check in front of the handler sees, which with encoding/json alone they need not be. Names are compared byte by byte, as
// [ErrorWriter.RequireJSON] does: "Model" is not the field model but an unknown one. Of a field that is given twice the last counts as a whole; nothing of the first is
// left in structs, maps and slices. An array of a fixed length takes exactly as many items.
//
// A T that is not read from an object, a rule that does not exist, one on a field that is not read from JSON, and one that does not suit the kind of its
// field are mistakes of the server, and so an error that is written as Internal, with the cause in the log. In a field of type any the caller
// chooses the kind, and one that the rule does not suit is InvalidInput. What validator finds wrong it reports whole before Decode chooses, at some 200 bytes for each item and more for each level: put rules such as max
// before dive, and bound [JSONRules.Depth] where T is recursive.
//
// Behind RequireJSON the body is read from memory and may be read again. Elsewhere Decode reads and checks it as RequireJSON with the zero [JSONRules] does; where
// the body was replaced behind RequireJSON, with the same limits.
func Decode[T any](r *http.Request, d *Decoder) (T, error) {
	var v T
	if d == nil {
		d = standardDecoder()
	}
	if err := d.decode(r, reflect.ValueOf(&v)); err != nil {
		var none T
		return none, err
	}
	return v, nil
}

func (d *Decoder) decode(r *http.Request, into reflect.Value) error {
	if err := d.read(r, into); err != nil {
		return err
	}
	return d.check(r.Context(), into.Elem())
}

// read finds the bytes of the body and unmarshals them.
func (d *Decoder) read(r *http.Request, into reflect.Value) error {
	if b, ok := r.Body.(*bufferedBody); ok {
		// Close waits: whoever comes next to this memory must not be read here.
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.closed {
			return http.ErrBodyReadAfterClose
		}
		return d.unmarshal(b.data, into)
	}
	rules := anyObject()
	if b := bufferedFrom(r.Context()); b != nil {
		rules = &bodyRules{limit: b.limit, checker: jsonbody.Checker{MaxDepth: b.depth, Fields: rules.checker.Fields}, model: rules.model}
	}
	mem := new(memory)
	defer mem.free()
	if _, err := rules.check(nil, r, mem); err != nil {
		return err
	}
	return d.unmarshal(mem.data, into)
}

var anyObject = sync.OnceValue(func() *bodyRules { return compile(JSONRules{}) })

// unmarshal reads data, which is a JSON object.
func (d *Decoder) unmarshal(data []byte, into reflect.Value) (err error) {
	t := into.Type().Elem()
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("middleware: decode %s: panic: %s", t, panicText(value))
		}
	}()
	if !takesObject(t) {
		return fmt.Errorf("middleware: decode %s: a body is an object", t)
	}
	switch {
	case d.namesOf(t).suspects(data):
		data = bytes.Clone(data)
		if wrong := misfits(data, t, d.DisallowUnknownFields); len(wrong) > 0 {
			return invalidFields(wrong)
		}
		// Unknown names were looked for, and some that must not be known are so only now.
		err = json.Unmarshal(data, into.Interface())
	case d.DisallowUnknownFields:
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err = dec.Decode(into.Interface())
	default:
		err = json.Unmarshal(data, into.Interface())
	}
	if err == nil {
		return nil
	}
	// The error of encoding/json knows one field, without its place in an array, and repeats values.
	if wrong := misfits(bytes.Clone(data), t, d.DisallowUnknownFields); len(wrong) > 0 {
		return invalidFields(wrong)
	}
	if names := d.namesOf(t); names.unsettable != "" {
		return fmt.Errorf("middleware: decode %s: encoding/json cannot set the embedded pointer %s to an unexported struct", t, names.unsettable)
	}
	return &errcodes.Error{Code: errcodes.InvalidInput, Message: "The request body does not have the form that is expected here."}
}

// takesObject reports whether a t can be read from an object.
func takesObject(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer && !isLeaf(t) {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Interface:
		return true
	default:
		return isLeaf(t)
	}
}

// check holds v against the rules in its tags.
func (d *Decoder) check(ctx context.Context, v reflect.Value) (err error) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	defer func() {
		// The library panics when a tag is wrong, and when it does not suit the kind of a value.
		if value := recover(); value != nil {
			text := panicText(value)
			if err = unsuited(v, text, d.Validate != nil); err == nil {
				err = fmt.Errorf("middleware: validate %s: %s", v.Type(), text)
			}
		}
	}()
	d.once.Do(func() {
		d.validator = func() *validator.Validate { return d.Validate }
		if d.Validate == nil {
			own := validator.New(validator.WithRequiredStructEnabled())
			d.validator = func() *validator.Validate { return own }
		}
	})
	name := ""
	switch v.Kind() {
	case reflect.Struct:
		name = v.Type().Name()
		err = d.validator().StructCtx(ctx, v.Interface())
	case reflect.Map, reflect.Slice, reflect.Array:
		dives, ok := wayToStructs(v.Type())
		if !ok {
			return nil
		}
		err = d.validator().VarCtx(ctx, v.Interface(), dives)
	default:
		return nil
	}
	broken, ok := errors.AsType[validator.ValidationErrors](err)
	if !ok {
		if err != nil {
			return fmt.Errorf("middleware: validate %s: %w", v.Type(), err)
		}
		return nil
	}
	return d.explain(broken, v, name)
}

// unsuited is the error for a caller who has put into a field of type any what the rule for that field takes no interest in, nil if the panic of validator with this text
// was not brought about by that. ownTags says that the rules need not stand where they do by default.
func unsuited(v reflect.Value, text string, ownTags bool) error {
	suspect := func(held reflect.Value, rules string) bool {
		return diving(rules) && held.Kind() != reflect.Slice && held.Kind() != reflect.Map
	}
	if kind, ok := strings.CutPrefix(text, "Bad field type "); ok {
		kind, _, _ = strings.Cut(kind, ":")
		suspect = func(held reflect.Value, rules string) bool {
			return rules != "" && rules != "-" && !strings.HasPrefix(rules, "dive") && held.Type().String() == kind
		}
	} else if !strings.HasPrefix(text, "dive error!") {
		return nil
	}
	rest, ok := heldByAny(v, "", suspect, false, "")
	if !ok && ownTags {
		// A validator of the handler's own may read other tags than these.
		rest, ok = heldByAny(v, "", func(held reflect.Value, _ string) bool { return suspect(held, "required,dive") }, false, "")
	}
	if !ok {
		return nil
	}
	at, _, _ := locate(rest, v)
	if at.internal {
		return nil
	}
	return invalidFields([]flaw{at.fails("type", "must be of another type")})
}

// heldByAny returns, as validator spells it, the way to the first field of type any that is a suspect, or that holds one.
func heldByAny(v reflect.Value, way string, suspect func(held reflect.Value, rules string) bool, inside bool, rules string) (string, bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return heldByAny(v.Elem(), way, suspect, inside, rules)
		}
	case reflect.Interface:
		if !v.IsNil() {
			return heldByAny(v.Elem(), way, suspect, true, rules)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				if found, ok := heldByAny(v.Field(i), way+"."+f.Name, suspect, false, f.Tag.Get("validate")); ok {
					return found, true
				}
			}
		}
		return "", false
	default:
	}
	if inside && suspect(v, rules) {
		return way, true
	}
	_, rules, _ = strings.Cut(rules, "dive")
	rules = strings.TrimPrefix(rules, ",")
	if _, items, ok := strings.Cut(rules, "endkeys"); ok {
		rules = strings.TrimPrefix(items, ",")
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if found, ok := heldByAny(v.Index(i), fmt.Sprintf("%s[%d]", way, i), suspect, inside, rules); ok {
				return found, true
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if found, ok := heldByAny(v.MapIndex(key), fmt.Sprintf("%s[%v]", way, key), suspect, inside, rules); ok {
				return found, true
			}
		}
	default:
	}
	return "", false
}

func diving(rules string) bool { return slices.Contains(strings.Split(rules, ","), "dive") }

// wayToStructs returns the tag that leads to the structs in a t, if there are any.
func wayToStructs(t reflect.Type) (string, bool) {
	var dives []string
	for {
		switch t.Kind() {
		case reflect.Map, reflect.Slice, reflect.Array:
			dives = append(dives, "dive")
			t = t.Elem()
		case reflect.Pointer:
			t = t.Elem()
		default:
			return strings.Join(dives, ","), t.Kind() == reflect.Struct
		}
	}
}

// placed is a rule that a field breaks, and where.
type placed struct {
	place  place
	broken wording
}

// explain turns what validator reports into fields, in the order of their places.
func (d *Decoder) explain(broken validator.ValidationErrors, v reflect.Value, name string) error {
	// Only maps have no order, and rules for whole structs come after those of their fields.
	ordered := d.Validate == nil && !d.namesOf(v.Type()).unordered
	room := 2 * maxFields
	if ordered {
		room = maxFields
	}
	list := make([]placed, 0, min(len(broken), room))
	for _, fe := range broken {
		if len(list) == cap(list) {
			if ordered {
				break
			}
			list = sortPlaced(list)[:maxFields]
		}
		rest := fe.StructNamespace()
		if name != "" {
			rest = strings.TrimPrefix(strings.TrimPrefix(rest, name), ".")
		}
		p, parent, lender := locate(rest, v)
		if p.internal {
			return fmt.Errorf("middleware: %s breaks the rule %q and is not read from JSON", fe.StructNamespace(), fe.Tag())
		}
		list = append(list, placed{place: p, broken: wording{FieldError: fe, parent: parent, lender: lender, top: v.Type(), own: d.Words}})
	}
	list = sortPlaced(list)
	wrong := make([]flaw, min(len(list), maxFields))
	for i := range wrong {
		wrong[i] = list[i].place.fails(list[i].broken.Tag(), list[i].broken.predicate())
	}
	return invalidFields(wrong)
}

func sortPlaced(list []placed) []placed {
	slices.SortStableFunc(list, func(a, b placed) int { return a.place.compare(b.place) })
	return list
}

const (
	// maxFields bounds the fields that an error lists: a small body can hold very many wrong items.
	maxFields = 1000
	// maxSentences bounds those that its message says.
	maxSentences = 5
)

// callerNameError is the cause of an error whose Param holds a name that the caller chose. The caller may read it, and the log must not: a secret may stand there
// by mistake.
type callerNameError struct{ inside string }

func (e *callerNameError) Error() string {
	if e.inside == "" {
		return "middleware: the field at fault has its name from the caller"
	}
	return fmt.Sprintf("middleware: the field at fault, inside of %q, has its name from the caller", e.inside)
}

// coveredError keeps the names that the caller chose out of the text of an error, because whoever wraps, joins or logs an error hands on its text. Only who asks for the
// *errcodes.Error in it has them, as the answer does.
type coveredError struct{ told *errcodes.Error }

func (e *coveredError) Error() string { return e.untold().Error() }

func (e *coveredError) Unwrap() error { return e.told }

// LogValue implements slog.LogValuer.
func (e *coveredError) LogValue() slog.Value { return e.untold().LogValue() }

// untold is the error without those names.
func (e *coveredError) untold() *errcodes.Error {
	without := &errcodes.Error{Code: e.told.Code, Err: e.told.Err}
	if without.Err == nil {
		without.Param = e.told.Param
	}
	return without
}

// invalidFields is the error for fields, of which there is at least one.
func invalidFields(wrong []flaw) error {
	var message strings.Builder
	for i := range wrong[:min(len(wrong), maxSentences)] {
		if i > 0 {
			message.WriteByte(' ')
		}
		message.WriteString(wrong[i].Message)
	}
	switch more := len(wrong) - maxSentences; {
	case more == 1:
		message.WriteString(" One more field is wrong.")
	case len(wrong) == maxFields:
		message.WriteString(" Many more fields are wrong.")
	case more > 1:
		fmt.Fprintf(&message, " %d more fields are wrong.", more)
	}
	e := &errcodes.Error{Code: errcodes.InvalidInput, Message: message.String(), Param: wrong[0].Path, Fields: make([]errcodes.FieldError, len(wrong))}
	for i := range wrong {
		e.Fields[i] = wrong[i].FieldError
	}
	if wrong[0].theirs {
		e.Err = &callerNameError{inside: wrong[0].inside}
	}
	for i := range wrong {
		if wrong[i].theirs {
			return &coveredError{told: e}
		}
	}
	return e
}
