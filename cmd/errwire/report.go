package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	green  = "\x1b[1;32m"
	plain  = "\x1b[0m"
)

// ruleVeto is the rule of a decision that nothing but the server's X-Should-Retry made final.
const ruleVeto = "x-should-retry: false"

// writeReport writes a decision for a person: the verdict first, then why, what to do, and what the request id is for.
func writeReport(w io.Writer, d *classify.Decision, color bool) error {
	var b bytes.Buffer
	text, tint := headline(d)
	if color {
		text = tint + text + plain
	}
	fmt.Fprintln(&b, text)
	if !d.Failed() {
		_, err := w.Write(b.Bytes())
		return err
	}
	fmt.Fprintln(&b)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-11s %s\n", name, value)
		}
	}
	row("status", strings.TrimSpace(strconv.Itoa(d.Status)+" "+http.StatusText(d.Status)))
	row("class", d.Class.String())
	row("code", clean(d.Code))
	if d.Type != d.Code {
		row("type", clean(d.Type))
	}
	row("param", clean(d.Param))
	row("message", clean(d.Message))
	row("why", why(d))
	row("wait", wait(d))
	row("what to do", d.Advice)
	if d.RequestID != "" {
		row("request id", clean(d.RequestID))
		row("", "Quote it to the provider's support: it finds this very request in their logs.")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// headline returns the verdict in one sentence and its colour.
func headline(d *classify.Decision) (text, tint string) {
	if !d.Failed() {
		return "No error: nothing to send again.", green
	}
	send := "Send it "
	if d.Safety == classify.MaybeExecuted {
		send = "Only if it is safe to repeat: send it "
	}
	switch retryOf(d) {
	case errcodes.RetryOnce:
		return send + "once more" + afterWait(d) + "; if it fails again, stop.", yellow
	case errcodes.RetryBackoff:
		return send + "again" + afterWait(d) + ", more slowly each time.", yellow
	case errcodes.RetryChanged:
		return "Change the request, then send it: the same one would fail again.", yellow
	default:
		if d.Vetoed && (d.Retry != errcodes.RetryNever || d.Rule == ruleVeto) {
			return "Do not send it again: the server asks not to.", red
		}
		return "Do not send it again: the same request would fail again.", red
	}
}

func afterWait(d *classify.Decision) string {
	if d.WaitFrom == classify.SourceNone || d.Wait <= 0 {
		return ""
	}
	return " after " + seconds(d.Wait)
}

// why returns what decided, and what the name of the rule does not say.
func why(d *classify.Decision) string {
	s := d.Rule
	if d.Condition != "" {
		s += ", condition " + string(d.Condition)
	}
	if d.Vetoed {
		s += ", and the server asked not to retry"
	}
	if d.Safety == classify.MaybeExecuted {
		s += "; the work may have been done all the same"
	}
	return clean(s)
}

// wait returns the wait that is stated and where.
func wait(d *classify.Decision) string {
	where := map[classify.Source]string{
		classify.SourceRetryAfterMs: "the header Retry-After-Ms", classify.SourceRetryAfter: "the header Retry-After",
		classify.SourceBody: "the body", classify.SourceText: "the message", classify.SourceReset: "the rate-limit headers",
	}[d.WaitFrom]
	if where == "" {
		return ""
	}
	return seconds(d.Wait) + ", stated by " + where
}

// clean returns s fit for a terminal: it was written by a stranger, and control characters could do anything there.
func clean(s string) string {
	const limit = 2000
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}
