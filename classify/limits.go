package classify

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// period is how long an allowance lasts.
type period uint8

const (
	periodNone  period = iota
	periodShort        // less than a day: waiting helps
	periodDay          // a day or longer: come back another day
)

// limits is what prose says about an allowance.
type limits struct {
	period   period
	zero     bool // an allowance of 0: no wait brings anything
	tooBig   bool // this request alone asks for more than the limit
	isLimit  bool // the text speaks of a limit at all
	minutely bool // a period below a day is named
	window   bool // more than allowed was asked for within a period
	loose    bool // the period is but that of today or of this month
	today    bool // the allowance is that of today, unless a shorter period is named
}

// readLimits looks for periods and numbers of an allowance. Which period refuses is told by the sentence: one that says that a limit was met
// comes before one that only mentions a limit, and what an offer mentions is no limit at all.
func (p *prose) readLimits() limits {
	var l limits
	limit, requested := -1.0, -1.0
	var met, mentioned, here limits // by sentences that refuse, by others, and by the one under way
	next, refuses := 0, false
	p.settle()
	flush := func() {
		if refuses {
			met.take(&here)
		} else {
			mentioned.take(&here)
		}
		here, refuses = limits{}, false
	}
	for i, id := range p.ids {
		if next < len(p.stops) && i == int(p.stops[next].at) {
			flush()
			next++
		}
		use := p.vocab.limits[id]
		if use == 0 {
			continue
		}
		l.isLimit = l.isLimit || use&saysLimit != 0
		refuses = refuses || use&saysMet != 0
		offer := next > 0 && p.stops[next-1].offer
		here.readPeriod(p, i, use, offer)
		switch {
		case use&saysAmount != 0:
			v, ok := p.numberNear(i + 1)
			if ok && v == 0 && (i == 0 || string(p.word(i-1)) != "remaining") {
				l.zero = true
			}
			if ok && limit < 0 {
				limit = v
			}
		case use&saysAsked != 0:
			if v, ok := p.numberNear(i + 1); ok && requested < 0 {
				requested = v
			}
		}
	}
	flush()
	l.window = met.window || mentioned.window
	if met.period == periodNone && !met.minutely && !met.today {
		met.take(&mentioned)
	}
	l.take(&met)
	if l.today && !l.minutely && l.period == periodNone {
		l.period, l.loose, l.isLimit = periodDay, true, true
	}
	if p.foreign {
		l.readSigns(string(p.buf))
	}
	l.tooBig = limit > 0 && requested > limit
	if l.period == periodNone && l.minutely {
		l.period = periodShort
	}
	return l
}

// readPeriod reads the period that word i names, if it is one of an allowance.
func (l *limits) readPeriod(p *prose, i int, use limitUse, offer bool) {
	if use&saysWindow != 0 {
		l.seeWindow(p, i)
		return
	}
	if offer {
		return
	}
	switch {
	case use&saysPer != 0, use&saysEach != 0 && i > 0 && (isCounted(p.word(i-1)) || i > 1 && isNumeral(p.word(i-2))): // "100 requests a day"
		if p.isBounded(i) {
			l.see(p.periodAt(i + 1))
		}
	case use&saysDay != 0, use&saysLoose != 0 && p.bindsPeriod(i):
		l.see(periodDay)
	case use&saysToday != 0:
		l.today = l.today || p.bindsToday(i)
	case use&saysShort != 0:
		l.see(periodShort)
	case use&saysCalendar == 0:
	case i > 0 && isPresent(p.word(i-1)) && p.bindsToday(i):
		l.today = true
	case p.isSingle(i-1) || i+1 < len(p.words) && p.vocab.limits[p.ids[i+1]]&saysAmount != 0:
		l.see(periodDay)
	}
}

// readSigns reads periods in a script without blanks.
func (l *limits) readSigns(text string) {
	for _, word := range [...]string{"每日", "每天", "今日", "当日", "每月", "本月", "每周"} {
		if strings.Contains(text, word) {
			l.isLimit = true
			l.see(periodDay)
		}
	}
	for _, word := range [...]string{"每分钟", "每秒", "每小时"} {
		if strings.Contains(text, word) {
			l.isLimit = true
			l.see(periodShort)
		}
	}
}

// take adds the periods of m to those of l.
func (l *limits) take(m *limits) {
	l.see(m.period)
	l.minutely = l.minutely || m.minutely
	l.today = l.today || m.today
	l.window = l.window || m.window
}

// sentenceAround returns the words of the sentence of word i, from first up to but not including end; of a very long one those around i.
func (p *prose) sentenceAround(i int) (first, end int) {
	n, _ := slices.BinarySearchFunc(p.stops, i+1, func(s stop, at int) int { return int(s.at) - at })
	first, end = 0, len(p.words)
	if n > 0 {
		first = int(p.stops[n-1].at)
	}
	if n < len(p.stops) {
		end = int(p.stops[n].at)
	}
	return max(first, i-maxSentence), min(end, i+maxSentence)
}

// isBounded reports whether the period behind word i ("per", "/", "every") bounds a number of something, not a price and not a habit: "200 per day",
// "requests per month", and neither "5 dollars per month" nor "our team meets every day".
func (p *prose) isBounded(i int) bool {
	first, end := p.sentenceAround(i)
	for k := i - 1; k >= max(first, i-3); k-- {
		w := p.word(k)
		if w[0] == '$' || isCurrency(w) {
			return false
		}
		if isNumeral(w) {
			return true
		}
	}
	for k := first; k < end; k++ {
		if p.vocab.limits[p.ids[k]]&(saysLimit|saysNoun|saysMet) != 0 {
			return true
		}
	}
	return false
}

// bindsPeriod reports whether word i, such as "daily", is said of an allowance: "daily limit", "the monthly token quota", "limit type: daily". Where
// the sentence names a shorter period too, it has to be said closely.
func (p *prose) bindsPeriod(i int) bool {
	first, end := p.sentenceAround(i)
	before, behind := 4, 5
	for k := first; k < end; k++ {
		if p.vocab.limits[p.ids[k]]&saysMinute != 0 {
			before, behind = 1, 2
		}
	}
	for k := i + 1; k < min(end, i+1+behind) && !isPreposition(p.word(k)); k++ {
		if p.vocab.limits[p.ids[k]]&saysNoun != 0 {
			return true
		}
	}
	for k := max(first, i-before); k < i; k++ {
		if p.vocab.limits[p.ids[k]]&saysNoun != 0 {
			return true
		}
	}
	return false
}

func isPreposition(w []byte) bool {
	switch string(w) {
	case "of", "for", "to", "with", "about", "on", "see":
		return true
	}
	return false
}

// bindsToday reports whether the sentence of word i is about what somebody may do in a day: "your requests for today", "the limit of today".
func (p *prose) bindsToday(i int) bool {
	first, end := p.sentenceAround(i)
	noun, whose := false, false
	for k := first; k < end; k++ {
		use := p.vocab.limits[p.ids[k]]
		noun = noun || use&saysNoun != 0
		whose = whose || use&(saysAmount|saysWhose|saysMet) != 0
	}
	return noun && whose
}

// seeWindow notes a window whose unit is word i: "your 24 hour limit", "reached for 5 hours", "in the last 30 days".
func (l *limits) seeWindow(p *prose, i int) {
	before := p.windowBefore(i - 1)
	switch unit := string(p.word(i)); unit {
	case "hour", "hours", "24h":
		n := 24
		if i > 0 && unit != "24h" {
			n, _ = strconv.Atoi(string(p.word(i - 1)))
		}
		if before || i+1 < len(p.words) && isAllowance(p.word(i+1)) {
			switch {
			case n >= 24:
				l.see(periodDay)
				l.window = true
			case n > 0:
				l.see(periodShort)
			}
		}
	case "days":
		if before {
			l.see(periodDay)
			l.window = true
		}
	default:
		if before || i > 0 && isPresent(p.word(i-1)) {
			l.see(periodShort)
		}
	}
}

// windowBefore reports whether the number at word i is the length of a window: "limit reached for 5 hour", "in the last 24 hours".
func (p *prose) windowBefore(i int) bool {
	if i < 1 || !isDigit(p.word(i)[0]) {
		return false
	}
	switch string(p.word(i - 1)) {
	case "last", "past", "rolling", "previous":
		return true
	case "within", "in":
		return i > 1 && isCounted(p.word(i-2)) // "requests in 60 seconds"
	case "for":
		for k := max(0, i-4); k < i-1; k++ {
			switch string(p.word(k)) {
			case "limit", "limits", "quota", "reached", "exceeded", "allowance":
				return true
			}
		}
	}
	return false
}

func (l *limits) see(p period) {
	if p == periodDay {
		l.period = periodDay
	}
	l.minutely = l.minutely || p == periodShort
}

// isNumeral reports whether w begins with a number.
func isNumeral(w []byte) bool { return isDigit(w[0]) }

func isCurrency(w []byte) bool {
	switch string(w) {
	case "dollar", "dollars", "usd", "euro", "euros", "eur", "cents", "gbp", "pounds", "yuan", "rmb", "cny":
		return true
	}
	return false
}

// isPresent reports whether the day, week or month behind w is the one that an allowance lasts for, or begins anew with.
func isPresent(w []byte) bool {
	switch string(w) {
	case "this", "the", "current", "billing", "next":
		return true
	}
	return false
}

// isSingle reports whether word i says that one day, week or month behind it bounds what is counted: "within one day".
func (p *prose) isSingle(i int) bool {
	if i < 1 {
		return false
	}
	switch string(p.word(i)) {
	case "one", "1", "a", "single":
	default:
		return false
	}
	switch string(p.word(i - 1)) {
	case "within", "during", "in":
		return true
	}
	return false
}

func isCounted(w []byte) bool {
	switch string(w) {
	case "requests", "calls", "tokens", "queries", "messages", "images", "times", "runs", "credits", "neurons", "generations", "request", "once":
		return true
	}
	return false
}

func isAllowance(w []byte) bool {
	switch string(w) {
	case "limit", "limits", "quota", "period", "window", "allowance", "rolling", "usage", "cap":
		return true
	}
	return false
}

// periodAt reads a period at word i: "day", "minute", "60s", "24 hours", "minute".
func (p *prose) periodAt(i int) period {
	if i >= len(p.words) {
		return periodNone
	}
	w := string(p.word(i))
	for i+1 < len(p.words) && isQualifier(w) {
		i++
		w = string(p.word(i))
	}
	switch w {
	case "year", "years", "quarter", "annum", "cycle":
		return periodDay
	case "period":
		if i > 0 && string(p.word(i-1)) == "billing" {
			return periodDay
		}
	}
	number := 1.0
	if isDigit(w[0]) {
		n := 0
		for n < len(w) && (isDigit(w[n]) || w[n] == '.') {
			n++
		}
		number, _ = parseNumber(w[:n])
		if w = w[n:]; w == "" {
			if i++; i >= len(p.words) {
				return periodNone
			}
			w = string(p.word(i))
		}
	}
	u, n := unitAt(w, false)
	if n == 0 || n != len(w) {
		return periodNone
	}
	if times(number, u) >= day {
		return periodDay
	}
	if u < time.Second {
		return periodNone
	}
	return periodShort
}

// isQualifier reports whether w may stand between "per" and the unit: per calendar month, in each rolling 24 hours.
func isQualifier(w string) bool {
	switch w {
	case "calendar", "rolling", "single", "billing", "full", "sliding", "the", "any":
		return true
	}
	return false
}

// numberNear reads the number at word i, or behind "is", "of", "value" and the like.
func (p *prose) numberNear(i int) (float64, bool) {
	for skip := 0; skip < 3 && i < len(p.words); skip++ {
		w := p.word(i)
		if isDigit(w[0]) {
			return parseNumber(string(w))
		}
		if w[0] == '$' {
			return parseNumber(string(w[1:]))
		}
		switch string(w) {
		case "is", "of", "value", "was", "at", "currently", "about":
			i++
			continue
		}
		break
	}
	return 0, false
}

// tooManyTokens reports whether the text compares two numbers of tokens, and what came is more than what the model takes: "Requested 9000 tokens, but the
// model takes 8192 at most". A number of tokens that were to be generated is a setting.
func (p *prose) tooManyTokens() bool {
	if p.numbers < 2 {
		return false
	}
	var tokens, compared, given, made bool
	came, taken, numbers := 0.0, 0.0, 0
	for i := range p.words {
		w := p.word(i)
		if isDigit(w[0]) {
			v, ok := parseNumber(string(w))
			if !ok || v < minTokens {
				continue
			}
			switch numbers++; {
			case came == 0:
				came = v
			case v > came:
				came, taken = v, came
			case v < came:
				taken = v
			}
			continue
		}
		switch string(w) {
		case "tokens", "token", "sequence", "context":
			tokens = true
		case "more", "beyond", "exceeds", "exceed", "exceeded", "exceeding", "over", "above", "most", "maximum", "max", "only", "longer", "larger", "greater", "limit", "limited", "takes", "accepts",
			"supports", "allows", "allowed", "than", "handle", "permitted", "much", "many", "but":
			compared = true
		case "prompt", "input", "messages", "window":
			compared, given = true, true
		case "completion", "output", "generate", "generated":
			made = true
		case "max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "minute", "batch", "thinking":
			return false
		}
	}
	return tokens && compared && (given || !made) && taken > 0 && numbers <= 4
}

// minTokens is the least number of tokens that a model may take: smaller numbers count something else.
const minTokens = 128
