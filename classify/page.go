package classify

import (
	"html"
	"strings"
)

// maxPage bounds how much of a page is looked at.
const maxPage = 16 << 10

// pageTitle returns the title of the HTML page s, else its first heading, and whether s is a page at all.
func pageTitle(s string) (string, bool) {
	t := trimBlank(s)
	if t == "" || t[0] != '<' || !isPage(t) {
		return "", false
	}
	t = cut(t, maxPage)
	for _, tag := range [...]string{"title", "h1"} {
		if inside, ok := elementText(t, tag); ok && inside != "" {
			return inside, true
		}
	}
	return "", true
}

// firstElement returns the text inside the first of those elements of XML that is there.
func firstElement(s string, tags ...string) (string, bool) {
	for _, tag := range tags {
		inside, ok := elementInside(s, tag)
		if !ok {
			continue
		}
		if strings.IndexByte(inside, '<') < 0 {
			return html.UnescapeString(trimBlank(inside)), true // no page: its lines are its own
		}
		return visibleText(inside), true
	}
	return "", false
}

// isPage reports whether s, which begins with '<', is HTML.
func isPage(s string) bool {
	head := cut(s, 1<<10)
	for _, tag := range [...]string{"<!doctype html", "<html", "<head", "<body", "<title", "<center", "<h1", "<h2", "<p>", "<pre", "<div"} {
		if containsFold(head, tag) {
			return true
		}
	}
	return false
}

// elementText returns the text inside the first element of that name, with blanks collapsed.
func elementText(s, tag string) (string, bool) {
	inside, ok := elementInside(s, tag)
	if !ok {
		return "", false
	}
	return visibleText(inside), true
}

// elementInside returns what stands inside the first element of that name.
func elementInside(s, tag string) (string, bool) {
	at := 0
	for {
		i := indexFold(s[at:], "<"+tag)
		if i < 0 {
			return "", false
		}
		at += i + 1 + len(tag)
		if at >= len(s) {
			return "", false
		}
		// "<title>", "<title lang=en>", and not "<titles>".
		if !isWordByte(s[at]) {
			break
		}
	}
	open := strings.IndexByte(s[at:], '>')
	if open < 0 {
		return "", false
	}
	inside := s[at+open+1:]
	if end := indexFold(inside, "</"+tag); end >= 0 {
		inside = inside[:end]
	} else if tag != "title" && tag != "h1" {
		return "", false
	}
	return inside, true
}

// visibleText returns s without tags, comments, scripts and styles, entities decoded and blanks collapsed.
func visibleText(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := ">"
		switch {
		case strings.HasPrefix(s, "<!--"):
			end = "-->"
		case hasPrefixFold(s, "<script"):
			end = "</script>"
		case hasPrefixFold(s, "<style"):
			end = "</style>"
		}
		j := indexFold(s, end)
		if j < 0 {
			break
		}
		b.WriteByte(' ')
		s = s[j+len(end):]
	}
	return strings.Join(strings.Fields(html.UnescapeString(b.String())), " ")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// withoutScripts returns the page s without its scripts: one that is loaded for the captcha of some form asks nothing, unless the page says nothing else.
func withoutScripts(s string) string {
	var b strings.Builder
	for {
		i := indexFold(s, "<script")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		end := indexFold(s[i:], "</script>")
		if end < 0 {
			return b.String()
		}
		s = s[i+end+len("</script>"):]
	}
}

// isChallenge reports whether the page s asks whether a human is there. A program cannot answer, however often it comes back.
func isChallenge(s string) bool {
	for _, mark := range [...]string{"captcha", "not a robot", "are human", "human verification"} {
		if containsFold(s, mark) {
			return true
		}
	}
	return false
}

// readMarkup reads a page, or an error in XML as object stores and query APIs write it.
func (f *facts) readMarkup(s string) bool {
	s = cut(s, maxPage)
	if title, ok := pageTitle(s); ok {
		f.html = true
		f.message = title
		f.sentence(title)
		for _, tag := range [...]string{"h1", "h2"} {
			if text, ok := elementText(s, tag); ok {
				f.sentence(text)
			}
		}
		f.pageText = visibleText(s)
		if f.status >= 400 && f.status < 500 {
			f.challenge = isChallenge(withoutScripts(s)) && header(f.header, "Retry-After") == ""
			f.puzzling = isChallenge(s)
		}
		return true
	}
	message, ok := firstElement(s, "message", "error_message", "errormessage", "faultstring", "detail")
	code, isCode := firstElement(s, "code", "error_code", "errorcode", "faultcode")
	if !isCode {
		if code, isCode = elementText(s, "status"); !isScreaming(code) {
			code, isCode = "", false
		}
	}
	if !ok && !isCode {
		return false
	}
	f.failed = true
	f.takeMessage(message)
	if isToken(code) {
		f.code = code
		f.word(code)
	}
	if typ, ok := elementText(s, "type"); ok && isToken(typ) {
		f.typ = typ
	}
	for _, tag := range [...]string{"requestid", "request_id"} {
		if id, ok := elementText(s, tag); ok && len(id) <= maxRequestID {
			f.requestID = firstOf(f.requestID, id)
		}
	}
	return true
}
