package codedoc

import (
	"slices"
	"strings"
	"unicode"

	"github.com/errwire/errwire/errcodes"
)

// What the words of a page mean. Everything here is a pure function of text.

// column is what a table says in one of its columns.
type column uint8

const (
	columnOther column = iota
	columnStatus
	columnCode
	columnType
	columnRetry
	columnAdvice
)

// columnOf reads the words of a header cell.
func columnOf(header string) column {
	text, _ := plain(header)
	words := wordsOf(text)
	has := func(list ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
	}
	switch {
	case has("retry", "retries", "retryable", "retriable", "retried"):
		if has("after", "max", "maximum", "count", "number", "delay", "limit", "attempts") {
			return columnOther
		}
		return columnRetry
	case has("status", "statuses", "http"):
		return columnStatus
	case has("code", "codes"), len(words) == 1 && has("error", "errors"):
		return columnCode
	case has("type", "types"):
		return columnType
	case has("strategy", "action", "fix", "resolution", "solution", "advice", "handling", "recommendation", "remedy", "do"):
		return columnAdvice
	}
	return columnOther
}

// wordsOf returns the words of s in lower case; an underscore and an apostrophe belong to a word.
func wordsOf(s string) []string {
	return strings.FieldsFunc(strings.ToLower(strings.ReplaceAll(s, "’", "'")), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '\''
	})
}

// isNone reports whether a cell says that there is nothing to say.
func isNone(text string) bool {
	switch strings.ToLower(strings.Trim(text, "() ")) {
	case "", "-", "–", "—", "none", "n/a", "null", "no code", "no type", "nothing":
		return true
	}
	return false
}

// span is a range of statuses; lo == hi for a single one.
type span struct{ lo, hi int }

// failure reports whether the span holds statuses of errors.
func (s span) failure() bool { return s.hi >= 400 }

// leadingStatuses returns the statuses that text begins with, such as those of "400, 401 and 403 (see below)", "HTTP 5xx" or
// "500-504", and what follows them.
func leadingStatuses(text string) ([]span, string) {
	var spans []span
	rest := text
	for {
		rest = strings.TrimLeft(rest, " ,;:/&+-–—()[].")
		n := strings.IndexAny(rest, " ,;:/&+()[]")
		if n < 0 {
			n = len(rest)
		}
		word := strings.TrimRight(rest[:n], ".-–—")
		if s, ok := statusOf(word); ok {
			spans = append(spans, s)
		} else if !isLead(word) || n == 0 {
			break
		}
		rest = rest[n:]
	}
	if spans == nil {
		return nil, text
	}
	return spans, rest
}

// isLead reports whether a word may stand before or between statuses.
func isLead(word string) bool {
	switch strings.ToLower(word) {
	case "and", "or", "http", "status", "statuses", "code", "codes", "error", "errors":
		return true
	}
	return false
}

// statusOf reads "429", "5xx" or "500-504".
func statusOf(word string) (span, bool) {
	if len(word) == 3 && word[0] >= '1' && word[0] <= '5' && strings.EqualFold(word[1:], "xx") {
		lo := int(word[0]-'0') * 100
		return span{lo, lo + 99}, true
	}
	first, last, isRange := strings.Cut(strings.Replace(word, "–", "-", 1), "-")
	lo, ok := number(first)
	if !ok || !isRange {
		return span{lo, lo}, ok
	}
	hi, ok := number(last)
	return span{lo, hi}, ok && lo <= hi
}

// number reads a status, 100 to 599.
func number(s string) (int, bool) {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return 0, false
	}
	return int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0'), true
}

// headingStatuses returns the statuses that a heading names: "400 Bad Request", "Error 429", "Overloaded (529)".
func headingStatuses(text string) []span {
	text, _ = plain(text)
	if spans, _ := leadingStatuses(text); spans != nil {
		return spans
	}
	if _, after, ok := strings.Cut(text, "("); ok {
		inner, _, _ := strings.Cut(after, ")")
		if spans, rest := leadingStatuses(inner); rest == "" {
			return spans
		}
	}
	return nil
}

// isToken reports whether s can be a code or a type: 1 to 64 bytes of [A-Za-z0-9_.-] with a letter among them.
func isToken(s string) bool {
	letter := false
	for i := range len(s) {
		c := s[i]
		isLetter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !isLetter && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
		letter = letter || isLetter
	}
	return letter && len(s) <= 64
}

// tokens returns the codes or types that a cell lists, and false when the cell holds anything that is neither
// one nor an explanation in parentheses. Where the cell has code spans, they are the list and the rest explains.
func tokens(text string, spans []string) ([]string, bool) {
	var list []string
	for _, s := range spans {
		if isToken(s) {
			list = append(list, s)
		}
	}
	if list != nil {
		return list, true
	}
	if open := strings.IndexByte(text, '('); open > 0 {
		end := strings.LastIndexByte(text, ')')
		text = text[:open] + " " + text[max(open, end)+1:]
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" ,;/", r) }) {
		switch {
		case word == "or" || word == "and":
		case isToken(word):
			list = append(list, word)
		default:
			return nil, false
		}
	}
	// Several words without a comma are a sentence, not a list.
	if len(list) > 1 && !strings.ContainsAny(text, ",;/") && !strings.Contains(text, " or ") && !strings.Contains(text, " and ") {
		return nil, false
	}
	return list, list != nil
}

// ruling is what a page says about retrying.
type ruling struct {
	words string // as the page has them; "" where it says nothing
	rule  errcodes.Retry
	clear bool // the words mean rule; otherwise nobody can tell
}

func (r ruling) String() string {
	if r.clear {
		return r.rule.String()
	}
	return r.words
}

// rulingOf reads a retry rule from the cell about retrying, and from the advice beside it where the cell says no more than yes.
func rulingOf(cell, advice string) ruling {
	text, _ := plain(cell)
	r := ruling{words: text, clear: true}
	if isNone(text) && !strings.EqualFold(text, "none") {
		return ruling{}
	}
	words := wordsOf(text)
	switch {
	case saysNo(text, words):
		r.rule = errcodes.RetryNever
	case saysChanged(words):
		r.rule = errcodes.RetryChanged
	case saysOnce(words):
		r.rule = errcodes.RetryOnce
	case saysBackoff(words):
		r.rule = errcodes.RetryBackoff
	case saysYes(text, words):
		text, _ = plain(advice)
		switch words = wordsOf(text); {
		case saysOnce(words):
			r.rule = errcodes.RetryOnce
		case saysChanged(words):
			r.rule = errcodes.RetryChanged
		default:
			r.rule = errcodes.RetryBackoff
		}
	default:
		r.clear = false
	}
	return r
}

func saysNo(text string, words []string) bool {
	if len(words) == 0 {
		return hasAny(text, "✗", "✘", "❌", "✖", "🚫")
	}
	switch words[0] {
	case "no":
		return len(words) == 1 || words[1] != "more" // "no more than once"
	case "never", "none", "false", "don't", "dont", "nonretryable", "x":
		return true
	case "do", "not", "non":
		return len(words) > 1 && slices.Contains([]string{"not", "retry", "retried", "retryable", "retriable"}, words[1])
	}
	return false
}

func saysYes(text string, words []string) bool {
	if len(words) == 0 {
		return hasAny(text, "✓", "✔", "✅", "☑")
	}
	switch words[0] {
	case "yes", "true", "y", "safe", "retry", "retryable", "retriable", "can", "white_check_mark", "heavy_check_mark":
		return true
	}
	return false
}

func hasAny(text string, marks ...string) bool {
	return slices.ContainsFunc(marks, func(m string) bool { return strings.Contains(text, m) })
}

func saysBackoff(words []string) bool {
	for i, w := range words {
		switch w {
		case "backoff", "exponential", "exponentially", "wait", "later", "again", "backing":
			return true
		case "back":
			if i+1 < len(words) && words[i+1] == "off" {
				return true
			}
		case "retry":
			if i+1 < len(words) && words[i+1] == "after" {
				return true
			}
		}
	}
	return false
}

// saysOnce finds "once", but not the "once" of "once the deployment runs".
func saysOnce(words []string) bool {
	for i, w := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch w {
		case "once":
			if !slices.Contains([]string{"the", "your", "you", "it", "a", "an", "this", "that", "they"}, next) {
				return true
			}
		case "one", "single", "1":
			if slices.Contains([]string{"time", "retry", "more", "further"}, next) {
				return true
			}
		}
	}
	return false
}

// saysChanged finds advice to send another request: a verb of change with a part of the request among the next words, such as
// "lower max_tokens" or "switch to streaming". "Lower the request rate" is about the pace and not about the request.
func saysChanged(words []string) bool {
	const reach = 4
	for i, w := range words {
		switch w {
		case "changed", "modified":
			return true
		case "change", "changing", "modify", "modifying", "adjust", "adjusting", "edit", "editing", "correct", "correcting", "fix", "fixing",
			"lower", "lowering", "reduce", "reducing", "decrease", "decreasing", "shorten", "shortening", "shrink", "trim", "split", "cut",
			"smaller", "fewer", "switch", "switching", "use", "enable":
			if changesRequest(words[i+1 : min(i+1+reach, len(words))]) {
				return true
			}
		}
	}
	return false
}

// changesRequest reports whether the words after a verb name a part of the request before they name its pace.
func changesRequest(words []string) bool {
	for i, w := range words {
		switch {
		case isPace(w):
			return false
		case isPart(w) && (i+1 == len(words) || !isPace(words[i+1]) && words[i+1] != "per"):
			return true
		}
	}
	return false
}

func isPace(word string) bool {
	switch word {
	case "rate", "rates", "frequency", "concurrency", "traffic", "volume", "requests", "speed", "pace", "retry", "backoff":
		return true
	}
	return false
}

func isPart(word string) bool {
	switch word {
	case "max_tokens", "tokens", "request", "prompt", "input", "body", "size", "streaming", "stream", "model", "payload", "message",
		"messages", "parameter", "parameters", "output", "generation", "context", "length", "field", "fields":
		return true
	}
	return false
}
