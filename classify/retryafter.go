package classify

import (
	"errors"
	"math"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour

	// A number of seconds in this range is a point in time: 2001 to 2128.
	minEpoch, maxEpoch = 1e9, 5e9
	// Resets are stated in seconds, or as a point in time from this number on.
	minResetEpoch = 1e8

	// maxJoined bounds the header values that are taken apart.
	maxJoined = 1 << 10
)

// parseRetryAfter reads the wait that the headers h of a response state. The order is Retry-After-Ms and
// X-Ms-Retry-After-Ms in milliseconds, then Retry-After (RFC 9110 section 10.2.3) in seconds,
// fractions allowed, or as one of the three HTTP dates, then any other header whose name ends in -Retry-After, -Retry-After-Seconds or
// -Retry-After-Ms. The first that is longer than 0 counts, and of several values of one header the longest. A point in time counts from date, that
// of the response; when that is zero it states nothing. A wait too long
// for a time.Duration is the longest there is, one in the past is 0; anything else that is
// no wait (negative, NaN, text) is not there.
func parseRetryAfter(h http.Header, date time.Time) (time.Duration, Source) {
	zero := SourceNone
	for _, name := range [...]struct {
		name string
		unit time.Duration
		from Source
	}{
		{"Retry-After-Ms", time.Millisecond, SourceRetryAfterMs}, {"X-Ms-Retry-After-Ms", time.Millisecond, SourceRetryAfterMs},
		{"Retry-After", time.Second, SourceRetryAfter}, {"X-Retry-After", time.Second, SourceRetryAfter},
	} {
		wait, ok := longest(h[name.name], date, name.unit)
		if wait > 0 {
			return wait, name.from
		}
		if ok && zero == SourceNone {
			zero = name.from
		}
	}
	wait, from := otherRetryAfter(h, date)
	if wait == 0 && zero != SourceNone {
		from = zero
	}
	return wait, from
}

// otherRetryAfter reads headers that are named like Retry-After with more around it, such as X-Rate-Limit-Retry-After-Seconds; of several
// the longest wait.
func otherRetryAfter(h http.Header, date time.Time) (time.Duration, Source) {
	wait, from := time.Duration(0), SourceNone
	for name, values := range h {
		if c := name[max(0, len(name)-1):]; c != "r" && c != "s" && c != "R" && c != "S" {
			continue
		}
		unit := time.Second
		switch {
		case hasSuffixFold(name, "-retry-after-ms"), hasSuffixFold(name, "-retry-after-milliseconds"):
			unit = time.Millisecond
		case hasSuffixFold(name, "-retry-after"), hasSuffixFold(name, "-retry-after-seconds"):
		default:
			continue
		}
		if w, ok := longest(values, date, unit); ok {
			wait, from = max(wait, w), SourceRetryAfter
		}
	}
	return wait, from
}

func longest(values []string, date time.Time, unit time.Duration) (time.Duration, bool) {
	wait, found := time.Duration(0), false
	take := func(v string) bool {
		w, ok := parseWait(strings.TrimSpace(v), date, unit)
		if ok {
			wait, found = max(wait, w), true
		}
		return ok
	}
	for _, v := range values {
		if take(v) || len(v) > maxJoined {
			continue
		}
		// Joined by a proxy. A date has a comma too: Sat, 21 Nov 2026 08:00:00 GMT.
		for v != "" {
			first, rest, _ := strings.Cut(v, ",")
			if !take(first) {
				if second, further, _ := strings.Cut(rest, ","); take(v[:len(v)-len(rest)] + second) {
					rest = further
				}
			}
			v = rest
		}
	}
	return wait, found
}

// parseWait reads a wait: a number of units, a duration with units of its own, a date, or a point in time.
func parseWait(s string, date time.Time, unit time.Duration) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	if f, ok := parseNumber(s); ok {
		seconds := f
		if unit == time.Second && f >= minEpoch && f < maxEpoch {
			return untilEpoch(seconds, date)
		}
		if f >= minEpoch*1e3 && f < maxEpoch*1e3 {
			return untilEpoch(f/1e3, date)
		}
		return times(f, unit), true
	}
	if w, ok := parseSpan(s); ok {
		return w, true
	}
	if t, ok := parsePoint(s); ok {
		return until(t, date)
	}
	return 0, false
}

// parseNumber reads a number that is not negative, of any length, without a sign or a word for infinity; infinity for one that a float64 does not
// hold.
func parseNumber(s string) (float64, bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c), c == '.':
		case i > 0 && c|0x20 == 'e':
		case i > 0 && (c == '+' || c == '-') && s[i-1]|0x20 == 'e':
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// times returns f units, the longest duration if that is too long. It compares before it multiplies.
func times(f float64, unit time.Duration) time.Duration {
	if f >= math.MaxInt64/float64(unit) {
		return math.MaxInt64
	}
	whole := math.Floor(f)
	return time.Duration(whole)*unit + time.Duration(math.Round((f-whole)*float64(unit)))
}

func untilEpoch(seconds float64, date time.Time) (time.Duration, bool) {
	whole := math.Floor(seconds)
	return until(time.Unix(int64(whole), int64((seconds-whole)*1e9)), date)
}

// until returns the time from date, that of the response, to t, at least 0. The local clock is not asked: it may disagree.
func until(t, date time.Time) (time.Duration, bool) {
	if date.IsZero() {
		return 0, false
	}
	return max(t.Sub(date), 0).Round(time.Millisecond), true
}

// parseDate reads an HTTP date, the usual form by hand; the zero time for anything else.
func parseDate(s string) time.Time {
	const form = "Mon, 02 Jan 2006 15:04:05 GMT"
	if len(s) == len(form) && s[3:5] == ", " && s[7] == ' ' && s[11] == ' ' && s[16] == ' ' && s[19] == ':' && s[22] == ':' && s[25:] == " GMT" {
		month := time.Month(strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", s[8:11])/3 + 1)
		d, y, hh, mm, ss := twoDigits(s[5:]), twoDigits(s[12:])*100+twoDigits(s[14:]), twoDigits(s[17:]), twoDigits(s[20:]), twoDigits(s[23:])
		t := time.Date(y, month, d, hh, mm, ss, 0, time.UTC)
		weekday := strings.Index("SunMonTueWedThuFriSat", s[:3])
		if weekday >= 0 && weekday%3 == 0 && d > 0 && y >= 1000 && hh >= 0 && hh < 24 && mm >= 0 && mm < 60 && ss >= 0 && ss < 60 && t.Day() == d && t.Month().String()[:3] == s[8:11] {
			return t
		}
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// twoDigits returns the number of the first two digits of s, something below 0 if they are none.
func twoDigits(s string) int {
	if !isDigit(s[0]) || !isDigit(s[1]) {
		return -1 << 20
	}
	return int(s[0]-'0')*10 + int(s[1]-'0')
}

// parsePoint reads an HTTP date or an RFC 3339 time, also with a blank for the T, without seconds, and with UTC or nothing for the zone.
func parsePoint(s string) (time.Time, bool) {
	if len(s) < 10 || len(s) > 64 {
		return time.Time{}, false
	}
	if !isDigit(s[0]) {
		t, err := http.ParseTime(s)
		return t, err == nil
	}
	s = strings.Replace(s, " at ", " ", 1)
	s = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(s, " UTC"), " GMT"), " Z")
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05.999999999 -0700",
		time.DateTime, "2006-01-02T15:04Z07:00", "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// units are the spellings of units of time, long ones before their beginnings.
var units = [...]struct {
	name string
	unit time.Duration
	word bool // stands behind a blank too
}{
	{"milliseconds", time.Millisecond, true},
	{"millisecond", time.Millisecond, true},
	{"msecs", time.Millisecond, true},
	{"ms", time.Millisecond, true},
	{"microseconds", time.Microsecond, true},
	{"us", time.Microsecond, false},
	{"µs", time.Microsecond, false},
	{"ns", time.Nanosecond, false},
	{"seconds", time.Second, true},
	{"second", time.Second, true},
	{"secs", time.Second, true},
	{"sec", time.Second, true},
	{"s", time.Second, true},
	{"minutes", time.Minute, true},
	{"minute", time.Minute, true},
	{"mins", time.Minute, true},
	{"min", time.Minute, true},
	{"m", time.Minute, false},
	{"hours", time.Hour, true},
	{"hour", time.Hour, true},
	{"hrs", time.Hour, true},
	{"hr", time.Hour, true},
	{"h", time.Hour, false},
	{"days", day, true},
	{"day", day, true},
	{"d", day, false},
	{"weeks", 7 * day, true},
	{"week", 7 * day, true},
	{"months", 30 * day, true},
	{"month", 30 * day, true},
	{"秒", time.Second, true},
	{"分钟", time.Minute, true},
	{"小时", time.Hour, true},
}

// unitAt returns the unit at the beginning of s and its length, 0 for none. spaced says that a
// blank stood before it.
func unitAt(s string, spaced bool) (time.Duration, int) {
	for _, u := range units {
		if spaced && !u.word || !hasPrefixFold(s, u.name) {
			continue
		}
		n := len(u.name)
		if u.name == "m" && strings.HasPrefix(s, "mo") || n < len(s) && isLetter(s[n]) {
			continue
		}
		return u.unit, n
	}
	return 0, 0
}

// parseSpan reads a whole text such as 49s, 1m30s, 2m59.56s, 20ms, 30 seconds, PT1M30S or 00:01:30.
func parseSpan(s string) (time.Duration, bool) {
	if rest, ok := strings.CutPrefix(s, "PT"); ok {
		s = strings.ToLower(rest)
	}
	wait, n := spanAt(s)
	if n > 0 && strings.TrimSpace(s[n:]) == "" {
		return wait, true
	}
	return parseClock(s)
}

// parseClock reads hh:mm:ss.
func parseClock(s string) (time.Duration, bool) {
	var h, m, sec int
	if parts := strings.Split(s, ":"); len(parts) == 3 && len(s) <= 8 {
		var err [3]error
		h, err[0] = strconv.Atoi(parts[0])
		m, err[1] = strconv.Atoi(parts[1])
		sec, err[2] = strconv.Atoi(parts[2])
		if err[0] == nil && err[1] == nil && err[2] == nil && h >= 0 && m >= 0 && m < 60 && sec >= 0 && sec < 60 {
			return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec)*time.Second, true
		}
	}
	return 0, false
}

// spanAt reads a number with a unit, and further ones with smaller units, at the beginning of s. It
// returns how many bytes that took, 0 for none.
func spanAt(s string) (time.Duration, int) {
	total, end := time.Duration(0), 0
	last := time.Duration(math.MaxInt64)
	for at := 0; at < len(s); {
		n := at
		for n < len(s) && (isDigit(s[n]) || s[n] == '.' && n+1 < len(s) && isDigit(s[n+1]) && n > at) {
			n++
		}
		f, ok := parseNumber(s[at:n])
		if n == at || !ok {
			break
		}
		u, size := unitAt(s[n:], false)
		if size == 0 && n < len(s) && (s[n] == ' ' || s[n] == '-') {
			n++
			u, size = unitAt(s[n:], true)
		}
		if size == 0 || u >= last {
			break
		}
		part := times(f, u)
		if total > math.MaxInt64-part {
			part = math.MaxInt64 - total
		}
		total, last, end = total+part, u, n+size
		at = end
		rest := strings.TrimLeft(s[at:], " ,")
		rest = strings.TrimPrefix(rest, "and ")
		at = len(s) - len(rest)
	}
	return total, end
}

// wait members of bodies, folded. The unit is that of a plain number.
func waitMember(key []byte) (unit time.Duration, point, ok bool) {
	switch string(key) {
	case "retryafterms", "retryaftermillis", "retryinms", "retrydelayms", "waitms", "retryaftermilliseconds", "resetinms", "msbeforenext":
		return time.Millisecond, false, true
	case "retryafter", "retryafterseconds", "retryafterinseconds", "retryaftersecs", "retryaftersec", "retrydelay", "retrydelayseconds", "retryin",
		"retryinseconds", "waitseconds", "waittime", "waitsec", "secondstowait", "timetowait", "backoffseconds", "estimatedtime", "cooldownseconds",
		"resetinseconds", "resetsinseconds", "resetin", "resetsin", "resetafter", "resetafterseconds", "quotaresetdelay", "secondsuntilreset", "timeuntilreset":
		return time.Second, false, true
	case "resetsat", "resetat", "retryat", "resettime", "resettimestamp", "nextretryat", "availableat", "retryaftertimestamp",
		"quotaresettimestamp", "blockeduntil", "banneduntil", "retryafterdate", "nextavailableat":
		return time.Second, true, true
	}
	return 0, false, false
}

// readStatements reads what members anywhere in the document state: waits and kinds of quota.
func (f *facts) readStatements(d *jsonDoc) {
	var buf [24]byte
	for i := range int32(len(d.nodes)) {
		n := &d.nodes[i]
		if n.keyEnd == n.keyStart || n.kind != kindString && n.kind != kindNumber {
			continue
		}
		key := d.src[n.keyStart:n.keyEnd]
		if c := key[0] | 0x20; c != 'r' && c != 'q' && c != 'w' && c != 'e' && c != 't' && c != 's' && c != 'c' &&
			c != 'm' && c != 'n' && c != 'a' && c != 'b' {
			continue
		}
		folded := d.key(i, &buf)
		if unit, point, ok := waitMember(folded); ok {
			f.stateWait(d.text(i), unit, point)
			continue
		}
		switch string(folded) {
		case "quotaid", "quotalimit":
			f.quotaName(d.text(i))
		case "quotalimitvalue", "quotavalue":
			if v, ok := d.number(i); ok && v == 0 {
				f.zeroLimit = true
			}
		}
	}
}

// stateWait keeps a wait that a member states; the longest of several.
func (f *facts) stateWait(s string, unit time.Duration, point bool) {
	wait, ok := parseWait(s, f.date, unit)
	if v, number := parseNumber(s); point && number && v < minEpoch {
		ok = false // no point in time
	}
	if ok {
		f.wait, f.waited = max(f.wait, wait), true
	}
}

// quotaName reads the period in a name such as GenerateRequestsPerDayPerProjectPerModel.
func (f *facts) quotaName(s string) {
	switch {
	case containsFold(s, "perday"), containsFold(s, "per_day"), containsFold(s, "permonth"), containsFold(s, "perweek"):
		f.period = periodDay
	case f.period == periodNone && (containsFold(s, "perminute") || containsFold(s, "per_minute") || containsFold(s, "persecond")):
		f.period = periodShort
	}
}

// resetWait returns the wait that rate-limit headers state: of the limits whose remaining is 0, the
// latest reset. It counts only where the response refuses for a limit.
func resetWait(h http.Header, date time.Time) (time.Duration, bool) {
	wait, found := time.Duration(0), false
	take := func(w time.Duration, ok bool) {
		if ok {
			wait, found = max(wait, w), true
		}
	}
	for name, values := range h {
		if len(values) == 0 || len(values[0]) > 256 {
			continue
		}
		if strings.EqualFold(name, "Ratelimit") || strings.EqualFold(name, "X-Ratelimit") {
			take(structuredReset(values))
			continue
		}
		i := indexFold(name, "reset")
		if i < 0 || !containsFold(name, "limit") {
			continue
		}
		rest := name[i+len("reset"):]
		for _, suffix := range [...]string{"-after", "-at", "-time", "time", "-in", "-seconds"} {
			if hasPrefixFold(rest, suffix) {
				rest = rest[len(suffix):]
				break
			}
		}
		remaining := textproto.TrimString(headerFold(h, name[:i]+"remaining"+rest))
		if v, ok := parseNumber(remaining); !ok || v != 0 {
			continue
		}
		take(parseReset(textproto.TrimString(values[0]), date))
	}
	return wait, found
}

// headerFold returns the first value of the header of that name in any case.
func headerFold(h http.Header, name string) string {
	if v := header(h, textproto.CanonicalMIMEHeaderKey(name)); v != "" {
		return v
	}
	for k, v := range h {
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// parseReset reads the value of a reset header: seconds from now, a point in time, or a duration.
func parseReset(s string, date time.Time) (time.Duration, bool) {
	if v, ok := parseNumber(s); ok {
		switch {
		case v < minResetEpoch:
			return times(v, time.Second), true
		case v < 1e11:
			return untilEpoch(v, date)
		case v < 1e14:
			return untilEpoch(v/1e3, date)
		}
		return 0, false
	}
	return parseWait(s, date, time.Second)
}

// structuredReset reads the RateLimit header of the draft draft-ietf-httpapi-ratelimit-headers:
// "default";r=0;t=5, and the older limit=100, remaining=0, reset=5.
func structuredReset(values []string) (time.Duration, bool) {
	wait, found := time.Duration(0), false
	for _, value := range values {
		spent, reset := false, ""
		flush := func() {
			if w, ok := parseNumber(reset); ok && spent {
				wait, found = max(wait, times(w, time.Second)), true
			}
			spent, reset = false, ""
		}
		for item := range strings.SplitSeq(value, ",") {
			if strings.Contains(item, ";") {
				flush()
			}
			for param := range strings.SplitSeq(item, ";") {
				name, v, ok := strings.Cut(textproto.TrimString(param), "=")
				switch {
				case !ok:
				case name == "r", name == "remaining":
					spent = v == "0"
				case name == "t", name == "reset":
					reset = v
				}
			}
		}
		flush()
	}
	return wait, found
}
