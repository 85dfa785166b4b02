package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// rawResponse is a response as curl -i prints it: the body already without chunks.
type rawResponse struct {
	status int
	header http.Header
	body   []byte
}

var errNoStatusLine = errors.New("the input does not begin with a status line such as HTTP/1.1 429; call curl with -i")

// parseResponse reads the last of the responses that raw begins with: curl prints those of proxies, redirects and
// 100 Continue before it.
func parseResponse(raw []byte) (rawResponse, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return rawResponse{}, errors.New("the input is empty: pipe a response into it, as in curl -si URL | errwire explain")
	}
	var r rawResponse
	rest := bytes.TrimLeft(raw, "\r\n")
	for {
		status, ok := statusLine(rest)
		if !ok {
			if r.status == 0 {
				return rawResponse{}, errNoStatusLine
			}
			r.body = rest
			return r, nil
		}
		if status < 100 || status > 999 {
			return rawResponse{}, fmt.Errorf("the status %d is not between 100 and 999", status)
		}
		r = rawResponse{status: status, header: make(http.Header)}
		_, rest = cutLine(rest)
		last := ""
		for len(rest) > 0 {
			var line string
			line, rest = cutLine(rest)
			if line == "" {
				break
			}
			name, value, ok := strings.Cut(line, ":")
			switch {
			case (line[0] == ' ' || line[0] == '\t') && last != "":
				values := r.header[last]
				values[len(values)-1] += " " + strings.TrimSpace(line)
			case ok && name != "":
				last = http.CanonicalHeaderKey(strings.TrimSpace(name))
				r.header[last] = append(r.header[last], strings.TrimSpace(value))
			}
		}
	}
}

// statusLine reads the status from a line such as HTTP/2 503 or HTTP/1.1 503 Service Unavailable.
func statusLine(raw []byte) (int, bool) {
	line, _ := cutLine(raw[:min(len(raw), 1<<10)])
	version, rest, ok := strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(version, "HTTP/") {
		return 0, false
	}
	code, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	status, err := strconv.Atoi(code)
	return status, err == nil && len(code) == 3
}

// cutLine returns the first line of raw without its end, and the rest.
func cutLine(raw []byte) (string, []byte) {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r"), rest
}
