package middleware

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestUUIDv7(t *testing.T) {
	now := time.UnixMilli(0x0123456789ab)
	seen := map[string]bool{}
	for range 1000 {
		var digits [32]byte
		high, low := uuidV7(now)
		putHex(digits[:], high)
		putHex(digits[16:], low)
		s := string(digits[:])
		require.Equal(t, "0123456789ab7", s[:13])
		require.Contains(t, "89ab", s[16:17])
		require.False(t, seen[s])
		seen[s] = true
	}
}

func TestPutHex(t *testing.T) {
	for _, n := range []uint64{0, 1, 0xf, 0x0123456789abcdef, 0xfedcba9876543210, 0x9a9a9a9a9a9a9a9a, 1<<64 - 1} {
		var got [16]byte
		putHex(got[:], n)
		require.Equal(t, fmt.Sprintf("%016x", n), string(got[:]))
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w watch
		for _, d := range []time.Duration{0, 1, time.Second, maxUnread - 1, maxUnread, time.Hour, 3 * time.Minute} {
			pause(d)
			require.Equal(t, time.Now(), w.now())
		}
		late := time.Now().Add(time.Hour)
		w.read.Store(&late)
		require.Equal(t, time.Now(), w.now(), "time does not run backwards for long")
	})
}

func TestRequestIDsSortByTime(t *testing.T) {
	last := ""
	for i := range 100 {
		var c requestContext
		c.assign(&RequestIDs{}, httptest.NewRequest(http.MethodGet, "/", nil), time.UnixMilli(int64(i)*7+1))
		require.Less(t, last, c.id[0])
		last = c.id[0]
	}
}

func TestTraceID(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for s, want := range map[string]string{
		traceparent:                      trace,
		"cc" + traceparent[2:]:           trace,
		"cc" + traceparent[2:] + "-more": trace,
		"cc" + traceparent[2:] + "more":  "",
		traceparent + "-more":            "",
		"ff" + traceparent[2:]:           "",
		strings.ToUpper(traceparent):     "",
		strings.Replace(traceparent, trace, strings.Repeat("0", 32), 1):         "",
		strings.Replace(traceparent, "00f067aa0ba902b7", "0000000000000000", 1): "",
		strings.Replace(traceparent, "-", "_", 1):                               "",
		traceparent[:54]:  "",
		"":                "",
		" " + traceparent: "",
	} {
		require.Equal(t, want, traceID(s), s)
	}
}

func FuzzTraceID(f *testing.F) {
	f.Add(traceparent)
	f.Fuzz(func(t *testing.T, s string) {
		id := traceID(s)
		if id == "" {
			return
		}
		require.Len(t, id, 32)
		require.True(t, isLowerHex(id) && !isZeros(id))
		require.Contains(t, s, id)
	})
}

func TestInboundID(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "A-Z.a_z:0-9": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\n": false, "é": false, "a\x00": false, "a/b": false, `"`: false,
	} {
		require.Equal(t, want, isInboundID(s), "%q", s)
	}
}

func TestRequestID(t *testing.T) {
	type result struct {
		header, short, id, client string
		n                         int
	}
	run := func(ew *ErrorWriter, wrap func(http.Handler) http.Handler, header ...string) result {
		var got result
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got.id, got.client = RequestIDFrom(r.Context()), ClientRequestIDFrom(r.Context())
			got.header = w.Header().Get("X-Request-Id") // before the handler runs
		})).ServeHTTP(w, r)
		got.short, got.n = w.Header().Get("Request-Id"), len(w.Header()["X-Request-Id"])
		return got
	}
	for name, pick := range map[string]func(*ErrorWriter) func(http.Handler) http.Handler{
		"Wrap":      func(ew *ErrorWriter) func(http.Handler) http.Handler { return ew.Wrap },
		"RequestID": func(ew *ErrorWriter) func(http.Handler) http.Handler { return ew.RequestID },
		"both": func(ew *ErrorWriter) func(http.Handler) http.Handler {
			return func(h http.Handler) http.Handler { return ew.RequestID(ew.Wrap(ew.RequestID(h))) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			plain := &ErrorWriter{Logger: discard()}
			got := run(plain, pick(plain), "X-Request-Id", "theirs", "Traceparent", traceparent, "X-Client-Request-Id", "theirs")
			require.Len(t, got.id, requestIDLen)
			require.NotContains(t, got.id, "4bf92f35")
			require.Equal(t, result{header: got.id, id: got.id, n: 1}, got, "nothing of the caller counts by default")

			all := &ErrorWriter{Logger: discard(), RequestIDs: RequestIDs{TrustTraceparent: true, Inbound: "x-client-request-id", Short: true}}
			got = run(all, pick(all), "Traceparent", traceparent, "X-Client-Request-Id", "theirs")
			const id = "req_4bf92f3577b34da6a3ce929d0e0e4736"
			require.Equal(t, result{header: id, short: id, id: id, client: "theirs", n: 1}, got)

			got = run(all, pick(all), "Traceparent", traceparent, "Traceparent", traceparent,
				"X-Client-Request-Id", "one", "X-Client-Request-Id", "two")
			require.NotEqual(t, id, got.id, "two headers are none")
			require.Empty(t, got.client)
			got = run(all, pick(all), "Traceparent", traceparent[1:], "X-Client-Request-Id", "no blanks")
			require.NotEqual(t, id, got.id)
			require.Empty(t, got.client)
		})
	}
	require.Empty(t, RequestIDFrom(t.Context()))
	require.Empty(t, ClientRequestIDFrom(t.Context()))
	require.Empty(t, ModelFrom(t.Context()))
}

func TestNumbers(t *testing.T) {
	for _, n := range []int{0, 1, 60, 1023, 1024, 99999} {
		got := number(n)
		require.Equal(t, []string{strconv.Itoa(n)}, got)
		require.Equal(t, 1, cap(got))
	}
}
