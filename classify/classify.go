package classify

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/errwire/errwire/errcodes"
)

// Classifier turns failures into decisions. The zero value and nil work. It never changes
// what it is given but the body of a response, and is safe for concurrent use as long as its fields do not change.
//
// # The order of judgement
//
//  1. A code of the body that a registry knows, then a type that a registry settles. The row decides everything; only
//     where it says no more than "bad request" or "too fast" may the text name money, a quota, the context
//     length or the content policy instead.
//  2. Numbers: an allowance of zero, a request larger than the limit itself, an allowance per day or
//     longer, a stated wait of a day or more on a limit.
//  3. Codes and types known across providers, unless so broad that the text says more.
//  4. The text, by short phrases.
//  5. The status; the registry's row for it where there is exactly one registry, also when the text says nothing else. Of several it is not
//     known whose provider answered: then no row gives class, condition or advice, but the decision is as careful as the most careful
//     of their rows, in Safety and in Retry (never before changed, changed before once, once before backoff).
//
// Then X-Should-Retry: false ends it (a request that has to be changed may still be sent changed), and
// X-Should-Retry: true lets a failure be sent again that nothing but its status called final: neither a row of the Registries, nor that it is about
// money or a quota. Of several values false wins, in any spelling of its case.
// Decision.Rule names what decided.
type Classifier struct {
	// Registries are the providers this client talks to, asked in order. None is needed: codes, types and
	// shapes that are common among providers are known.
	Registries []*errcodes.Registry
	// BodyLimit is how many bytes of an error body Response reads; 0 or less means 64 KiB.
	BodyLimit int64
	// BodyTimeout is how long Response waits for them; 0 or less means 3 s. What has arrived by then is judged.
	BodyTimeout time.Duration
}

// Response judges a response. It reads at most BodyLimit bytes of the body of a response whose
// status is 400 or more, within BodyTimeout, and puts every byte back: resp.Body is replaced, and whoever
// closed it before still has to. A body that did not arrive in time is read on: look at resp.Trailer behind its end, not
// before. A body that panics does so here, or in a later Read. A response below 400 is no failure and is not read; [Classifier.Body] judges one
// that carries an error all the same. A nil response gives the zero Decision.
func (c *Classifier) Response(resp *http.Response) Decision {
	return c.within(math.MaxInt64, resp)
}

// within is Response for somebody who waits no longer than most for the body.
func (c *Classifier) within(most time.Duration, resp *http.Response) Decision {
	if resp == nil {
		return Decision{}
	}
	if resp.StatusCode < http.StatusBadRequest {
		return Decision{Status: resp.StatusCode, MaxAttempts: 1, Rule: ruleNoError}
	}
	limit, timeout := int64(defaultBodyLimit), defaultBodyTimeout
	if c != nil && c.BodyLimit > 0 {
		limit = c.BodyLimit
	}
	if c != nil && c.BodyTimeout > 0 {
		timeout = c.BodyTimeout
	}
	return c.Body(resp.StatusCode, resp.Header, hold(resp, limit, min(timeout, most)))
}

// Body judges a status, headers and the beginning of a body. It is pure: the same input gives the same Decision. Use it
// for events of a stream, with the status 200, and for 2xx responses that carry an error. A body compressed
// with gzip is read whatever the headers say. Only the first 64 KiB of text are looked at.
//
// h may be nil; its keys should be canonical, as those of a response are. body is not kept.
func (c *Classifier) Body(status int, h http.Header, body []byte) Decision {
	work, _ := workPool.Get().(*workspace)
	f := &work.facts
	defer func() {
		work.facts = facts{}
		workPool.Put(work)
	}()
	f.status, f.judged, f.header, f.buf = status, status, h, work.nodes[:0]
	if v := h["Date"]; len(v) > 0 {
		f.date = parseDate(v[0])
	}
	f.readBody(string(clip(plain(body))))
	f.readHeaders()

	if status == http.StatusFailedDependency && f.inner != 0 {
		f.judged = f.inner // what the server behind the server said
	}
	if status < 400 {
		if !f.failed && !f.refused {
			return Decision{Status: status, MaxAttempts: 1, Rule: ruleNoError}
		}
		if f.inner != 0 {
			f.judged = f.inner
		}
	}
	d := Decision{Status: status}
	d.Code, d.Type, d.Param, d.Message = valid(f.code), valid(f.typ), valid(f.param), valid(f.message)
	d.RequestID = valid(f.requestIDOf())
	c.judge(f, &d)
	return d
}

// workspace is what Body needs for a while.
type workspace struct {
	facts facts
	nodes [usualNodes]node
}

var workPool = sync.Pool{New: func() any { return new(workspace) }}

// clip returns the part of body that is looked at.
func clip(body []byte) []byte { return body[:min(len(body), defaultBodyLimit)] }

// valid returns s as valid UTF-8.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// judge completes d by what f says.
func (c *Classifier) judge(f *facts, d *Decision) {
	var regs []*errcodes.Registry
	if c != nil {
		regs = c.Registries
	}
	d.Wait, d.WaitFrom = f.statedWait()
	row, by, name := matchRegistries(regs, f.judged, d)
	if by == errcodes.MatchedCode || by == errcodes.MatchedType && !refinable(row.Class) {
		f.takeRow(d, &row, by, name)
		f.finish(d, &judgement{class: row.Class, retry: row.Retry})
		return
	}

	p := takeProse()
	for _, s := range f.sentences[:f.nsent] {
		p.add(s)
	}
	j := f.reason(d, p)
	putProse(p)

	switch {
	case by == errcodes.MatchedType && !lasting(j.class):
		f.takeRow(d, &row, by, name)
		j = judgement{class: row.Class, retry: row.Retry}
	case by == errcodes.MatchedStatus && len(regs) == 1 && j.yieldsTo(&row):
		// The row for the status says more than the status, or than text that says the same.
		f.takeRow(d, &row, by, name)
		j.class, j.retry, j.byStatus = row.Class, row.Retry, false
	default:
		d.Class, d.Rule = j.class, j.rule
		d.Retry = j.retry
		if !j.retrySet {
			d.Retry = retryFor(j.class, f.judged)
		}
		if d.Wait == 0 {
			f.resetIfLimit(d)
		}
		if d.Class == errcodes.ClassServerError && d.Retry == errcodes.RetryOnce && d.Wait > 0 {
			d.Retry = errcodes.RetryBackoff
		}
		if len(regs) > 1 && by == errcodes.MatchedStatus {
			f.takeCaution(d, &j, regs)
		}
		d.Advice = adviceFor(d.Class, d.Retry)
	}
	f.finish(d, &j)
}

// yieldsTo reports whether the row for the status says more than the judgement.
func (j *judgement) yieldsTo(row *errcodes.Entry) bool {
	return j.byStatus || j.class == row.Class && j.class != errcodes.ClassConflict
}

// takeCaution makes d as careful as the rows for the status are: which of the registries' providers answered is not known, so neither row is the one
// that decides, but what any of them warns of may be true.
func (f *facts) takeCaution(d *Decision, j *judgement, regs []*errcodes.Registry) {
	known := false
	for _, r := range regs {
		row, by := r.MatchBy(f.judged, "", "")
		if by != errcodes.MatchedStatus || !j.yieldsTo(&row) {
			continue
		}
		if row.MaybeExecuted {
			d.Safety = MaybeExecuted
		}
		if row.Retry == errcodes.RetryNever {
			known = true
		}
		if care(row.Retry) > care(d.Retry) {
			d.Retry, d.Rule = row.Retry, registryRule(r.Name(), by)
		}
	}
	if known {
		j.byStatus = false // one of them knows it
	}
}

// care is higher for the retry rule that allows less.
func care(r errcodes.Retry) int {
	switch r {
	case errcodes.RetryBackoff:
		return 0
	case errcodes.RetryOnce:
		return 1
	case errcodes.RetryChanged:
		return 2
	default:
		return 3
	}
}

// takeRow sets what a registry's row decides.
func (f *facts) takeRow(d *Decision, row *errcodes.Entry, by errcodes.Matched, name string) {
	d.Class, d.Retry, d.Condition, d.Advice = row.Class, row.Retry, row.Code, row.Fix
	if row.MaybeExecuted {
		d.Safety = MaybeExecuted
	}
	d.Rule = registryRule(name, by)
	if d.Wait == 0 {
		f.resetIfLimit(d)
	}
}

// namedRegistries are the names of the rules of this module's registries, by [errcodes.Matched].
var namedRegistries = [...]struct {
	name  string
	rules [4]string
}{
	{"runbase", [4]string{errcodes.MatchedCode: "registry runbase: code", errcodes.MatchedType: "registry runbase: type", errcodes.MatchedStatus: "registry runbase: status"}},
	{"runinfra", [4]string{errcodes.MatchedCode: "registry runinfra: code", errcodes.MatchedType: "registry runinfra: type", errcodes.MatchedStatus: "registry runinfra: status"}},
	{"openai", [4]string{errcodes.MatchedCode: "registry openai: code", errcodes.MatchedType: "registry openai: type", errcodes.MatchedStatus: "registry openai: status"}},
	{"anthropic", [4]string{errcodes.MatchedCode: "registry anthropic: code", errcodes.MatchedType: "registry anthropic: type", errcodes.MatchedStatus: "registry anthropic: status"}},
	{"google", [4]string{errcodes.MatchedCode: "registry google: code", errcodes.MatchedType: "registry google: type", errcodes.MatchedStatus: "registry google: status"}},
	{"problem", [4]string{errcodes.MatchedCode: "registry problem: code", errcodes.MatchedType: "registry problem: type", errcodes.MatchedStatus: "registry problem: status"}},
}

// registryRule names what of a registry's row was recognised. The names of the registries of this module are not built anew each time.
func registryRule(registry string, by errcodes.Matched) string {
	for i := range namedRegistries {
		if n := &namedRegistries[i]; n.name == registry && int(by) < len(n.rules) {
			return n.rules[by]
		}
	}
	switch by {
	case errcodes.MatchedCode:
		return "registry " + registry + ": code"
	case errcodes.MatchedType:
		return "registry " + registry + ": type"
	default:
		return "registry " + registry + ": status"
	}
}

// matchRegistries asks the registries for a row: a code of any, then a type of any, then the status of the first.
func matchRegistries(regs []*errcodes.Registry, status int, d *Decision) (row errcodes.Entry, by errcodes.Matched, name string) {
	by = errcodes.MatchedNothing
	for _, r := range regs {
		e, m := r.MatchBy(status, d.Code, d.Type)
		if m == errcodes.MatchedCode {
			return e, m, r.Name()
		}
		if by == errcodes.MatchedNothing || m == errcodes.MatchedType && by == errcodes.MatchedStatus {
			row, by, name = e, m, r.Name()
		}
	}
	return row, by, name
}

// refinable reports whether a row found by its type may say less than the text.
func refinable(class errcodes.Class) bool {
	return class == errcodes.ClassInvalidRequest || class == errcodes.ClassRateLimited
}

// lasting reports whether the class is one of those for which text beats a broad type.
func lasting(class errcodes.Class) bool {
	switch class {
	case errcodes.ClassBilling, errcodes.ClassQuotaExhausted, errcodes.ClassContextLength, errcodes.ClassContentPolicy:
		return true
	default:
		return false
	}
}

// statedWait returns the wait that the response states, reset headers excepted: the first that is longer than 0, since whoever says 0 in one place and a
// wait in another means the wait.
func (f *facts) statedWait() (time.Duration, Source) {
	zero := SourceNone
	found := func(wait time.Duration, from Source) bool {
		if zero == SourceNone {
			zero = from
		}
		return wait > 0
	}
	if !f.names.read || f.names.waits {
		if wait, from := parseRetryAfter(f.header, f.date); found(wait, from) {
			return wait, from
		}
	}
	if f.waited && found(f.wait, SourceBody) {
		return f.wait, SourceBody
	}
	for _, s := range f.sentences[:f.nsent] {
		if wait, ok := waitInText(s, f.date); ok && found(wait, SourceText) {
			return wait, SourceText
		}
	}
	if f.pageText != "" {
		if wait, ok := waitInText(f.pageText, f.date); ok && found(wait, SourceText) {
			return wait, SourceText
		}
	}
	return 0, zero
}

// resetIfLimit reads the wait from reset headers, which count only where a limit refuses.
func (f *facts) resetIfLimit(d *Decision) {
	if d.Class != errcodes.ClassRateLimited && d.Class != errcodes.ClassQuotaExhausted {
		return
	}
	wait, ok := f.resetWait()
	if !ok || wait == 0 && d.WaitFrom != SourceNone {
		return
	}
	d.Wait, d.WaitFrom = wait, SourceReset
	if wait >= day {
		d.Class, d.Retry, d.Rule = errcodes.ClassQuotaExhausted, errcodes.RetryNever, ruleLongWait
		d.Advice = adviceFor(d.Class, d.Retry)
	}
}

// resetWait returns the wait that reset headers state, those that the body quotes included.
func (f *facts) resetWait() (time.Duration, bool) {
	if !f.readNames().limits && f.resets == nil {
		return 0, false
	}
	wait, ok := resetWait(f.header, f.date)
	if quoted, found := resetWait(f.resets, f.date); found && (!ok || quoted > wait) {
		wait, ok = quoted, true
	}
	return wait, ok
}

// finish applies what the server says about retrying as such.
func (f *facts) finish(d *Decision, j *judgement) {
	veto, lift := false, false
	if !f.names.read || f.names.shouldRetry {
		veto, lift = shouldRetry(f.header)
	}
	switch {
	case veto:
		d.Vetoed = true
		switch {
		case d.Retry == errcodes.RetryChanged, d.Retry == errcodes.RetryNever:
			// A changed request is another request.
		case d.Safety == MaybeExecuted:
			// The row says why, and when it may be sent again nevertheless: with a key.
			d.MaxAttempts = 1
			return
		default:
			d.Retry, d.Rule = errcodes.RetryNever, ruleVeto
			if d.Condition == "" {
				d.Advice = adviceFor(d.Class, d.Retry)
			}
		}
	case lift && j.byStatus && d.Retry == errcodes.RetryNever && !ofMoney(d.Class):
		d.Retry, d.Rule = errcodes.RetryBackoff, ruleLift
	}
	d.MaxAttempts = attemptsFor(d.Retry)
}

// shouldRetry reads X-Should-Retry, which a proxy may have repeated or joined. False wins.
func shouldRetry(h http.Header) (veto, lift bool) {
	for _, v := range h["X-Should-Retry"] {
		for item := range strings.SplitSeq(v, ",") {
			item = strings.TrimSpace(item)
			veto = veto || strings.EqualFold(item, "false")
			lift = lift || strings.EqualFold(item, "true")
		}
	}
	return veto, lift && !veto
}

// attemptsFor returns how many attempts a failure under the rule r is worth, 0 for as many as the caller likes.
func attemptsFor(r errcodes.Retry) int {
	switch r {
	case errcodes.RetryBackoff:
		return 0
	case errcodes.RetryOnce, errcodes.RetryChanged:
		return 2
	default:
		return 1
	}
}

// Err judges a transport error by its kind, never by its text. An [Error] of a Transport further
// down keeps its decision. A nil error gives the zero Decision.
func (c *Classifier) Err(err error) Decision {
	if err == nil {
		return Decision{}
	}
	if inner, ok := errors.AsType[*Error](err); ok && inner != nil {
		return inner.Decision
	}
	k := kindOf(err)
	return k.decision()
}
