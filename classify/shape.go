package classify

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// maxNesting bounds JSON in strings of JSON in strings.
	maxNesting = 4
	// maxWords and maxSentences bound what is kept for judging.
	maxWords     = 12
	maxSentences = 12
	// maxRequestID is longer than any request id that was seen.
	maxRequestID = 256
)

// facts is what a response says, whatever its shape. Each field is what the innermost error says that says
// it: a gateway's own words fill what the provider behind it left open.
type facts struct {
	status int // of the response
	inner  int // the HTTP status that the body states, 0 for none
	judged int // status, or inner where a success carries an error
	header http.Header
	names  headerNames // of header
	date   time.Time   // of the response; zero for none

	code, typ, param, message, requestID string

	failed    bool   // the body shows an error
	html      bool   // the message is the title of a page
	pageText  string // what a reader of the page sees
	challenge bool   // the page wants to see a human
	puzzling  bool   // so it may, by the scripts that it loads
	refused   bool   // the body is a refusal to generate: its code is the reason
	zeroLimit bool   // an allowance of 0
	period    period

	words     [maxWords]string // machine words, innermost first
	nwords    int
	nested    int                  // as many of them are of an error that the message quotes
	sentences [maxSentences]string // prose, innermost first
	nsent     int

	wait    time.Duration // stated by a member of the body
	waited  bool
	resets  http.Header // rate-limit headers that the body quotes
	rayID   string      // an edge's tag in the body
	nesting int
	buf     []node // lent to the outermost document
}

// nodes lends a buffer for the nodes of a document; those of documents within it are made anew.
func (f *facts) nodes() []node {
	buf := f.buf
	f.buf = nil
	return buf
}

func (f *facts) word(s string) {
	if s != "" && len(s) <= 128 && f.nwords < maxWords {
		f.words[f.nwords] = s
		f.nwords++
	}
}

func (f *facts) sentence(s string) {
	if s == "" || f.nsent == maxSentences {
		return
	}
	if slices.Contains(f.sentences[:f.nsent], s) {
		return
	}
	f.sentences[f.nsent] = s
	f.nsent++
}

func (f *facts) setInner(status int) {
	if f.inner == 0 && status >= 400 && status < 600 {
		f.inner = status
	}
}

// readBody reads the body of a response.
func (f *facts) readBody(body string) {
	body = strings.TrimPrefix(body, "\ufeff")
	s := trimBlank(body)
	if s == "" {
		return
	}
	switch s[0] {
	case '{', '[':
		if f.readJSONText(s) {
			return
		}
	case '<':
		if f.readMarkup(s) {
			return
		}
	case '"':
		if end, escaped, ok := stringEnd(s, 1); ok && end == len(s)-1 {
			inner := s[1:end]
			if escaped {
				inner = unescape(inner)
			}
			f.nesting++
			if f.nesting <= maxNesting {
				f.readBody(inner)
			}
			return
		}
	}
	if f.readEvents(s) || f.readPadded(s) {
		return
	}
	f.readText(body)
}

// readJSONText reads the JSON values that s begins with: of several, one after another or line by
// line, the first that shows an error. It returns false if s is no JSON.
func (f *facts) readJSONText(s string) bool {
	buf := f.nodes()
	at, first := 0, true
	for range 16 {
		d, ok := readJSON(s, at, buf)
		if !ok {
			break
		}
		next := skipBlank(s, d.end)
		more := d.whole && next < len(s) && (s[next] == '{' || s[next] == '[')
		if !more || showsError(&d, 0) {
			f.readDoc(&d)
			return true
		}
		at, first = next, false
	}
	if first {
		return false
	}
	d, _ := readJSON(s, 0, buf)
	f.readDoc(&d)
	return true
}

// readPadded reads JSON behind the padding that keeps browsers from running it, or inside a call (JSONP).
func (f *facts) readPadded(s string) bool {
	s = strings.TrimPrefix(s, ")]}'")
	s = trimBlank(strings.TrimPrefix(s, "/**/"))
	i := 0
	for i < len(s) && (isWordByte(s[i]) || s[i] == '$' || s[i] == '.') {
		i++
	}
	if i > 0 {
		if i == len(s) || s[i] != '(' {
			return false
		}
		i++
	}
	d, ok := readJSON(s, skipBlank(s, i), f.nodes())
	if ok {
		f.readDoc(&d)
	}
	return ok
}

// readEvents reads a stream of server-sent events: the first that shows an error, else the first with data.
func (f *facts) readEvents(s string) bool {
	const (
		dataField  = "data:"
		eventField = "event:"
	)
	if !strings.HasPrefix(s, dataField) && !strings.HasPrefix(s, eventField) &&
		!strings.HasPrefix(s, "id:") && !strings.HasPrefix(s, "retry:") && s[0] != ':' {
		return false
	}
	buf := f.nodes()
	event, data, fallback, found := "", "", "", false
	for s != "" || data != "" {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		line = strings.TrimSuffix(line, "\r")
		switch {
		case strings.HasPrefix(line, eventField):
			event = trimBlank(line[len(eventField):])
		case strings.HasPrefix(line, dataField):
			found = true
			part := strings.TrimPrefix(line[len(dataField):], " ")
			if data != "" {
				part = data + "\n" + part
			}
			data = part
		}
		if line != "" && s != "" {
			continue
		}
		// The event is complete.
		if data != "" {
			d, ok := readJSON(data, skipBlank(data, 0), buf)
			named := event == "error" || event == "exception"
			if ok && (named || showsError(&d, 0)) {
				f.failed = true
				f.readDoc(&d)
				return true
			}
			if !ok && named {
				f.failed = true
				f.readText(data)
				return true
			}
			if fallback == "" {
				fallback = data
			}
		}
		event, data = "", ""
	}
	if fallback != "" {
		if d, ok := readJSON(fallback, skipBlank(fallback, 0), buf); ok {
			f.readDoc(&d)
		}
	}
	return found
}

// showsError reports whether the value at i says that something failed, so that even a 200 is a failure.
func showsError(d *jsonDoc, i int32) bool {
	if d.is(i, kindArray) {
		i++
		return i < d.nodes[i-1].next && d.is(i, kindObject) && d.get(i, "error") >= 0 && showsError(d, i)
	}
	if !d.is(i, kindObject) {
		return false
	}
	var buf [24]byte
	status, message, code := int32(-1), int32(-1), int32(-1)
	payload, texts, members := false, 0, 0
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		key := d.key(c, &buf)
		if memberFails(d, c, key) {
			return true
		}
		members++
		if d.is(c, kindString) {
			texts++
		}
		switch string(key) {
		case "status", "statuscode":
			status = c
		case "message", "msg":
			message = c
		case "code":
			code = c
		case "choices", "candidates", "data", "content", "output", "result", "results":
			payload = payload || d.is(c, kindObject) || d.is(c, kindArray)
		}
	}
	if v, ok := d.number(status); ok && v >= 400 && v < 600 {
		return true
	}
	switch strings.ToLower(d.str(status)) {
	case "error", "failed", "failure", "fail":
		return true
	case "0":
		return message >= 0 && !payload
	}
	if i == 0 && members > 0 && members <= 2 && texts == members && onlyComplains(d) {
		return true
	}
	// Envelopes that always answer 200 keep 0 or a status of success in their code.
	v, ok := d.number(code)
	return ok && !payload && d.text(message) != "" && v != 0 && v != 1 && (v < 200 || v >= 300)
}

// memberFails reports whether the member c, whose folded name is key, alone says that something failed.
func memberFails(d *jsonDoc, c int32, key []byte) bool {
	n := &d.nodes[c]
	switch string(key) {
	case "error", "err", "fault", "exception":
		if d.is(c, kindObject) || d.is(c, kindArray) {
			return !d.blank(c)
		}
		return !isNoError(d.str(c)) || d.src[n.start:n.end] == "true"
	case "errors":
		return d.is(c, kindArray) && n.next > c+1 || d.str(c) != ""
	case "errorcode", "errorcodes", "errcode", "retcode", "errormessage", "errormsg", "errorsummary", "errortype", "blockreason":
		return !isNoError(d.text(c))
	case "success", "ok", "status":
		return d.is(c, kindBool) && d.src[n.start:n.end] == "false"
	case "type", "object", "kind":
		s := d.str(c)
		return s == "error" || s == "response.failed"
	case "response", "meta", "promptfeedback":
		return showsError(d, c)
	case "baseresp":
		v, ok := d.number(d.getFold(c, "statuscode"))
		return ok && v != 0
	}
	return false
}

// isNoError reports whether s is what stands in the place of an error where there is none.
func isNoError(s string) bool {
	switch strings.ToLower(s) {
	case "", "0", "00000", "ok", "success", "none":
		return true
	}
	return false
}

// blank reports whether nothing stands in the object or list at i: members without a value, or none.
func (d *jsonDoc) blank(i int32) bool {
	for c := i + 1; c < d.nodes[i].next; c++ {
		switch d.nodes[c].kind {
		case kindObject, kindArray, kindNull:
		case kindString:
			if d.str(c) != "" {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// readNested reads an error that stands as JSON in s or in a part of it.
func (f *facts) readNested(s string) {
	if len(s) < 2 || f.nesting >= maxNesting {
		return
	}
	f.nesting++
	defer func() { f.nesting-- }()
	buf := f.nodes()
	for tries, at := 0, 0; tries < 8; tries++ {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 {
			return
		}
		at += i
		if d, ok := readJSON(s, at, buf); ok && len(d.nodes) > 1 {
			if showsError(&d, 0) || hasMessage(&d, 0) {
				f.readDoc(&d)
				f.nested = f.nwords
				return
			}
		}
		at++
	}
}

// takeMessage sets the message if no level further in has one.
func (f *facts) takeMessage(s string) {
	if f.message != "" || s == "" {
		return
	}
	if title, ok := pageTitle(s); ok {
		f.html = true
		s = title
	}
	f.message = s
	f.sentence(s)
}

// readText reads a body that has no structure.
func (f *facts) readText(s string) {
	s = trimBlank(s)
	f.readNested(s)
	f.sentence(cut(s, maxProse))
	if f.message == "" {
		end := 0
		for line := range strings.SplitAfterSeq(s, "\n") {
			if trimBlank(line) == "" {
				break
			}
			end += len(line)
		}
		f.takeMessage(trimBlank(s[:end]))
	}
	if f.code == "" {
		f.code = codeInText(s)
		f.word(f.code)
	}
	if status, ok := statusInText(s); ok {
		f.setInner(status)
	}
}

// onlyComplains reports whether the object that is the whole document holds nothing but a sentence or two about a limit.
func onlyComplains(d *jsonDoc) bool {
	var buf [24]byte
	for c := int32(1); c < d.nodes[0].next; c++ {
		switch string(d.key(c, &buf)) {
		case "message", "msg", "info", "information", "note", "notice", "warning":
		default:
			return false // what a model wrote may be about limits
		}
	}
	p := takeProse()
	for c := int32(1); c < d.nodes[0].next; c++ {
		p.add(d.str(c))
	}
	l := p.readLimits()
	rule := p.judge(on429)
	complains := l.isLimit && l.period != periodNone ||
		rule >= 0 && (ofLimits(proseRules[rule].class) || ofMoney(proseRules[rule].class))
	putProse(p)
	return complains
}
