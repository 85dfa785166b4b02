package errcodes

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// SourceErrwire as [Entry.Source] marks a row, or the part of it that the provider does not
// state, as this library's choice rather than the provider's promise.
const SourceErrwire = "errwire"

// MaxRetryAfter bounds [Entry.RetryAfter]. Popular clients ignore, or obey to the letter,
// any longer wait; a longer one belongs into the message.
const MaxRetryAfter = 60 * time.Second

// Entry is one row of a [Registry]: a condition and how the provider reports it.
type Entry struct {
	// Code is the condition. Required, 1 to 64 bytes of A-Z a-z 0-9 _ . -
	Code Code
	// Wire is the code in the body. "" means string(Code), [NoCode] that the body
	// has none. Same alphabet as Code. [New] sets it to NoCode where the dialect
	// has no slot for codes.
	Wire string
	// Status is the HTTP status, 400 to 599.
	Status int
	// Type is the family in the body, same alphabet; "" where the body has none.
	// [New] empties it where the dialect has no slot for types.
	Type string
	// Class is the coarse family.
	Class Class
	// Retry says whether the same request may be sent again. The zero value is RetryNever.
	Retry Retry
	// MaybeExecuted says that the work may have begun although an error came back, so
	// that only idempotent requests, or those with an Idempotency-Key, are sent again.
	MaybeExecuted bool
	// Param is the field that the error names when the handler names none; "" for none.
	Param string
	// RetryAfter is the wait to ask for when the handler states none, 0 to
	// [MaxRetryAfter]; servers round it up to whole seconds. 0 means none.
	// It must be 0 on a RetryNever row.
	RetryAfter time.Duration
	// Message is the public prose used when the handler gives none: a full
	// sentence without causes, keys or types. Required, in UTF-8 without control characters.
	Message string
	// Cause and Fix document the row: what is wrong, and what to do about it.
	Cause, Fix string
	// Source is where the row was read: the provider's page and the day.
	// What the page does not state is marked with [SourceErrwire].
	Source string
}

// WireCode returns the code as it stands in the body, "" for none.
func (e Entry) WireCode() string {
	switch e.Wire {
	case "":
		return string(e.Code)
	case NoCode:
		return ""
	}
	return e.Wire
}

// Body returns what goes on the wire for er under this row. A nil er, or an empty
// field of it, gives the row's own message and nothing else. er.Err is never looked at.
func (e Entry) Body(er *Error, requestID string) Body {
	b := Body{
		Status: e.Status, Message: e.Message, Type: e.Type, Code: e.WireCode(), Param: e.Param,
		RequestID: requestID, RetryAfter: e.RetryAfter,
	}
	if er == nil {
		return b
	}
	if er.Message != "" {
		b.Message = er.Message
	}
	if er.Param != "" {
		b.Param = er.Param
	}
	b.Fields = er.Fields
	if er.RetryAfter > 0 {
		b.RetryAfter = er.RetryAfter
	}
	return b
}

// check returns every rule that the row breaks, each as an error that names the row.
func (e Entry) check() []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("row %q: "+format, append([]any{string(e.Code)}, args...)...))
	}
	if !isToken(string(e.Code)) {
		bad("code must be 1 to 64 bytes of [A-Za-z0-9_.-]")
	}
	if e.Wire != "" && e.Wire != NoCode && !isToken(e.Wire) {
		bad("wire code %q must be 1 to 64 bytes of [A-Za-z0-9_.-]", e.Wire)
	}
	if e.Type != "" && !isToken(e.Type) {
		bad("type %q must be 1 to 64 bytes of [A-Za-z0-9_.-]", e.Type)
	}
	if e.Status < http.StatusBadRequest || e.Status > 599 {
		bad("status %d must be 400 to 599", e.Status)
	}
	switch {
	case strings.TrimSpace(e.Message) == "":
		bad("message must not be empty")
	case !utf8.ValidString(e.Message) || strings.ContainsFunc(e.Message, unicode.IsControl):
		bad("message %q must be valid UTF-8 without control characters", e.Message)
	}
	if int(e.Class) >= len(classNames) {
		bad("class %d is not known", uint8(e.Class))
	}
	if int(e.Retry) >= len(retryNames) {
		bad("retry rule %d is not known", uint8(e.Retry))
	}
	if e.RetryAfter < 0 || e.RetryAfter > MaxRetryAfter {
		bad("retry-after %s must be 0 to %s", e.RetryAfter, MaxRetryAfter)
	}
	if e.Retry == RetryNever && e.RetryAfter != 0 {
		bad("retry-after %s contradicts the rule to never retry", e.RetryAfter)
	}
	return errs
}

// isToken reports whether s is 1 to 64 bytes of [A-Za-z0-9_.-].
func isToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// joinNamed joins errs under the registry's name; nil if there are none.
func joinNamed(name string, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("errcodes: registry %q: %w", name, errors.Join(errs...))
}
