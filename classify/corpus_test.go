package classify

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// sample is one response of a corpus and what the ideal client concludes from it.
type sample struct {
	ID        string            `json:"id"`
	Status    int               `json:"status"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
	Ambiguous bool              `json:"ambiguous"`
	Expect    struct {
		Retry     string   `json:"retry"`
		Class     string   `json:"class"`
		ClassAlso []string `json:"class_also"`
		WaitMs    *int64   `json:"wait_ms"`
		Code      string   `json:"code"`
		Type      string   `json:"type"`
		Message   string   `json:"message"`
		RequestID string   `json:"request_id"`
		Why       string   `json:"why"`
	} `json:"expect"`
}

func (s *sample) header() http.Header {
	h := make(http.Header)
	for k, v := range s.Headers {
		h.Add(k, v)
	}
	return h
}

func readSamples(t *testing.T, name string) []sample {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	var out []sample
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s sample
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s))
		out = append(out, s)
	}
	require.NoError(t, lines.Err())
	return out
}

// score counts what is right among the samples that count, and says what is wrong.
type score struct {
	n     int
	right map[string]int
	wrong []string
}

func scoreOf(samples []sample) score {
	s := score{right: make(map[string]int)}
	for _, c := range samples {
		if c.Ambiguous {
			continue
		}
		s.n++
		d := (*Classifier)(nil).Body(c.Status, c.header(), []byte(c.Body))
		check := func(field string, ok bool, want, got any) {
			if ok {
				s.right[field]++
				return
			}
			s.wrong = append(s.wrong, fmt.Sprintf("%-9s %s: want %v, got %v (rule %q)", field, c.ID, want, got, d.Rule))
		}
		never := d.Retry == errcodes.RetryNever
		check("retry", never == (c.Expect.Retry == "never"), c.Expect.Retry, d.Retry)
		check("once", d.Retry.String() == c.Expect.Retry, c.Expect.Retry, d.Retry)
		check("class", d.Class.String() == c.Expect.Class || slices.Contains(c.Expect.ClassAlso, d.Class.String()),
			append([]string{c.Expect.Class}, c.Expect.ClassAlso...), d.Class)
		var wait any
		if d.WaitFrom != SourceNone {
			wait = d.Wait.Milliseconds()
		}
		if c.Expect.WaitMs == nil {
			check("wait", wait == nil, nil, wait)
		} else {
			check("wait", wait == *c.Expect.WaitMs, *c.Expect.WaitMs, wait)
		}
		check("code", d.Code == c.Expect.Code, c.Expect.Code, d.Code)
		check("type", d.Type == c.Expect.Type, c.Expect.Type, d.Type)
		check("message", d.Message == c.Expect.Message, c.Expect.Message, d.Message)
		check("request_id", d.RequestID == c.Expect.RequestID, c.Expect.RequestID, d.RequestID)
	}
	sort.Strings(s.wrong)
	return s
}

func (s *score) String() string {
	var b strings.Builder
	for _, f := range []string{"retry", "once", "class", "wait", "code", "type", "message", "request_id"} {
		fmt.Fprintf(&b, "%s %d/%d  ", f, s.right[f], s.n)
	}
	return b.String()
}

// TestSharedCorpus holds the classifier against a larger corpus that is not part of the
// module, where there is one.
func TestSharedCorpus(t *testing.T) {
	const name = "../../shared/corpus/dev.jsonl"
	if _, err := os.Stat(name); err != nil {
		t.Skip("the larger corpus is not here")
	}
	s := scoreOf(readSamples(t, name))
	t.Log(s.String())
	require.Empty(t, s.wrong)
}

// TestOwnCorpus is the corpus of the module: shapes as seen in the wild, in our own words.
func TestOwnCorpus(t *testing.T) {
	s := scoreOf(readSamples(t, "testdata/responses.jsonl"))
	t.Log(s.String())
	require.Empty(t, s.wrong)
}
