package codedoc

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func TestRulingOf(t *testing.T) {
	const (
		never   = errcodes.RetryNever
		once    = errcodes.RetryOnce
		backoff = errcodes.RetryBackoff
		changed = errcodes.RetryChanged
	)
	for _, tt := range []struct {
		cell, advice string
		want         errcodes.Retry
	}{
		{"no", "", never},
		{"No", "Lower max_tokens or switch to streaming", never},
		{"**No**, fix the request", "", never},
		{"Never", "", never},
		{"none", "", never},
		{"false", "", never},
		{"❌", "", never},
		{":x:", "", never},
		{"Do not retry", "", never},
		{"Don’t retry", "", never},
		{"Not retryable", "", never},
		{"Non-retryable", "", never},

		{"once", "", once},
		{"Once, then report", "", once},
		{"Yes, once", "", once},
		{"Yes", "Retry once with backoff", once},
		{"one more time", "", once},
		{"A single retry", "", once},
		{"No more than once", "", once},

		{"yes", "", backoff},
		{"Yes", "Respect Retry-After, exponential backoff", backoff},
		{"Yes", "Lower the request rate", backoff},
		{"Yes", "Reduce concurrency, fewer requests", backoff},
		{"Yes", "Use exponential backoff", backoff},
		{"Yes", "Use fewer tokens per minute", backoff},
		{"Yes", "Contact support", backoff},
		{"Yes, with backoff", "Ask for less, use streaming", backoff},
		{"Yes, once the deployment runs", "", backoff},
		{"Retry after a pause", "", backoff},
		{"backoff", "", backoff},
		{"back off", "", backoff},
		{"✅", "", backoff},
		{"true", "", backoff},
		{"Retryable", "", backoff},
		{"wait and try again", "", backoff},

		{"changed", "", changed},
		{"Only a changed request", "", changed},
		{"Yes", "Lower `max_tokens` or switch to streaming", changed},
		{"Yes", "Lower max_tokens, then retry with backoff", changed},
		{"Yes, with a shorter or changed prompt", "", changed},
		{"After fixing the request", "", changed},
		{"Reduce the request size", "", changed},
	} {
		got := rulingOf(tt.cell, tt.advice)
		require.True(t, got.clear, "%q %q", tt.cell, tt.advice)
		require.Equal(t, tt.want.String(), got.String(), "%q %q", tt.cell, tt.advice)
	}
	for _, cell := range []string{"", " ", "-", "–", "n/a", "`–`"} {
		require.Zero(t, rulingOf(cell, "yes"), cell)
	}
	for _, cell := range []string{"depends", "*Sometimes*", "?", "not always"} {
		got := rulingOf(cell, "yes")
		require.False(t, got.clear, cell)
		text, _ := plain(cell)
		require.Equal(t, text, got.String())
	}
	for _, r := range []errcodes.Retry{never, once, backoff, changed} {
		require.Equal(t, r, rulingOf(r.String(), "").rule, "the words of errcodes")
	}
}

func TestColumnOf(t *testing.T) {
	for header, want := range map[string]column{
		"Status": columnStatus, "**HTTP**": columnStatus, "Status code": columnStatus, "HTTP Status Code": columnStatus,
		"Code": columnCode, "Error code": columnCode, "`code`": columnCode, "Error": columnCode, "Code or type": columnCode,
		"Type": columnType, "Error type": columnType,
		"Retry": columnRetry, "Retry?": columnRetry, "Retryable": columnRetry, "Safe to retry": columnRetry, "Retry rule": columnRetry,
		"Strategy": columnAdvice, "Fix": columnAdvice, "What to do": columnAdvice, "Recommended action": columnAdvice,
		"": columnOther, "Cause": columnOther, "Condition": columnOther, "Retry-After": columnOther, "Max retries": columnOther,
		"Error message": columnOther, "Class": columnOther, "Source": columnOther,
	} {
		require.Equal(t, want, columnOf(header), header)
	}
}

func TestLeadingStatuses(t *testing.T) {
	for _, tt := range []struct {
		text, rest string
		want       []span
	}{
		{"", "", nil},
		{"429", "", []span{{429, 429}}},
		{"400, 401, 403, 404", "", []span{{400, 400}, {401, 401}, {403, 403}, {404, 404}}},
		{"401 and 403 (see below)", "see below)", []span{{401, 401}, {403, 403}}},
		{"HTTP 5xx", "", []span{{500, 599}}},
		{"500-504", "", []span{{500, 504}}},
		{"500–504 Server", "Server", []span{{500, 504}}},
		{"504-500", "504-500", nil},
		{"500-", "", []span{{500, 500}}},
		{"404: Not Found", "Not Found", []span{{404, 404}}},
		{"Error code 500/502", "", []span{{500, 500}, {502, 502}}},
		{"200 OK", "OK", []span{{200, 200}}},
		{"600", "600", nil},
		{"4000", "4000", nil},
		{"Top 500", "Top 500", nil},
		{"4xy", "4xy", nil},
		{"error", "error", nil},
	} {
		got, rest := leadingStatuses(tt.text)
		require.Equal(t, tt.want, got, tt.text)
		require.Equal(t, tt.rest, rest, tt.text)
	}
}

func TestHeadingStatuses(t *testing.T) {
	for text, want := range map[string][]span{
		"400 Bad Request": {{400, 400}}, "`429` – Too Many Requests": {{429, 429}}, "Overloaded (529)": {{529, 529}},
		"**HTTP 401**": {{401, 401}}, "Server errors (500, 503)": {{500, 500}, {503, 503}},
		"Error codes": nil, "The 500 best models": nil, "Limits (500 requests)": nil, "Nothing (": nil,
	} {
		require.Equal(t, want, headingStatuses(text), text)
	}
}

func TestTokens(t *testing.T) {
	for _, tt := range []struct {
		cell string
		want []string
		ok   bool
	}{
		{"invalid_json", []string{"invalid_json"}, true},
		{"a_b, c.d / e-f;g or h and i", []string{"a_b", "c.d", "e-f", "g", "h", "i"}, true},
		{"`a`, sometimes `b` or `not this`", []string{"a", "b"}, true},
		{"rate_limited (formerly `x y`)", []string{"rate_limited"}, true},
		{"too (", []string{"too"}, true},
		{"two words", nil, false},
		{"é", nil, false},
		{"", nil, false},
		{"42", nil, false},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", nil, false},
	} {
		got, ok := tokens(plain(tt.cell))
		require.Equal(t, tt.ok, ok, tt.cell)
		require.Equal(t, tt.want, got, tt.cell)
	}
}
