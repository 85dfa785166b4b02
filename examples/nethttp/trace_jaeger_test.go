//go:build jaeger

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// jaeger is a Jaeger that runs for one test.
type jaeger struct {
	query, metrics string
	client         *http.Client
}

// startJaeger builds Jaeger unless that was done before, and runs it until the test ends.
func startJaeger(t *testing.T) *jaeger {
	t.Helper()
	env := startBackend(t, "../../tools/jaeger/jaeger", []string{"JAEGER_QUERY_PORT", "JAEGER_OTLP_PORT", "JAEGER_METRICS_PORT"}, 4)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &jaeger{query: env["JAEGER_QUERY_URL"], metrics: env["JAEGER_METRICS_URL"], client: &http.Client{Transport: tr, Timeout: 10 * time.Second}}
}

func (j *jaeger) get(t require.TestingT, address string) []byte { return fetch(t, j.client, address) }

// The answer of Jaeger's search, as far as it is of interest.
type (
	jaegerTrace struct {
		TraceID   string
		Spans     []jaegerSpan
		Processes map[string]struct{ ServiceName string }
	}
	jaegerSpan struct {
		SpanID, OperationName, ProcessID string
		StartTime                        int64
		References                       []struct{ RefType, SpanID string }
		Tags                             []jaegerTag
		Logs                             []struct{ Fields []jaegerTag }
	}
	jaegerTag struct {
		Key   string
		Value any
	}
)

// find returns the traces of a service with these tags.
func (j *jaeger) find(t require.TestingT, service string, tags map[string]string) []jaegerTrace {
	q := url.Values{"service": {service}, "lookback": {"1h"}, "limit": {"1000"}}
	if tags != nil {
		text, err := json.Marshal(tags)
		require.NoError(t, err)
		q.Set("tags", string(text))
	}
	var answer struct{ Data []jaegerTrace }
	require.NoError(t, json.Unmarshal(j.get(t, j.query+"/api/traces?"+q.Encode()), &answer))
	return answer.Data
}

func (s jaegerSpan) tag(key string) string {
	for _, tag := range s.Tags {
		if tag.Key == key {
			return fmt.Sprint(tag.Value)
		}
	}
	return ""
}

// field returns what the events of a name say about key, in order.
func (s jaegerSpan) field(event, key string) []string {
	var values []string
	for _, l := range s.Logs {
		if slices.ContainsFunc(l.Fields, func(f jaegerTag) bool { return f.Key == "event" && f.Value == event }) {
			for _, f := range l.Fields {
				if f.Key == key {
					values = append(values, fmt.Sprint(f.Value))
				}
			}
		}
	}
	return values
}

// children returns the spans below parent, "" for the roots, in the order in which they started.
func (tr jaegerTrace) children(parent string) []jaegerSpan {
	var found []jaegerSpan
	for _, s := range tr.Spans {
		if len(s.References) == 0 && parent == "" || len(s.References) == 1 && s.References[0].RefType == "CHILD_OF" && s.References[0].SpanID == parent {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b jaegerSpan) int { return int(a.StartTime - b.StartTime) })
	return found
}

// The main job in a real backend: what docs/tracing.md promises can be found there.
func TestJaeger(t *testing.T) {
	j := startJaeger(t)
	var out, errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), nil, &out, &errs), "%s%s", &out, &errs)
	calls := len(runInfra()) + len(runbase())

	var traces []jaegerTrace
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		traces = j.find(c, clientService, nil)
		require.Len(c, traces, calls)
	}, 20*time.Second, 200*time.Millisecond, "one trace for each call")

	byAttempts := map[int]int{}
	for _, tr := range traces {
		roots := tr.children("")
		require.Len(t, roots, 1)
		call := roots[0]
		require.Equal(t, "internal", call.tag("span.kind"))
		attempts := tr.children(call.SpanID)
		byAttempts[len(attempts)]++
		require.Equal(t, strconv.Itoa(len(attempts)), call.tag("errwire.retry.attempts"))
		require.Len(t, call.field("errwire.retry.wait", "errwire.retry.delay.source"), len(attempts)-1)
		require.Len(t, tr.Spans, 1+2*len(attempts))
		for i, a := range attempts {
			require.Equal(t, "client", a.tag("span.kind"))
			if i == 0 {
				require.Empty(t, a.tag("http.request.resend_count"))
			} else {
				require.Equal(t, strconv.Itoa(i), a.tag("http.request.resend_count"))
			}
			servers := tr.children(a.SpanID)
			require.Len(t, servers, 1)
			require.Equal(t, "server", servers[0].tag("span.kind"))
			require.Equal(t, serverService, tr.Processes[servers[0].ProcessID].ServiceName)
			require.NotEmpty(t, servers[0].tag("http.route"))
			require.Equal(t, a.tag("http.request.method")+" "+servers[0].tag("http.route"), servers[0].OperationName)
			require.Equal(t, a.tag("http.response.header.x-request-id"), servers[0].tag("http.response.header.x-request-id"))
			require.Equal(t, a.tag("errwire.category"), servers[0].tag("errwire.category"))
			if code := a.tag("errwire.error.code"); code != "" {
				require.Equal(t, code, servers[0].tag("errwire.error.code"))
			}
		}
		gaveUp := call.field("errwire.retry.give_up", "errwire.retry.give_up.reason")
		if call.tag("errwire.retry.outcome") == "success" {
			require.Empty(t, gaveUp)
			require.Empty(t, call.tag("error"), "a call that recovered has no error mark")
		} else {
			require.Equal(t, []string{call.tag("errwire.retry.give_up.reason")}, gaveUp)
			require.Equal(t, "true", call.tag("error"))
		}
	}
	reportf(t, "%d traces, one for each call; attempts as siblings: %v", len(traces), byAttempts)

	for _, q := range []struct {
		tags map[string]string
		want int
	}{
		{map[string]string{"errwire.error.code": "RATE_LIMITED"}, 1},
		{map[string]string{"errwire.error.condition": "rate_limited"}, 2},
		{map[string]string{"http.request.resend_count": "2"}, 3},
		{map[string]string{"errwire.retry.outcome": "give_up", "errwire.retry.give_up.reason": "max_attempts_of_class"}, 2},
		{map[string]string{"errwire.retry.delay.source": "retry_after"}, 3},
	} {
		for _, service := range []string{clientService, serverService} {
			found := len(j.find(t, service, q.tags))
			onClient := service == clientService
			if onClient {
				require.Equal(t, q.want, found, "%v", q.tags)
			}
			if _, both := q.tags["errwire.error.code"]; both && !onClient {
				require.Equal(t, q.want, found, "%v", q.tags)
			}
		}
		var words []string
		for k, v := range q.tags {
			words = append(words, k+"="+v)
		}
		slices.Sort(words)
		reportf(t, "found by %s: %d", strings.Join(words, " "), q.want)
	}

	// A request id as the main job printed it leads to its trace, from either side.
	id := regexp.MustCompile(`req_[0-9a-f]{32}`).FindString(out.String())
	for _, service := range []string{clientService, serverService} {
		found := j.find(t, service, map[string]string{"http.response.header.x-request-id": `["` + id + `"]`})
		require.Len(t, found, 1, service)
	}
	reportf(t, "found by the request id of the first line: 1, from client and server")

	// What the page says to search for is found.
	tags := regexp.MustCompile("`((?:errwire|http)\\.[a-z_.-]+)=([^`]+)`").FindAllStringSubmatch(fiveQuestions(t), -1)
	require.Len(t, tags, 6)
	for _, tag := range tags {
		value := tag[2]
		if strings.HasPrefix(value, `"`) {
			var err error
			value, err = strconv.Unquote(value)
			require.NoError(t, err, value)
		}
		found := j.find(t, clientService, map[string]string{tag[1]: strings.ReplaceAll(value, "req_01...", id)})
		require.NotEmpty(t, found, tag[0])
	}
	reportf(t, "all tags of the five questions are found: %d", len(tags))

	var text string
	names := []string{"errwire_client_operation_duration_seconds", "errwire_client_retries", "errwire_client_retry_delay_seconds"}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		text = string(j.get(c, j.metrics))
		for _, name := range names {
			require.Contains(c, text, "# TYPE "+name+" histogram\n")
		}
	}, 20*time.Second, 200*time.Millisecond)
	for _, name := range names {
		reportf(t, "%s_count %d", name, total(t, text, name+"_count"))
	}
	require.Equal(t, calls, total(t, text, names[0]+"_count"))
	require.Equal(t, calls-byAttempts[1], total(t, text, names[1]+"_count"))
}

// total adds up the samples of a metric in Prometheus' text format.
func total(t *testing.T, text, name string) int {
	t.Helper()
	sum := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") {
			fields := strings.Fields(line[strings.LastIndexByte(line, '}')+1:])
			n, err := strconv.Atoi(fields[0])
			require.NoError(t, err, line)
			sum += n
		}
	}
	return sum
}
