package classify

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// sound holds a decision to what is promised whatever was judged.
func sound(t *testing.T, d Decision) {
	t.Helper()
	require.NotEmpty(t, d.Rule)
	require.GreaterOrEqual(t, d.Wait, time.Duration(0))
	if d.WaitFrom == SourceNone {
		require.Zero(t, d.Wait)
	}
	for _, s := range []string{d.Code, d.Type, d.Param, d.Message, d.RequestID, d.Rule, d.Advice} {
		require.True(t, utf8.ValidString(s), "%q", s)
	}
	require.LessOrEqual(t, len(d.RequestID), 1<<10)
	want := attemptsFor(d.Retry)
	if d.Vetoed && d.Safety == MaybeExecuted && d.Retry != errcodes.RetryChanged {
		want = 1
	}
	require.Equal(t, want, d.MaxAttempts)
	if d.Failed() {
		require.NotEmpty(t, d.Advice)
	}
}

// every body of our own corpus, cut at every byte, still gives a sound decision, and a longer piece never less of the message.
func TestBodiesCutAnywhere(t *testing.T) {
	for _, s := range readSamples(t, "testdata/responses.jsonl") {
		for n := range len(s.Body) {
			sound(t, (*Classifier)(nil).Body(s.Status, s.header(), []byte(s.Body[:n])))
		}
	}
}

func TestHostileBodies(t *testing.T) {
	deep := strings.Repeat(`{"error":`, 10_000)
	nested := `{"error":{"message":"bottom","code":"insufficient_quota"}}`
	for range 12 {
		b, err := json.Marshal(nested)
		require.NoError(t, err)
		nested = `{"error":{"message":` + string(b) + `}}`
	}
	for name, body := range map[string]string{
		"64 KiB of brackets": strings.Repeat("[", 64<<10),
		"64 KiB of objects":  deep[:64<<10],
		"open string":        `{"error":{"message":"` + strings.Repeat("x", 70<<10),
		"not UTF-8":          "{\"error\":{\"message\":\"\xff\xfe\",\"code\":\"\xc0\",\"type\":\"\xed\xa0\x80\",\"param\":\"\x80\"},\"request_id\":\"\xff1\"}",
		"text, not UTF-8":    "\xff\xfe rate limit exceeded (request id: \xff\xff1234)",
		"lone surrogates":    `{"error":{"message":"\ud800 \udc00 \ud800\u0041 \u12"}}`,
		"many members":       `{"error":{` + strings.Repeat(`"a":1,`, 10_000) + `"message":"late"}}`,
		"many digits":        `{"retry_after":` + strings.Repeat("9", 400) + `,"message":"wait ` + strings.Repeat("9", 400) + ` seconds"}`,
		"exponent":           `{"error":{"retry_after":1e308,"code":1e999}}`,
		"negative wait":      `{"error":{"retry_after":-5}}`,
		"nested 12 deep":     nested,
		"quotes":             strings.Repeat(`"`, 1000),
		"braces in text":     strings.Repeat("{", 1000) + strings.Repeat(`{"a":`, 1000),
		"tags":               strings.Repeat("<title", 2000) + strings.Repeat("<h1>", 2000) + "<html",
		"open comment":       "<html><!--" + strings.Repeat("-", 5000),
		"entities":           "<html><title>&#0;&#xfffffff;&amp" + strings.Repeat("&lt;", 100) + "</title>",
		"events":             strings.Repeat("data: {\n\n", 2000),
		"event without end":  "event: error\ndata: {\"error\":{\"message\":\"x\"}}",
		"nothing but blanks": strings.Repeat(" \n", 1000),
		"byte order mark":    "\ufeff{\"error\":{\"message\":\"m\"}}",
		"zero bytes":         strings.Repeat("\x00", 100),
		"numbers":            "429",
		"null":               "null",
		"a list of nothing":  "[]",
		"lists":              `{"error":[[[["deep"]]]],"errors":[[],{}],"detail":[null],"message":[[]]}`,
		"wrong kinds":        `{"error":{"message":7,"code":true,"type":[],"param":{}},"status":"x","request_id":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{0, 200, 400, 401, 429, 500, 503, 999, -1} {
				sound(t, (&Classifier{Registries: []*errcodes.Registry{errcodes.Runbase(), nil, errcodes.Google()}}).Body(status, nil, []byte(body)))
			}
		})
	}
	d := (*Classifier)(nil).Body(400, nil, []byte("\ufeff{\"error\":{\"message\":\"m\"}}"))
	require.Equal(t, "m", d.Message)
}

func TestGzipWithoutHeader(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(`{"error":{"message":"Out of credit.","code":"insufficient_quota"}}`))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	d := (*Classifier)(nil).Body(429, nil, b.Bytes())
	require.Equal(t, errcodes.ClassQuotaExhausted, d.Class)
	require.Equal(t, "Out of credit.", d.Message)
	for n := range b.Len() {
		sound(t, (*Classifier)(nil).Body(429, nil, b.Bytes()[:n]))
	}

	// A bomb is read as far as anything else.
	b.Reset()
	z = gzip.NewWriter(&b)
	_, err = z.Write(bytes.Repeat([]byte(" "), 16<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Len(t, plain(b.Bytes()), defaultBodyLimit)
}

func TestRetryAfterForms(t *testing.T) {
	date := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, tt := range []struct {
		name, value string
		undated     bool
		want        time.Duration
		from        Source
	}{
		{"Retry-After", "120", false, 2 * time.Minute, SourceRetryAfter},
		{"Retry-After", " 1.5 ", false, 1500 * time.Millisecond, SourceRetryAfter},
		{"Retry-After", "0", false, 0, SourceRetryAfter},
		{"Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT", false, 10 * time.Second, SourceRetryAfter},
		{"Retry-After", "Sunday, 06-Nov-94 08:49:47 GMT", false, 10 * time.Second, SourceRetryAfter},
		{"Retry-After", "Sun Nov  6 08:49:47 1994", false, 10 * time.Second, SourceRetryAfter},
		{"Retry-After", "Sun, 06 Nov 1994 08:49:27 GMT", false, 0, SourceRetryAfter},
		{"Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT", true, 0, SourceNone},
		{"Retry-After", "1994-11-06T08:50:37Z", false, time.Minute, SourceRetryAfter},
		{"Retry-After", "30s", false, 30 * time.Second, SourceRetryAfter},
		{"Retry-After", "1m30s", false, 90 * time.Second, SourceRetryAfter},
		{"Retry-After", "PT1M30S", false, 90 * time.Second, SourceRetryAfter},
		{"Retry-After", "00:01:30", false, 90 * time.Second, SourceRetryAfter},
		{"Retry-After", "30 seconds", false, 30 * time.Second, SourceRetryAfter},
		{"Retry-After", "5, 30", false, 30 * time.Second, SourceRetryAfter},
		{"Retry-After", "10000000000", false, math.MaxInt64, SourceRetryAfter},
		{"Retry-After", "9223372037", false, math.MaxInt64, SourceRetryAfter},
		{"Retry-After", strings.Repeat("9", 39), false, math.MaxInt64, SourceRetryAfter},
		{"Retry-After", "-1", false, 0, SourceNone},
		{"Retry-After", "NaN", false, 0, SourceNone},
		{"Retry-After", "inf", false, 0, SourceNone},
		{"Retry-After", "1e3", false, 1000 * time.Second, SourceRetryAfter},
		{"Retry-After", "1e-3", false, time.Millisecond, SourceRetryAfter},
		{"Retry-After", "1E10", false, math.MaxInt64, SourceRetryAfter},
		{"Retry-After", "1e400", false, math.MaxInt64, SourceRetryAfter},
		{"Retry-After", "1e", false, 0, SourceNone},
		{"Retry-After", "e1", false, 0, SourceNone},
		{"Retry-After", "+5", false, 0, SourceNone},
		{"Retry-After", "2, Sun, 06 Nov 1994 08:49:46 GMT", false, 9 * time.Second, SourceRetryAfter},
		{"Retry-After", "Sunday, 06-Nov-94 08:49:47 GMT,Sun, 06 Nov 1994 08:49:46 GMT, 2", false, 10 * time.Second, SourceRetryAfter},
		{"Retry-After", "20, Sun, 06 Nov 1994 08:49:46 GMT", true, 20 * time.Second, SourceRetryAfter},
		{"Retry-After", "x, 3, y, z", false, 3 * time.Second, SourceRetryAfter},
		{"Retry-After", strings.Repeat("0", 200) + "5", false, 5 * time.Second, SourceRetryAfter},
		{"Retry-After", "5." + strings.Repeat("0", 200), false, 5 * time.Second, SourceRetryAfter},
		{"Retry-After", "0x10", false, 0, SourceNone},
		{"Retry-After", "soon", false, 0, SourceNone},
		{"Retry-After", "", false, 0, SourceNone},
		{"Retry-After", "1.2.3", false, 0, SourceNone},
		{"Retry-After", strings.Repeat("9", 5000), false, math.MaxInt64, SourceRetryAfter},
		{"Retry-After-Ms", "494", false, 494 * time.Millisecond, SourceRetryAfterMs},
		{"Retry-After-Ms", "494.5", false, 494500 * time.Microsecond, SourceRetryAfterMs},
		{"X-Ms-Retry-After-Ms", "350", false, 350 * time.Millisecond, SourceRetryAfterMs},
		{"Retry-After-Ms", "99999999999999999999", false, math.MaxInt64, SourceRetryAfterMs},
	} {
		t.Run(tt.name+" "+cut(tt.value, 64), func(t *testing.T) {
			at := date
			if tt.undated {
				at = time.Time{}
			}
			wait, from := parseRetryAfter(http.Header{tt.name: {tt.value}}, at)
			require.Equal(t, tt.want, wait)
			require.Equal(t, tt.from, from)
		})
	}
	// An epoch is a point in time.
	wait, _ := parseRetryAfter(http.Header{"Retry-After": {"1704067290"}}, time.Unix(1704067200, 0))
	require.Equal(t, 90*time.Second, wait)
	wait, _ = parseRetryAfter(http.Header{"Retry-After": {"1704067290000"}}, time.Unix(1704067200, 0))
	require.Equal(t, 90*time.Second, wait)
	// Milliseconds are more exact; of a header given twice the longer counts.
	wait, from := parseRetryAfter(http.Header{"Retry-After": {"1"}, "Retry-After-Ms": {"494"}}, date)
	require.Equal(t, 494*time.Millisecond, wait)
	require.Equal(t, SourceRetryAfterMs, from)
	wait, _ = parseRetryAfter(http.Header{"Retry-After": {"3", "x", "2"}}, date)
	require.Equal(t, 3*time.Second, wait)
}

// Of a limit that refuses, the reset of an allowance that is spent is the wait: in seconds, or as a point in time in seconds or milliseconds.
func TestResetForms(t *testing.T) {
	const now = 1704067200
	date := time.Unix(now, 0).UTC().Format(http.TimeFormat)
	for _, tt := range []struct {
		remaining, reset string
		structured       string
		wait             time.Duration
		from             Source
		class            errcodes.Class
	}{
		{"0", "90", "", 90 * time.Second, SourceReset, errcodes.ClassRateLimited},
		{"0", "1704067290", "", 90 * time.Second, SourceReset, errcodes.ClassRateLimited},
		{"0", "1704067290000", "", 90 * time.Second, SourceReset, errcodes.ClassRateLimited},
		{"0", "170406729000000", "", 0, SourceNone, errcodes.ClassRateLimited},
		{"0", "1m30s", "", 90 * time.Second, SourceReset, errcodes.ClassRateLimited},
		{"1", "90", "", 0, SourceNone, errcodes.ClassRateLimited},
		{"", "90", "", 0, SourceNone, errcodes.ClassRateLimited},
		{"", "", `"default";r=0;t=90`, 90 * time.Second, SourceReset, errcodes.ClassRateLimited},
		{"", "", `"default";r=1;t=90`, 0, SourceNone, errcodes.ClassRateLimited},
		{"", "", "limit=9, remaining=1, reset=90", 0, SourceNone, errcodes.ClassRateLimited},
		{"0", "86399", "", day - time.Second, SourceReset, errcodes.ClassRateLimited},
		{"0", "86400", "", day, SourceReset, errcodes.ClassQuotaExhausted},
	} {
		h := http.Header{"Date": {date}}
		for name, v := range map[string]string{"X-Ratelimit-Remaining": tt.remaining, "X-Ratelimit-Reset": tt.reset, "Ratelimit": tt.structured} {
			if v != "" {
				h.Set(name, v)
			}
		}
		d := (*Classifier)(nil).Body(429, h, nil)
		require.Equal(t, tt.wait, d.Wait, "%v", h)
		require.Equal(t, tt.from, d.WaitFrom, "%v", h)
		require.Equal(t, tt.class, d.Class, "%v", h)
	}
	// A day is a day wherever it stands: in Retry-After, behind a code that a registry knows, in the text.
	registered := &Classifier{Registries: []*errcodes.Registry{errcodes.OpenAI()}}
	for seconds, want := range map[string]errcodes.Class{"86399": errcodes.ClassRateLimited, "86400": errcodes.ClassQuotaExhausted} {
		require.Equal(t, want, (*Classifier)(nil).Body(429, http.Header{"Retry-After": {seconds}}, nil).Class)
		h := http.Header{"X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {seconds}}
		require.Equal(t, want, registered.Body(429, h, []byte(`{"error":{"message":"m","code":"rate_limit_exceeded"}}`)).Class)
		text := []byte(`{"error":{"message":"The limit is 10 requests per ` + seconds + ` seconds."}}`)
		require.Equal(t, want, (*Classifier)(nil).Body(429, nil, text).Class)
	}
}

func TestClocksThatDisagree(t *testing.T) {
	// The local clock is not asked: the same answer gives the same decision on any day.
	h := http.Header{"Date": {"Wed, 21 Oct 2015 07:26:00 GMT"}, "Retry-After": {"Wed, 21 Oct 2015 07:28:00 GMT"}}
	require.Equal(t, 2*time.Minute, (*Classifier)(nil).Body(503, h, nil).Wait)
}

// stalled is a body that gives its bytes and then nothing until it is closed.
type stalled struct {
	data   io.Reader
	closed chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if n, err := s.data.Read(p); err == nil {
		return n, nil
	}
	<-s.closed
	return 0, errors.New("closed while reading")
}

func (s *stalled) Close() error {
	close(s.closed)
	return nil
}

func TestResponsePutsEveryByteBack(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10_000)
	for name, body := range map[string]io.Reader{
		"empty":           strings.NewReader(""),
		"short":           strings.NewReader(`{"error":{"message":"m"}}`),
		"at the limit":    strings.NewReader(long[:100]),
		"beyond it":       strings.NewReader(long),
		"a byte at once":  oneByte{strings.NewReader(long[:5000])},
		"fails half-way":  io.MultiReader(strings.NewReader(long[:5000]), failing{}),
		"fails at once":   failing{},
		"empty reads":     io.MultiReader(&sleepy{n: 50}, strings.NewReader("x")),
		"never progress":  &sleepy{n: math.MaxInt},
		"EOF with a byte": &eager{data: []byte(`{"error":{"message":"m"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int64{0, 1, 100, 101} {
				twin := &bytes.Buffer{}
				r := io.TeeReader(body, twin)
				resp := &http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(r)}
				d := (&Classifier{BodyLimit: limit}).Response(resp)
				sound(t, d)
				if limit > 0 {
					require.LessOrEqual(t, int64(twin.Len()), limit)
				}
				var got bytes.Buffer
				var err1 error
				if name == "never progress" {
					_, err1 = io.CopyN(&got, resp.Body, 1)
					require.Error(t, err1)
				} else {
					_, err1 = io.Copy(&got, resp.Body)
				}
				if strings.HasPrefix(name, "fails") && limit == 0 {
					require.ErrorIs(t, err1, errBroken)
				}
				require.Equal(t, twin.String(), got.String())
				require.NoError(t, resp.Body.Close())
				body = bytes.NewReader(got.Bytes()) // what is left for the next limit is the same text
			}
		})
	}
}

var errBroken = errors.New("the connection broke")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

type sleepy struct{ n int }

func (s *sleepy) Read([]byte) (int, error) {
	if s.n--; s.n < 0 {
		return 0, io.EOF
	}
	return 0, nil
}

type eager struct{ data []byte }

func (e *eager) Read(p []byte) (int, error) {
	n := copy(p, e.data)
	e.data = e.data[n:]
	if len(e.data) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// The length that a response states is a stranger's word: nothing is made of that size before the bytes are there.
func TestResponseOfAHostileLength(t *testing.T) {
	for _, length := range []int64{math.MaxInt64, 1 << 50, math.MinInt64} {
		resp := &http.Response{StatusCode: 503, Header: http.Header{}, ContentLength: length, Body: io.NopCloser(strings.NewReader(`{"error":{"message":"m"}}`))}
		require.Equal(t, "m", (*Classifier)(nil).Response(resp).Message)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"error":{"message":"m"}}`, string(got))
		require.NoError(t, resp.Body.Close())
	}
}

func TestResponseOfAStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := `{"error":{"message":"overloaded","type":"overloaded_error"`
		body := &stalled{data: strings.NewReader(text), closed: make(chan struct{})}
		resp := &http.Response{StatusCode: 529, Body: body}
		start := time.Now()
		d := (*Classifier)(nil).Response(resp)
		require.Equal(t, defaultBodyTimeout, time.Since(start))
		require.Equal(t, errcodes.ClassOverloaded, d.Class)
		require.Equal(t, "overloaded", d.Message)

		// The reader is still in its read; what it held is handed out all the same.
		got := make([]byte, len(text))
		_, err := io.ReadFull(resp.Body, got)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		require.NoError(t, resp.Body.Close())
		_, err = resp.Body.Read(got)
		require.Error(t, err)
	})
}

// A wait that the headers alone make impossible does not cost the time of a body that never comes.
func TestTransportDoesNotWaitForTheBodyOfALostCause(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		took   time.Duration
		stop   Stop
	}{
		{"beyond the deadline", http.Header{"Retry-After": {"30"}}, drainTimeout, StopDeadline},
		{"beyond the deadline, a date", http.Header{"Date": {"Sat, 21 Nov 2026 08:00:00 GMT"}, "Retry-After": {"Sat, 21 Nov 2026 08:00:30 GMT"}}, drainTimeout, StopDeadline},
		{"beyond MaxWait", http.Header{"Retry-After-Ms": {"100000"}}, drainTimeout, StopWait},
		{"beyond MaxWait, in another header", http.Header{"X-Retry-After": {"100"}}, drainTimeout, StopWait},
		{"of no wait", nil, defaultBodyTimeout, StopAttempts},
		{"of a wait that fits", http.Header{"Retry-After": {"1"}}, defaultBodyTimeout, StopAttempts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 503, Header: tt.header, Request: r, Body: &stalled{data: strings.NewReader("x"), closed: make(chan struct{})}}, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				tr := &Transport{Base: base}
				if tt.stop == StopAttempts {
					tr.MaxAttempts = 1
				}
				start := time.Now()
				resp, err := tr.RoundTrip(get(t, ctx))
				require.NoError(t, err)
				require.Equal(t, tt.took, time.Since(start))
				require.NoError(t, resp.Body.Close())
				require.Equal(t, tt.stop, ErrorOf(resp).Stop)
			})
		})
	}
}

func TestTransportGivesUpOnAStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := 0
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			bodies++
			if bodies > 1 {
				return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
			}
			return &http.Response{
				StatusCode: 503, Header: http.Header{"Retry-After": {"10"}}, Request: r,
				Body: &stalled{data: strings.NewReader("x"), closed: make(chan struct{})},
			}, nil
		})
		start := time.Now()
		resp, err := (&Transport{Base: base}).RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		// The time spent on the body is part of the wait, not added to it.
		require.GreaterOrEqual(t, time.Since(start), 10*time.Second)
		require.LessOrEqual(t, time.Since(start), 11*time.Second)
	})
}

func TestErrKinds(t *testing.T) {
	require.Zero(t, (*Classifier)(nil).Err(nil))
	d := (*Classifier)(nil).Err(context.Canceled)
	require.Equal(t, errcodes.ClassCanceled, d.Class)
	require.Equal(t, errcodes.RetryNever, d.Retry)
	inner := &Error{Decision: Decision{Class: errcodes.ClassBilling, Rule: "inner"}}
	require.Equal(t, inner.Decision, (*Classifier)(nil).Err(errors.Join(io.EOF, inner)))
	d = (*Classifier)(nil).Err(errors.New("connection refused")) // the text is not looked at
	require.Equal(t, netUnknown.rule, d.Rule)
	require.Equal(t, errcodes.RetryOnce, d.Retry)
	require.Equal(t, MaybeExecuted, d.Safety)
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"error":{"message":"Rate limit. Try again in 1m3.5s.","type":"tokens","code":"rate_limit_exceeded"}}`,
		`[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"22s"}]}}]`,
		"event: error\ndata: {\"error\":{\"message\":\"x\"}}\n\n", "<html><title>502 Bad Gateway</title>", "cb({\"meta\":{\"status\":403}})",
		`{"message":"{\"error\":{\"message\":\"deep\"}}"}`, "Code: X\nID: y:1", "余额不足，请在10秒后重试", "\x1f\x8b\x08",
		"blocked until 1660090423228", "retry after 2026-01-01T00:00:00Z (request id: abc-1)",
	} {
		f.Add(429, s, "Retry-After", "1")
		f.Add(200, s, "X-Ratelimit-Reset", "1m")
	}
	c := &Classifier{Registries: []*errcodes.Registry{errcodes.OpenAI()}}
	f.Fuzz(func(t *testing.T, status int, body, name, value string) {
		h := http.Header{name: {value}, "Date": {"Wed, 10 Aug 2022 00:11:43 GMT"}, "X-Ratelimit-Remaining": {"0"}}
		d := c.Body(status, h, []byte(body))
		sound(t, d)
		require.Equal(t, d, c.Body(status, h, []byte(body)), "the same input gives the same decision")
	})
}

func FuzzHeaderWaits(f *testing.F) {
	f.Add("1.5", "1m3s", `"default";r=0;t=5`)
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT", "1704067290", "limit=1, remaining=0, reset=3")
	f.Fuzz(func(t *testing.T, after, reset, structured string) {
		h := http.Header{
			"Retry-After": {after}, "X-Ratelimit-Reset": {reset}, "X-Ratelimit-Remaining": {"0"}, "Ratelimit": {structured},
		}
		for _, date := range []time.Time{{}, time.Unix(784111777, 0)} {
			wait, from := parseRetryAfter(h, date)
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.Equal(t, from == SourceNone && wait == 0, from == SourceNone)
			wait, _ = resetWait(h, date)
			require.GreaterOrEqual(t, wait, time.Duration(0))
		}
	})
}

// FuzzText gives each reader of text the same text.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"Try again in 1m3.5s (request id: abc-1)", "replenished in 5.12:10:33", "wait 3 more seconds", "blocked until 1660090423228",
		"Error code: 503 - x", "Code: X\nID: y:1", "<Error><Code>SlowDown</Code><Type>a</Type><RequestId>1</RequestId></Error>", "<title>5\x00</ti", "retry after '3' seconds",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, date := range []time.Time{{}, time.Unix(784111777, 0)} {
			wait, ok := waitInText(s, date)
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.True(t, ok || wait == 0)
		}
		require.LessOrEqual(t, len(idInText(s)), maxRequestID)
		require.LessOrEqual(t, len(codeInText(s)), 64)
		if status, ok := statusInText(s); ok {
			require.True(t, status >= 400 && status < 600, "%d", status)
		}
		if n := linkLen(s); n > 0 {
			require.LessOrEqual(t, n, len(s))
		}
		var f facts
		f.readMarkup(s)
		require.LessOrEqual(t, len(f.requestID), maxRequestID)
	})
}

// FuzzDate holds the date that is read by hand against net/http.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Thu, 30 Feb 2026 00:00:00 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 anF 1994 08:49:37 GMT", "Sun, 06 Nov 0094 08:49:37 GMT", "Xxx, 06 Nov 1994 08:49:37 GMT",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := http.ParseTime(s)
		got := parseDate(s)
		if err != nil {
			require.True(t, got.IsZero(), "%q: %s", s, got)
			return
		}
		require.True(t, want.Equal(got), "%q: %s, want %s", s, got, want)
	})
}

// FuzzMutate holds the hooks that rewrite a body to what they promise: a JSON object stays one, with what it said.
func FuzzMutate(f *testing.F) {
	for _, s := range []string{`{"model":"m","messages":[],"max_tokens":900}`, `{}`, ` { "stream" : false } `, `[]`, `{"max_tokens":null,"prompt":"x"}`, `{"a":`, `{"stream":true,"stream":false}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, mutate := range []func(*http.Request, Decision) (*http.Request, error){LowerMaxTokens(5), SetStream} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://api.example.com", strings.NewReader(s))
			require.NoError(t, err)
			out, err := mutate(req, Decision{})
			if err != nil || out == nil {
				continue
			}
			body, err := io.ReadAll(out.Body)
			require.NoError(t, err)
			require.Equal(t, out.ContentLength, int64(len(body)))
			var before, after map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(s), &before))
			require.NoError(t, json.Unmarshal(body, &after), "%s", body)
			for name, v := range before {
				if !strings.HasPrefix(name, "max_") && name != "stream" {
					require.Equal(t, string(v), string(after[name]), name)
				}
			}
		}
	})
}

// FuzzJSON holds the tolerant reader against encoding/json: what that accepts is read as the same texts.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":"b\u00e9\n","c":[1,true,null,{"d":"\ud83d\ude00"}]}`, `[]`, `{}`, `{"a":`, `[1,2`, `{"a":"\ud800"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := readJSON(s, 0, nil)
		for i := range d.nodes {
			n := &d.nodes[i]
			require.LessOrEqual(t, n.start, n.end)
			require.LessOrEqual(t, int(n.end), len(s))
			require.Greater(t, int(n.next), i)
			require.LessOrEqual(t, int(n.next), len(d.nodes))
			_ = d.text(int32(i))
		}
		var v map[string]string
		if utf8.ValidString(s) && json.Unmarshal([]byte(s), &v) == nil && strings.HasPrefix(s, "{") && len(d.nodes) < maxJSONNodes {
			require.True(t, ok)
			require.True(t, d.whole)
			for c := int32(1); c < d.nodes[0].next; c = d.nodes[c].next {
				n := &d.nodes[c]
				key := s[n.keyStart:n.keyEnd]
				if n.keyEscaped {
					key = unescape(key)
				}
				if last := d.last(key); last == c && n.kind == kindString && v[key] != "None" && v[key] != "null" {
					require.Equal(t, v[key], d.text(c))
				}
			}
		}
	})
}

// last returns the last member of the top-level object with that name, escapes considered.
func (d *jsonDoc) last(name string) int32 {
	found := int32(-1)
	for c := int32(1); c < d.nodes[0].next; c = d.nodes[c].next {
		n := &d.nodes[c]
		key := d.src[n.keyStart:n.keyEnd]
		if n.keyEscaped {
			key = unescape(key)
		}
		if key == name {
			found = c
		}
	}
	return found
}
