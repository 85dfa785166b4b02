package errcodes_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func dialects() map[string]errcodes.Dialect {
	m := make(map[string]errcodes.Dialect)
	for _, r := range registries() {
		m[r.Name()] = r.Dialect()
	}
	return m
}

// carried returns what of b the dialect has a place for.
func carried(d errcodes.Dialect, b errcodes.Body) errcodes.Body {
	s := d.Slots()
	drop := func(slot errcodes.Slot, f func()) {
		if s&slot == 0 {
			f()
		}
	}
	drop(errcodes.SlotType, func() { b.Type = "" })
	drop(errcodes.SlotCode, func() { b.Code = "" })
	drop(errcodes.SlotParam, func() { b.Param = "" })
	drop(errcodes.SlotRequestID, func() { b.RequestID = "" })
	drop(errcodes.SlotStatus, func() { b.Status = 0 })
	drop(errcodes.SlotRetryAfter, func() { b.RetryAfter = 0 })
	drop(errcodes.SlotFields, func() { b.Fields = nil })
	return b
}

func TestRoundTripOfEveryRow(t *testing.T) {
	for _, r := range registries() {
		t.Run(r.Name(), func(t *testing.T) {
			d := r.Dialect()
			for e := range r.All() {
				for _, er := range []*errcodes.Error{
					nil,
					{Code: e.Code, Param: "input", Fields: []errcodes.FieldError{{Pointer: "/messages/0", Path: "messages[0]", Rule: "required", Message: "Is required."}}},
					{Code: e.Code, Message: "Say \"why\" \\ in\none \u2028\u0085 line.", Param: "messages[0].role", RetryAfter: 1500 * time.Millisecond},
				} {
					body := e.Body(er, "req_0123456789abcdef0123456789abcdef")
					wire := d.Append([]byte("kept:"), body)
					require.Equal(t, "kept:", string(wire[:5]))
					wire = wire[5:]
					requireCleanLine(t, wire)
					got, err := d.Decode(wire)
					require.NoError(t, err)
					require.Equal(t, carried(d, body), got, string(wire))

					m := r.Match(e.Status, got.Code, got.Type)
					require.Equal(t, e.Status, m.Status, e.Code)
					require.Equal(t, e.Class, m.Class, e.Code)
					require.Equal(t, e.Retry, m.Retry, e.Code)
					require.Equal(t, e.MaybeExecuted, m.MaybeExecuted, e.Code)
				}
			}
		})
	}
}

func requireCleanLine(t *testing.T, wire []byte) {
	t.Helper()
	require.True(t, json.Valid(wire), "%q", wire)
	require.True(t, utf8.Valid(wire), "%q", wire)
	require.NotContains(t, string(wire), "null")
	for _, r := range string(wire) {
		require.False(t, r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029, "%q", wire)
	}
}

func TestExactBodies(t *testing.T) {
	full := errcodes.Body{
		Status: 429, Message: "Slow down.", Type: "rate_limit_error", Code: "rate_limit_exceeded", Param: "model",
		RequestID: "req_1", RetryAfter: 1500 * time.Millisecond,
		Fields: []errcodes.FieldError{
			{Pointer: "/a", Path: "a", Rule: "required", Message: "Is required."},
			{Pointer: "", Path: "", Message: "Must be an object."},
		},
	}
	tests := []struct {
		dialect     string
		full, empty string
	}{
		{
			"runinfra",
			`{"error":{"message":"Slow down.","type":"rate_limit_error"}}`,
			`{"error":{"message":"Unknown error."}}`,
		},
		{
			"runbase",
			`{"error":{"message":"Slow down.","code":"rate_limit_exceeded"}}`,
			`{"error":{"message":"Unknown error."}}`,
		},
		{
			"openai",
			`{"error":{"message":"Slow down.","type":"rate_limit_error","param":"model","code":"rate_limit_exceeded"}}`,
			`{"error":{"message":"Unknown error."}}`,
		},
		{
			"anthropic",
			`{"type":"error","error":{"type":"rate_limit_error","message":"Slow down.","details":{"error_code":"rate_limit_exceeded"}},"request_id":"req_1"}`,
			`{"type":"error","error":{"message":"Unknown error."}}`,
		},
		{
			"google",
			`{"error":{"code":429,"message":"Slow down.","status":"rate_limit_exceeded","details":[` +
				`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"rate_limit_error","domain":"errwire"},` +
				`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"model"},{"field":"a","description":"Is required."},{"description":"Must be an object."}]},` +
				`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"},` +
				`{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req_1"}]}}`,
			`{"error":{"message":"Unknown error."}}`,
		},
		{
			"problem",
			`{"title":"Too Many Requests","status":429,"detail":"Slow down.","code":"rate_limit_exceeded","param":"model",` +
				`"errors":[{"pointer":"/a","path":"a","rule":"required","detail":"Is required."},{"pointer":"","detail":"Must be an object."}],"request_id":"req_1"}`,
			`{"detail":"Unknown error."}`,
		},
	}
	all := dialects()
	for _, tt := range tests {
		t.Run(tt.dialect, func(t *testing.T) {
			require.Equal(t, tt.full, string(all[tt.dialect].Append(nil, full)))
			require.Equal(t, tt.empty, string(all[tt.dialect].Append(nil, errcodes.Body{})))
		})
	}
	require.Len(t, all, len(tests))
}

// A plain row costs nothing when the buffer has room: the bound that the middleware's own zero stands on.
func TestAppendDoesNotAllocate(t *testing.T) {
	for _, r := range registries() {
		d := r.Dialect()
		buf := make([]byte, 0, 1024)
		for e := range r.All() {
			n := testing.AllocsPerRun(100, func() { buf = d.Append(buf[:0], e.Body(nil, "req_1")) })
			require.Zero(t, n, "%s %s", r.Name(), e.Code)
		}
	}
}

func TestDecodeIsTotal(t *testing.T) {
	hostile := map[string]string{
		"empty": "", "blank": " \n", "byte order mark": "\ufeff{}", "word": "null", "number": "12", "string": `"x"`,
		"array": "[]", "empty object": "{}", "error is a string": `{"error":"Unauthorized"}`, "error is null": `{"error":null}`,
		"error is a list": `{"error":[]}`, "html": "<html><title>502</title>", "cut": `{"error":{"message":"a`,
		"two documents": `{"error":{}}{"error":{}}`, "trailing": `{"error":{}}x`, "trailing comma": `{"error":{},}`,
		"no colon": `{"error" {}}`, "no key": `{:1}`, "bare key": `{error:1}`, "single quotes": `{'error':{}}`, "no comma": `{"a":1 "b":2}`,
		"wrong bracket": `{"error":[}]`, "bad escape": `{"error":{"message":"\x"}}`, "cut escape": `{"error":{"message":"\`,
		"bad hex": `{"error":{"message":"\u00zz"}}`, "short hex": `{"error":{"message":"\u00`, "control": "{\"error\":{\"message\":\"\x01\"}}",
		"leading zero": `{"error":{"code":01}}`, "bare minus": `{"error":{"code":-}}`, "point": `{"error":{"code":1.}}`, "exponent": `{"error":{"code":1e}}`,
		"misspelt true": `{"error":tru}`, "misspelt false": `{"error":fals}`, "misspelt null": `{"error":nul}`, "only space after key": `{"error" `,
		"deep": strings.Repeat(`{"error":`, 1000) + "1" + strings.Repeat("}", 1000), "64 KiB of brackets": strings.Repeat("[", 64<<10),
	}
	for name, d := range dialects() {
		for what, body := range hostile {
			got, err := d.Decode([]byte(body))
			require.Error(t, err, "%s: %s", name, what)
			require.Zero(t, got, "%s: %s", name, what)
			require.True(t, err == errcodes.ErrNotJSON || err == errcodes.ErrNotError, "%s: %s: %v", name, what, err)
		}
		// Real bodies nest a few levels; what a debugger adds may nest some more.
		nested := `{"debug":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,` + string(d.Append(nil, errcodes.Body{Message: "kept"})[1:])
		got, err := d.Decode([]byte(nested))
		require.NoError(t, err, name)
		require.Equal(t, "kept", got.Message)
		_, err = d.Decode(make([]byte, errcodes.MaxBody+1))
		require.ErrorIs(t, err, errcodes.ErrTooLarge)
		big := d.Append(nil, errcodes.Body{Message: strings.Repeat("é", 400_000)})
		got, err = d.Decode(big)
		require.NoError(t, err)
		require.Len(t, got.Message, 800_000)
	}
}

func TestDecodeReadsWhatOthersWrite(t *testing.T) {
	tests := []struct {
		name, dialect, body string
		want                errcodes.Body
	}{
		{"null members", "openai", `{"error":{"message":"a","type":null,"param":null,"code":null}}`, errcodes.Body{Message: "a"}},
		{"numeric code", "openai", `{"error":{"message":"a","code":-4.5e1}}`, errcodes.Body{Message: "a", Code: "-4.5e1"}},
		{"wrong kinds", "openai", `{"error":{"message":{"x":1},"type":[1],"param":true,"code":false}}`, errcodes.Body{}},
		{"last duplicate", "runbase", `{"error":{"code":"a","code":"b"},"error":{"code":"c","message":"m"}}`, errcodes.Body{Message: "m", Code: "c"}},
		{"escaped keys", "runbase", `{"\u0065rror":{"co\u0064e":"c"}}`, errcodes.Body{Code: "c"}},
		{"case matters", "runbase", `{"error":{"Code":"c","MESSAGE":"m"}}`, errcodes.Body{}},
		{"space everywhere", "runinfra", " {\r\n\t\"error\" : { \"message\" : \"m\" , \"type\" : \"t\" } , \"x\" : [ 1 , [ ] , { } , true , false , null ] } \n", errcodes.Body{Message: "m", Type: "t"}},
		{"extra members", "runinfra", `{"x":1,"error":{"code":"c","param":"p","type":"t","message":"m","y":{}},"z":[]}`, errcodes.Body{Message: "m", Type: "t"}},
		{"every escape", "runbase", `{"error":{"message":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800\udc00\ud800x\udc00"}}`, errcodes.Body{Message: "\"\\/\b\f\n\r\té😀\U00010000\ufffdx\ufffd"}},
		{"bad UTF-8", "runbase", "{\"error\":{\"message\":\"a\xff\xfeb\"}}", errcodes.Body{Message: "a\ufffd\ufffdb"}},
		{"details null", "anthropic", `{"type":"error","error":{"details":null,"type":"overloaded_error","message":"m"},"request_id":"r"}`, errcodes.Body{Message: "m", Type: "overloaded_error", RequestID: "r"}},
		{"in an array", "google", `[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}},{"error":{"message":"second"}}]`, errcodes.Body{Status: 503, Message: "m", Code: "UNAVAILABLE"}},
		{"foreign details", "google", `{"error":{"details":[1,{"@type":"x"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"22s"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}}`, errcodes.Body{RetryAfter: 22 * time.Second}},
		{"empty violations", "google", `{"error":{"code":42,"details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[]}]}}`, errcodes.Body{}},
		{"title for detail", "problem", `{"type":"https://x.test/p","title":"T"}`, errcodes.Body{Type: "https://x.test/p", Message: "T"}},
		{"about:blank", "problem", `{"type":"about:blank","status":999,"detail":"d","errors":[1,{"pointer":"/a"}]}`, errcodes.Body{Message: "d", Fields: []errcodes.FieldError{{Pointer: "/a"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.dialect+" "+tt.name, func(t *testing.T) {
			got, err := dialects()[tt.dialect].Decode([]byte(tt.body))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestGoogleDurations(t *testing.T) {
	d := errcodes.GoogleDialect{}
	decode := func(delay string) time.Duration {
		b, err := d.Decode([]byte(`{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + delay + `"}]}}`))
		require.NoError(t, err)
		return b.RetryAfter
	}
	for in, want := range map[string]time.Duration{
		"0s": 0, "22s": 22 * time.Second, "0.006s": 6 * time.Millisecond, "1.5s": 1500 * time.Millisecond,
		"1.1234567891s": 1123456789, "": 0, "s": 0, "-1s": 0, "1m": 0, "1h2s": 0, "1..5s": 0, "1.s": time.Second, ".5s": 0,
		"1e3s": 0, "9223372036s": 0, "9223372035s": 9223372035 * time.Second, "99999999999999999999s": 0, "inf s": 0,
	} {
		require.Equal(t, want, decode(in), in)
	}
	for _, wait := range []time.Duration{1, time.Microsecond, time.Millisecond, 1500 * time.Millisecond, time.Hour, math.MaxInt64 - time.Duration(math.MaxInt64)%time.Second - 1} {
		b, err := d.Decode(d.Append(nil, errcodes.Body{RetryAfter: wait}))
		require.NoError(t, err)
		require.Equal(t, wait, b.RetryAfter)
	}
}

// Short strings share one copy of a short body; a short string must not keep a long body alive. Either way
// the caller may reuse the buffer.
func TestDecodeKeepsNothingOfTheBuffer(t *testing.T) {
	for _, pad := range []int{0, 8 << 10} {
		buf := []byte(`{"error":{"code":"abc","message":"def"},"pad":"` + strings.Repeat("x", pad) + `"}`)
		b, err := errcodes.RunbaseDialect{}.Decode(buf)
		require.NoError(t, err)
		clear(buf)
		require.Equal(t, errcodes.Body{Code: "abc", Message: "def"}, b)
	}
}

func TestProblemReadsABoundedNumberOfFields(t *testing.T) {
	b, err := errcodes.ProblemDialect{}.Decode([]byte(`{"detail":"d","errors":[` + strings.Repeat(`{"pointer":"/a"},`, 5000) + `{}]}`))
	require.NoError(t, err)
	require.Len(t, b.Fields, 1000)
}

func TestContentTypes(t *testing.T) {
	for name, d := range dialects() {
		want := "application/json"
		if name == "problem" {
			want = "application/problem+json"
		}
		require.Equal(t, want, d.ContentType())
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("Slow down.", "t", "c", "p", "r", int64(1500), 429)
	f.Add("bad \xff\xfe utf8 \ud7ff", "\"", "\\", "\x00", "\u2028", int64(0), 599)
	f.Fuzz(func(t *testing.T, message, typ, code, param, id string, ms int64, status int) {
		if ms < 0 || ms > 1<<40 {
			ms = 0
		}
		if status < 100 || status > 599 {
			status = 0
		}
		valid := func(s string) string { return string([]rune(s)) } // each bad byte becomes U+FFFD
		for name, d := range dialects() {
			b := errcodes.Body{
				Status: status, Message: message, Type: typ, Code: code, Param: param, RequestID: id,
				RetryAfter: time.Duration(ms) * time.Millisecond,
			}
			wire := d.Append(nil, b)
			require.True(t, json.Valid(wire), "%s %q", name, wire)
			require.True(t, utf8.Valid(wire), "%s %q", name, wire)
			require.NotContains(t, string(wire), "\n")
			if len(wire) > errcodes.MaxBody {
				continue
			}
			got, err := d.Decode(wire)
			require.NoError(t, err)
			want := carried(d, b)
			if want.Message == "" {
				want.Message = "Unknown error."
			}
			for _, s := range []*string{&want.Message, &want.Type, &want.Code, &want.Param, &want.RequestID} {
				*s = valid(*s)
			}
			require.Equal(t, want, got, "%s %q", name, wire)
		}
	})
}

// FuzzDecode throws anything at every dialect. What encoding/json accepts, within the limits, is read
// with the same values; what it refuses is refused.
func FuzzDecode(f *testing.F) {
	for _, d := range dialects() {
		f.Add(d.Append(nil, errcodes.Body{Status: 400, Message: "m", Type: "t", Code: "c", Param: "p", RequestID: "r", RetryAfter: 1}))
	}
	f.Add([]byte(`{"error":{"message":"\ud83d\ude00\u0000","code":1e5,"code":"x"},"error":{"a":[{},[],1]}}`))
	f.Add([]byte("{\"error\":{\"message\":\"\xc3\x28\"}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return // deeper than maxDepth is the only other difference, and that takes some length
		}
		for name, d := range dialects() {
			b, err := d.Decode(data)
			if err != nil {
				require.Zero(t, b)
			}
			for _, s := range []string{b.Message, b.Type, b.Code, b.Param, b.RequestID} {
				require.True(t, utf8.ValidString(s), "%s %q", name, s)
			}
		}
		_, err := errcodes.OpenAIDialect{}.Decode(data)
		if !json.Valid(data) {
			require.ErrorIs(t, err, errcodes.ErrNotJSON)
			return
		}
		if strings.Count(string(data), "[")+strings.Count(string(data), "{") < 500 {
			require.NotErrorIs(t, err, errcodes.ErrNotJSON)
		}
		if err != nil {
			return
		}
		got, _ := errcodes.OpenAIDialect{}.Decode(data)
		var outer map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &outer))
		var inner map[string]any
		dec := json.NewDecoder(strings.NewReader(string(outer["error"])))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&inner))
		for key, value := range map[string]string{"message": got.Message, "type": got.Type, "param": got.Param, "code": got.Code} {
			want := ""
			switch v := inner[key].(type) {
			case string:
				want = v
			case json.Number:
				want = v.String()
			}
			require.Equal(t, want, value, "%s in %q", key, data)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for name, d := range dialects() {
		b.Run(name, func(b *testing.B) {
			e, _ := errcodes.Runbase().Lookup(errcodes.MissingModel)
			body := e.Body(nil, "req_0123456789abcdef0123456789abcdef")
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				buf = d.Append(buf[:0], body)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, d := range dialects() {
		b.Run(name, func(b *testing.B) {
			e, _ := errcodes.OpenAI().Lookup(errcodes.RateLimited)
			wire := d.Append(nil, e.Body(nil, "req_0123456789abcdef0123456789abcdef"))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	r := errcodes.OpenAI()
	b.ReportAllocs()
	for b.Loop() {
		r.Match(429, "rate_limit_exceeded", "rate_limit_error")
	}
}

// Each byte is escaped where it has to be, wherever it stands in a string of whichever length: eight bytes are looked at together.
func TestAppendEveryByteEverywhere(t *testing.T) {
	var wire []byte
	for n := 1; n <= 25; n++ {
		for at := range n {
			for c := range 256 {
				message := []byte(strings.Repeat("~", n))
				message[at] = byte(c)
				wire = errcodes.RunbaseDialect{}.Append(wire[:0], errcodes.Body{Message: string(message)})
				var got struct{ Error struct{ Message string } }
				require.NoError(t, json.Unmarshal(wire, &got))
				require.Equal(t, strings.ToValidUTF8(string(message), "\uFFFD"), got.Error.Message)
				if c < ' ' || c == 0x7f {
					require.NotContains(t, string(wire), string(rune(c)), "one line, and nothing that a terminal obeys")
				}
			}
		}
	}
}
