package classify

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// waitInText returns the wait that prose states, such as "try again in 7.66s", "retry after 20 seconds" or "banned
// until 1660090423228". Windows ("10 per 60s"), durations of something else ("timed out
// after 3 s") and waits that follow somebody's action state none.
func waitInText(s string, date time.Time) (time.Duration, bool) {
	s = cut(s, maxProse)
	for i := 0; i < len(s); i++ {
		if n, word := spelledNumber(s, i); n != "" {
			wait, size := spanAt(n + cut(s[i+word:], 16))
			if end := i + word + size - len(n); size > len(n) && leadsToWait(clauseBefore(s, i)) && !boundToAction(s, i, end) {
				return wait, true
			}
			i += word - 1
			continue
		}
		if !isDigit(s[i]) || i > 0 && (isWordByte(s[i-1]) || s[i-1] == '.' || s[i-1] == '-') {
			for i+1 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) {
				i++
			}
			continue
		}
		wait, n := spanAt(s[i:])
		if n == 0 {
			wait, n = quotedSpan(s, i)
		}
		if n == 0 {
			wait, n = moreSpan(s[i:])
		}
		if n == 0 && !hasSuffixFold(s[:i], "at ") { // which would be a time of day
			wait, n = clockSpan(s[i:])
		}
		if n == 0 {
			if w, ok := pointInText(s, i, date); ok {
				return w, true
			}
			if w, ok := bareSeconds(s, i); ok {
				return w, true
			}
			continue
		}
		if strings.HasPrefix(s[i+n:], "后") || strings.HasPrefix(s[i+n:], "之后") ||
			leadsToWait(clauseBefore(s, i)) && !boundToAction(s, i, i+n) {
			return wait, true
		}
		i += n - 1
	}
	return 0, false
}

// spelledNumber reads a number in letters at s[i], and returns it in digits and how long the word is; "" for none.
func spelledNumber(s string, i int) (digits string, length int) {
	switch s[i] | 0x20 {
	case 'o', 't', 'f', 's':
	default:
		return "", 0
	}
	if i > 0 && (isWordByte(s[i-1]) || s[i-1] == '-') {
		return "", 0
	}
	end := i
	for end < len(s) && end < i+7 && isLetter(s[end]) {
		end++
	}
	if end == len(s) || s[end] != ' ' {
		return "", 0
	}
	for _, n := range [...]struct{ word, digits string }{
		{"one", "1"}, {"two", "2"}, {"three", "3"}, {"five", "5"}, {"ten", "10"}, {"fifteen", "15"}, {"thirty", "30"}, {"sixty", "60"},
	} {
		if len(n.word) == end-i && strings.EqualFold(n.word, s[i:end]) {
			return n.digits, end - i
		}
	}
	return "", 0
}

// quotedSpan reads a number in quotes at s[i] and the unit behind them: after '372' seconds.
func quotedSpan(s string, i int) (time.Duration, int) {
	if i == 0 || s[i-1] != '\'' && s[i-1] != '"' && s[i-1] != '`' {
		return 0, 0
	}
	end := i
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	if end == len(s) || s[end] != s[i-1] {
		return 0, 0
	}
	wait, n := spanAt(s[i:end] + cut(s[end+1:], 32))
	if n == 0 {
		return 0, 0
	}
	return wait, n + 1
}

// moreSpan reads a number and the unit behind "more": wait 3 more seconds.
func moreSpan(s string) (time.Duration, int) {
	const more = " more"
	end := 0
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	if !strings.HasPrefix(s[end:], more) {
		return 0, 0
	}
	wait, n := spanAt(s[:end] + cut(s[end+len(more):], 16))
	if n == 0 {
		return 0, 0
	}
	return wait, n + len(more)
}

// clockSpan reads hh:mm:ss, with days and a dot before it or not, as .NET writes spans of time: 5.12:10:33.
func clockSpan(s string) (time.Duration, int) {
	end := 0
	for end < len(s) && end < 24 && (isDigit(s[end]) || s[end] == ':' || s[end] == '.' && end+1 < len(s) && isDigit(s[end+1])) {
		end++
	}
	days, clock := "0", s[:end]
	if d, rest, ok := strings.Cut(clock, "."); ok && !strings.Contains(d, ":") {
		days, clock = d, rest
	}
	wait, ok := parseClock(clock)
	if !ok {
		return 0, 0
	}
	n, ok := parseNumber(days)
	if !ok || n > 1000 {
		return 0, 0
	}
	return wait + times(n, day), end
}

// bareSeconds reads a number without a unit that ends its sentence behind "retry after": seconds, as in the header of that name.
func bareSeconds(s string, i int) (time.Duration, bool) {
	end := i
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	rest := strings.TrimLeft(s[end:], ".)")
	if rest != "" && rest[0] != '\n' && (rest[0] != ' ' || len(rest) == len(s)-end) {
		return 0, false
	}
	v, ok := parseNumber(s[i:end])
	clause := strings.TrimRight(clauseBefore(s, i), " :=")
	if !ok || v >= minResetEpoch || !hasSuffixFold(clause, "retry after") && !hasSuffixFold(clause, "retry-after") {
		return 0, false
	}
	return times(v, time.Second), true
}

// clauseBefore returns what stands before s[i] in the same sentence.
func clauseBefore(s string, i int) string {
	start := max(0, i-160)
	clause := s[start:i]
	for j := len(clause) - 1; j > 0; j-- {
		switch clause[j] {
		case '\n', ';', '!', '?', '(', '|':
			return clause[j+1:]
		case ' ':
			if clause[j-1] == '.' {
				return clause[j+1:]
			}
		}
	}
	return clause
}

// leadsToWait reports whether a span of time behind clause is a wait: a preposition directly
// before it, and a word about coming back a few words before that.
func leadsToWait(clause string) bool {
	var words [12]string
	n := lastWords(clause, &words)
	i := n - 1
	// Words that say how exact the number is.
	for ; i >= 0; i-- {
		switch words[i] {
		case "about", "approximately", "approx", "roughly", "around", "another", "at", "least", "next", "the", "minimum", "of", "a", "further", "more", "up", "to":
			continue
		}
		break
	}
	if i < 0 {
		return false
	}
	only := words[i] == "after" // you can only ask for this after 52 seconds
	switch words[i] {
	case "in", "after", "for", "within", "is":
		i--
	case "wait", "waiting", "retryafter", "retryin", "retrydelay", "resetin", "resetsin", "等待":
		return true
	case "again", "retry", "reset", "resets", "cooldown":
		// "retry: 5s"
		return true
	case "availability", "recovery":
		return slices.Contains(words[:i], "time") // expected time to availability: 9s
	case "time":
		return i > 0 && (words[i-1] == "wait" || words[i-1] == "waiting" || words[i-1] == "retry" || words[i-1] == "cooldown")
	default:
		return false
	}
	for back := 0; i >= 0 && back < 7; i, back = i-1, back+1 {
		switch words[i] {
		case "retry", "retrying", "retries", "retried", "again", "wait", "waiting", "reset", "resets", "available", "back", "cooldown", "cool", "next", "replenished", "replenishes", "refilled",
			"unblocked", "blocked", "banned", "unlocked", "locked", "lifted", "resume", "resumes", "refills", "renews", "expires", "delay", "throttled", "pause", "paused", "suspended", "frozen", "sleep", "resend", "repeat", "recover", "recovers", "ready":
			return true
		case "availability", "recovery":
			return slices.Contains(words[:i], "time")
		case "only":
			if only {
				return true
			}
		case "out", "last", "past", "per", "requests", "tokens", "calls", "limit", "exceeded":
			return false
		}
	}
	return false
}

// lastWords puts the last words of s into words, in lower case and in their order, and returns how many there are.
func lastWords(s string, words *[12]string) int {
	fields := strings.FieldsFunc(s, func(r rune) bool {
		return r != '\'' && r < 0x80 && !isWordByte(byte(r)) && r != '-'
	})
	for len(fields) > 0 && strings.Trim(fields[len(fields)-1], "'") == "" {
		fields = fields[:len(fields)-1] // a quote that opens
	}
	if len(fields) > len(words) {
		fields = fields[len(fields)-len(words):]
	}
	for i, f := range fields {
		words[i] = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(f))
	}
	return len(fields)
}

// boundToAction reports whether the wait at s[start:end] begins only when somebody has done something.
func boundToAction(s string, start, end int) bool {
	before := strings.ToLower(clauseBefore(s, start))
	for _, mark := range [...]string{"if you ", "once you ", "after you ", "when you ", "if this was ", "if it was "} {
		if strings.Contains(before, mark) {
			return true
		}
	}
	if _, deed, ok := strings.Cut(before, "after "); ok {
		if word, _, _ := strings.Cut(deed, " "); strings.HasSuffix(word, "ing") && word != "waiting" {
			return true // after enabling it
		}
	}
	rest := strings.TrimLeft(s[end:], " ")
	if after, ok := strings.CutPrefix(rest, "after "); ok {
		word, _, _ := strings.Cut(after, " ")
		return strings.HasSuffix(word, "ing") || word == "you" || word == "that" || word == "this"
	}
	return false
}

// pointInText reads a point in time at s[i] that ends a wait.
func pointInText(s string, i int, date time.Time) (time.Duration, bool) {
	if date.IsZero() {
		return 0, false
	}
	const weekday = len("Thu, ")
	if j := i - weekday; j >= 0 && len(s) >= j+len(http.TimeFormat) && isLetter(s[j]) && endsAtPoint(clauseBefore(s, j)) {
		if t, err := http.ParseTime(s[j : j+len(http.TimeFormat)]); err == nil {
			return until(t, date)
		}
	}
	if !endsAtPoint(clauseBefore(s, i)) {
		return 0, false
	}
	end := i
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	if end == len(s) || !isWordByte(s[end]) && s[end] != '-' && s[end] != ':' {
		if n := end - i; n == 10 || n == 13 {
			return parseReset(s[i:end], date)
		}
	}
	for _, n := range [...]int{35, 32, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 17, 16, 10} {
		if i+n > len(s) || i+n < len(s) && (isDigit(s[i+n]) || n > 10 && isLetter(s[i+n])) {
			continue
		}
		if t, ok := parsePoint(s[i : i+n]); ok {
			return until(t, date)
		}
	}
	return 0, false
}

// endsAtPoint reports whether a point in time behind clause ends a wait.
func endsAtPoint(clause string) bool {
	var words [12]string
	n := lastWords(clause, &words)
	if n == 0 {
		return false
	}
	switch words[n-1] {
	case "until", "till":
		return true
	case "at", "on", "after", "by", "is":
	default:
		return false
	}
	for i := max(0, n-7); i < n-1; i++ {
		switch words[i] {
		case "again", "retry", "reset", "resets", "returns", "return", "available", "back", "renews", "regain", "resumes", "expires", "lifted", "wait":
			return true
		}
	}
	return false
}
