package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// decodeInto sends body through RequireJSON to a handler that decodes it.
func decodeInto[T any](tb testing.TB, d *middleware.Decoder, body string) (v T, err error) {
	tb.Helper()
	ew := quiet(errcodes.Problem())
	w := httptest.NewRecorder()
	called := false
	ew.RequireJSON(middleware.JSONRules{})(ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		called = true
		v, err = middleware.Decode[T](r, d)
		return nil
	})).ServeHTTP(w, jsonRequest(body))
	require.True(tb, called, "%s", w.Body)
	return v, err
}

func jsonRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// requireFields checks that err is InvalidInput for the fields, which are written as "pointer path rule: message".
func requireFields(tb testing.TB, err error, want ...string) {
	tb.Helper()
	var e *errcodes.Error
	require.ErrorAs(tb, err, &e)
	require.Equal(tb, errcodes.InvalidInput, e.Code)
	if e.Err != nil { // a cause goes to the log, which must not repeat what the caller wrote
		require.Regexp(tb, `^middleware: the field at fault(, inside of "[a-z0-9_.\[\]]+",)? has its name from the caller$`, e.Err.Error())
	}
	got := make([]string, 0, len(e.Fields))
	for _, f := range e.Fields {
		got = append(got, fmt.Sprintf("%s %s %s: %s", f.Pointer, f.Path, f.Rule, f.Message))
	}
	require.Equal(tb, want, got)
	require.Equal(tb, e.Fields[0].Path, e.Param)
	require.True(tb, strings.HasPrefix(e.Message, e.Fields[0].Message), e.Message)
}

type (
	message struct {
		Role    string          `json:"role"            validate:"oneof=system user assistant"`
		Content json.RawMessage `json:"content"         validate:"required"`
		Parts   []part          `json:"parts,omitempty" validate:"max=2,dive"`
	}
	part struct {
		Kind string `json:"kind"                   validate:"required"`
		URL  string `validate:"omitempty,http_url"`
	}
	sampling struct {
		Temperature *float64 `json:"temperature" validate:"omitempty,gte=0,lte=2"`
	}
	Tool struct {
		Name string `json:"name" validate:"required,max=8"`
	}
	request struct {
		sampling

		Model    string            `json:"model"       validate:"required"`
		Messages []message         `json:"messages"    validate:"min=1,dive"`
		Metadata map[string]string `json:"metadata"    validate:"max=3,dive,keys,max=4,endkeys,min=2"`
		Limits   map[int]part      `json:"limits"      validate:"dive"`
		Max      int8              `json:"max_tokens"  validate:"gte=0"`
		Seed     int64             `json:"seed,string"`
		Stop     *[]string         `json:"stop"        validate:"omitempty,min=1,dive,len=3"`
		User     *struct {
			Mail string `json:"e-mail" validate:"email"`
		} `json:"user"`
		*Tool    `validate:"omitempty"`
		Deadline time.Time `json:"deadline"`
		Any      any       `json:"any"`
		Skipped  string    `json:"-"`
	}
)

const goodRequest = `{"model":"m","messages":[{"role":"user","content":"hi"}],"name":"x"}`

func TestDecodeReads(t *testing.T) {
	v, err := decodeInto[request](t, nil, `{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.5,"seed":"7","name":"x","unknown":{"a":1},"any":{"Model":1}}`)
	require.NoError(t, err)
	require.Equal(t, "m", v.Model)
	require.InDelta(t, 0.5, *v.Temperature, 0)
	require.Equal(t, int64(7), v.Seed)
	require.Equal(t, "x", v.Name)
	require.JSONEq(t, `"hi"`, string(v.Messages[0].Content))

	p, err := decodeInto[*request](t, nil, goodRequest)
	require.NoError(t, err)
	require.Equal(t, "m", p.Model)
	_, err = decodeInto[*request](t, nil, `{"name":"x"}`)
	requireFields(t, err,
		"/model model required: The field model is required.",
		"/messages messages min: The field messages must have at least 1 item.")
	m, err := decodeInto[map[string]any](t, nil, `{"Model":1}`)
	require.NoError(t, err)
	require.Len(t, m, 1)
	_, err = decodeInto[map[string][]part](t, nil, `{"b":[{"kind":"x"},{}],"a":[{}]}`)
	requireFields(t, err,
		"/a/0/kind a[0].kind required: The field a[0].kind is required.",
		"/b/1/kind b[1].kind required: The field b[1].kind is required.")
}

func TestDecodeListsEveryBrokenRule(t *testing.T) {
	body := `{"temperature":2.5,"messages":[
		{"role":"user","content":1},
		{"role":"robot","parts":[{"kind":""},{"kind":"x","URL":"ftp://x"}]},
		{"role":"user","content":1,"parts":[{"kind":"a"},{"kind":"a"},{"kind":"a"}]}],
		"metadata":{"a":"x","b.c":"","long]name":"ok"},"limits":{"7":{},"-1":{"kind":""}},"max_tokens":-1,"stop":["abc","ab"],
		"user":{"e-mail":"nobody"},"name":"123456789"}`
	want := []string{
		"/temperature temperature lte: The field temperature must be at most 2.",
		"/model model required: The field model is required.",
		"/messages/1/role messages[1].role oneof: The field messages[1].role must be one of system, user, assistant.",
		"/messages/1/content messages[1].content required: The field messages[1].content is required.",
		"/messages/1/parts/0/kind messages[1].parts[0].kind required: The field messages[1].parts[0].kind is required.",
		"/messages/1/parts/1/URL messages[1].parts[1].URL http_url: The field messages[1].parts[1].URL must be a URL that begins with http or https.",
		"/messages/2/parts messages[2].parts max: The field messages[2].parts must have at most 2 items.",
		"/metadata/a metadata.a min: The field metadata.a must have at least 2 characters.",
		`/metadata/b.c metadata["b.c"] min: The field metadata["b.c"] must have at least 2 characters.`,
		`/metadata/long]name metadata["long]name"] max: The field metadata["long]name"] must have at most 4 characters.`,
		"/limits/-1/kind limits.-1.kind required: The field limits.-1.kind is required.",
		"/limits/7/kind limits.7.kind required: The field limits.7.kind is required.",
		"/max_tokens max_tokens gte: The field max_tokens must be at least 0.",
		"/stop/1 stop[1] len: The field stop[1] must have exactly 3 characters.",
		"/user/e-mail user.e-mail email: The field user.e-mail must be an email address.",
		"/name name max: The field name must have at most 8 characters.",
	}
	for range 50 { // maps have no order
		_, err := decodeInto[request](t, nil, body)
		requireFields(t, err, want...)
	}
	var e *errcodes.Error
	_, err := decodeInto[request](t, nil, body)
	require.ErrorAs(t, err, &e)
	require.True(t, strings.HasSuffix(e.Message, " The field messages[1].parts[0].kind is required. 11 more fields are wrong."), e.Message)
}

func TestDecodeListsEveryMisfit(t *testing.T) {
	_, err := decodeInto[request](t, nil, `{"model":7,"messages":[{"role":"user","content":1},{"role":["x"],"parts":[{"kind":true},8]}],"temperature":"hot",
		"metadata":{"a":1,"b":"x"},"limits":{"x":{"kind":"k"}},"max_tokens":300,"seed":7,"stop":{"a":[{}]},"user":[],"name":null,"deadline":"soon","any":[{}]}`)
	requireFields(t, err,
		"/model model type: The field model must be a string.",
		"/messages/1/role messages[1].role type: The field messages[1].role must be a string.",
		"/messages/1/parts/0/kind messages[1].parts[0].kind type: The field messages[1].parts[0].kind must be a string.",
		"/messages/1/parts/1 messages[1].parts[1] type: The field messages[1].parts[1] must be an object.",
		"/temperature temperature type: The field temperature must be a number.",
		"/metadata/a metadata.a type: The field metadata.a must be a string.",
		"/limits/x limits.x type: The field limits.x must have as its name a whole number.",
		"/max_tokens max_tokens type: The field max_tokens must be a whole number from -128 to 127.",
		"/seed seed type: The field seed must be a whole number, written as a string.",
		"/stop stop type: The field stop must be an array.",
		"/user user type: The field user must be an object.",
		"/deadline deadline type: The field deadline must be a time such as 2006-01-02T15:04:05Z (RFC 3339).",
	)
	_, err = decodeInto[request](t, &middleware.Decoder{DisallowUnknownFields: true},
		`{"model":"m","messages":[{"role":"user","content":{"free":1},"x":{"role":1}}],"top":1,"a/b~c":2,"any":{"free":1},"`+strings.Repeat("k", 129)+`":1,"max_tokens":1.5}`)
	requireFields(t, err,
		"/messages/0/x messages[0].x unknown: The field messages[0].x is unknown.",
		"/top top unknown: The field top is unknown.",
		`/a~1b~0c ["a/b~c"] unknown: The field ["a/b~c"] is unknown.`,
		"  unknown: A field is unknown.",
		"/max_tokens max_tokens type: The field max_tokens must be a whole number from -128 to 127, without fraction and exponent.",
	)
}

// encoding/json takes other spellings of a name; what stands in front of the handler does not.
func TestDecodeTakesNamesByTheLetter(t *testing.T) {
	for _, body := range []string{
		`{"Model":"evil",` + goodRequest[1:],
		goodRequest[:len(goodRequest)-1] + `,"MODEL" : "evil"}`,
		goodRequest[:len(goodRequest)-1] + " ,\n\t\"mod\\u0065L\"\n:\"evil\"}",
		goodRequest[:len(goodRequest)-1] + `,"MODEL":7}`,
	} {
		v, err := decodeInto[request](t, nil, body)
		require.NoError(t, err, body)
		require.Equal(t, "m", v.Model)
		_, err = decodeInto[request](t, &middleware.Decoder{DisallowUnknownFields: true}, body)
		var told *errcodes.Error
		require.ErrorAs(t, err, &told)
		require.Contains(t, told.Message, `is unknown; there is one that is spelled "model"`)
		require.NotContains(t, told.Error(), "evil")
	}
	odd := `{"model":"m","messages":[{"role":"user","content":"c"},{"Role":"robot","role":"user","content":"y","Content":1}],"name":"x","u\u017fer":7,"NAME":"much too long"}`
	v, err := decodeInto[request](t, nil, odd)
	require.NoError(t, err)
	require.JSONEq(t, `"y"`, string(v.Messages[1].Content))
	require.Nil(t, v.User)
	_, err = decodeInto[request](t, &middleware.Decoder{DisallowUnknownFields: true}, odd)
	requireFields(t, err,
		`/messages/1/Role messages[1].Role unknown: The field messages[1].Role is unknown; there is one that is spelled "role".`,
		`/messages/1/Content messages[1].Content unknown: The field messages[1].Content is unknown; there is one that is spelled "content".`,
		"/u\u017fer [\"u\u017fer\"] unknown: The field [\"u\u017fer\"] is unknown; there is one that is spelled \"user\".",
		`/NAME NAME unknown: The field NAME is unknown; there is one that is spelled "name".`,
	)
	// Where no field is meant, names are free: in values, in maps, in what the type leaves open, and elsewhere in the body.
	_, err = decodeInto[request](t, nil, `{"model":"Model\":","messages":[{"role":"user","content":{"Role":1,"MODEL":2}}],"name":"x","any":{"Model":[{"ROLE":1}]},"metadata":{"Role":"xx"}}`)
	require.NoError(t, err)

	type both struct {
		A int `json:"a"`
		B int `json:"A"`
	}
	two, err := decodeInto[both](t, nil, `{"a":1,"A":2}`)
	require.NoError(t, err)
	require.Equal(t, both{1, 2}, two)
}

func TestDecodeIsTheServersFault(t *testing.T) {
	type hidden struct {
		Secret string `json:"-" validate:"required"`
	}
	_, err := decodeInto[hidden](t, nil, `{}`)
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(err))
	require.EqualError(t, err, `middleware: hidden.Secret breaks the rule "required" and is not read from JSON`)
	type wrong struct {
		A string `json:"a" validate:"no_such_rule"`
	}
	_, err = decodeInto[wrong](t, nil, `{}`)
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(err))
	require.ErrorContains(t, err, "no_such_rule")
	_, err = decodeInto[panics](t, nil, `{"a":1}`)
	require.Equal(t, errcodes.Internal, errcodes.CodeOf(err))
	require.ErrorContains(t, err, "panic: boom")
	_, err = decodeInto[struct{ C chan int }](t, nil, `{"C":1}`)
	requireFields(t, err, "/C C type: The field C must be of the form that is expected here.")
}

type panics struct{}

func (*panics) UnmarshalJSON([]byte) error { panic("boom") }

func TestDecodeByRulesOfYourOwn(t *testing.T) {
	own := validator.New(validator.WithRequiredStructEnabled())
	own.SetTagName("binding")
	own.RegisterTagNameFunc(func(f reflect.StructField) string { return "renamed_" + f.Name })
	require.NoError(t, own.RegisterValidation("palindrome", func(fl validator.FieldLevel) bool { return fl.Field().String() == "anna" }))
	require.NoError(t, own.RegisterValidation("magic", func(validator.FieldLevel) bool { return false }))
	own.RegisterAlias("short", "max=3")
	own.RegisterAlias("tint", "hexcolor|rgb")
	type body struct {
		A string `binding:"palindrome"      json:"a"`
		B string `binding:"magic"           json:"b"`
		C string `binding:"short"           json:"c"`
		D string `binding:"tint"            json:"d"`
		E string `binding:"eq=x|len=2|ipv4" json:"e"`
		F int    `json:"f"`
		G int    `json:"g"`
	}
	own.RegisterStructValidation(func(sl validator.StructLevel) {
		sl.ReportError(sl.Current().FieldByName("F").Interface(), "F", "F", "sum", "10")
		sl.ReportError(sl.Current().Interface(), "nowhere", "Nowhere", "sum", "10")
	}, body{})
	d := &middleware.Decoder{Validate: own, Words: map[string]string{"palindrome": "must be a palindrome", "sum": "must make 10 with g"}}
	_, err := decodeInto[body](t, d, `{"a":"x","b":"x","c":"xxxx","d":"x","e":"y"}`)
	requireFields(t, err,
		"  sum: The request body must make 10 with g.",
		"/a a palindrome: The field a must be a palindrome.",
		`/b b magic: The field b does not keep to the rule "magic".`,
		"/c c short: The field c must have at most 3 characters.",
		"/d d tint: The field d must be a colour such as #1e90ff or a colour such as rgb(30,144,255).",
		`/e e eq=x|len=2|ipv4: The field e must be "x", must have exactly 2 characters or an IPv4 address.`,
		"/f f sum: The field f must make 10 with g.",
	)
}

func TestDecodeWithoutRequireJSON(t *testing.T) {
	ew := quiet(errcodes.Runbase())
	h := ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := middleware.Decode[request](r, nil)
		return err
	})
	for body, want := range map[string]string{
		goodRequest:                 "",
		`{"model":`:                 "invalid_json",
		`{} {}`:                     "invalid_json",
		"\xef\xbb\xbf{}":            "invalid_json",
		`{}`:                        "invalid_input",
		jsonBody2(1<<20 + 1):        "body_too_large",
		`{"model":"` + "\xff" + `"`: "invalid_json",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, jsonRequest(body))
		if want == "" {
			require.Equal(t, 200, w.Code)
			continue
		}
		b, err := errcodes.Runbase().Dialect().Decode(w.Body.Bytes())
		require.NoError(t, err)
		require.Equal(t, want, b.Code)
	}
}

func jsonBody2(n int) string { return `{"pad":"` + strings.Repeat("x", n-10) + `"}` }

// Behind RequireJSON the body may be read again, until its memory belongs to others.
func TestDecodeLeavesTheBody(t *testing.T) {
	ew := quiet(nil)
	var kept *http.Request
	var got [2]request
	var errs [3]error
	ew.RequireJSON(middleware.JSONRules{})(ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		kept = r
		for i := range got {
			got[i], errs[i] = middleware.Decode[request](r, nil)
		}
		_ = r.Body.Close()
		_, errs[2] = middleware.Decode[request](r, nil)
		return nil
	})).ServeHTTP(httptest.NewRecorder(), jsonRequest(goodRequest))
	for i := range got {
		require.NoError(t, errs[i])
		require.Equal(t, "m", got[i].Model)
	}
	require.ErrorIs(t, errs[2], http.ErrBodyReadAfterClose)
	_, err := middleware.Decode[request](kept, nil)
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
}

// One Decoder serves many types at a time.
func TestDecodeConcurrently(t *testing.T) {
	var d middleware.Decoder
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := decodeInto[request](t, &d, goodRequest)
			if err != nil {
				t.Error(err)
			}
			if _, err := decodeInto[part](t, &d, `{"Kind":"x"}`); errcodes.CodeOf(err) != errcodes.InvalidInput {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A small body with very many mistakes makes no large answer.
func TestDecodeBoundsTheError(t *testing.T) {
	for _, item := range []string{`0`, `"x"`} {
		body := `{"list":[` + strings.Repeat(item+",", 50_000) + item + `]}`
		_, err := decodeInto[struct {
			List []int `json:"list" validate:"dive,min=1"`
		}](t, nil, body)
		var e *errcodes.Error
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Fields, 1000)
		require.Equal(t, "/list/999", e.Fields[999].Pointer)
		require.True(t, strings.HasSuffix(e.Message, "Many more fields are wrong."))
	}
	// Names that are made to be misread, and deep ones.
	hostile := strings.Repeat("a].B[", 20_000)
	_, err := decodeInto[struct {
		M map[string]part `json:"m" validate:"dive"`
	}](t, nil, `{"m":{"`+hostile+`":{}}}`)
	requireFields(t, err, "/m m required: A field inside of m is required.")
}

type tree struct {
	Name string           `json:"name" validate:"max=3"`
	Kids []tree           `json:"kids" validate:"dive"`
	By   map[string]*tree `json:"by"   validate:"dive"`
}

func TestDecodeOfATree(t *testing.T) {
	_, err := decodeInto[tree](t, nil, `{"kids":[{"by":{"x":{"kids":[{"name":"long"}]},"y":null}}]}`)
	requireFields(t, err, "/kids/0/by/x/kids/0/name kids[0].by.x.kids[0].name max: The field kids[0].by.x.kids[0].name must have at most 3 characters.")
	deep := strings.Repeat(`{"kids":[`, 4000) + `{"name":1}` + strings.Repeat(`]}`, 4000)
	_, err = decodeInto[tree](t, nil, deep)
	var e *errcodes.Error
	require.ErrorAs(t, err, &e)
	require.True(t, strings.HasPrefix(e.Fields[0].Message, "A field inside of kids[0].kids[0]."))
	require.Less(t, len(e.Message), 1<<10)
}

// What is decoded and what is refused follows encoding/json, names in another case and fields given twice aside; and no value is ever repeated.
func FuzzDecode(f *testing.F) {
	f.Add(goodRequest)
	f.Add(`{"Model":1,"messages":[{"role":{},"parts":[null,{"kind":"k4n4ry"}]}],"limits":{"x":1},"seed":"x","k4n4ry":1}`)
	f.Add(`{"model":"x","messages":[{"role":"user","content":1,"parts":[{"kind":"x"}]}],"messages":[{"content":{"a":[]},"role":"user"}],"name":"a","tool":1}`)
	f.Add(`{"temperature":"k4n4ry","metadata":{"a":[]},"max_tokens":1e3,"user":{"e-mail":"k4n4ry"},"\u006dodel":"","stop":[""]}`)
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			return
		}
		for _, strict := range []bool{false, true} {
			d := &middleware.Decoder{DisallowUnknownFields: strict}
			r := jsonRequest(body)
			got, err := middleware.Decode[request](r, d)
			var e *errcodes.Error
			if err != nil && (!errors.As(err, &e) || e.Code == errcodes.Internal) {
				t.Fatalf("not the caller's fault: %v", err)
			}
			if e != nil {
				if len(e.Fields) == 0 && e.Code == errcodes.InvalidInput {
					t.Fatalf("refused for no reason: %v", err)
				}
				for _, field := range e.Fields {
					if field.Message == "" || field.Rule == "" {
						t.Fatalf("%+v", field)
					}
				}
			}
			if err != nil {
				continue
			}
			if !strict {
				continue // there may be names in another case
			}
			var want request
			if err := json.Unmarshal(onceEach(t, body), &want); err != nil {
				t.Fatalf("encoding/json refuses it: %v", err)
			}
			require.Equal(t, plainly(t, want), plainly(t, got))
		}
	})
}

// onceEach returns body with the last only of fields that have one name, as a map reads it.
func onceEach(tb testing.TB, body string) []byte {
	tb.Helper()
	var v any
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	require.NoError(tb, dec.Decode(&v))
	b, err := json.Marshal(v)
	require.NoError(tb, err)
	return b
}

// plainly writes v without what encoding/json may write in several ways.
func plainly(tb testing.TB, v any) string {
	tb.Helper()
	b, err := json.Marshal(v)
	require.NoError(tb, err)
	return string(onceEach(tb, string(b)))
}

func TestDecodeRepeatsNoValue(t *testing.T) {
	const canary = `"k4n4ry"`
	for _, body := range []string{
		`{"model":{"a":` + canary + `},"seed":` + canary + `,"deadline":` + canary + `,"max_tokens":` + canary + `}`,
		`{"messages":[{"role":` + canary + `}],"user":{"e-mail":` + canary + `},"metadata":{"a":` + canary + `},"name":"k4n4ry k4n4ry"}`,
	} {
		_, err := decodeInto[request](t, nil, body)
		require.Error(t, err)
		require.NotContains(t, fmt.Sprintf("%+v", err), "k4n4ry")
	}
}

// The handler's context reaches rules that want it.
func TestDecodeHandsOnTheContext(t *testing.T) {
	type key struct{}
	own := validator.New()
	require.NoError(t, own.RegisterValidationCtx("ctx", func(ctx context.Context, _ validator.FieldLevel) bool { return ctx.Value(key{}) != nil }))
	r := jsonRequest(`{"a":"x"}`)
	type body struct {
		A string `json:"a" validate:"ctx"`
	}
	_, err := middleware.Decode[body](r.WithContext(context.WithValue(r.Context(), key{}, 1)), &middleware.Decoder{Validate: own})
	require.NoError(t, err)
}
