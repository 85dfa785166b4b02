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
	for i := range p.words {
		w := p.word(i)
		switch string(w) {
		case "limit", "limits", "limited", "quota", "quotas", "exceed", "exceeds", "exceeded", "exceeding", "reached", "exhausted", "throttled", "throttling",
			"allocation", "allowance", "maximum", "max", "many", "free", "ratelimit", "ratelimited", "usage", "hit", "queries", "requests", "allowed", "tokens", "calls":
			l.isLimit = true
		}
		switch string(w) {
		case "per", "/", "every", "each":
			l.see(p.periodAt(i + 1))
		case "a", "an":
			// "100 requests a day"
			if i > 0 && isCounted(p.word(i-1)) {
				l.see(p.periodAt(i + 1))
			}
		case "daily", "rpd", "tpd", "weekly", "monthly", "byday", "perday", "userbymodelbyday", "tomorrow", "yearly", "annual", "permonth", "perweek", "rpw":
			l.see(periodDay)
		case "hourly", "rpm", "tpm", "rps", "qps", "tps", "rph", "tph", "qpm", "perminute", "persecond", "byminute", "userbymodelbyminute", "itpm", "otpm":
			l.see(periodShort)
		case "today":
			l.see(periodDay)
		case "month", "week", "day":
			if i > 0 && (string(p.word(i-1)) == "this" || string(p.word(i-1)) == "current" || string(p.word(i-1)) == "billing") {
				l.see(periodDay)
			}
		case "hour", "hours", "24h", "minutes", "mins", "minute", "min", "days":
			l.seeWindow(p, i)
		case "limit", "quota":
			v, ok := p.numberNear(i + 1)
			if ok && v == 0 && (i == 0 || string(p.word(i-1)) != "remaining") {
				l.zero = true
			}
			if ok && limit < 0 {
				limit = v
			}
		case "requested":
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
