package codedoc_test

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/errcodes/codedoc"
)

// A provider adds its own rows and publishes the page.
func ExampleMarkdown() {
	registry, err := errcodes.Runbase().With(errcodes.Entry{
		Code: "voice_not_found", Status: 404, Class: errcodes.ClassNotFound,
		Message: "There is no such voice.",
		Cause:   "No voice of the account has this id.",
		Fix:     "List the voices with GET /v1/voices.",
		Source:  "Voices, 2026-11-21",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var page bytes.Buffer
	if err := codedoc.Markdown(&page, registry); err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(page.String()) {
		if strings.HasPrefix(line, "#") || strings.Contains(line, "Fix") || strings.Contains(line, "voices") {
			fmt.Print(line)
		}
		if strings.HasPrefix(line, "### 404") {
			fmt.Println()
		}
		if strings.Contains(line, "voices") {
			break
		}
	}
	// Output:
	// # Error reference: runbase
	// ## What an error looks like
	// ## At a glance
	// ## Errors by status
	// ### 400 Bad Request
	// | Condition | Code | Class | Retry | Cause | Fix | Source |
	// ### 401 Unauthorized
	// | Condition | Code | Class | Retry | Cause | Fix | Source |
	// ### 402 Payment Required
	// | Condition | Code | Class | Retry | Cause | Fix | Source |
	// ### 403 Forbidden
	// | Condition | Code | Class | Retry | Cause | Fix | Source |
	// ### 404 Not Found
	//
	// | Condition | Code | Class | Retry | Cause | Fix | Source |
	// | `voice_not_found` | `voice_not_found` | `not_found` | No | No voice of the account has this id. | List the voices with GET /v1/voices. | [2](#sources) |
}

// The table of a README, here its rows from status 429 on.
func ExampleTable() {
	var table bytes.Buffer
	if err := codedoc.Table(&table, errcodes.Runbase()); err != nil {
		fmt.Println(err)
		return
	}
	head, rows, _ := strings.Cut(table.String(), "| `invalid_json`")
	fmt.Print(head)
	_, rows, _ = strings.Cut(rows, "| 415 | `unsupported_media_type` | No |\n")
	fmt.Print(rows)
	// Output:
	// | Condition | Status | Code | Retry |
	// | --- | --- | --- | --- |
	// | `rate_limited` | 429 | `RATE_LIMITED` | Yes, after Retry-After |
	// | `usage_exceeded` | 429 | `USAGE_EXCEEDED` | No |
	// | `client_closed` | 499 | `client_closed` | No |
	// | `internal` | 500 | – | Once, if safe to repeat |
	// | `bad_gateway` | 502 | `bad_gateway` | Yes, with backoff, if safe to repeat |
	// | `unavailable` | 503 | `unavailable` | Yes, after Retry-After |
	// | `timeout` | 504 | `timeout` | Yes, with backoff, if safe to repeat |
	// | `overloaded` | 529 | `overloaded` | Yes, after Retry-After |
}
