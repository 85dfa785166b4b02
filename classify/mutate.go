package classify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxMutateBody bounds the request bodies that LowerMaxTokens and SetStream rewrite.
const maxMutateBody = 32 << 20

// LowerMaxTokens returns a [Transport.MutateRequest] that asks for at most n tokens: it lowers
// max_tokens, max_completion_tokens and max_output_tokens where they are higher, also where the number is in quotes or beyond
// what a float64 holds, and where they are negative, which some servers take for no limit. Where none of them has a value it puts
// n in the place of the last that is null, and where there is none at all it adds
// max_tokens to a request with messages or a prompt. A request that asks for no more already is not
// changed, which ends the call; nor is one without a body, or with a Content-Encoding other than identity. It fails on
// any other body that is no JSON object or longer than 32 MiB, and for n < 1.
// See [Transport.MutateRequest] for the failures that lead to it.
func LowerMaxTokens(n int) func(*http.Request, Decision) (*http.Request, error) {
	return func(req *http.Request, _ Decision) (*http.Request, error) {
		if n < 1 {
			return nil, fmt.Errorf("classify: max_tokens of %d must be at least 1", n)
		}
		return rewrite(req, func(body []byte, members []member) []byte {
			limit := strconv.Itoa(n)
			var edits []member
			var last [len(tokenLimits)]*member // of several of one name it is the last that servers go by
			chat := false
			for i := range members {
				m := &members[i]
				switch at := slices.Index(tokenLimits[:], m.name); {
				case at >= 0:
					last[at] = m
					if asksForMore(body[m.start:m.end], n) {
						edits = append(edits, member{start: m.start, end: m.end, value: limit})
					}
				case m.name == "messages" || m.name == "prompt":
					chat = true
				}
			}
			var open *member // a limit that is null
			for _, m := range last {
				switch {
				case m == nil:
				case string(body[m.start:m.end]) != "null":
					return splice(body, edits)
				case open == nil || m.start > open.start:
					open = m
				}
			}
			switch {
			case open != nil:
				edits = append(edits, member{start: open.start, end: open.end, value: limit})
				slices.SortFunc(edits, func(a, b member) int { return a.start - b.start })
			case chat:
				edits = append(edits, insertion(body, members, `"max_tokens":`+limit))
			}
			return splice(body, edits)
		})
	}
}

// tokenLimits are the members that bound the tokens of an answer.
var tokenLimits = [...]string{"max_tokens", "max_completion_tokens", "max_output_tokens"}

// asksForMore reports whether a value, which may be a number in quotes, asks for more than n tokens. Below 0 some servers read no limit.
func asksForMore(value []byte, n int) bool {
	text := string(value)
	if strings.HasPrefix(text, `"`) && json.Unmarshal(value, &text) != nil {
		return false
	}
	have, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return (err == nil || errors.Is(err, strconv.ErrRange)) && (have > float64(n) || have < 0)
}

// SetStream is a [Transport.MutateRequest] that asks for a stream, which a server can begin to send before
// its time is up. Use it only where the response is read as a stream whenever its Content-Type says so. A request that
// asks for a stream already is not changed, which ends the call; nor is one without a body, or with a Content-Encoding other
// than identity. It fails on any other body that is no
// JSON object or longer than 32 MiB. See [Transport.MutateRequest] for the failures that lead to it.
func SetStream(req *http.Request, _ Decision) (*http.Request, error) {
	return rewrite(req, func(body []byte, members []member) []byte {
		var edits []member
		found := false
		for _, m := range members {
			if m.name != "stream" {
				continue
			}
			found = true
			if string(body[m.start:m.end]) != "true" {
				edits = append(edits, member{start: m.start, end: m.end, value: "true"})
			}
		}
		if !found {
			edits = append(edits, insertion(body, members, `"stream":true`))
		}
		return splice(body, edits)
	})
}

// member is a member of the top-level object, its value at body[start:end], or an edit that puts value there.
type member struct {
	name       string
	start, end int
	value      string
}

// rewrite replaces the body of req by what edit makes of it; nil, nil when it makes nothing.
func rewrite(req *http.Request, edit func([]byte, []member) []byte) (*http.Request, error) {
	if encoding := req.Header.Get("Content-Encoding"); !hasBody(req) || encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, nil //nolint:nilnil // documented: nothing to change
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxMutateBody+1))
	req.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("classify: reading the request body: %w", err)
	}
	if len(body) > maxMutateBody {
		return nil, fmt.Errorf("classify: the request body is longer than %d bytes", maxMutateBody)
	}
	members, err := topMembers(body)
	if err != nil {
		return nil, err
	}
	changed := edit(body, members)
	if changed == nil {
		return nil, nil //nolint:nilnil // documented: nothing to change
	}
	req.Body = io.NopCloser(bytes.NewReader(changed))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(changed)), nil }
	req.ContentLength = int64(len(changed))
	if req.Header.Get("Content-Length") != "" {
		req.Header.Set("Content-Length", strconv.Itoa(len(changed)))
	}
	return req, nil
}

// topMembers lists the members of the object that body is.
func topMembers(body []byte) ([]member, error) {
	if !json.Valid(body) {
		return nil, errors.New("classify: the request body is not valid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("classify: the request body is not a JSON object")
	}
	var members []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("classify: reading the request body: %w", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("classify: reading the request body: %w", err)
		}
		end := int(dec.InputOffset())
		key, _ := name.(string)
		members = append(members, member{name: key, start: end - len(value), end: end})
	}
	return members, nil
}

// insertion is the edit that adds text as the first member.
func insertion(body []byte, members []member, text string) member {
	at := bytes.IndexByte(body, '{') + 1
	if len(members) > 0 {
		text += ","
	}
	return member{start: at, end: at, value: text}
}

// splice makes the edits, which are in order; nil for none.
func splice(body []byte, edits []member) []byte {
	if len(edits) == 0 {
		return nil
	}
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, body[at:e.start]...), e.value...)
		at = e.end
	}
	return append(out, body[at:]...)
}
