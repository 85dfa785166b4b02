package errcodes

import (
	"errors"
	"time"
)

// MaxBody is the longest error body, in bytes, that a [Dialect] of this package decodes.
const MaxBody = 1 << 20

// Errors that the Decode methods of this package return. They are the whole list.
var (
	// ErrTooLarge: the body is longer than [MaxBody].
	ErrTooLarge = errors.New("errcodes: body is longer than 1 MiB")
	// ErrNotJSON: the body is not one JSON value, or nests deeper than 512 levels.
	ErrNotJSON = errors.New("errcodes: body is not valid JSON within 512 levels")
	// ErrNotError: the body is JSON of another shape than this dialect's errors.
	ErrNotError = errors.New("errcodes: body is not an error of this dialect")
)

// Slot names a field of [Body] that a [Dialect] has a place for. Slots are bits.
type Slot uint8

// The slots that differ between dialects. Every dialect carries a message.
const (
	SlotType       Slot = 1 << iota // Body.Type
	SlotCode                        // Body.Code
	SlotParam                       // Body.Param
	SlotRequestID                   // Body.RequestID
	SlotStatus                      // Body.Status
	SlotRetryAfter                  // Body.RetryAfter
	SlotFields                      // Body.Fields
)

// Body is an error as it stands on the wire. Empty fields are absent there.
type Body struct {
	Status     int           // carried by dialects that repeat the HTTP status
	Message    string        // public prose; an empty one is written as "Unknown error."
	Type       string        // family
	Code       string        // machine string
	Param      string        // field at fault
	RequestID  string        // for tickets
	RetryAfter time.Duration // carried by dialects that state the wait in the body
	Fields     []FieldError  // carried by dialects that list every field at fault
}

// Dialect is how a provider spells an error in a response body. Its methods are
// pure and safe for concurrent use.
//
// Implementations promise that Append writes one line of compact JSON that is
// valid UTF-8 whatever the body holds, with unset fields left out and no null; and that
// Decode of what Append wrote gives the body back, except the fields
// outside Slots and text that was not valid UTF-8 (each bad byte comes back as U+FFFD).
type Dialect interface {
	// Append appends the encoded body to dst and returns the extended slice. It does not
	// allocate when dst has room.
	Append(dst []byte, b Body) []byte
	// Decode reads a body that anybody may have written. It reads at most [MaxBody] bytes,
	// keeps no reference to data, takes numbers in place of strings as their text and
	// anything else of the wrong kind as absent, and fails with an
	// error when data has not this dialect's shape.
	Decode(data []byte) (Body, error)
	// Slots returns the fields that the dialect carries beside the message.
	Slots() Slot
	// ContentType returns the media type of the encoded body.
	ContentType() string
}

const (
	contentTypeJSON = "application/json"
	// emptyMessage stands in for an empty message: clients lose the whole error without one.
	emptyMessage = "Unknown error."
)
