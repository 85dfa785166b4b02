package classify

import (
	"net/http"
	"strconv"
	"strings"
)

// maxLevels bounds errors within errors.
const maxLevels = 5

// level is an object that describes the error, or an envelope around one.
type level struct {
	at  int32
	own bool // its type is the error's, not the envelope's
}

// readDoc reads a JSON value as an error.
func (f *facts) readDoc(d *jsonDoc) {
	f.failed = f.failed || f.status >= 400 || showsError(d, 0)
	root := int32(0)
	if d.is(root, kindArray) {
		if root++; root >= d.nodes[0].next {
			return
		}
		if !d.is(root, kindObject) {
			f.takeMessage(d.str(root))
			return
		}
	}
	var levels [maxLevels]level
	levels[0] = level{root, true}
	n := 1
	for n < len(levels) {
		at, envelope := errorWithin(d, levels[n-1].at, n == 1)
		if at < 0 {
			break
		}
		if !d.is(at, kindObject) {
			// A list of sentences.
			f.sentence(d.str(at))
			f.takeMessage(d.str(at))
			break
		}
		levels[n-1].own = !envelope
		levels[n] = level{at, true}
		n++
	}
	for n > 0 {
		n--
		f.readLevel(d, levels[n].at, levels[n].own, n > 0)
	}
	f.readStatements(d)
}

// errorWithin returns the object or the sentence within the object at i that describes the error more closely, or -1,
// and whether i is but an envelope around it, whose type is not the error's.
func errorWithin(d *jsonDoc, i int32, top bool) (at int32, envelope bool) {
	var buf [24]byte
	best, rank := int32(-1), 99
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		n := &d.nodes[c]
		if n.kind != kindObject && n.kind != kindArray || n.next == c+1 {
			continue
		}
		r := 99
		switch string(d.key(c, &buf)) {
		case "error", "err":
			r = 0
		case "response":
			if top && d.is(d.getFold(c, "error"), kindObject) {
				r = 1
			}
		case "fault", "exception":
			if top && n.kind == kindObject {
				r = 2
			}
		case "detail", "message":
			if (n.kind == kindArray || describes(d, c)) && (hasMessage(d, d.element(c)) || !hasMessage(d, i)) {
				r = 3
			}
		case "errors":
			if !hasMessage(d, i) {
				r = 4
			}
		case "data", "body", "result", "status", "baseresp":
			// An envelope that says nothing itself.
			if top && n.kind == kindObject && !hasMessage(d, i) && (hasMessage(d, c) || d.is(d.getFold(c, "error"), kindObject)) {
				r = 5
			}
		default:
			// {"overLimit":{...}}: the only member names the error.
			if top && n.kind == kindObject && c == i+1 && n.next == d.nodes[i].next && hasMessage(d, c) {
				r = 5
			}
		}
		if r < rank {
			best, rank = c, r
		}
	}
	if best < 0 {
		return -1, false
	}
	return d.element(best), rank != 3
}

// describes reports whether the object at i says anything in words.
func describes(d *jsonDoc, i int32) bool {
	for c := i + 1; c < d.nodes[i].next; c++ {
		if d.str(c) != "" {
			return true
		}
	}
	return false
}

// element returns what stands at i, or the first element of the list there.
func (d *jsonDoc) element(i int32) int32 {
	for d.is(i, kindArray) && i+1 < d.nodes[i].next {
		i++
	}
	return i
}

// container returns the object at i, or the first object of the list at i.
func (d *jsonDoc) container(i int32) int32 {
	if d.is(i, kindArray) && i+1 < d.nodes[i].next && d.is(i+1, kindObject) {
		return i + 1
	}
	return i
}

// hasMessage reports whether the object at i has a member that is a message.
func hasMessage(d *jsonDoc, i int32) bool {
	if !d.is(i, kindObject) {
		return false
	}
	var buf [24]byte
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		if messageRank(d.key(c, &buf)) <= rankError && d.str(c) != "" {
			return true
		}
	}
	return false
}

// The order in which the members of an error are taken for its message.
const (
	rankMessage = iota + 1
	rankSynonym
	rankDetail
	rankTitle
	rankError
	rankDetails
	rankReason // where it is a sentence
	rankNone
)

func messageRank(key []byte) int {
	switch string(key) {
	case "message":
		return rankMessage
	case "msg", "errmsg", "retmsg", "errordescription", "errormsg", "errormessage", "errorsummary", "errordetail", "errortext",
		"faultstring", "statusmsg", "statusmessage", "usermessage", "messagetext", "description", "explanation", "localizedmessage":
		return rankSynonym
	case "detail":
		return rankDetail
	case "details":
		return rankDetails
	case "title":
		return rankTitle
	case "reason":
		return rankReason
	case "error", "err":
		return rankError
	}
	return rankNone
}

// members are the places in an error object, or in an envelope, where something was found; -1 for nothing.
type members struct {
	code, errCode          int32 // code, and error_code in its spellings
	innerCode, listCode    int32 // one from a place of its own, one from errors[0]
	word, reason           int32 // a status that may be a word, and a reason
	typ, errType, param    int32
	message, result        int32
	rank                   int // of message
	errString              int32
	infoReason, listReason string // of ErrorInfo and of errors[0]
}

// readLevel reads the members of the object at i: those of the error itself if own, else those of the envelope
// around it, which fill what the error left open. inner says that i is not the whole body.
func (f *facts) readLevel(d *jsonDoc, i int32, own, inner bool) {
	if !d.is(i, kindObject) {
		return
	}
	nothing := members{
		code: -1, errCode: -1, innerCode: -1, listCode: -1, word: -1, reason: -1, typ: -1, errType: -1, param: -1,
		message: -1, result: -1, rank: rankNone, errString: -1,
	}
	m := nothing
	var buf [24]byte
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		key := d.key(c, &buf)
		if rank := messageRank(key); rank < rankNone {
			f.readMessage(d, c, rank, own, &m)
		}
		f.readMember(d, c, key, own, &m)
	}
	if f.message != "" && m == nothing {
		return // an envelope that only wraps
	}
	f.settleMessage(d, i, own || !inner, &m)
	f.settleNames(d, own, inner, &m)
	f.param = firstOf(f.param, d.text(m.param))
}

// readMessage keeps a member that may be the message: the first of the best rank.
func (f *facts) readMessage(d *jsonDoc, c int32, rank int, own bool, m *members) {
	n := &d.nodes[c]
	if n.kind == kindArray && rank != rankSynonym && c+1 < n.next && d.nodes[c+1].kind == kindString {
		c++ // a list of sentences
	}
	s := d.str(c)
	if s == "" || rank == rankReason && !strings.Contains(s, " ") {
		return
	}
	if rank < m.rank {
		m.message, m.rank = c, rank
	}
	if rank == rankError {
		m.errString = c
	}
	if own || rank <= rankSynonym {
		f.sentence(s)
	}
}

// readMember keeps what the member c, whose folded name is key, says.
func (f *facts) readMember(d *jsonDoc, c int32, key []byte, own bool, m *members) {
	n := &d.nodes[c]
	switch string(key) {
	case "code":
		m.code = c
	case "errorcode", "errcode", "retcode", "faultcode":
		m.errCode = c
	case "type":
		if d.src[n.keyStart:n.keyEnd] == "__type" {
			m.innerCode = c // AWS
		} else {
			m.typ = c
		}
	case "errortype":
		m.errType = c
	case "reason":
		m.reason = c
	case "param", "parameter", "field":
		m.param = c
	case "loc":
		if m.param < 0 && n.kind == kindArray {
			f.param = firstOf(f.param, d.join(c))
		}
	case "result":
		m.result = c
	case "requestid", "reqid", "xrequestid":
		f.takeRequestID(d.text(c))
	case "rayid":
		f.rayID = firstOf(f.rayID, d.text(c))
	case "errorname", "errorcategory", "category", "name", "errortag":
		if s := d.str(c); isToken(s) {
			f.word(s)
		}
	case "status", "statuscode", "httpcode", "httpstatus", "rawstatuscode", "httpstatuscode", "upstreamstatus", "originalstatuscode":
		f.readStatus(d, c, key, m)
	case "blockreason", "promptfeedback", "innererror", "extensions", "metadata", "headers", "meta", "errors", "details", "detail":
		f.readPart(d, c, key, own, m)
	}
}

// readStatus keeps a status: a number is one of HTTP, a word may be a code.
func (f *facts) readStatus(d *jsonDoc, c int32, key []byte, m *members) {
	v, ok := d.number(c)
	switch {
	case ok && v >= 0 && v < 1000:
		f.setInner(int(v))
	case ok && string(key) == "statuscode" && m.innerCode < 0:
		m.innerCode = c // no HTTP status, so it is the provider's own
	case !ok && string(key) == "status":
		m.word = c
	}
}

// readPart reads a member that has members of its own.
func (f *facts) readPart(d *jsonDoc, c int32, key []byte, own bool, m *members) {
	switch string(key) {
	case "promptfeedback":
		if c = d.get(c, "blockReason"); d.str(c) == "" {
			return
		}
		fallthrough
	case "blockreason":
		f.refused = true
		m.innerCode = c
	case "innererror":
		f.word(d.str(d.get(c, "code")))
		f.readDetailIDs(d, c)
	case "extensions": // GraphQL
		if m.innerCode < 0 {
			m.innerCode = d.get(c, "code")
		}
		if m.errType < 0 {
			m.errType = d.get(c, "type")
		}
		if v, ok := d.number(d.getFold(c, "statuscode")); ok && v >= 0 && v < 1000 {
			f.setInner(int(v))
		}
	case "metadata":
		if d.text(m.errType) == "" {
			if m.errType = d.get(c, "error_type"); m.errType < 0 {
				m.errType = d.get(c, "type")
			}
		}
		f.readRaw(d.str(d.get(c, "raw")))
		f.sentence(d.str(d.get(c, "remedy_hint")))
		f.quote(d, d.get(c, "headers"))
	case "headers":
		f.quote(d, c)
	case "meta":
		if v, ok := d.number(d.get(c, "status")); ok && v >= 0 && v < 1000 {
			f.setInner(int(v))
		}
	case "errors":
		f.readErrors(d, d.container(c), own, m)
	case "details", "detail":
		f.readDetailIDs(d, c)
		switch {
		case d.is(c, kindArray):
			m.infoReason = firstOf(errorInfoReason(d, c), m.infoReason)
			for e := c + 1; own && e < d.nodes[c].next; e = d.nodes[e].next {
				f.sentence(d.str(d.get(e, "message")))
			}
		case m.errCode < 0:
			m.errCode = d.getFold(c, "errorcode") // Anthropic, Apigee
		}
	}
}

// readErrors reads the first element of a list beside a message: it may have the code.
func (f *facts) readErrors(d *jsonDoc, e int32, own bool, m *members) {
	m.listReason = d.str(d.get(e, "reason"))
	for _, at := range [...]int32{d.get(e, "code"), d.getFold(e, "errorcode"), d.get(d.get(e, "extensions"), "code")} {
		if m.listCode < 0 {
			m.listCode = at
		}
	}
	if own && m.message < 0 {
		f.sentence(d.str(d.get(e, "message")))
	}
}

// settleMessage takes the message, from the inside out; where there is none and last is set, the first sentence there is.
func (f *facts) settleMessage(d *jsonDoc, i int32, last bool, m *members) {
	text := d.str(m.message)
	if m.rank == rankMessage && !strings.ContainsAny(text, " \n") {
		// A single word, such as NOTOK, gives way to a sentence.
		if s := d.str(m.result); strings.Contains(s, " ") {
			text = s
			f.sentence(s)
		}
	}
	if m.rank == rankError && isLowerWord(text) {
		// So does the code that CouchDB puts there, to its reason.
		if s := d.str(m.reason); strings.Contains(s, " ") {
			text = s
		}
	}
	f.readNested(text)
	f.takeMessage(text)
	if last && f.message == "" && text == "" {
		s := firstSentence(d, i)
		f.sentence(s)
		f.takeMessage(s)
	}
}

// settleNames takes code and type: a word before a number that is only an HTTP status.
func (f *facts) settleNames(d *jsonDoc, own, inner bool, m *members) {
	if code := d.text(m.errCode); code != "" && isHTTPStatus(d.text(m.code)) {
		m.code = m.errCode
	}
	for _, other := range [...]int32{m.errCode, m.innerCode, m.listCode} {
		if d.text(m.code) == "" {
			m.code = other
		}
	}
	code := d.text(m.code)
	if isHTTPStatus(code) {
		v, _ := strconv.Atoi(code)
		f.setInner(v)
	}
	if i := strings.LastIndexByte(code, '#'); i >= 0 && m.code == m.innerCode {
		code = code[i+1:]
	}
	why := firstOf(m.infoReason, m.listReason, d.str(m.reason))
	byStatus := false
	if code == "" || isHTTPStatus(code) {
		switch word := d.str(m.word); {
		case isScreaming(word), (inner && own || strings.Contains(word, "_")) && isName(word):
			code, byStatus = word, true
		case isToken(why) && (m.reason < 0 || !isLowerWord(d.str(m.errString))):
			code = why
		}
	}
	if e := d.str(m.errString); isToken(e) {
		f.word(e)
		if (code == "" || isHTTPStatus(code)) && isLowerWord(e) {
			code = e
		}
	}
	f.word(code)
	f.code = firstOf(f.code, code)
	if !own {
		return
	}
	typ := firstOf(d.str(m.typ), d.str(m.errType))
	if typ == "" && byStatus && isToken(why) {
		typ = why
	}
	f.word(why)
	f.word(typ)
	f.word(d.str(m.errType))
	f.typ = firstOf(f.typ, typ)
}

// quote keeps the rate-limit headers that the body quotes in the object at i.
func (f *facts) quote(d *jsonDoc, i int32) {
	if !d.is(i, kindObject) {
		return
	}
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		n := &d.nodes[c]
		name := d.src[n.keyStart:n.keyEnd]
		if v := d.text(c); v != "" && len(name) < 64 && (containsFold(name, "limit") || containsFold(name, "retry-after")) {
			if f.resets == nil {
				f.resets = make(http.Header)
			}
			f.resets.Add(name, v)
		}
	}
}

// readRaw reads what a gateway keeps of the provider's answer.
func (f *facts) readRaw(s string) {
	if s == "" {
		return
	}
	f.readNested(s)
	f.takeMessage(s)
	f.sentence(s)
}

// readDetailIDs looks for a request id in the details at i: an object or a list of objects.
func (f *facts) readDetailIDs(d *jsonDoc, i int32) {
	var buf [24]byte
	for c := i + 1; c < d.nodes[i].next && f.requestID == ""; c++ {
		switch string(d.key(c, &buf)) {
		case "requestid", "reqid", "xrequestid":
			f.takeRequestID(d.text(c))
		}
	}
}

// errorInfoReason returns the reason of the google.rpc.ErrorInfo in the list at i.
func errorInfoReason(d *jsonDoc, i int32) string {
	for c := i + 1; c < d.nodes[i].next; c = d.nodes[c].next {
		if d.is(c, kindObject) && strings.HasSuffix(d.str(d.get(c, "@type")), "ErrorInfo") {
			return d.str(d.get(c, "reason"))
		}
	}
	return ""
}

// firstSentence returns the first text of several words among the members of the object at i and, where they
// are lists of texts or objects of such lists, in those.
func firstSentence(d *jsonDoc, i int32) string {
	for c := i + 1; c < d.nodes[i].next; c++ {
		n := &d.nodes[c]
		if n.kind == kindString {
			if s := d.text(c); strings.Contains(s, " ") && len(s) > 3 {
				return s
			}
		}
	}
	return ""
}

// takeRequestID keeps a request id of the body.
func (f *facts) takeRequestID(s string) {
	if len(s) <= maxRequestID {
		f.requestID = firstOf(f.requestID, s)
	}
}
