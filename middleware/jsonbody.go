package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/jsonbody"
)

// Who can lie: the whole body is the caller's, and so are Content-Length and Content-Type. A check in front of a handler is only worth
// what both read alike, so the check takes the last of two fields with one name and compares names byte by byte, as Decode does. Note that
// encoding/json alone also takes "Model" for a field named model, and keeps of the first of two objects what the second does not have.

// DefaultBodyLimit is the longest body, in bytes, that [ErrorWriter.RequireJSON] accepts when [JSONRules] does not say.
const DefaultBodyLimit = 1 << 20

// maxModel bounds the name of a model, in bytes.
const maxModel = 1024

// JSONRules says what a request body must be. The zero value accepts any JSON object of at most 1 MiB.
type JSONRules struct {
	// Limit is the longest body in bytes; 0 or less means [DefaultBodyLimit]. A body of exactly this length passes.
	Limit int64
	// Depth is how many levels objects and arrays may nest; 0 or less means 10,000.
	Depth int
	// Fields are the top-level fields that must be there, in the order in which they are asked for.
	Fields []JSONField
}

// JSONField is a top-level field that a body must have.
type JSONField struct {
	// Name is the field, byte by byte; escapes in the body are decoded before they are compared.
	Name string
	// Kind is what its value must be. The zero value takes anything but null.
	Kind JSONKind
	// Code is what a missing field, or one of another kind, is reported as, with Name as its Param. "" means MissingModel for
	// model and MissingInput for any other name.
	Code errcodes.Code
	// Message is what the caller is told; "" names field and kind.
	Message string
}

// JSONKind is the kind of a JSON value. The zero value is [JSONAny].
type JSONKind uint8

const (
	// JSONAny is any value but null.
	JSONAny JSONKind = iota
	// JSONString is a string, also an empty one.
	JSONString
	// JSONObject is an object, also an empty one.
	JSONObject
	// JSONArray is an array, also an empty one.
	JSONArray
	// JSONNumber is a number.
	JSONNumber
	// JSONBool is true or false.
	JSONBool
)

var jsonKindNames = [...]string{
	JSONAny: "any", JSONString: "string", JSONObject: "object", JSONArray: "array", JSONNumber: "number", JSONBool: "boolean",
}

// String returns the kind in the words of RFC 8259, "any" for [JSONAny] and for a value out of range.
func (k JSONKind) String() string {
	if int(k) >= len(jsonKindNames) {
		return jsonKindNames[JSONAny]
	}
	return jsonKindNames[k]
}

// holds reports whether a value of kind found satisfies k.
func (k JSONKind) holds(found jsonbody.Kind) bool {
	switch k {
	case JSONString:
		return found == jsonbody.String
	case JSONObject:
		return found == jsonbody.Object
	case JSONArray:
		return found == jsonbody.Array
	case JSONNumber:
		return found == jsonbody.Number
	case JSONBool:
		return found == jsonbody.Bool
	default:
		return found != jsonbody.Absent && found != jsonbody.Null
	}
}

// sentence is what a caller is told whose field f is missing.
func (f *JSONField) sentence() string {
	switch f.Kind {
	case JSONObject, JSONArray:
		return fmt.Sprintf("The %s field is missing or not an %s.", f.Name, f.Kind)
	case JSONString, JSONNumber, JSONBool:
		return fmt.Sprintf("The %s field is missing or not a %s.", f.Name, f.Kind)
	default:
		return fmt.Sprintf("The %s field is missing.", f.Name)
	}
}

// RequireJSON returns a middleware that lets a request pass when its body is what rules say. In this order, it answers
//
//   - BodyTooLarge for more than rules.Limit bytes, declared or not; RequestTimeout if the body stops coming;
//   - UnsupportedMediaType unless the one Content-Type is application/json or application/...+json, with no other charset than utf-8, and there
//     is no Content-Encoding;
//   - InvalidJSON unless the body is one JSON object in the sense of RFC 8259, in valid UTF-8 and without a byte order mark, with
//     the line, the column and the byte where it goes wrong, and what could have stood there, but none of its bytes;
//   - the code of the first of rules.Fields that is missing or of another kind. Of two fields with one name the last counts. A
//     lone surrogate in an escape is allowed, as the grammar of RFC 8259 allows it.
//   - InvalidInput for a model of more than 1,024 bytes, because its name goes into the context.
//
// The next handler gets the body as it came, from memory, with ContentLength set, and the top-level model, if it is a string, by
// [ModelFrom]. The memory is used again once it returns: reading the body after that fails. Requests by other methods than POST, PUT and PATCH pass
// if they have no body.
//
// Place it inside of everything that can refuse without the body, and of Timeout, which bounds how long the body may take.
//
// Before BodyTooLarge, the body is read to its end, within 16 MiB and a second, so that the answer reaches a caller that does not read
// before it has sent everything; one that waits for 100 Continue is not asked for it at all.
func (ew *ErrorWriter) RequireJSON(rules JSONRules) func(http.Handler) http.Handler {
	c := compile(rules)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodPost, http.MethodPut, http.MethodPatch:
			default:
				if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
					next.ServeHTTP(w, r)
					return
				}
			}
			mem := new(memory)
			defer mem.free()
			model, err := c.check(w, r, mem)
			if err != nil {
				ew.WriteError(w, r, err)
				return
			}
			b := &bufferedRequest{Context: r.Context(), model: model, limit: c.limit, depth: c.checker.MaxDepth}
			b.body.data = mem.data
			defer func() { _ = b.body.Close() }()
			outer := r
			r = r.WithContext(b) //nolint:contextcheck // It is a child of the request's own.
			defer handOut(r, outer)
			r.Body, r.ContentLength, r.TransferEncoding = &b.body, int64(len(mem.data)), nil
			next.ServeHTTP(w, r)
		})
	}
}

// ModelFrom returns the model that [ErrorWriter.RequireJSON] found in the body, "" for none.
func ModelFrom(ctx context.Context) string {
	if b := bufferedFrom(ctx); b != nil {
		return b.model
	}
	return ""
}

func bufferedFrom(ctx context.Context) *bufferedRequest {
	if b, ok := ctx.(*bufferedRequest); ok {
		return b
	}
	b, _ := ctx.Value(bufferedRequestKey{}).(*bufferedRequest)
	return b
}

// bodyRules is JSONRules made ready for use.
type bodyRules struct {
	limit   int64
	checker jsonbody.Checker
	fields  []JSONField
	model   int // index of the model in checker.Fields
}

func compile(rules JSONRules) *bodyRules {
	c := &bodyRules{limit: rules.Limit, fields: slices.Clone(rules.Fields)}
	if c.limit <= 0 {
		c.limit = DefaultBodyLimit
	}
	c.checker.MaxDepth = rules.Depth
	for i := range c.fields {
		f := &c.fields[i]
		if f.Code == "" {
			f.Code = errcodes.MissingInput
			if f.Name == modelField {
				f.Code = errcodes.MissingModel
			}
		}
		if f.Message == "" {
			f.Message = f.sentence()
		}
		if !slices.Contains(c.checker.Fields, f.Name) {
			c.checker.Fields = append(c.checker.Fields, f.Name)
		}
	}
	if c.model = slices.Index(c.checker.Fields, modelField); c.model < 0 {
		c.model = len(c.checker.Fields)
		c.checker.Fields = append(c.checker.Fields, modelField)
	}
	return c
}

const modelField = "model"

// check reads the body of r into mem and judges it.
func (c *bodyRules) check(w http.ResponseWriter, r *http.Request, mem *memory) (model string, err error) {
	if err := c.read(w, r, mem); err != nil {
		return "", err
	}
	if err := mediaType(r.Header); err != nil {
		return "", err
	}
	return c.judge(mem.data)
}

// judge is the pure part of check.
func (c *bodyRules) judge(data []byte) (model string, err error) {
	var room [8]jsonbody.Value
	values, err := c.checker.Check(room[:0], data)
	if err != nil {
		return "", notJSON(err)
	}
	for i := range c.fields {
		f := &c.fields[i]
		if !f.Kind.holds(values[slices.Index(c.checker.Fields, f.Name)].Kind) {
			return "", &errcodes.Error{Code: f.Code, Message: f.Message, Param: f.Name}
		}
	}
	m := values[c.model]
	if m.End-m.Start-len(`""`) > maxModel && m.Kind == jsonbody.String {
		return "", &errcodes.Error{
			Code: errcodes.InvalidInput, Message: "The model field is longer than any name of a model.", Param: modelField,
		}
	}
	return m.Text(data), nil
}

func notJSON(err error) error {
	if syntax, ok := errors.AsType[*jsonbody.SyntaxError](err); ok {
		return &errcodes.Error{
			Code: errcodes.InvalidJSON,
			Message: fmt.Sprintf("The request body is not valid JSON at line %d, column %d (byte %d): expected %s.",
				syntax.Line, syntax.Column, syntax.Offset, syntax.Expected),
		}
	}
	return &errcodes.Error{Code: errcodes.InvalidJSON, Message: "The request body is valid JSON but not an object.", Err: err}
}

// mediaType checks that h declares JSON in UTF-8.
func mediaType(h http.Header) error {
	const unsupported = errcodes.UnsupportedMediaType
	if len(h["Content-Encoding"]) > 0 && !slices.Equal(h["Content-Encoding"], []string{"identity"}) {
		return &errcodes.Error{Code: unsupported, Message: "The request body must not be compressed."}
	}
	lines := h["Content-Type"]
	if len(lines) != 1 {
		return &errcodes.Error{Code: unsupported}
	}
	if lines[0] == valueJSON[0] {
		return nil
	}
	media, params, err := mime.ParseMediaType(lines[0])
	if err != nil {
		return &errcodes.Error{Code: unsupported, Err: errors.New("middleware: Content-Type is malformed")}
	}
	if media != valueJSON[0] && (!strings.HasPrefix(media, "application/") || !strings.HasSuffix(media, "+json")) {
		return &errcodes.Error{Code: unsupported}
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return &errcodes.Error{Code: unsupported, Message: "The request body must be JSON in UTF-8, without any other charset."}
	}
	return nil
}

var errTooLarge = errors.New("middleware: the body is longer than the limit")

// read reads the body of r into mem, up to the limit.
func (c *bodyRules) read(w http.ResponseWriter, r *http.Request, mem *memory) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	if r.ContentLength > c.limit {
		if r.Header.Get("Expect") == "" {
			drain(w, r)
		}
		return &errcodes.Error{Code: errcodes.BodyTooLarge, Err: errTooLarge}
	}
	err := mem.fill(r.Body, r.ContentLength, c.limit)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		drain(w, r)
		return &errcodes.Error{Code: errcodes.BodyTooLarge, Err: errTooLarge}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &errcodes.Error{Code: errcodes.RequestTimeout, Err: err}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if r.Context().Err() != nil {
		return errors.Join(r.Context().Err(), err)
	}
	return &errcodes.Error{
		Code: errcodes.InvalidRequest, Message: "The request body ended before it was complete.", Err: err,
	}
}

const (
	drainLimit = 16 << 20
	drainTime  = time.Second
)

// drain throws away what is still to come of a body that is too large, if it may know the writer. A server that closes a connection with unread bytes resets it,
// and the reset can overtake the answer.
func drain(w http.ResponseWriter, r *http.Request) {
	if w == nil {
		return
	}
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return // without a bound in time it would be the caller who decides how long this takes
	}
	if _, err := io.CopyN(io.Discard, r.Body, drainLimit); errors.Is(err, io.EOF) {
		_ = rc.SetReadDeadline(time.Time{}) // the server watches the connection for a caller who leaves
	}
}

// bufferedRequest is the context of a request whose body is in memory, and that body.
type bufferedRequest struct {
	context.Context

	model string
	limit int64 // of the rules that the body keeps to
	depth int
	body  bufferedBody
}

type bufferedRequestKey struct{}

// Value answers for this package's own key and asks the parent for any other.
func (b *bufferedRequest) Value(key any) any {
	if key == any(bufferedRequestKey{}) {
		return b
	}
	return b.Context.Value(key)
}

// bufferedBody reads from memory that is used again after Close. A proxy's transport may still read a request body when its
// handler has returned, so every Read copies under the lock that Close takes: nobody ever sees the next request's body.
type bufferedBody struct {
	mu     sync.Mutex
	data   []byte
	off    int
	closed bool
}

// Read implements io.Reader.
func (b *bufferedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.off >= len(b.data):
		return 0, io.EOF
	}
	n := copy(p, b.data[b.off:])
	b.off += n
	return n, nil
}

// Close implements io.Closer.
func (b *bufferedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.data = true, nil
	return nil
}

// memory holds one body. Its blocks come from pools of their size, each four times the one before, so that a long body does
// not leave its memory to short ones.
type memory struct {
	data  []byte
	block *[]byte
	class int
}

const (
	smallest = 4 << 10
	classes  = 7 // 4 KiB to 16 MiB; what is longer is not kept
	// claimed bounds what a Content-Length alone gets: the rest comes as bytes arrive.
	claimed = 64 << 10
)

var pools [classes]sync.Pool

func blockSize(class int) int { return smallest << (2 * class) }

// fill reads src to its end. size is the length it claims, -1 for unknown. More than limit bytes are errTooLarge.
func (m *memory) fill(src io.Reader, size, limit int64) error {
	m.grow(int(min(size+1, limit+1, claimed))) // one byte more, so that the end is seen without growing
	for {
		if len(m.data) == cap(m.data) {
			// Who has sent a block may claim a larger one.
			m.grow(max(cap(m.data)+1, int(min(size+1, limit+1, 16*int64(cap(m.data))))))
		}
		n, err := src.Read(m.data[len(m.data):cap(m.data)])
		m.data = m.data[:len(m.data)+n]
		switch {
		case int64(len(m.data)) > limit:
			return errTooLarge
		case err == io.EOF: // readers return it bare; a wrapped one is a failure
			return nil
		case err != nil:
			return err
		}
	}
}

// grow makes room for at least n bytes in all.
func (m *memory) grow(n int) {
	class := 0
	for class < classes && blockSize(class) < n {
		class++
	}
	var block *[]byte
	if class < classes {
		block, _ = pools[class].Get().(*[]byte)
	}
	if block == nil {
		size := max(n, 2*cap(m.data))
		if class < classes {
			size = blockSize(class)
		}
		b := make([]byte, size)
		block = &b
	}
	old := m.data
	data := (*block)[:len(old)]
	copy(data, old)
	m.free()
	m.data, m.block, m.class = data, block, class
}

// free gives the memory back. Nothing may use data afterwards.
func (m *memory) free() {
	if m.block != nil && m.class < classes {
		pools[m.class].Put(m.block)
	}
	m.data, m.block = nil, nil
}
