package classify

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

const (
	// maxWord is longer than every name that is looked for in an event.
	maxWord = 32
	// maxRoles is how deep in an object is told what a container is: the function that a choice calls is the eighth.
	maxRoles = 10
	// maxChoices is how many choices are told apart; those beyond count as one.
	maxChoices = 256
	// scanWindow bounds how far is looked ahead for the end of a line, lest a stream of the one line end is searched for the other over and over.
	scanWindow = 512
)

// eventScan reads server-sent events (WHATWG HTML, 9.2.6) as they come and keeps of the present one what it says about the end of its
// stream. What it keeps is of a fixed size, and the same however the bytes arrive and however long the event is.
type eventScan struct {
	mark  uint8 // bytes of a byte order mark that were seen, or len(byteOrderMark) when none is expected any more
	cr    bool  // a line ended with a carriage return as the last byte that was seen: a line feed belongs to it
	first bool  // an event has begun: something of it was seen
	text  bool  // the line has a byte

	at    place
	field word // the name of the field
	name  word // the name of the event
	raw   bool // a body that was written into the stream as it is: every line is data
	data  bool // there was a field of data
	form  form
	plain word // the data
	json  jsonScan
}

// place is where in a line the scan is.
type place uint8

const (
	inField  place = iota
	inIndent       // blanks before the name of a field: only a body written as it is has them
	inBlank        // behind the colon, where one blank is no part of the value
	inName
	inData
	inError // behind the colon of a field that is called error
	inOther
)

// form is what the data of an event are.
type form uint8

const (
	formNone form = iota // none so far, or blanks
	formJSON             // an object, or a list
	formText
)

const byteOrderMark = "\xef\xbb\xbf"

// next is called before the first byte of an event: it forgets the one before.
func (s *eventScan) next() {
	mark, cr := s.mark, s.cr
	*s = eventScan{mark: mark, cr: cr}
}

// feed takes in more of the stream, up to the empty line that ends the event. It returns how much it took, and whether the event is
// whole. The event has no content where there are but comments, further empty lines, or the line feed behind an event that ended with a
// carriage return: nothing is held back in wait for that.
func (s *eventScan) feed(data []byte) (n int, whole bool) {
	for s.mark < uint8(len(byteOrderMark)) && n < len(data) {
		if data[n] != byteOrderMark[s.mark] {
			if s.mark > 0 {
				s.text, s.at = true, inOther
			}
			s.mark = uint8(len(byteOrderMark))
			break
		}
		s.mark, s.first = s.mark+1, true
		n++
	}
	if s.cr && n < len(data) {
		s.cr = false
		if data[n] == '\n' {
			if n++; !s.first {
				return n, true
			}
		}
	}
	for n < len(data) {
		s.first = true
		part := data[n:min(n+scanWindow, len(data))]
		end := bytes.IndexByte(part, '\n')
		if end >= 0 {
			part = part[:end]
		}
		if cr := bytes.IndexByte(part, '\r'); cr >= 0 {
			end, part = cr, part[:cr]
		}
		if len(part) > 0 {
			s.text = true
			s.take(part)
		}
		if end < 0 {
			n += len(part)
			continue
		}
		n += end + 1
		if data[n-1] == '\r' {
			if n == len(data) {
				s.cr = true
			} else if data[n] == '\n' {
				n++
			}
		}
		if !s.text {
			return n, true
		}
		s.endLine()
	}
	return n, false
}

// take takes in a part of a line.
func (s *eventScan) take(part []byte) {
	for len(part) > 0 {
		switch s.at {
		case inField:
			if s.field.n == 0 {
				switch part[0] {
				case '{', '[':
					if s.bare(part[0]) {
						s.raw, s.at = true, inData
						continue
					}
				case ' ', '\t':
					s.at = inIndent
					continue
				}
			}
			colon := bytes.IndexByte(part, ':')
			if colon < 0 {
				s.field.add(part)
				return
			}
			s.field.add(part[:colon])
			part = part[colon+1:]
			s.at = inBlank
		case inIndent:
			if part = bytes.TrimLeft(part, " \t"); len(part) > 0 {
				if s.at = inOther; s.bare(part[0]) {
					s.raw, s.at = true, inData
				}
			}
		case inBlank:
			if part[0] == ' ' {
				part = part[1:]
			}
			s.at = s.value()
		case inError:
			if part = bytes.TrimLeft(part, " \t"); len(part) > 0 {
				if s.at = inOther; part[0] == '{' {
					s.name, s.at = word{}, inData
					s.name.add([]byte("error"))
				}
			}
		case inName:
			s.name.add(part)
			return
		case inData:
			s.payload(part)
			return
		default:
			return
		}
	}
}

// bare reports whether a line that begins with c is the beginning of a body that was written into the stream as it is. A list is one only in the place of an event.
func (s *eventScan) bare(c byte) bool {
	return c == '{' || c == '[' && s.name.n == 0 && !s.data
}

// value begins the value of a field and returns where the scan is then.
func (s *eventScan) value() place {
	switch {
	case s.field.is("event"):
		s.name = word{}
		return inName
	case s.field.is("data"):
		if s.data {
			s.payload([]byte("\n"))
		}
		s.data = true
		return inData
	case s.field.is("error") && s.form == formNone: // of llama.cpp, where it is JSON
		return inError
	}
	return inOther
}

func (s *eventScan) endLine() {
	if s.at == inField || s.at == inBlank {
		s.value() // a name alone has an empty value
	}
	s.text, s.at, s.field = false, inField, word{}
	if s.raw {
		s.payload([]byte("\n"))
		s.at = inData
	}
}

// payload takes in a part of the data.
func (s *eventScan) payload(part []byte) {
	if s.form == formNone {
		if part = bytes.TrimLeft(part, " \t\r\n"); len(part) == 0 {
			return
		}
		if s.form = formText; part[0] == '{' || part[0] == '[' {
			s.form = formJSON
		}
	}
	if s.form == formJSON {
		s.json.feed(part)
	}
	s.plain.add(part)
}

// empty reports whether the event is none: comments, or empty lines.
func (s *eventScan) empty() bool { return s.name.n == 0 && s.form == formNone }

// torn reports whether the data of an event that lacks the empty line behind it are not whole.
func (s *eventScan) torn() bool {
	return s.form == formNone || s.form == formJSON && !s.json.closed
}

// terminals are the names of events that end an answer. All but the last stand in the data as well, as its type.
var terminals = [...]string{
	"message_stop", "response.completed", "response.incomplete", "message-end",
	"transcript.text.done", "speech.audio.done", "image_generation.completed", "image_edit.completed",
	"stream-end", "done",
}

const terminalTypes = len(terminals) - 1

// ends reports whether the event ends its stream and is whole, whether or not the empty line behind it is there.
func (s *eventScan) ends(torn bool) bool { return s.terminal() && (!torn || !s.torn()) }

// answer reports whether the data of the event are a part of the answer as it is: a model may have written anything there.
func (s *eventScan) answer() bool {
	return s.name.is("output") || s.name.is("logs") // of Replicate
}

// terminal reports whether the event ends its stream.
func (s *eventScan) terminal() bool {
	if s.answer() {
		return false
	}
	if !s.plain.over && string(bytes.TrimSpace(s.plain.text())) == "[DONE]" {
		return true
	}
	for i, t := range terminals {
		if s.name.is(t) || i < terminalTypes && s.unnamed() && s.json.typ.is(t) {
			return true
		}
	}
	return false
}

// unnamed reports whether the event has no name of its own, so that the type in the data is its name.
func (s *eventScan) unnamed() bool { return s.name.n == 0 || s.name.is("message") }

// namedError reports whether the name of the event says that it is an error.
func (s *eventScan) namedError() bool {
	return s.name.is("error") || !s.name.over && bytes.HasSuffix(s.name.text(), []byte(".error"))
}

// ping reports whether the event only keeps the connection open, which says nothing about the form of the stream.
func (s *eventScan) ping() bool { return s.name.is("ping") || s.unnamed() && s.json.typ.is("ping") }

// answers reports whether the event is of the OpenAI Responses or Assistants API, where one that says that the answer failed holds what there is of
// it, and the instructions.
func (s *eventScan) answers() bool {
	kind := s.name.text()
	if s.unnamed() {
		kind = s.json.typ.text()
	}
	return bytes.HasPrefix(kind, []byte("response.")) || bytes.HasPrefix(kind, []byte("thread."))
}

// failure returns the HTTP status of the error that the event reports by its name or by a reason for the end, 0 for none.
func (s *eventScan) failure() int {
	if s.answer() {
		return 0
	}
	const (
		messageEnd = "message-end" // of Cohere, v2
		failed     = "response.failed"
	)
	switch {
	case s.json.status != 0 && s.known():
		return s.json.status
	case s.namedError(), s.name.is(failed), s.unnamed() && s.json.typ.is(failed), s.json.fault && (s.name.is(messageEnd) || s.unnamed() && s.json.typ.is(messageEnd)):
		return http.StatusInternalServerError
	case s.name.is("done"): // of Replicate
		return s.json.reason
	}
	return 0
}

// families are how the names begin of events whose streams have a terminal event.
var families = [...]string{
	"message_start", "message_delta", "content_block_", "response.", "message-start", "content-start", "content-delta",
	"transcript.text.", "speech.audio.", "image_generation.", "image_edit.", "thread.", "stream-start", "text-generation",
}

// hasEnd reports whether the event is of a form whose streams have a terminal event.
func (s *eventScan) hasEnd() bool {
	return s.name.is("output") || !s.answer() && (s.json.listed || inFamily(s.name.text()) || inFamily(s.json.typ.text()))
}

// failedChoice returns the HTTP status of what the reason for the end of a choice says went wrong, 0 for none.
func (s *eventScan) failedChoice() int {
	if s.answer() || !s.known() {
		return 0
	}
	return s.json.wrong
}

// known reports whether the name of the event is none, or one of an event in which a finish_reason is the reason for the end.
func (s *eventScan) known() bool {
	if s.unnamed() || inFamily(s.name.text()) || s.name.is("error") || s.name.is("result") { // result: of DashScope
		return true
	}
	return slices.ContainsFunc(terminals[:], s.name.is)
}

func inFamily(name []byte) bool {
	for _, f := range families {
		if bytes.HasPrefix(name, []byte(f)) {
			return true
		}
	}
	return false
}

// word is the beginning of a short text.
type word struct {
	buf  [maxWord]byte
	n    uint8
	over bool // it goes on
}

func (w *word) add(part []byte) {
	n := copy(w.buf[w.n:], part)
	w.n += uint8(n)
	w.over = w.over || n < len(part)
}

func (w *word) text() []byte { return w.buf[:w.n] }

func (w *word) is(s string) bool { return !w.over && string(w.buf[:w.n]) == s }

// jsonScan reads an object, or a list of objects, as it comes. It follows the few members that say how an answer ends, and skips the rest.
type jsonScan struct {
	depth  int
	roles  [maxRoles]role // of the containers around, outermost first
	closed bool           // the object is whole
	inText bool           // within a string
	escape bool           // behind a backslash
	name   bool           // a name comes next, or is being read
	keep   bool           // the string or scalar is looked at
	scalar bool
	member scanMember
	word   word

	typ    word // the outermost type
	status int  // what a finish_reason of no choice means that is a failure, 0 for none
	reason int  // the same of the reason that stands outermost
	fault  bool // the delta that stands outermost has an error
	listed bool // there are choices or candidates
	item   choice
	named  choiceSet // these choices were there
	open   choiceSet // of these there was more
	ended  choiceSet // these ended
	added  choiceSet // to these it adds something
	failed choiceSet // these ended in an error
	wrong  int       // what the finish_reason of one of those means
}

// role is what a container is to the end of the answer.
type role uint8

const (
	roleOther    role = iota
	roleOuter         // the list of which it is an element
	roleRoot          // the object itself
	roleResponse      // the object that some wrap the answer in
	roleOutput        // that of DashScope
	roleList          // choices or candidates
	roleItem          // one of them
	roleDelta         // what Cohere adds
	roleGroq          // what Groq says of its own
	roleContent       // what a choice adds, and what is in that
)

// scanMember is a member of an object that is looked at.
type scanMember uint8

const (
	memberOther scanMember = iota
	memberType
	memberList
	memberResponse
	memberOutput
	memberFinish
	memberDelta
	memberGroq
	memberError
	memberEnd
	memberReason
	memberIndex
	memberContent
)

// choice is one answer of several that a stream carries side by side.
type choice struct {
	index   int
	reason  bool // it says why it ends
	status  int  // what a finish_reason means that is a failure, 0 for none
	content bool // it has more of the answer
}

// choiceSet is a set of the indexes of choices.
type choiceSet [maxChoices / 64]uint64

func (c *choiceSet) set(i int)   { c[i/64] |= 1 << (i % 64) }
func (c *choiceSet) clear(i int) { c[i/64] &^= 1 << (i % 64) }

func (j *jsonScan) feed(part []byte) {
	for i := 0; i < len(part) && !j.closed; {
		if j.inText {
			i += j.inside(part[i:])
			continue
		}
		c := part[i]
		i++
		switch c {
		case '"':
			j.inText, j.word.n, j.word.over = true, 0, false
			j.keep = j.member != memberOther || j.name && j.role() != roleOther
		case '{', '[':
			j.enter(c == '{')
		case '}', ']':
			j.endScalar()
			j.leave()
		case ',':
			j.endScalar()
			j.member, j.name = memberOther, j.role() != roleList && j.role() != roleOuter
		case ':':
			j.name = false
		case ' ', '\t', '\r', '\n':
			j.endScalar()
		default:
			if !j.scalar {
				j.scalar, j.word.n, j.word.over = true, 0, false
			}
			if j.member != memberOther {
				j.word.add([]byte{c})
			}
		}
	}
}

// inside takes in a part of a string and returns how much.
func (j *jsonScan) inside(part []byte) int {
	if j.escape {
		j.escape = false
		if j.keep {
			j.word.add(part[:1])
		}
		return 1
	}
	end := bytes.IndexByte(part, '"')
	text := part
	if end >= 0 {
		text = part[:end]
	}
	if n := bytes.IndexByte(text, '\\'); n >= 0 {
		text, end, j.escape = text[:n+1], -1, true
	}
	if j.keep {
		j.word.add(text)
	}
	if end < 0 {
		return len(text)
	}
	j.inText = false
	switch {
	case !j.keep:
	case j.name:
		j.member = memberOf(j.role(), &j.word)
	default:
		j.stringValue()
	}
	return end + 1
}

// role returns what the innermost container is.
func (j *jsonScan) role() role {
	if j.depth < 1 || j.depth > len(j.roles) {
		return roleOther
	}
	return j.roles[j.depth-1]
}

// enter takes in an opening bracket.
func (j *jsonScan) enter(object bool) {
	in, role := j.role(), roleOther
	switch {
	case j.depth == 0 && !object:
		role = roleOuter
	case j.depth == 0, in == roleOuter && object:
		role = roleRoot
	case in == roleList && object:
		role, j.item = roleItem, choice{}
	case in == roleRoot && j.member == memberResponse && object:
		role = roleResponse
	case in == roleRoot && j.member == memberOutput && object:
		role = roleOutput
	case in == roleRoot && j.member == memberDelta && object:
		role = roleDelta
	case in == roleRoot && j.member == memberGroq && object:
		role = roleGroq
	case j.member == memberList && !object:
		role, j.listed = roleList, true
	case in == roleContent, in == roleItem && j.member == memberContent:
		role = roleContent
	}
	j.depth++
	if j.depth <= len(j.roles) {
		j.roles[j.depth-1] = role
	}
	j.member, j.name = memberOther, object
}

// leave takes in a closing bracket.
func (j *jsonScan) leave() {
	if j.role() == roleItem {
		j.settle()
	}
	j.depth--
	j.closed = j.depth == 0
	j.member, j.name = memberOther, false
}

// settle counts the choice that was read as ended or not. One that adds nothing has not ended by that, nor does it go on behind its end: some list
// every choice in every chunk, and what the filters of Azure find may come last.
func (j *jsonScan) settle() {
	i := j.item.index
	if j.item.content {
		j.added.set(i)
	}
	switch {
	case j.item.status != 0:
		j.wrong = j.item.status
		j.failed.set(i)
		j.open.clear(i)
	case j.item.reason:
		j.ended.set(i)
		j.open.clear(i)
	case j.item.content:
		j.open.set(i)
		j.ended.clear(i)
	default:
		j.named.set(i)
	}
}

// tear ends the object where it broke off. A choice that is not whole goes on. One that is whole has not ended by what it says, because whoever
// reads the stream drops the event and what it adds.
func (j *jsonScan) tear() {
	if j.closed {
		return
	}
	if slices.Contains(j.roles[:min(j.depth, len(j.roles))], roleItem) {
		j.item.reason, j.item.content = false, true
		j.settle()
	}
	for i := range j.ended {
		j.open[i] |= j.added[i]
		j.named[i] |= j.ended[i]
	}
	j.ended = choiceSet{}
}

// memberOf returns which member of a container a name is.
func memberOf(in role, name *word) scanMember {
	if name.over {
		return memberOther
	}
	key := string(name.text())
	if in == roleItem {
		switch key {
		case "finish_reason", "finishReason":
			return memberReason
		case "index":
			return memberIndex
		case "delta", "text", "message", "messages", "content":
			return memberContent
		}
		return memberOther
	}
	switch {
	case in == roleContent:
		if key != "role" {
			return memberContent
		}
	case in == roleDelta:
		switch key {
		case "finish_reason":
			return memberReason
		case "error":
			return memberError
		}
	case key == "choices" || key == "candidates":
		return memberList
	case in == roleGroq:
		if key == "error" {
			return memberError
		}
	case in == roleOutput:
		if key == "finish_reason" {
			return memberFinish
		}
	case in == roleRoot:
		switch key {
		case "type", "event_type":
			return memberType
		case "response", "data":
			return memberResponse
		case "output":
			return memberOutput
		case "delta":
			return memberDelta
		case "x_groq":
			return memberGroq
		case "finish_reason":
			return memberReason
		case "reason":
			return memberEnd
		}
	}
	return memberOther
}

// stringValue takes in the string that is the value of the member.
func (j *jsonScan) stringValue() {
	switch j.member {
	case memberType:
		j.typ = j.word
	case memberContent:
		j.item.content = j.item.content || j.word.n > 0
	case memberError:
		switch {
		case j.role() != roleGroq:
			j.fault = j.word.n > 0
		case j.word.is("over_capacity"):
			j.status = http.StatusServiceUnavailable
		case j.word.n > 0:
			j.status = http.StatusInternalServerError
		}
	case memberEnd:
		j.reason = failureOf(&j.word)
	case memberFinish:
		// The one answer of DashScope stands beside its reason.
		j.listed, j.item = true, choice{reason: ends(&j.word), content: !ends(&j.word), status: failureOf(&j.word)}
		j.settle()
	case memberReason:
		if j.role() != roleItem {
			j.status = failureOf(&j.word)
			break
		}
		j.item.reason, j.item.status = ends(&j.word), failureOf(&j.word)
	default:
	}
	j.member = memberOther
}

// ends reports whether a reason is one: DashScope says null in a string where there is none yet.
func ends(reason *word) bool {
	return reason.n > 0 && !reason.is("null") && !bytes.HasSuffix(reason.text(), []byte("_UNSPECIFIED"))
}

// failureOf returns the HTTP status of what a reason for the end says went wrong, 0 for one of an answer that ended well: Cohere has ERROR and
// TIMEOUT (chat with streaming, finish_reason, 2025-11), and in v1 ERROR_TOXIC and ERROR_LIMIT, OpenRouter, vLLM and watsonx have error.
func failureOf(reason *word) int {
	switch {
	case hasPrefixFold(string(reason.text()), "error"):
		return http.StatusInternalServerError
	case strings.EqualFold(string(reason.text()), "timeout"):
		return http.StatusGatewayTimeout
	}
	return 0
}

// endScalar takes in the number or the word that ends here.
func (j *jsonScan) endScalar() {
	if !j.scalar {
		return
	}
	j.scalar = false
	if j.member != memberIndex {
		return
	}
	n := 0
	for _, c := range j.word.text() {
		if !isDigit(c) {
			return
		}
		n = min(n*10+int(c-'0'), maxChoices-1)
	}
	j.item.index = n
}
