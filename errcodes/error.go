package errcodes

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Error is what a handler returns to refuse a request. The zero value and nil stand for
// [Internal]. Use it through a pointer; do not modify it after returning it.
type Error struct {
	// Code is the condition. A Code that the registry lacks is written as Internal.
	Code Code
	// Message is public prose: it reaches strangers. "" means the row's own message.
	Message string
	// Param is the field at fault, as a dotted path in JSON names; "" for none.
	Param string
	// RetryAfter is the wait to ask for; 0 or less means the row's own. Servers ignore it under a row of RetryNever or RetryChanged.
	RetryAfter time.Duration
	// Fields lists every field that failed a check, in a stable order.
	Fields []FieldError
	// Err is the cause. It is logged and never reaches the wire.
	Err error
}

// FieldError is one field that failed a check. It never holds the value.
type FieldError struct {
	// Pointer is where the field stands, as a JSON Pointer (RFC 6901): "/messages/0/role".
	Pointer string `json:"pointer"`
	// Path is the same as a dotted path: "messages[0].role".
	Path string `json:"path"`
	// Rule is the rule that was broken, in the checker's own word: "required".
	Rule string `json:"rule"`
	// Message is the rule in words, a full sentence for strangers.
	Message string `json:"message"`
}

// Error returns the condition, the field and the cause. It is for logs: what goes to the
// caller is [Error.Message].
func (e *Error) Error() string {
	s := string(CodeOf(e))
	if e == nil {
		return s
	}
	if e.Param != "" {
		s += fmt.Sprintf(" (param %q)", e.Param)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err, nil for a nil e.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Is reports whether target is an *Error of the same Code, as [CodeOf] has it, whatever its other fields.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && CodeOf(t) == CodeOf(e)
}

// LogValue groups the fields that are set, cause included, for [log/slog]. A nil e logs as Internal.
func (e *Error) LogValue() slog.Value {
	if e == nil {
		e = &Error{}
	}
	attrs := make([]slog.Attr, 0, 6)
	attrs = append(attrs, slog.String("code", string(CodeOf(e))))
	if e.Param != "" {
		attrs = append(attrs, slog.String("param", e.Param))
	}
	if e.Message != "" {
		attrs = append(attrs, slog.String("message", e.Message))
	}
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retry_after", e.RetryAfter))
	}
	if len(e.Fields) > 0 {
		paths := make([]string, len(e.Fields))
		for i := range e.Fields {
			paths[i] = e.Fields[i].Path + " " + e.Fields[i].Rule
		}
		attrs = append(attrs, slog.Any("fields", paths))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// CodeOf returns the condition of the first *[Error] in err's tree. It always answers:
// [Internal] for any other error and for an *Error without a Code, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok && e != nil && e.Code != "" {
		return e.Code
	}
	return Internal
}
