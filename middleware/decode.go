package middleware

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"

	"github.com/errwire/errwire/errcodes"
)

// Who can lie: every value and every name in the body is the caller's. So an error says where and which rule, and never what stood there. Names of fields
// are repeated, because they are the only way to say where; long ones are not.

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

	types     sync.Map // reflect.Type to fieldNames
	validator func() *validator.Validate
	once      sync.Once
}

var standardDecoder = sync.OnceValue(func() *Decoder { return new(Decoder) })

// Decode returns the JSON body of r as a T and checks it by the rules of validator/v10 in T's tags. d may be nil.
//
// Its errors are *[errcodes.Error] and are meant to be returned from a handler of [ErrorWriter.Handler]. What the caller got wrong is InvalidInput, with Fields listing, up
// to 1,000 of them, every field that is of the wrong kind, or unknown where that is refused; or, if there is none, every field that breaks a rule. Each stands there with its place in JSON names, the rule, and the rule in words; never with its value. The order is that of the body
// for the first, and for the others that of the fields of T, the items of arrays and the names in maps. Param is the first of them.
//
// Names are compared byte by byte, as [ErrorWriter.RequireJSON] does: encoding/json would also take "Model" for a field named model, and a check in front
// of the handler and the handler could read different values. Here "Model" is an unknown field. A rule on a field that is not read from JSON,
// and a rule that does not exist, are mistakes of the server, and so an error that is written as Internal.
//
// Behind RequireJSON the body is read from memory and may be read again. Elsewhere Decode reads and checks it as RequireJSON with the zero [JSONRules] does.
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
	mem := new(memory)
	defer mem.free()
	if _, err := anyObject().check(nil, r, mem); err != nil {
		return err
	}
	return d.unmarshal(mem.data, into)
}

var anyObject = sync.OnceValue(func() *bodyRules { return compile(JSONRules{}) })

// unmarshal reads data, which is valid JSON.
func (d *Decoder) unmarshal(data []byte, into reflect.Value) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("middleware: decode %s: panic: %s", into.Type().Elem(), panicText(value))
		}
	}()
	t := into.Type().Elem()
	if d.namesOf(t).suspects(data) {
		data = bytes.Clone(data)
		if wrong := misfits(data, t, d.DisallowUnknownFields); len(wrong) > 0 {
			return invalidFields(wrong)
		}
	}
	if d.DisallowUnknownFields {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		err = dec.Decode(into.Interface())
	} else {
		err = json.Unmarshal(data, into.Interface())
	}
	if err == nil {
		return nil
	}
	// The error of encoding/json knows one field, without its place in an array, and repeats values.
	if wrong := misfits(bytes.Clone(data), t, d.DisallowUnknownFields); len(wrong) > 0 {
		return invalidFields(wrong)
	}
	return &errcodes.Error{Code: errcodes.InvalidInput, Message: "The request body does not have the form that is expected here."}
}

// check holds v against the rules in its tags.
func (d *Decoder) check(ctx context.Context, v reflect.Value) (err error) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	defer func() {
		// The library panics when a tag is wrong.
		if value := recover(); value != nil {
			err = fmt.Errorf("middleware: validate %s: %s", v.Type(), panicText(value))
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

// placed is a field that failed, and where.
type placed struct {
	place place
	field errcodes.FieldError
}

// explain turns what validator reports into fields, in the order of their places.
func (d *Decoder) explain(broken validator.ValidationErrors, v reflect.Value, name string) error {
	list := make([]placed, 0, len(broken))
	for _, fe := range broken {
		rest := fe.StructNamespace()
		if name != "" {
			rest = strings.TrimPrefix(strings.TrimPrefix(rest, name), ".")
		}
		p, parent := locate(rest, v)
		if p.internal {
			return fmt.Errorf("middleware: %s breaks the rule %q and is not read from JSON", fe.StructNamespace(), fe.Tag())
		}
		w := wording{FieldError: fe, parent: parent, top: v.Type(), own: d.Words}
		list = append(list, placed{place: p, field: p.fails(fe.Tag(), w.predicate())})
	}
	slices.SortStableFunc(list, func(a, b placed) int { return a.place.compare(b.place) })
	fields := make([]errcodes.FieldError, 0, min(len(list), maxFields))
	for i := range list[:cap(fields)] {
		fields = append(fields, list[i].field)
	}
	return invalidFields(fields)
}

const (
	// maxFields bounds the fields that an error lists: a small body can hold very many wrong items.
	maxFields = 1000
	// maxSentences bounds those that its message says.
	maxSentences = 5
)

// invalidFields is the error for fields, of which there is at least one.
func invalidFields(fields []errcodes.FieldError) error {
	var message strings.Builder
	for i := range fields[:min(len(fields), maxSentences)] {
		if i > 0 {
			message.WriteByte(' ')
		}
		message.WriteString(fields[i].Message)
	}
	switch more := len(fields) - maxSentences; {
	case more == 1:
		message.WriteString(" One more field is wrong.")
	case len(fields) == maxFields:
		message.WriteString(" Many more fields are wrong.")
	case more > 1:
		fmt.Fprintf(&message, " %d more fields are wrong.", more)
	}
	return &errcodes.Error{Code: errcodes.InvalidInput, Message: message.String(), Param: fields[0].Path, Fields: fields}
}
