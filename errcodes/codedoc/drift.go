package codedoc

import (
	"fmt"
	"strconv"
)

// Kind says how a page and a registry differ.
type Kind string

// The kinds of [Drift].
const (
	// KindAdded is a code, type or status that the page has and the registry has not.
	KindAdded Kind = "added"
	// KindRemoved is a code, type or status that the registry has from the provider and the page has not.
	KindRemoved Kind = "removed"
	// KindStatus is a code or type that has another status on the page.
	KindStatus Kind = "status"
	// KindType is a code that has another type on the page.
	KindType Kind = "type"
	// KindRetry is an error that has another retry rule on the page.
	KindRetry Kind = "retry"
)

// Drift is one difference between a provider's page and a registry. It is comparable.
type Drift struct {
	// Kind says how the two differ.
	Kind Kind
	// Line is the line of the page, counted from 1; 0 for KindRemoved, where the page has none.
	Line int
	// Code is the code on the wire that differs, "" where the row has none.
	Code string
	// Type is the type that differs, "" where a code or the status alone names the row.
	Type string
	// Status is the HTTP status: the page's where it states one, else the registry's; 0 for neither.
	Status int
	// Page is what the page says: a code, type or status, a retry rule in the words of [errcodes.Retry], or the
	// page's own words where they name no rule. "" for KindRemoved, and for KindRetry where the page has no rule for the row.
	Page string
	// Registry is what the registry says, several values joined by a comma; "" for KindAdded and where it has none.
	Registry string
}

// String returns the drift in one line: `line 12: code "model_not_found" has status 404 on the page and 400 in the registry`.
func (d Drift) String() string {
	subject := "status " + strconv.Itoa(d.Status)
	of := fmt.Sprintf(" (status %d)", d.Status)
	if d.Status == 0 || d.Kind == KindStatus {
		of = ""
	}
	switch {
	case d.Code != "":
		subject = fmt.Sprintf("code %q", d.Code) + of
	case d.Type != "":
		subject = fmt.Sprintf("type %q", d.Type) + of
	}
	if d.Line > 0 {
		subject = fmt.Sprintf("line %d: %s", d.Line, subject)
	}
	switch d.Kind {
	case KindAdded:
		return subject + " is on the page and not in the registry"
	case KindRemoved:
		return subject + " is in the registry and not on the page"
	case KindStatus:
		return fmt.Sprintf("%s has status %s on the page and %s in the registry", subject, said(d.Page), said(d.Registry))
	case KindType:
		return fmt.Sprintf("%s has type %s on the page and %s in the registry", subject, said(d.Page), said(d.Registry))
	case KindRetry:
		if d.Page == "" {
			return fmt.Sprintf("%s has no retry rule on the page and %q in the registry", subject, d.Registry)
		}
		return fmt.Sprintf("%s has retry rule %q on the page and %q in the registry", subject, d.Page, d.Registry)
	}
	return fmt.Sprintf("%s differs: %q on the page and %q in the registry", subject, d.Page, d.Registry)
}

func said(value string) string {
	if value == "" {
		return "none"
	}
	return value
}
