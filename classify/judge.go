package classify

import (
	"slices"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// Names of rules that are not made from what was read.
const (
	ruleVeto      = "x-should-retry: false"
	ruleLift      = "x-should-retry: true"
	ruleZero      = "limit: zero"
	ruleTooBig    = "limit: request above it"
	ruleDay       = "limit: per day or longer"
	ruleTooLong   = "limit: more tokens than the model takes"
	ruleShort     = "limit: per minute or hour"
	ruleLongWait  = "wait: a day or more"
	ruleRefusal   = "refusal"
	rulePuzzle    = "page: a challenge"
	ruleChallenge = "header cf-mitigated"
)

// judgement is what the parts of judging hand on.
type judgement struct {
	class    errcodes.Class
	retry    errcodes.Retry
	retrySet bool // else the class decides
	rule     string
	byStatus bool // nothing but the status spoke
}

// reason judges without registries: by what is refused as such, by numbers, by known words and by text, and at last by the status.
func (f *facts) reason(d *Decision, p *prose) judgement {
	e := f.evidence(p)
	if j, ok := f.byNature(); ok {
		return j
	}
	if e.known != nil && e.known.strength == strong && (e.group != on401 || ofMoney(e.known.class)) {
		return e.known.judgement()
	}
	if e.limits = p.readLimits(); e.limits.period == periodNone && f.pageText != "" && e.group == on429 {
		e.limits.period = f.pagePeriod()
	}
	if f.period != periodNone {
		e.limits.period, e.limits.isLimit = f.period, true
	}
	e.text = p.judgeRefusal(e.group, &e.limits)
	if j, ok := f.byNumbers(d, &e); ok {
		return j
	}
	if e.known != nil && (e.known.class == errcodes.ClassInvalidRequest || e.known.class == errcodes.ClassConflict) && e.text < 0 || e.is(errcodes.ClassInvalidRequest) {
		// Of a family that says no more than the status, the reason beside it may.
		if j, ok := f.byNames(&e); ok && j.class != errcodes.ClassInvalidRequest {
			return j
		}
	}
	if e.text < 0 && e.group&(on2xx|on400|on413|on500) != 0 && p.tooManyTokens() {
		return judgement{class: errcodes.ClassContextLength, rule: ruleTooLong}
	}
	if e.group == on429 && e.is(errcodes.ClassQuotaExhausted) && p.renewsSoon() {
		return judgement{class: errcodes.ClassRateLimited, rule: "text: " + proseRules[e.text].name + ", renewed soon"}
	}
	if f.puzzling && e.text < 0 && e.group&(on400|on403|on429) != 0 && d.Wait == 0 {
		return judgement{class: errcodes.ClassPermission, rule: rulePuzzle}
	}
	if j, ok := f.byQuotedError(&e); ok {
		return j
	}
	if j, ok := byText(d, &e); ok {
		return j
	}
	if j, ok := f.byNames(&e); ok {
		return j
	}
	class, retry := byStatus(f.judged)
	if e.group == on2xx && f.inner == 0 {
		// Something failed, and nothing says what: like a plain 500.
		class, retry = errcodes.ClassServerError, errcodes.RetryOnce
		if d.Wait > 0 {
			class, retry = errcodes.ClassRateLimited, errcodes.RetryBackoff // whoever names a wait refuses for now
		}
	}
	return judgement{class: class, retry: retry, retrySet: true, rule: "status", byStatus: true}
}

// pagePeriod reads the period of the limit that a page speaks of below its title: 200 per 1 day.
func (f *facts) pagePeriod() period {
	p := takeProse()
	defer putProse(p)
	p.add(f.pageText)
	l := p.readLimits()
	return l.period
}

// evidence is what a judgement is made from.
type evidence struct {
	group  statuses
	known  *knownWord // the strongest known word, nil for none
	limits limits
	text   int // the rule of the text, -1 for none
	wait   time.Duration
}

// is reports whether the text was judged to be of one of those classes.
func (e *evidence) is(classes ...errcodes.Class) bool {
	return e.text >= 0 && slices.Contains(classes, proseRules[e.text].class)
}

// spend reports whether the text is about money that somebody capped.
func (e *evidence) spend() bool { return e.text == ruleSpend }

// evidence finds the machine words; the rest is found when it is needed.
func (f *facts) evidence(p *prose) evidence {
	e := evidence{group: groupOf(f.judged), known: f.bestWord(), text: -1}
	if e.known == nil || e.known.strength == faint {
		if k := p.namedError(); k != nil && k.strength != faint {
			e.known = k
		}
	}
	return e
}

// byNature judges what is no failure of a service at all.
func (f *facts) byNature() (judgement, bool) {
	if f.refused {
		return judgement{class: errcodes.ClassContentPolicy, rule: ruleRefusal}, true
	}
	if f.challenge && groupOf(f.status)&(on400|on403|on429) != 0 {
		return judgement{class: errcodes.ClassPermission, rule: rulePuzzle}, true
	}
	if (!f.names.read || f.names.codes) && strings.EqualFold(header(f.header, "Cf-Mitigated"), "challenge") {
		return judgement{class: errcodes.ClassPermission, rule: ruleChallenge}, true
	}
	return judgement{}, false
}

// byNumbers judges an allowance by its numbers: none at all, less than this request asks for, or one that
// renews in a day or later. It also notes the wait, reset headers included.
func (f *facts) byNumbers(d *Decision, e *evidence) (judgement, bool) {
	l := &e.limits
	rated := e.known != nil && ofLimits(e.known.class)
	limited := l.isLimit && e.group&(on2xx|on400|on403|on429|on503|on500) != 0 || rated || e.group == on429
	switch {
	case !limited && e.group != on402:
	case f.zeroLimit || l.zero:
		return judgement{class: errcodes.ClassQuotaExhausted, rule: ruleZero}, true
	case l.tooBig && e.group&(on429|on400|on413) != 0:
		return judgement{class: errcodes.ClassTooLarge, rule: ruleTooBig}, true
	}

	// Whether it is the limit that refuses, and not a word about one beside another cause.
	refuses := e.group&(on429|on403) != 0 || rated || l.isLimit && l.window || e.group == on2xx && l.isLimit && l.period != periodNone ||
		e.is(errcodes.ClassRateLimited, errcodes.ClassQuotaExhausted)
	if limited && !e.spend() && (refuses || e.is(errcodes.ClassOverloaded, errcodes.ClassBilling)) {
		switch {
		case l.period == periodDay && (!l.loose || !e.is(errcodes.ClassOverloaded)):
			return judgement{class: errcodes.ClassQuotaExhausted, rule: ruleDay}, true
		case l.period == periodShort && e.group != on402 && !e.is(errcodes.ClassOverloaded):
			return judgement{class: errcodes.ClassRateLimited, rule: ruleShort}, true
		}
	}
	if e.wait = d.Wait; d.Wait == 0 && refuses {
		e.wait, _ = f.resetWait()
	}
	if e.wait >= day && refuses && !e.spend() {
		return judgement{class: errcodes.ClassQuotaExhausted, rule: ruleLongWait}, true
	}
	return judgement{}, false
}

// byText judges by the text, then by a known word that the text may have overruled.
func byText(d *Decision, e *evidence) (judgement, bool) {
	// An allowance that renews within the day is a rate, whatever it is called.
	renews := e.wait > 0 && e.group&(on429|on2xx|on403|on500|on503) != 0
	if e.text == ruleQuota && e.known != nil && e.known.class == errcodes.ClassRateLimited {
		e.text = -1 // the word says which quota
	}
	if e.text >= 0 {
		r := &proseRules[e.text]
		if renews && (r.class == errcodes.ClassQuotaExhausted || e.spend() && d.WaitFrom == SourceText) {
			return judgement{class: errcodes.ClassRateLimited, rule: "text: " + r.name + ", renewed soon"}, true
		}
		return judgement{class: r.class, retry: r.retry, retrySet: r.retry != errcodes.RetryNever, rule: "text: " + r.name}, true
	}
	switch {
	case e.known == nil:
		return judgement{}, false
	case e.known.class == errcodes.ClassQuotaExhausted && renews:
		return judgement{class: errcodes.ClassRateLimited, rule: "known: " + e.known.stem + ", renewed soon"}, true
	}
	return e.known.judgement(), e.known.applies(e.group)
}

// maxNameInWords is the length of a message up to which it may be the name of an error.
const maxNameInWords = 32

// byQuotedError judges a failure that only hands on what the server behind it found wrong with the request: by the kind of error that it quotes.
func (f *facts) byQuotedError(e *evidence) (judgement, bool) {
	if e.text >= 0 || e.group&(on429|on500|on503) == 0 || e.known != nil && e.known.class != errcodes.ClassInvalidRequest && e.known.class != errcodes.ClassServerError {
		return judgement{}, false
	}
	for _, w := range f.words[:f.nested] {
		if k := lookupWord(w); k != nil && k.class == errcodes.ClassInvalidRequest {
			return judgement{class: k.class, rule: "quoted: " + k.stem}, true
		}
	}
	return judgement{}, false
}

// byNames reads the machine words as prose, where nothing else says more than the status: channel_not_found is a sentence.
func (f *facts) byNames(e *evidence) (judgement, bool) {
	if e.group&(on2xx|on400|on409|on500) == 0 || f.nwords == 0 && f.message == "" {
		return judgement{}, false
	}
	p := takeProse()
	defer putProse(p)
	for _, w := range f.words[:f.nwords] {
		p.addName(w)
	}
	if isToken(f.message) {
		p.addName(f.message)
	}
	i := p.judge(e.group)
	if i < 0 {
		// A message of two or three words may be the name of an error: rate limit, insufficient balance.
		if k := lookupStem(f.message); len(f.message) <= maxNameInWords && k != nil && k.strength != faint {
			return k.judgement(), k.applies(e.group)
		}
		return judgement{}, false
	}
	r := &proseRules[i]
	return judgement{class: r.class, retry: r.retry, retrySet: r.retry != errcodes.RetryNever, rule: "name: " + r.name}, true
}

// judgement is what the word alone says.
func (k *knownWord) judgement() judgement {
	return judgement{class: k.class, retry: k.retry, retrySet: k.retry != errcodes.RetryNever, rule: "known: " + k.stem}
}

func ofMoney(c errcodes.Class) bool {
	return c == errcodes.ClassBilling || c == errcodes.ClassQuotaExhausted
}

func ofLimits(c errcodes.Class) bool {
	return c == errcodes.ClassRateLimited || c == errcodes.ClassQuotaExhausted
}

// bestWord returns the strongest of the known machine words, the innermost of several; nil for none.
func (f *facts) bestWord() *knownWord {
	var best *knownWord
	for _, w := range f.words[:f.nwords] {
		if k := lookupWord(w); k != nil && (best == nil || k.strength > best.strength) {
			best = k
		}
	}
	return best
}

// namedError returns the known word among the names of exceptions in prose, such as litellm.RateLimitError; nil for none.
func (p *prose) namedError() *knownWord {
	for i := range p.words {
		w := p.word(i)
		if n := len(w); n > len("exception") && (string(w[n-5:]) == "error" || string(w[n-9:]) == "exception") {
			if k := lookupStem(string(w)); k != nil {
				return k
			}
		}
	}
	return nil
}

// applies reports whether a weak or faint word decides under the status.
func (k *knownWord) applies(group statuses) bool {
	switch {
	case group == on401:
		return ofMoney(k.class) || k.class == errcodes.ClassAuthentication
	case group == on402:
		return ofMoney(k.class)
	case k.strength != faint:
		return true
	case k.class == errcodes.ClassServerError:
		return group&(on2xx|on500) != 0
	}
	return group&(on2xx|on400) != 0
}

// byStatus judges by the status alone.
func byStatus(status int) (errcodes.Class, errcodes.Retry) {
	switch status {
	case 408, 504, 522, 524, 598, 599:
		return errcodes.ClassTimeout, errcodes.RetryBackoff
	case 503, 521, 523, 529, 530:
		return errcodes.ClassOverloaded, errcodes.RetryBackoff
	case 424: // what failed stands behind the server
		return errcodes.ClassServerError, errcodes.RetryOnce
	case 420: // what Twitter sent before 429 was one
		return errcodes.ClassRateLimited, errcodes.RetryBackoff
	case 423:
		return errcodes.ClassConflict, errcodes.RetryNever
	case 425: // RFC 8470 section 5.2: what came too early may be sent again
		return errcodes.ClassConflict, errcodes.RetryBackoff
	case 507: // RFC 4918 section 11.5: not to be repeated until somebody asks for it anew
		return errcodes.ClassServerError, errcodes.RetryNever
	}
	var none *errcodes.Registry
	e := none.Match(status, "", "")
	return e.Class, e.Retry
}

// retryFor returns the retry rule of a class.
func retryFor(class errcodes.Class, status int) errcodes.Retry {
	switch class {
	case errcodes.ClassRateLimited, errcodes.ClassOverloaded, errcodes.ClassTimeout:
		return errcodes.RetryBackoff
	case errcodes.ClassServerError:
		if status >= 502 && status < 600 || status == 408 || status == 429 {
			return errcodes.RetryBackoff
		}
		return errcodes.RetryOnce
	default:
		return errcodes.RetryNever
	}
}
