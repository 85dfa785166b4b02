package middleware_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

type picture struct {
	Prompt string   `json:"prompt"`
	Steps  int      `json:"steps"`
	Tags   []string `json:"tags"`
}

// What stands in front of the handler reads the last of two fields with one name. encoding/json would mix both.
func TestDecodeTakesTheLastOfTwo(t *testing.T) {
	type body struct {
		Input  picture           `json:"input"`
		List   []picture         `json:"list"`
		By     map[string]string `json:"by"`
		Number *int              `json:"number"`
		Text   string            `json:"text"`
		Any    any               `json:"any"`
	}
	seven := 7
	for _, strict := range []bool{false, true} {
		d := &middleware.Decoder{DisallowUnknownFields: strict}
		for given, want := range map[string]body{
			`{"input":{"prompt":"evil","tags":["evil"]},"input":{"steps":1}}`:            {Input: picture{Steps: 1}},
			`{"input":{"prompt":"evil"},"in\u0070ut":{"steps":1}}`:                       {Input: picture{Steps: 1}},
			`{"input":{"prompt":"evil","steps":2,"prompt":null}}`:                        {Input: picture{Steps: 2}},
			`{"input":{"prompt":"evil"},"input":null}`:                                   {},
			`{"input":7,"input":{"steps":1},"text":"x"}`:                                 {Input: picture{Steps: 1}, Text: "x"},
			`{"input":{"steps":"x"},"input":{"prompt":1},"input":{"steps":3}}`:           {Input: picture{Steps: 3}},
			`{"list":[{"prompt":"evil"},{}],"list":[{"steps":1}]}`:                       {List: []picture{{Steps: 1}}},
			`{"by":{"a":"evil"},"by":{"b":"x"}}`:                                         {By: map[string]string{"b": "x"}},
			`{"by":{"text":"x","text":"y"},"text":"z"}`:                                  {By: map[string]string{"text": "y"}, Text: "z"},
			`{"number":6,"number":7,"text":"evil","text":null}`:                          {Number: &seven},
			`{"text":"x","list":[{"prompt":"p"},{"prompt":"q"}],"input":{"prompt":"r"}}`: {Text: "x", List: []picture{{Prompt: "p"}, {Prompt: "q"}}, Input: picture{Prompt: "r"}},
			`{"any":{"text":1,"text":2}}`:                                                {Any: map[string]any{"text": 2.0}},
		} {
			got, err := decodeInto[body](t, d, given)
			require.NoError(t, err, given)
			require.Equal(t, want, got, given)
		}
	}
	spaced, err := decodeInto[body](t, nil, " \n{ \"text\" : \"}\\\"{\" , \"text\" :\t\"\\\\\" }\n")
	require.NoError(t, err)
	require.Equal(t, `\`, spaced.Text)
	_, err = decodeInto[body](t, nil, `{"input":{"steps":1},"text":1,"input":{"steps":"x","tags":[1]}}`)
	requireFields(t, err,
		"/text text type: The field text must be a string.",
		"/input/steps input.steps type: The field input.steps must be a whole number.",
		"/input/tags/0 input.tags[0] type: The field input.tags[0] must be a string.")
	_, err = decodeInto[body](t, &middleware.Decoder{DisallowUnknownFields: true}, `{"text":"a","Text":"evil","text":"b"}`)
	requireFields(t, err, `/Text Text unknown: The field Text is unknown; there is one that is spelled "text".`)
	got, err := decodeInto[body](t, nil, `{"Text":"evil","text":"b","TEXT":"evil"}`)
	require.NoError(t, err)
	require.Equal(t, body{Text: "b"}, got)
}

// A list that is longer than its array would lose items, a shorter one would gain zeros.
func TestDecodeFillsArraysExactly(t *testing.T) {
	type body struct {
		Point [2]float64      `json:"point"`
		Grid  [2][1]int       `json:"grid"`
		Addr  netip.Addr      `json:"addr"`
		Rest  json.RawMessage `json:"rest"`
	}
	got, err := decodeInto[body](t, nil, `{"point":[1,2],"grid":[[1],[2]],"addr":"192.0.2.1","rest":[1]}`)
	require.NoError(t, err)
	require.Equal(t, [2]float64{1, 2}, got.Point)
	require.Equal(t, [2][1]int{{1}, {2}}, got.Grid)
	_, err = decodeInto[body](t, nil, `{"point":null}`)
	require.NoError(t, err)
	_, err = decodeInto[body](t, nil, `{"point":[1,"x",3,"y"],"grid":[[],[1,2],{}],"addr":1}`)
	requireFields(t, err,
		"/point point type: The field point must have exactly 2 items.",
		"/point/1 point[1] type: The field point[1] must be a number.",
		"/grid grid type: The field grid must have exactly 2 items.",
		"/grid/0 grid[0] type: The field grid[0] must have exactly 1 item.",
		"/grid/1 grid[1] type: The field grid[1] must have exactly 1 item.",
		"/addr addr type: The field addr must be a string of the form that is expected here.")
}

type shouting string

func (s *shouting) UnmarshalJSON(b []byte) error {
	if len(b) > 4 {
		return fmt.Errorf("cannot read %s", b)
	}
	*s = shouting(strings.ToUpper(string(b)))
	return nil
}

type Lent struct {
	Deep *int `json:"deep"`
}

type page[T any] struct {
	Item T `json:"item" validate:"required"`
}

func TestDecodeLocatesEveryKindOfMisfit(t *testing.T) {
	type body struct {
		*Lent

		I8      int8                  `json:"i8"`
		I16     int16                 `json:"i16"`
		U16     uint16                `json:"u16"`
		I       int                   `json:"i"`
		I64     int64                 `json:"i64"`
		U8      uint8                 `json:"u8"`
		U64     *uint64               `json:"u64"`
		F32     float32               `json:"f32"`
		F64     float64               `json:"f64"`
		Text    string                `json:"text"`
		Bool    bool                  `json:"bool"`
		Number  json.Number           `json:"number"`
		Bytes   []byte                `json:"bytes"`
		Time    time.Time             `json:"time"`
		Custom  shouting              `json:"custom"`
		Big     *big.Int              `json:"big"`
		Any     any                   `json:"any"`
		ByInt   map[uint8]int         `json:"by_int"`
		ByAddr  map[netip.Addr]string `json:"by_addr"`
		Quoted  bool                  `json:"quoted,string"`
		Span    time.Duration         `json:"span"`
		Pages   []page[*int]          `json:"pages"`
		private string
	}
	for given, want := range map[string]string{
		`"i8":128`:                   "i8 must be a whole number from -128 to 127.",
		`"i8":-129`:                  "i8 must be a whole number from -128 to 127.",
		`"i16":32768`:                "i16 must be a whole number from -32768 to 32767.",
		`"u16":65536`:                "u16 must be a whole number from 0 to 65535.",
		`"i":1e3`:                    "i must be a whole number from -9223372036854775808 to 9223372036854775807, without fraction and exponent.",
		`"i64":9223372036854775808`:  "i64 must be a whole number from -9223372036854775808 to 9223372036854775807.",
		`"i64":1.0`:                  "i64 must be a whole number from -9223372036854775808 to 9223372036854775807, without fraction and exponent.",
		`"u8":-1`:                    "u8 must be a whole number from 0 to 255.",
		`"u64":18446744073709551616`: "u64 must be a whole number from 0 to 18446744073709551615.",
		`"f32":1e39`:                 "f32 must be a number that 32 bits of floating point can hold.",
		`"f64":-1e400`:               "f64 must be a number that 64 bits of floating point can hold.",
		`"i":"7"`:                    "i must be a whole number.",
		`"text":7`:                   "text must be a string.",
		`"text":true`:                "text must be a string.",
		`"bool":"true"`:              "bool must be true or false.",
		`"bool":0`:                   "bool must be true or false.",
		`"number":"x"`:               "number must be a number.",
		`"bytes":"???"`:              "bytes must be a string in base64.",
		`"bytes":{}`:                 "bytes must be a string in base64.",
		`"time":"tomorrow"`:          "time must be a time such as 2006-01-02T15:04:05Z (RFC 3339).",
		`"custom":"v4lue"`:           "custom must be of the form that is expected here.",
		`"big":"x"`:                  "big must be of the form that is expected here.",
		`"any":1e400`:                "any must be of the form that is expected here.",
		`"by_int":{"256":1}`:         "by_int.256 must have as its name a whole number from 0 to 255.",
		`"by_int":{"1":"x"}`:         "by_int.1 must be a whole number.",
		`"by_addr":{"v4lue":"x"}`:    "by_addr.v4lue must have as its name a string of the form that is expected here.",
		`"quoted":true`:              "quoted must be true or false, written as a string.",
		`"quoted":"v4lue"`:           "quoted must be true or false, written as a string.",
		`"span":"5s"`:                "span must be a whole number.",
		`"deep":[]`:                  "deep must be a whole number.",
		`"pages":[{},{"item":{}}]`:   "pages[1].item must be a whole number.",
		`"pages":{}`:                 "pages must be an array.",
	} {
		_, err := decodeInto[body](t, nil, `{"private":"v4lue",`+given+`,"Text":"v4lue"}`)
		var e *errcodes.Error
		require.ErrorAs(t, err, &e, given)
		require.Len(t, e.Fields, 1, given)
		require.Equal(t, "The field "+want, e.Fields[0].Message, given)
		require.Equal(t, "type", e.Fields[0].Rule)
		require.Equal(t, e.Fields[0].Message, e.Message)
		require.Equal(t, "/"+strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(e.Param), e.Fields[0].Pointer)
	}
	// Values that look odd and fit.
	got, err := decodeInto[body](t, nil, `{"i8":-128,"u64":18446744073709551615,"number":1e400,"bytes":"eA==","time":null,"custom":null,"big":123456789012345678901234567890,
		"by_int":{"255":0},"quoted":"true","deep":7,"pages":[{"item":1}],"f64":null,"i":-0,"bool":false,"span":5,"private":"x"}`)
	require.NoError(t, err)
	require.Equal(t, "123456789012345678901234567890", got.Big.String())
	require.Equal(t, 7, *got.Deep)
	require.Equal(t, shouting("NULL"), got.Custom)
	require.Empty(t, got.private)
}

func TestDecodeOfGenericTypes(t *testing.T) {
	_, err := decodeInto[page[page[string]]](t, nil, `{"item":{"item":""}}`)
	requireFields(t, err, "/item item required: The field item is required.")
	_, err = decodeInto[page[[]page[string]]](t, nil, `{"item":[{"item":7}]}`)
	requireFields(t, err, "/item/0/item item[0].item type: The field item[0].item must be a string.")
	_, err = decodeInto[map[string]page[*page[int]]](t, nil, `{"a":{"item":{}},"b":{}}`)
	requireFields(t, err,
		"/a/item/item a.item.item required: The field a.item.item is required.",
		"/b/item b.item required: The field b.item is required.")
}

// No caller can do anything about a type that no body fits.
func TestDecodeOfWhatIsNoObject(t *testing.T) {
	for _, err := range []error{
		second(decodeInto[[]int](t, nil, `{}`)), second(decodeInto[*[2]int](t, nil, `{}`)), second(decodeInto[string](t, nil, `{}`)),
	} {
		require.Equal(t, errcodes.Internal, errcodes.CodeOf(err))
		require.ErrorContains(t, err, "a body is an object")
	}
	type unsettable struct{ *picture }
	_, err := decodeInto[unsettable](t, nil, `{"prompt":"v4lue"}`)
	require.EqualError(t, err, "middleware: decode middleware_test.unsettable: encoding/json cannot set the embedded pointer picture to an unexported struct")
	_, err = decodeInto[unsettable](t, nil, `{"prompt":7}`)
	requireFields(t, err, "/prompt prompt type: The field prompt must be a string.")
	raw, err := decodeInto[json.RawMessage](t, nil, `{"a":1}`)
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(raw))
	any1, err := decodeInto[any](t, nil, `{"a":1}`)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": 1.0}, any1)
}

// An embedded struct has no name that could be missing.
func TestDecodeOfRequiredEmbeddedStruct(t *testing.T) {
	type Lender struct {
		A string `json:"a"`
		B string `json:"b c"`
		c string
	}
	type body struct {
		*Lender `validate:"required"`
	}
	_, err := decodeInto[struct {
		In body `json:"in"`
	}](t, nil, `{"in":{}}`)
	requireFields(t, err, `/in in required: The field in must have the field a or ["b c"].`)
	_, err = decodeInto[struct {
		*Tool `validate:"required"`
	}](t, nil, `{}`)
	requireFields(t, err, "  required: The request body must have the field name.")
	_ = Lender{}.c
}

func second[T any](_ T, err error) error { return err }

// In a field of type any the caller chooses the kind, and cannot make the server fail by it.
func TestDecodeOfKindsThatTheRuleDoesNotSuit(t *testing.T) {
	type inner struct {
		Stop any `json:"stop" validate:"omitempty,max=4"`
	}
	type body struct {
		inner

		Many []inner        `json:"many" validate:"dive"`
		List any            `json:"list" validate:"omitempty,dive,max=4"`
		Map  map[string]any `json:"map"  validate:"dive,max=4"`
	}
	for given, want := range map[string]string{
		`{"stop":true}`:                         "/stop stop type: The field stop must be of another type.",
		`{"many":[{"stop":"x"},{"stop":true}]}`: "/many/1/stop many[1].stop type: The field many[1].stop must be of another type.",
		`{"list":7}`:                            "/list list type: The field list must be of another type.",
		`{"list":["x",false]}`:                  "/list/1 list[1] type: The field list[1] must be of another type.",
		`{"map":{"a":"x","b":true}}`:            "/map/b map.b type: The field map.b must be of another type.",
	} {
		_, err := decodeInto[body](t, nil, given)
		requireFields(t, err, want)
	}
	_, err := decodeInto[body](t, nil, `{"stop":"x","list":[1,"x"],"map":{"a":1}}`)
	require.NoError(t, err)

	_, err = decodeInto[struct {
		A bool `json:"a" validate:"max=4"`
		B any  `json:"b"`
	}](t, nil, `{"a":true,"b":"x"}`)
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(err), "the rule is the server's mistake")
}

// What a caller holds in fields that no rule, or another rule, looks at is not at fault, be it of the kind that the broken rule does not suit.
func TestDecodeBlamesTheFieldOfTheRule(t *testing.T) {
	type body struct {
		Free   any            `json:"free"`
		Meta   map[string]any `json:"meta"`
		Off    any            `json:"off"    validate:"-"`
		Listed []any          `json:"listed" validate:"max=9"`
		Named  map[string]any `json:"named"  validate:"dive,keys,max=4,endkeys,omitempty,min=1"`
		Keyed  map[string]any `json:"keyed"  validate:"dive,keys,max=4,endkeys"`
		Loose  any            `json:"loose"  validate:"dive"`
		Min    any            `json:"min"    validate:"omitempty,min=1"`
		List   any            `json:"list"   validate:"omitempty,dive,min=1"`
		Lower  any            `json:"lower"  validate:"omitempty,lowercase"`
	}
	const free = `{"free":true,"meta":{"a":true,"b":{"c":[true]}},"off":true,"listed":[true],"keyed":{"a":true},"loose":[true]`
	for given, want := range map[string]string{
		`"min":true}`:         "/min min type: The field min must be of another type.",
		`"named":{"a":true}}`: "/named/a named.a type: The field named.a must be of another type.",
		`"list":true}`:        "/list list type: The field list must be of another type.",
		`"lower":["x"]}`:      "/lower lower type: The field lower must be of another type.",
		`"list":["x",true]}`:  "/list/1 list[1] type: The field list[1] must be of another type.",
	} {
		_, err := decodeInto[body](t, nil, free+","+given)
		requireFields(t, err, want)
	}
	_, err := decodeInto[body](t, nil, free+"}")
	require.NoError(t, err)
}

// The rules of a validator of the handler's own may stand in another tag, and the caller is at fault all the same.
func TestDecodeBlamesTheFieldOfARuleElsewhere(t *testing.T) {
	own := validator.New(validator.WithRequiredStructEnabled())
	own.SetTagName("binding")
	type body struct {
		Min  any `binding:"omitempty,min=1"      json:"min"`
		List any `binding:"omitempty,dive,min=1" json:"list"`
	}
	for given, want := range map[string]string{
		`{"min":true}`:  "/min min type: The field min must be of another type.",
		`{"list":true}`: "/list list type: The field list must be of another type.",
	} {
		_, err := decodeInto[body](t, &middleware.Decoder{Validate: own}, given)
		requireFields(t, err, want)
	}
}

// What is wrong with a tag is wrong for each request, and every one is answered.
func TestDecodeOutlivesWrongTags(t *testing.T) {
	type body struct {
		A string `json:"a" validate:"len=four"`
		B any    `json:"b" validate:"omitempty,min=1"`
	}
	type none struct {
		A string `json:"a" validate:"nosuchrule"`
	}
	logs := newRecords()
	ew := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(logs)}
	mux := http.NewServeMux()
	mux.Handle("/param", ew.Handler(func(_ http.ResponseWriter, r *http.Request) error { return second(middleware.Decode[body](r, nil)) }))
	mux.Handle("/rule", ew.Handler(func(_ http.ResponseWriter, r *http.Request) error { return second(middleware.Decode[none](r, nil)) }))
	srv := serve(t, ew.Wrap(mux), false)
	for _, path := range []string{"/param", "/rule", "/param", "/rule"} {
		logs.clear()
		res, text := do(t, srv, http.MethodPost, path, `{"a":"v4lue","b":true}`, "Content-Type", "application/json")
		require.Equal(t, 500, res.StatusCode)
		require.NotContains(t, text, "four")
		record := logs.next(t)[0]
		require.Equal(t, "ERROR", record["level"])
		require.Contains(t, record["cause"], "middleware: validate middleware_test.")
		require.NotContains(t, record["cause"], "v4lue")
	}
}

// A secret that stands by mistake where a name belongs is told to nobody but its sender; long ones, such as tokens, not even to them.
func TestDecodeKeepsNamesOutOfTheLog(t *testing.T) {
	const secret = "sk-live-4bf92f3577b34da6a3ce929d0e0e4736"
	type body struct {
		Headers map[string]string         `json:"headers" validate:"dive,keys,max=8,endkeys,max=1"`
		By      map[string]map[string]int `json:"by"`
	}
	logs := newRecords()
	var refusals []*middleware.Refusal
	ew := &middleware.ErrorWriter{
		Registry: errcodes.Problem(), Logger: slog.New(logs), Observer: observerFunc(func(r *middleware.Refusal) { refusals = append(refusals, r) }),
	}
	decode := func(r *http.Request) error {
		return second(middleware.Decode[body](r, &middleware.Decoder{DisallowUnknownFields: true}))
	}
	uncovered := func(err error) error {
		var e *errcodes.Error
		require.ErrorAs(t, err, &e)
		return e
	}
	for name, way := range map[string]func(error) error{
		"as it is":                  func(err error) error { return err },
		"wrapped":                   func(err error) error { return fmt.Errorf("create run: %w", err) },
		"joined":                    func(err error) error { return errors.Join(errors.New("x"), err) },
		"a cause":                   func(err error) error { return &errcodes.Error{Code: errcodes.InvalidInput, Err: err} },
		"text":                      func(err error) error { return fmt.Errorf("%v %+v %q", err, err, err) },
		"uncovered":                 uncovered,
		"uncovered and wrapped":     func(err error) error { return fmt.Errorf("create run: %w", uncovered(err)) },
		"uncovered and wrapped far": func(err error) error { return fmt.Errorf("%s%w", strings.Repeat("x", 4090), uncovered(err)) },
	} {
		h := ew.Handler(func(_ http.ResponseWriter, r *http.Request) error { return way(decode(r)) })
		for _, body := range []string{`{"by":{"x":{"` + secret + `":"x"}},"` + secret + `":7}`, `{"by":7,"` + secret + `":7}`} {
			logs.clear()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, jsonRequest(body))
			require.Len(t, logs.all(), 1)
			require.NotContains(t, fmt.Sprint(logs.all()[0]), "sk-live", name)
			if name == "text" || name == "a cause" {
				require.NotContains(t, w.Body.String(), "sk-live", name)
			} else {
				require.Contains(t, w.Body.String(), "sk-live", "%s: the caller may read it", name)
			}
		}
	}
	err := decode(jsonRequest(`{"by":7,"` + secret + `":7}`)) // the first of them has its name from us
	logs.clear()
	slog.New(logs).Warn("bad request", "err", err, "wrapped", fmt.Errorf("create run: %w", err))
	require.NotContains(t, fmt.Sprint(logs.all()), "sk-live", "in a record of the handler's own")
	require.EqualError(t, err, `invalid_input (param "by")`)

	h := ew.Handler(func(_ http.ResponseWriter, r *http.Request) error { return decode(r) })
	for given, inside := range map[string]string{
		`{"` + secret + `":1}`:                      `the field at fault has its name`,
		`{"headers":{"` + secret + `":1}}`:          `the field at fault, inside of "headers", has its name`,
		`{"headers":{"` + secret + `":"xx"}}`:       `the field at fault, inside of "headers", has its name`,
		`{"by":{"` + secret + `":{"a":"x"}}}`:       `the field at fault, inside of "by", has its name`,
		`{"by":{"x":{"` + secret + `":"x"}}}`:       `the field at fault, inside of "by", has its name`,
		`{"by":{"x":7},"` + secret + `":{}}`:        `the field at fault, inside of "by", has its name`,
		`{"by":7,"` + secret + `":{},"headers":{}}`: ``,
		`{"` + strings.Repeat(secret, 4) + `":1}`:   `the field at fault has its name`,
	} {
		logs.clear()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, jsonRequest(given))
		require.Equal(t, 400, w.Code)
		require.Equal(t, !strings.Contains(given, secret+secret), strings.Contains(w.Body.String(), secret), "%s", w.Body)
		require.Len(t, logs.all(), 1)
		record := fmt.Sprint(logs.all()[0])
		require.NotContains(t, record, "sk-live")
		require.Contains(t, logs.all()[0]["cause"], inside)
		require.NotContains(t, refusals[len(refusals)-1].Param, "sk-live")
		if inside == "" {
			require.Equal(t, "by", logs.all()[0]["param"])
			require.NotContains(t, logs.all()[0], "cause")
		} else {
			require.NotContains(t, logs.all()[0], "param")
		}
	}
}

type observerFunc func(*middleware.Refusal)

func (f observerFunc) Refused(r *middleware.Refusal) { f(r) }

// Somebody may put another body in the place of the one that RequireJSON checked. Its limits hold for that too.
func TestDecodeBehindAnotherBody(t *testing.T) {
	ew := quiet(errcodes.Runbase())
	h := ew.RequireJSON(middleware.JSONRules{Limit: 3 << 20, Depth: 5})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 4<<20)
		ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			v, err := middleware.Decode[map[string]any](r, nil)
			if err == nil && len(v) == 0 {
				err = errors.New("nothing was read")
			}
			return err
		}).ServeHTTP(w, r)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, jsonRequest(jsonBody2(2<<20)))
	require.Equal(t, 200, w.Code, w.Body)
}

type (
	Left struct {
		X int
		Y int `json:"y"`
		Z int
	}
	Right struct {
		X int
		Y string `json:"Y"`
		Z string `json:"Z"`
	}
	Outer struct {
		Left
		Right

		Y int `json:"y"`
		N int `json:"n"`
	}
)

// Of fields with one name encoding/json takes the less deep, then the one with a tag, and else none.
func TestDecodeOfNamesThatMeet(t *testing.T) {
	got, err := decodeInto[Outer](t, nil, `{"X":"nobody's","X":2,"y":3,"Y":"y","Z":"z","n":4}`)
	require.NoError(t, err)
	require.Equal(t, Outer{Right: Right{Y: "y", Z: "z"}, Y: 3, N: 4}, got)
	_, err = decodeInto[Outer](t, nil, `{"X":"nobody's","y":"y","Y":1,"Z":1,"n":"n"}`)
	requireFields(t, err,
		"/y y type: The field y must be a whole number.",
		"/Y Y type: The field Y must be a string.",
		"/Z Z type: The field Z must be a string.",
		"/n n type: The field n must be a whole number.")
	_, err = decodeInto[Outer](t, &middleware.Decoder{DisallowUnknownFields: true}, `{"X":1,"z":1}`)
	requireFields(t, err,
		"/X X unknown: The field X is unknown.",
		`/z z unknown: The field z is unknown; there is one that is spelled "Z".`)
}

// Maps have no order of their own. The thousand that are listed are the first by name all the same, every time.
func TestDecodeListsTheFirstOfManyInAMap(t *testing.T) {
	var body strings.Builder
	body.WriteString(`{"m":{"x":{"kind":"ok"}`)
	for i := range 6000 {
		fmt.Fprintf(&body, `,"%04d":{}`, (i*7919)%6000)
	}
	body.WriteString("}}")
	for range 3 {
		_, err := decodeInto[struct {
			M map[string]part `json:"m" validate:"dive"`
		}](t, nil, body.String())
		var e *errcodes.Error
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Fields, 1000)
		for i := range e.Fields {
			require.Equal(t, fmt.Sprintf("/m/%04d/kind", i), e.Fields[i].Pointer)
		}
	}
}
