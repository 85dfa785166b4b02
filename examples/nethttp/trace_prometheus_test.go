//go:build prometheus

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// series is one line of an answer: its labels as text, and its value.
type series struct {
	labels string
	value  float64
}

// queries returns those that docs/tracing.md asks its questions with. A line that is indented goes on with the query before it.
func queries(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, block := range blocks(fiveQuestions(t), "promql") {
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, " ") {
				all[len(all)-1] += line
			} else {
				all = append(all, line)
			}
		}
	}
	return all
}

// The queries of docs/tracing.md, asked of a real Prometheus: what they answer is what happened.
func TestPrometheus(t *testing.T) {
	env := startBackend(t, "../../tools/prometheus/prometheus", []string{"PROMETHEUS_PORT"}, 4)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	client := &http.Client{Transport: base, Timeout: 10 * time.Second}
	tr, err := newTracing(t.Context(), false)
	require.NoError(t, err)
	rounds(t, tr, 20, func() { // a rate is made of many samples
		require.NoError(t, tr.clientMeters.ForceFlush(t.Context()))
		require.NoError(t, tr.serverMeters.ForceFlush(t.Context()))
	})
	require.NoError(t, tr.close(t.Context()))

	ask := func(query string) []series {
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		body := fetch(t, client, env["PROMETHEUS_URL"]+"/api/v1/query?"+url.Values{"query": {query}}.Encode())
		require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
		var all []series
		for _, r := range answer.Data.Result {
			v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
			require.NoError(t, err)
			var labels []string
			for _, k := range slices.Sorted(maps.Keys(r.Metric)) {
				labels = append(labels, k+"="+r.Metric[k])
			}
			all = append(all, series{strings.Join(labels, " "), v})
		}
		slices.SortFunc(all, func(a, b series) int { return strings.Compare(a.labels, b.labels) })
		for _, s := range all {
			reportf(t, "=> %s", strings.TrimSpace(fmt.Sprintf("%s %.3g", s.labels, s.value)))
		}
		return all
	}
	all := queries(t)
	require.Len(t, all, 5)
	answers := make([][]series, len(all))
	for i, q := range all {
		reportf(t, "%s", strings.TrimSpace(q))
		answers[i] = ask(q)
	}
	labels := func(answer []series) []string {
		var all []string
		for _, s := range answer {
			require.Positive(t, s.value, s.labels)
			all = append(all, s.labels)
		}
		return all
	}
	require.Equal(t, []string{"error_type=server_error errwire_operation=create_run"}, labels(answers[0]))
	require.Equal(t, []string{""}, labels(answers[1]))
	require.InDelta(t, 1, answers[1][0].value, .01, "each call needed further attempts")
	require.Equal(t, []string{""}, labels(answers[2]))
	require.InDelta(t, 2.5, answers[2][0].value, .01, "one took three attempts, one two")
	require.Equal(t, []string{
		"errwire_category=rate_limited errwire_retry_delay_source=retry_after", "errwire_category=server_error errwire_retry_delay_source=retry_after",
	}, labels(answers[3]))
	waiting := answers[3][0].value + answers[3][1].value
	require.Greater(t, waiting, .5, "most of the time was spent in waits")
	require.Less(t, waiting, 1.0)
	require.InDelta(t, 2, answers[3][0].value/answers[3][1].value, .3)
	require.Equal(t, []string{"errwire_error_condition=internal", "errwire_error_condition=rate_limited"}, labels(answers[4]))
	require.InDelta(t, 1, answers[4][0].value/answers[4][1].value, .01, "two of each")
}
