package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

const explainHelp = `Usage: errwire explain [-jsonl] [-registry NAME] [FILE]

Judges an HTTP response: whether to send the request again, how long to wait, why, and what to do instead.

Without -jsonl it reads one response as curl -i prints it, from FILE or the standard input, and answers in words:

  curl -si https://api.example.com/v1/models | errwire explain

  -jsonl           read one response per line, {"status":429,"headers":{"Retry-After":"2"},"body":"..."}, and answer with
                   one line each: {"retry":"never|once|backoff|changed","class":"rate_limited","wait_ms":2000,"status":429,
                   "code":"","type":"","param":"","message":"","request_id":"","rule":"","advice":""}.
                   wait_ms is the wait that the response states, uncapped, or null. A header may have a list of values.
                   Line n answers line n; one that cannot be read is answered with {"line":n,"error":"..."}.
  -registry NAME   take the response as one of this provider: ` + registryNames + `
                   (may be given several times; without it, what providers have in common is known)

Colour is used on a terminal only, and not where NO_COLOR is set.

Exit status: 0 when everything was read, 1 when some input was not, 2 for a wrong command line. What the judgement
says does not change it.
`

const (
	maxLine     = 16 << 20
	maxResponse = 1 << 20
)

// explain judges the responses it reads.
func explain(args []string, t terminal) int {
	flags := flag.NewFlagSet("explain", flag.ContinueOnError)
	jsonl := flags.Bool("jsonl", false, "")
	c := &classify.Classifier{}
	flags.Func("registry", "", func(name string) error {
		r, err := registryByName(name)
		c.Registries = append(c.Registries, r)
		return err
	})
	if status, done := parse(flags, args, explainHelp, t); done {
		return status
	}
	switch flags.NArg() {
	case 0:
	case 1:
		f, err := os.Open(flags.Arg(0))
		if err != nil {
			fmt.Fprintf(t.err, "errwire explain: %v\n", err)
			return exitFailed
		}
		defer f.Close() //nolint:errcheck // it was only read
		t.in = f
	default:
		fmt.Fprintf(t.err, "errwire explain: the argument %q is one too many\n", flags.Arg(1))
		return exitUsage
	}
	var err error
	if *jsonl {
		err = explainLines(t.in, t.out, c)
	} else {
		err = explainOne(t.in, t.out, c, t.color)
	}
	if err != nil {
		fmt.Fprintf(t.err, "errwire explain: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// verdict is a decision as a line of output. Its names and their order are a promise.
type verdict struct {
	Retry     errcodes.Retry `json:"retry"`
	Class     errcodes.Class `json:"class"`
	WaitMs    *int64         `json:"wait_ms"`
	Status    int            `json:"status"`
	Code      string         `json:"code"`
	Type      string         `json:"type"`
	Param     string         `json:"param"`
	Message   string         `json:"message"`
	RequestID string         `json:"request_id"`
	Rule      string         `json:"rule"`
	Advice    string         `json:"advice"`
}

func verdictOf(d *classify.Decision) verdict {
	v := verdict{
		Retry: retryOf(d), Class: d.Class, Status: d.Status, Code: d.Code, Type: d.Type, Param: d.Param,
		Message: d.Message, RequestID: d.RequestID, Rule: d.Rule, Advice: d.Advice,
	}
	if d.WaitFrom != classify.SourceNone {
		ms := d.Wait.Milliseconds()
		if ms == 0 && d.Wait > 0 {
			ms = 1
		}
		v.WaitMs = &ms
	}
	return v
}

// retryOf returns the retry rule with the server's veto applied.
func retryOf(d *classify.Decision) errcodes.Retry {
	if d.Vetoed && d.Retry != errcodes.RetryChanged {
		return errcodes.RetryNever
	}
	return d.Retry
}

// unread is the answer to a line that cannot be read.
type unread struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// explainLines answers each line of in with one line. It fails when a line could not be read, after all of them.
func explainLines(in io.Reader, out io.Writer, c *classify.Classifier) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	bad := 0
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return errors.Join(fmt.Errorf("line %d: %w", n, err), w.Flush())
		}
		var answer any
		if err == nil {
			answer, err = judgeLine(line, c)
		}
		if err != nil {
			bad++
			answer = unread{Line: n, Error: err.Error()}
		}
		if err := enc.Encode(answer); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if bad > 0 {
		if bad == 1 {
			return errors.New("1 line could not be read")
		}
		return fmt.Errorf("%d lines could not be read", bad)
	}
	return nil
}

var errLongLine = fmt.Errorf("the line is longer than %d bytes", maxLine)

// readLine returns the next line without its end; io.EOF when there is none. A line that is too long is skipped as a whole.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(line) > 0 || long):
		case err != nil:
			return nil, err
		}
		if long {
			return nil, errLongLine
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// judgeLine judges a response that stands in a line of JSON.
func judgeLine(line []byte, c *classify.Classifier) (verdict, error) {
	var in struct {
		Status  json.RawMessage `json:"status"`
		Headers json.RawMessage `json:"headers"`
		Body    json.RawMessage `json:"body"`
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return verdict{}, errors.New("the line is empty")
	}
	if !json.Valid(line) {
		return verdict{}, errors.New("the line is not one JSON value")
	}
	if json.Unmarshal(line, &in) != nil {
		return verdict{}, errors.New("the line is not a JSON object")
	}
	if in.Status == nil {
		return verdict{}, errors.New("the status is missing")
	}
	status, err := strconv.Atoi(string(in.Status))
	if err != nil || status < 100 || status > 999 {
		return verdict{}, fmt.Errorf("the status %s is not a whole number from 100 to 999", in.Status)
	}
	h, err := headerOf(in.Headers)
	if err != nil {
		return verdict{}, err
	}
	body := []byte(in.Body)
	var text string
	switch {
	case len(body) == 0 || string(body) == "null":
		body = nil
	case body[0] == '"':
		if err := json.Unmarshal(body, &text); err != nil {
			return verdict{}, fmt.Errorf("the body cannot be read: %w", err)
		}
		body = []byte(text)
	}
	d := c.Body(status, h, body)
	return verdictOf(&d), nil
}

// headerOf reads headers from an object whose values are texts or lists of texts.
func headerOf(raw json.RawMessage) (http.Header, error) {
	var members map[string]json.RawMessage
	if len(raw) > 0 && json.Unmarshal(raw, &members) != nil {
		return nil, errors.New("the headers are not an object")
	}
	h := make(http.Header, len(members))
	for name, raw := range members {
		var value string
		var values []string
		switch {
		case json.Unmarshal(raw, &value) == nil:
			h.Add(name, value)
		case json.Unmarshal(raw, &values) == nil:
			for _, v := range values {
				h.Add(name, v)
			}
		case raw[0] != '{' && raw[0] != '[':
			h.Add(name, string(raw)) // a number
		default:
			return nil, fmt.Errorf("the header %q is neither a text nor a list of texts", name)
		}
	}
	return h, nil
}

// explainOne judges the response that in holds, in words.
func explainOne(in io.Reader, out io.Writer, c *classify.Classifier, color bool) error {
	raw, err := io.ReadAll(io.LimitReader(in, maxResponse))
	if err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	resp, err := parseResponse(raw)
	if err != nil {
		return err
	}
	d := c.Body(resp.status, resp.header, resp.body)
	if err := writeReport(out, &d, color); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// seconds prints a wait as a person would.
func seconds(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(100 * time.Millisecond)
	}
	return d.String()
}
