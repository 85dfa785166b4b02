package codedoc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Markdown writes the error reference page of r to w, in GitHub Flavored Markdown that is also valid MDX: the
// shape of a body, every error at a glance, a section for each status with the condition, code, type, class, retry
// rule, cause, fix and source of its rows, what the retry rules ask for, the headers, and the sources. Columns
// that the dialect has no slot for are left out. Text of the rows is escaped, so that no row can break the page.
//
// The page depends on r alone and is written with one call of w.Write. It fails when r is nil or
// the zero value, and when w does.
func Markdown(w io.Writer, r *errcodes.Registry) error {
	p, err := newPrinter(r)
	if err != nil {
		return err
	}
	p.intro()
	p.body()
	p.f("## At a glance\n\n")
	p.table()
	p.f("\n## Errors by status\n")
	for i, e := range p.rows {
		if i == 0 || p.rows[i-1].Status != e.Status {
			p.section(i)
		}
	}
	p.retrying()
	p.headers()
	p.sourceList()
	return p.writeTo(w)
}

// Table writes the errors of r to w as one compact Markdown table ordered by status: condition, status, code or type,
// and retry rule. It ends with one newline and has no heading, so that it fits between two markers of a README.
//
// It is written with one call of w.Write. It fails when r is nil or the zero value, and when w does.
func Table(w io.Writer, r *errcodes.Registry) error {
	p, err := newPrinter(r)
	if err != nil {
		return err
	}
	p.table()
	return p.writeTo(w)
}

// none stands in a cell that has nothing to say. Diff reads it as absent.
const none = "–"

// exampleID has the form of the request ids that the middleware of this module makes.
const exampleID = "req_0199f3a07c2d7e4b9a61c5d80f3e2b17"

type printer struct {
	bytes.Buffer
	name    string
	dialect errcodes.Dialect
	slots   errcodes.Slot
	rows    []errcodes.Entry // by status, in the order of the registry
	example errcodes.Entry
	pages   []string // the provider's pages, in the order of rows
}

func newPrinter(r *errcodes.Registry) (*printer, error) {
	d := r.Dialect()
	// Every registry that New made has this row, and it shows more headers than any other.
	example, ok := r.Lookup(errcodes.RateLimited)
	if d == nil || !ok {
		return nil, errors.New("codedoc: registry is nil or was not made by errcodes.New")
	}
	p := &printer{name: r.Name(), dialect: d, slots: d.Slots(), rows: slices.Collect(r.All()), example: example}
	slices.SortStableFunc(p.rows, func(a, b errcodes.Entry) int { return cmp.Compare(a.Status, b.Status) })
	for _, e := range p.rows {
		if page, _ := splitSource(e.Source); page != "" && !slices.Contains(p.pages, page) {
			p.pages = append(p.pages, page)
		}
	}
	return p, nil
}

func (p *printer) f(format string, args ...any) { fmt.Fprintf(&p.Buffer, format, args...) }

func (p *printer) writeTo(w io.Writer) error {
	if _, err := w.Write(p.Bytes()); err != nil {
		return fmt.Errorf("codedoc: write page: %w", err)
	}
	return nil
}

func (p *printer) has(s errcodes.Slot) bool { return p.slots&s != 0 }

func (p *printer) intro() {
	p.f("# Error reference: %s\n\n", escape(p.name))
	p.f("Every error has a status of 400 to 599 and a body of one shape. ")
	switch {
	case p.has(errcodes.SlotCode):
		p.f("Branch on the code, and on the status where an error has no code.")
	case p.has(errcodes.SlotType):
		p.f("Branch on the status and the type.")
	default:
		p.f("Branch on the status.")
	}
	p.f(" The message is written for people and may change.\n\n")
}

func (p *printer) body() {
	e := p.example
	body := p.dialect.Append(nil, e.Body(nil, exampleID))
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	p.f("## What an error looks like\n\n")
	fence := fenceFor(body)
	p.f("%shttp\nHTTP/1.1 %s\nContent-Type: %s\n", fence, statusTitle(e.Status), oneLine(p.dialect.ContentType()))
	if e.RetryAfter > 0 {
		p.f("Retry-After: %d\n", seconds(e.RetryAfter))
	}
	p.f("X-Request-Id: %s\n\n%s\n%s\n\n", exampleID, bytes.TrimSpace(body), fence)

	carried := []string{"a message"}
	for _, s := range []struct {
		slot errcodes.Slot
		word string
	}{
		{errcodes.SlotCode, "a code"},
		{errcodes.SlotType, "a type"},
		{errcodes.SlotParam, "the field at fault"},
		{errcodes.SlotFields, "every field that failed a check"},
		{errcodes.SlotStatus, "the status"},
		{errcodes.SlotRetryAfter, "the wait"},
		{errcodes.SlotRequestID, "the request id"},
	} {
		if p.has(s.slot) {
			carried = append(carried, s.word)
		}
	}
	p.f("A body carries %s. What an error does not have is left out of its body; nothing is null.\n\n", enumerate(carried))
}

// table writes the compact table.
func (p *printer) table() {
	title := ""
	switch {
	case p.has(errcodes.SlotCode) && p.has(errcodes.SlotType):
		title = " Code or type |"
	case p.has(errcodes.SlotCode):
		title = " Code |"
	case p.has(errcodes.SlotType):
		title = " Type |"
	}
	p.f("| Condition | Status |%s Retry |\n| --- | --- |%s --- |\n", title, rule(title))
	for _, e := range p.rows {
		p.f("| %s | %d |", code(string(e.Code)), e.Status)
		if title != "" {
			p.f(" %s |", p.wireName(e))
		}
		p.f(" %s |\n", retryWords(e))
	}
}

// wireName returns the code, else the type; both where the code alone does not name the row.
func (p *printer) wireName(e errcodes.Entry) string {
	wire := e.WireCode()
	if wire == "" || e.Type == "" {
		return code(cmp.Or(wire, e.Type))
	}
	if slices.ContainsFunc(p.rows, func(o errcodes.Entry) bool { return o.WireCode() == wire && o.Type != e.Type }) {
		return code(wire) + ", " + code(e.Type)
	}
	return code(wire)
}

// section writes the rows of one status, which begin at i.
func (p *printer) section(i int) {
	status := p.rows[i].Status
	p.f("\n### %s\n\n", statusTitle(status))
	codes, types := "", ""
	if p.has(errcodes.SlotCode) {
		codes = " Code |"
	}
	if p.has(errcodes.SlotType) {
		types = " Type |"
	}
	p.f("| Condition |%s%s Class | Retry | Cause | Fix | Source |\n", codes, types)
	p.f("| --- |%s%s --- | --- | --- | --- | --- |\n", rule(codes), rule(types))
	unsent := false
	for _, e := range p.rows[i:] {
		if e.Status != status {
			break
		}
		unsent = unsent || e.Code == errcodes.ClientClosed
		p.f("| %s |", code(string(e.Code)))
		if codes != "" {
			p.f(" %s |", code(e.WireCode()))
		}
		if types != "" {
			p.f(" %s |", code(e.Type))
		}
		retry := retryWords(e)
		if e.RetryAfter > 0 {
			retry += fmt.Sprintf(" (%d s unless stated)", seconds(e.RetryAfter))
		}
		p.f(" %s | %s | %s | %s | %s |\n", code(e.Class.String()), retry,
			cmp.Or(escape(e.Cause), none), cmp.Or(escape(e.Fix), none), p.source(e))
	}
	if unsent {
		p.f("\n`%s` stands in the server's log and is never sent: the caller has gone.\n", errcodes.ClientClosed)
	}
}

func (p *printer) retrying() {
	p.f("\n## Retrying\n\n")
	for _, rule := range []struct{ words, meaning string }{
		{retryNever, "the same request fails again until somebody changes the request, the key or the account."},
		{retryOnce, "one more try after a pause. If it fails again, report the request id."},
		{retryBackoff, "try again, waiting longer each time and a little at random."},
		{retryAfter, "try again, waiting longer each time, and never sooner than the Retry-After header says."},
		{retryChanged, "only another request can succeed, as the fix says; the same one would fail again."},
	} {
		if slices.ContainsFunc(p.rows, func(e errcodes.Entry) bool { return strings.TrimSuffix(retryWords(e), ifSafe) == rule.words }) {
			p.f("- **%s**: %s\n", rule.words, rule.meaning)
		}
	}
	p.f("\n")
	if slices.ContainsFunc(p.rows, func(e errcodes.Entry) bool { return strings.HasSuffix(retryWords(e), ifSafe) }) {
		p.f("Where a rule ends in **%s**, the work may have begun although an error came back. "+
			"Send the request again only when its method is idempotent (RFC 9110, section 9.2.2) or when it carries an Idempotency-Key; "+
			"otherwise look first whether the work exists.\n\n", strings.TrimPrefix(ifSafe, ", "))
	}
}

func (p *printer) headers() {
	p.f("## Headers\n\nA server that writes these errors with errwire sends:\n\n")
	p.f("| Header | Sent with | Meaning |\n| --- | --- | --- |\n")
	p.f("| `X-Request-Id` | every response | Names the request. Put it into a support ticket. |\n")
	if waits := p.statuses(func(e errcodes.Entry) bool { return e.RetryAfter > 0 }); waits != "" {
		p.f("| `Retry-After` | %s, where a retry can help | Whole seconds to wait at least, 1 to 60. |\n", waits)
	}
	p.f("| `X-Should-Retry` | errors whose status suggests a retry that cannot help | `false`: do not send the request again. |\n")
	p.f("| `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` | every response to a key whose rate is limited " +
		"| The limit, what is left of it, and when it is whole again, in Unix seconds. |\n")
	if s := p.statuses(func(e errcodes.Entry) bool { return e.Status == http.StatusUnauthorized }); s != "" {
		p.f("| `WWW-Authenticate` | %s | `Bearer`: how to send the key. |\n", s)
	}
	if s := p.statuses(func(e errcodes.Entry) bool { return e.Status == http.StatusMethodNotAllowed }); s != "" {
		p.f("| `Allow` | %s | The methods that the path serves. |\n", s)
	}
	p.f("\n")
}

// statuses lists the statuses of the rows that fit: "429, 503".
func (p *printer) statuses(fits func(errcodes.Entry) bool) string {
	var list []string
	for _, e := range p.rows {
		if s := strconv.Itoa(e.Status); fits(e) && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return strings.Join(list, ", ")
}

func (p *printer) sourceList() {
	p.f("## Sources\n\n")
	for i, page := range p.pages {
		p.f("%d. %s\n", i+1, escape(page))
	}
	if len(p.pages) > 0 {
		p.f("\n")
	}
	p.f("Source **%s** marks a row that no page of the provider states: the library chose it, so that a server has an answer for every condition "+
		"and a client a rule for every status. After a number it marks only what it names, such as the type or the retry rule. "+
		"What carries the mark is a choice and not a promise of the provider.\n\n", errcodes.SourceErrwire)
	p.f("*Written from the registry %s by errwire. Change the registry, not this page.*\n", code(p.name))
}

// source returns the cell that says where a row was read.
func (p *printer) source(e errcodes.Entry) string {
	page, ours := splitSource(e.Source)
	if page == "" {
		return cmp.Or(escape(e.Source), none)
	}
	cell := fmt.Sprintf("[%d](#sources)", slices.Index(p.pages, page)+1)
	if len(ours) > 0 {
		cell += "; " + escape(strings.Join(ours, ", ")) + ": " + errcodes.SourceErrwire
	}
	return cell
}

// splitSource cuts the page out of an [errcodes.Entry.Source] and names what the page does not state:
// "P, 2026-11-21; retry rule and retry-after: errwire" is that page and two names. A row
// that no page states has neither.
func splitSource(source string) (page string, ours []string) {
	if source == errcodes.SourceErrwire {
		return "", nil
	}
	var kept []string
	for part := range strings.SplitSeq(source, "; ") {
		if names, ok := strings.CutSuffix(part, ": "+errcodes.SourceErrwire); ok {
			ours = append(ours, strings.Split(names, " and ")...)
		} else {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "; "), ours
}

// The retry rules as they stand in the tables. Diff reads them back.
const (
	retryNever   = "No"
	retryOnce    = "Once"
	retryBackoff = "Yes, with backoff"
	retryAfter   = "Yes, after Retry-After"
	retryChanged = "Only a changed request"
	ifSafe       = ", if safe to repeat"
)

func retryWords(e errcodes.Entry) string {
	words := retryNever
	switch e.Retry {
	case errcodes.RetryOnce:
		words = retryOnce
	case errcodes.RetryBackoff:
		words = retryBackoff
		if e.RetryAfter > 0 {
			words = retryAfter
		}
	case errcodes.RetryChanged:
		words = retryChanged
	case errcodes.RetryNever:
		return words
	}
	if e.MaybeExecuted {
		words += ifSafe
	}
	return words
}

// statusTitle returns "404 Not Found". 413 is named as in RFC 9110, section 15.5.14; 499 and 529 are conventions that net/http does not name.
func statusTitle(status int) string {
	text := http.StatusText(status)
	switch status {
	case http.StatusRequestEntityTooLarge:
		text = "Content Too Large"
	case 499:
		text = "Client Closed Request"
	case 529:
		text = "Overloaded"
	}
	return strings.TrimSpace(strconv.Itoa(status) + " " + text)
}

// seconds rounds up to whole seconds, as the header does.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// rule returns the delimiter under a title of the form " Title |".
func rule(title string) string {
	if title == "" {
		return ""
	}
	return " --- |"
}

// code returns a token as a code span. Names, codes, types and classes hold nothing that would need escaping.
func code(token string) string {
	if token == "" {
		return none
	}
	return "`" + token + "`"
}

// fenceFor returns a fence that no line of body can close.
func fenceFor(body []byte) string {
	fence := "```"
	for bytes.Contains(body, []byte(fence)) {
		fence += "`"
	}
	return fence
}

// enumerate returns "a, b and c".
func enumerate(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
