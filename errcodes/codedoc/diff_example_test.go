package codedoc_test

import (
	"fmt"
	"strings"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/errcodes/codedoc"
)

// The provider's page has changed: 422 is new, 504 is retried as it is, and 503 is gone. That 409
// is on it now is no drift: the registry has the same status and rule as its own choice.
func ExampleDiff() {
	page := `
| Status             | Retry? | Strategy                     |
| ------------------ | ------ | ---------------------------- |
| 400, 401, 403, 404 | No     | Fix the request              |
| 409                | No     | Read the present state       |
| 422                | No     | Fix the value                |
| 429                | Yes    | Respect Retry-After          |
| 500                | Once   | Report it                    |
| 504                | Yes    | Exponential backoff          |
`
	drifts, err := codedoc.Diff(errcodes.RunInfra(), strings.NewReader(page))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range drifts {
		fmt.Println(d)
	}
	// Output:
	// line 6: status 422 is on the page and not in the registry
	// line 9: status 504 has retry rule "backoff" on the page and "changed" in the registry
	// status 503 is in the registry and not on the page
}

func ExampleDrift_String() {
	d := codedoc.Drift{
		Kind: codedoc.KindStatus, Line: 12, Code: "model_not_found", Status: 404, Page: "404", Registry: "400",
	}
	fmt.Println(d.String())
	// Output: line 12: code "model_not_found" has status 404 on the page and 400 in the registry
}
