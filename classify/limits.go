package classify

import (
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
}

// readLimits looks for periods and numbers of an allowance.
func (p *prose) readLimits() limits {
	var l limits
	limit, requested := -1.0, -1.0
	for i, id := range p.ids {
		use := p.vocab.limits[id]
		if use == 0 {
			continue
		}
		l.isLimit = l.isLimit || use&saysLimit != 0
		switch {
		case use&saysPer != 0, use&saysEach != 0 && i > 0 && isCounted(p.word(i-1)): // "100 requests a day"
			l.see(p.periodAt(i + 1))
		case use&saysDay != 0:
			l.see(periodDay)
		case use&saysShort != 0:
			l.see(periodShort)
		case use&saysCalendar != 0:
			if i > 0 && isPresent(p.word(i-1)) || p.isSingle(i-1) || i+1 < len(p.words) && p.vocab.limits[p.ids[i+1]]&saysAmount != 0 {
				l.see(periodDay)
			}
		case use&saysWindow != 0:
			l.seeWindow(p, i)
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
	if p.foreign {
		text := string(p.buf)
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
	l.tooBig = limit > 0 && requested > limit
	if l.period == periodNone && l.minutely {
		l.period = periodShort
	}
	return l
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
		if before {
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

// isPresent reports whether the day, week or month behind w is the one that an allowance lasts for.
func isPresent(w []byte) bool {
	switch string(w) {
	case "this", "the", "current", "billing":
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

// numberNear reads the number at word i, or behind "is", "of", "value" and the like.
func (p *prose) numberNear(i int) (float64, bool) {
	for skip := 0; skip < 3 && i < len(p.words); skip++ {
		w := p.word(i)
		if isDigit(w[0]) {
			return parseNumber(string(w))
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
