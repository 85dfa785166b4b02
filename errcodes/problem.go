package errcodes

import (
	"net/http"
	"strconv"
)

// Problem returns a vocabulary for APIs that follow RFC 9457, Problem Details for HTTP APIs: the generic
// rows and nothing else. Add your own with [Registry.With].
// The registry is built once and shared.
func Problem() *Registry { return problem() }

var problem = builtin("problem", ProblemDialect{})

// ProblemDialect spells errors as problem details (RFC 9457 section 3): title, status and detail, with the
// extension members code, param, request_id and errors (a list of pointer, path, rule and detail).
//
// The type member is left out, which means about:blank (section 4.2.1): the title is then the phrase of the
// status, and the code is what a program branches on. Decode returns a type that others
// send. The zero value is ready to use.
type ProblemDialect struct{}

var _ Dialect = ProblemDialect{}

// Slots returns SlotCode, SlotParam, SlotRequestID, SlotStatus and SlotFields.
func (ProblemDialect) Slots() Slot {
	return SlotCode | SlotParam | SlotRequestID | SlotStatus | SlotFields
}

// ContentType returns "application/problem+json".
func (ProblemDialect) ContentType() string { return "application/problem+json" }

// Append appends the problem; see [Dialect].
func (ProblemDialect) Append(dst []byte, b Body) []byte {
	dst = append(dst, '{')
	dst = appendMember(dst, `,"title":"`, phrase(b.Status))
	if b.Status > 0 {
		dst = strconv.AppendInt(appendName(dst, "status"), int64(b.Status), 10)
	}
	dst = appendMessage(dst, `,"detail":"`, b.Message)
	dst = appendMember(dst, `,"code":"`, b.Code)
	dst = appendMember(dst, `,"param":"`, b.Param)
	if len(b.Fields) > 0 {
		dst = append(appendName(dst, "errors"), '[')
		for i := range b.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, '{')
			dst = appendString(appendName(dst, "pointer"), b.Fields[i].Pointer)
			dst = appendMember(dst, `,"path":"`, b.Fields[i].Path)
			dst = appendMember(dst, `,"rule":"`, b.Fields[i].Rule)
			dst = append(appendMessage(dst, `,"detail":"`, b.Fields[i].Message), '}')
		}
		dst = append(dst, ']')
	}
	dst = appendMember(dst, `,"request_id":"`, b.RequestID)
	return append(dst, '}')
}

// Decode reads a problem: an object with at least one of type, title, status and detail. The message is the detail, else the
// title. See [Dialect].
func (ProblemDialect) Decode(data []byte) (Body, error) {
	names := []string{"type", "title", "status", "detail", "code", "param", "request_id", "errors"}
	var in [8]string
	if _, err := open(data, names, in[:]); err != nil {
		return Body{}, err
	}
	if in[0] == "" && in[1] == "" && in[2] == "" && in[3] == "" {
		return Body{}, ErrNotError
	}
	n := len(data)
	b := Body{
		Type: text(in[0], n), Status: statusOf(text(in[2], n)), Message: text(in[3], n),
		Code: text(in[4], n), Param: text(in[5], n), RequestID: text(in[6], n),
	}
	if b.Type == "about:blank" {
		b.Type = ""
	}
	if b.Message == "" {
		b.Message = text(in[1], n)
	}
	each(in[7], func(raw string) bool {
		var f [4]string
		if pick(raw, []string{"pointer", "path", "rule", "detail"}, f[:]) {
			b.Fields = append(b.Fields, FieldError{
				Pointer: text(f[0], n), Path: text(f[1], n), Rule: text(f[2], n), Message: text(f[3], n),
			})
		}
		return len(b.Fields) < maxFields
	})
	return b, nil
}

// phrase returns the name of a status: RFC 9110 section 15 where net/http keeps an older name, and the names of what
// is no standard.
func phrase(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "Content Too Large"
	case http.StatusUnprocessableEntity:
		return "Unprocessable Content"
	case 499:
		return "Client Closed Request"
	case 529:
		return "Overloaded"
	}
	return http.StatusText(status)
}

// maxFields bounds the fields that are read from one body.
const maxFields = 1000

// statusOf reads an HTTP status, 100 to 599; 0 for anything else.
func statusOf(s string) int {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
