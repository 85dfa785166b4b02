package errcodes

import (
	"fmt"
	"slices"
)

// Class is the coarse family of an error: what a program branches on when it
// does not care which provider it talks to.
//
// A Class is itself an error, so that a client writes
//
//	errors.Is(err, errcodes.ClassBilling)
//
// The zero value is [ClassUnknown].
type Class uint8

// The classes. Text and code decide the class before the status does.
const (
	ClassUnknown        Class = iota // nothing is known
	ClassInvalidRequest              // the request itself is wrong
	ClassAuthentication              // the credential is missing or not valid
	ClassPermission                  // the caller is known and may not
	ClassBilling                     // balance, credit, payment, spend limit
	ClassQuotaExhausted              // an allowance per day or longer, or per plan, is spent
	ClassRateLimited                 // too fast: slower succeeds
	ClassNotFound                    // no such route, model, pipeline or run
	ClassConflict                    // contradicts the present state
	ClassTooLarge                    // beyond a limit in bytes or items
	ClassContentPolicy               // refused for what it says
	ClassContextLength               // longer than the model's window
	ClassOverloaded                  // the service has no capacity just now
	ClassTimeout                     // took longer than allowed
	ClassServerError                 // the service failed
	ClassUnsupported                 // this model or endpoint lacks the operation
	ClassCanceled                    // the caller gave up
	ClassNetwork                     // no answer arrived
)

var classNames = [...]string{
	ClassUnknown:        "unknown",
	ClassInvalidRequest: "invalid_request",
	ClassAuthentication: "authentication",
	ClassPermission:     "permission",
	ClassBilling:        "billing",
	ClassQuotaExhausted: "quota_exhausted",
	ClassRateLimited:    "rate_limited",
	ClassNotFound:       "not_found",
	ClassConflict:       "conflict",
	ClassTooLarge:       "too_large",
	ClassContentPolicy:  "content_policy",
	ClassContextLength:  "context_length",
	ClassOverloaded:     "overloaded",
	ClassTimeout:        "timeout",
	ClassServerError:    "server_error",
	ClassUnsupported:    "unsupported",
	ClassCanceled:       "canceled",
	ClassNetwork:        "network",
}

// String returns the class in snake_case, "unknown" for a value out of range.
func (c Class) String() string {
	if int(c) >= len(classNames) {
		return classNames[ClassUnknown]
	}
	return classNames[c]
}

// Error returns what [Class.String] returns; it makes Class a target for [errors.Is].
func (c Class) Error() string { return c.String() }

// MarshalText returns what [Class.String] returns. It never fails.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the snake_case form. Any other text is an error and
// leaves c as it was.
func (c *Class) UnmarshalText(text []byte) error {
	i := slices.Index(classNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("errcodes: class %q is not known", text)
	}
	*c = Class(i)
	return nil
}
