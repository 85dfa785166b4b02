package errcodes_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func itoa(n int) string { return strconv.Itoa(n) }

func row(code errcodes.Code, status int) errcodes.Entry {
	return errcodes.Entry{Code: code, Status: status, Message: "It failed."}
}

func TestNewNamesEveryBadRow(t *testing.T) {
	with := func(code errcodes.Code, change func(*errcodes.Entry)) errcodes.Entry {
		e := row(code, 418)
		change(&e)
		return e
	}
	long := strings.Repeat("x", 65)
	tests := []struct {
		name string
		row  errcodes.Entry
		want string
	}{
		{"no code", row("", 418), `row "": code must be`},
		{"code with a blank", row("a b", 418), `row "a b": code must be`},
		{"code too long", row(errcodes.Code(long), 418), `row "` + long + `": code must be`},
		{"wire alphabet", with("w", func(e *errcodes.Entry) { e.Wire = "é" }), `row "w": wire code "é" must be`},
		{"type alphabet", with("t", func(e *errcodes.Entry) { e.Type = "a/b" }), `row "t": type "a/b" must be`},
		{"status too low", row("low", 399), `row "low": status 399 must be 400 to 599`},
		{"status too high", row("high", 600), `row "high": status 600 must be 400 to 599`},
		{"no message", with("mute", func(e *errcodes.Entry) { e.Message = "" }), `row "mute": message must not be empty`},
		{"blank message", with("blank", func(e *errcodes.Entry) { e.Message = " " }), `row "blank": message must not be empty`},
		{"control in message", with("ctl", func(e *errcodes.Entry) { e.Message = "a\nb" }), `row "ctl": message "a\nb" must be valid UTF-8`},
		{"bad UTF-8 in message", with("utf", func(e *errcodes.Entry) { e.Message = "\xff" }), `row "utf": message "\xff" must be valid UTF-8`},
		{"class", with("c", func(e *errcodes.Entry) { e.Class = 99 }), `row "c": class 99 is not known`},
		{"retry", with("r", func(e *errcodes.Entry) { e.Retry = 9 }), `row "r": retry rule 9 is not known`},
		{"never beside a wait", with("n", func(e *errcodes.Entry) { e.RetryAfter = time.Second }), `row "n": retry-after 1s contradicts`},
		{"negative wait", with("m", func(e *errcodes.Entry) { e.Retry, e.RetryAfter = errcodes.RetryBackoff, -1 }), `row "m": retry-after -1ns must be`},
		{"wait too long", with("l", func(e *errcodes.Entry) {
			e.Retry, e.RetryAfter = errcodes.RetryBackoff, time.Hour
		}), `row "l": retry-after 1h0m0s must be`},
	}
	var all []errcodes.Entry
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := errcodes.New("bad", errcodes.OpenAIDialect{}, tt.row)
			require.Nil(t, r)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, `registry "bad"`)
		})
		all = append(all, tt.row)
	}
	_, err := errcodes.New("bad", errcodes.OpenAIDialect{}, all...)
	for _, tt := range tests {
		require.ErrorContains(t, err, tt.want, "one error names every bad row")
	}
}

func TestNewRefusesRowsTheWireCannotTellApart(t *testing.T) {
	a, b := row("a", 400), row("b", 400)
	a.Wire, b.Wire = "same", "same"
	change := map[string]func(*errcodes.Entry){
		"status":         func(e *errcodes.Entry) { e.Status = 429 },
		"class":          func(e *errcodes.Entry) { e.Class = errcodes.ClassBilling },
		"retry":          func(e *errcodes.Entry) { e.Retry = errcodes.RetryOnce },
		"maybe executed": func(e *errcodes.Entry) { e.MaybeExecuted = true },
	}
	for name, f := range change {
		t.Run(name, func(t *testing.T) {
			c := b
			f(&c)
			_, err := errcodes.New("x", errcodes.RunbaseDialect{}, a, c)
			require.ErrorContains(t, err, `row "b": the wire cannot tell it from row "a"`)
		})
	}
	_, err := errcodes.New("x", errcodes.RunbaseDialect{}, a, b)
	require.NoError(t, err, "rows that agree may share their spelling")

	// Without a slot for codes only status and type are left to tell rows apart.
	a, b = row("a", 400), row("b", 400)
	b.Retry = errcodes.RetryOnce
	_, err = errcodes.New("x", errcodes.RunInfraDialect{}, a, b)
	require.ErrorContains(t, err, "cannot tell")
	b.Type = "other"
	_, err = errcodes.New("x", errcodes.RunInfraDialect{}, a, b)
	require.NoError(t, err)
	b.Type, b.Status = "", 418
	_, err = errcodes.New("x", errcodes.RunInfraDialect{}, a, b)
	require.NoError(t, err)
}

func TestNewRefusesDuplicatesNamesAndNil(t *testing.T) {
	_, err := errcodes.New("x", errcodes.OpenAIDialect{}, row("a", 400), row("b", 400), row("a", 400))
	require.ErrorContains(t, err, `row "a": code is defined twice`)
	_, err = errcodes.New("a b", nil)
	require.ErrorContains(t, err, `name "a b" must be`)
	require.ErrorContains(t, err, "dialect must not be nil")
}

func TestNewCompletesWithGenericRows(t *testing.T) {
	r, err := errcodes.New("mine", errcodes.OpenAIDialect{}, row("teapot", 418))
	require.NoError(t, err)
	e, ok := r.Lookup(errcodes.RateLimited)
	require.True(t, ok)
	require.Equal(t, errcodes.SourceErrwire, e.Source)
	codes := slices.Collect(r.All())
	require.Equal(t, errcodes.Code("teapot"), codes[0].Code)
	require.Len(t, codes, 28)
	for range r.All() {
		break // stopping early must be possible
	}
	_, ok = r.Lookup("nothing")
	require.False(t, ok)
}

func TestWithReplacesAndLeavesTheOldOneAlone(t *testing.T) {
	old := errcodes.Runbase()
	before := slices.Collect(old.All())
	e, _ := old.Lookup(errcodes.ModelNotFound)
	e.Status, e.Source = 404, "ours"
	r, err := old.With(e, row("teapot", 418))
	require.NoError(t, err)
	got, _ := r.Lookup(errcodes.ModelNotFound)
	require.Equal(t, 404, got.Status)
	_, ok := r.Lookup("teapot")
	require.True(t, ok)
	require.Equal(t, before, slices.Collect(old.All()))
	require.Equal(t, "runbase", r.Name())
	require.Equal(t, old.Dialect(), r.Dialect())
	require.Len(t, slices.Collect(r.All()), len(before)+1)

	_, err = old.With(row("a", 400), row("a", 400))
	require.ErrorContains(t, err, "defined twice")
	var none *errcodes.Registry
	_, err = none.With(row("a", 400))
	require.ErrorContains(t, err, "registry is nil")
	_, err = (&errcodes.Registry{}).With(row("a", 400))
	require.ErrorContains(t, err, "registry is nil")

	given := []errcodes.Entry{row("b", 418), row("a", 418)}
	_, err = errcodes.Problem().With(given...)
	require.NoError(t, err)
	require.Equal(t, []errcodes.Entry{row("b", 418), row("a", 418)}, given, "the caller's rows stay the caller's")
}

// What New lets pass, Match reads back, also rows without code or type beside rows that have them.
func TestWhatNewAcceptsMatchReadsBack(t *testing.T) {
	maintenance := errcodes.Entry{
		Code: "maintenance", Wire: errcodes.NoCode, Status: 500, Class: errcodes.ClassOverloaded,
		Retry: errcodes.RetryBackoff, Message: "It is being mended.",
	}
	r, err := errcodes.OpenAI().With(maintenance)
	require.NoError(t, err)
	require.Equal(t, errcodes.Code("maintenance"), r.Match(500, "", "").Code)
	require.Equal(t, errcodes.Internal, r.Match(500, "", "server_error").Code)

	typed, bare := row("b", 418), row("a", 418)
	typed.Type, typed.Retry = "other", errcodes.RetryOnce
	r, err = errcodes.New("x", errcodes.RunInfraDialect{}, typed, bare)
	require.NoError(t, err)
	require.Equal(t, errcodes.Code("a"), r.Match(418, "", "").Code)
	require.Equal(t, errcodes.Code("b"), r.Match(418, "", "other").Code)

	for _, r := range append(registries(), r) {
		for e := range r.All() {
			m := r.Match(e.Status, e.WireCode(), e.Type)
			require.Equal(t, []any{e.Status, e.Class, e.Retry, e.MaybeExecuted}, []any{m.Status, m.Class, m.Retry, m.MaybeExecuted}, "%s %s", r.Name(), e.Code)
		}
	}
}

// A generic row that looks like a row of the provider on the wire means what that one means.
func TestGenericRowsFollowTheirTwin(t *testing.T) {
	gone := row("gone_for_good", 410)
	gone.Wire, gone.Message = "not_found", "It was removed."
	quota := row("quota", 429)
	quota.Wire, quota.Type, quota.Class, quota.Message = errcodes.NoCode, "rate_limit_error", errcodes.ClassQuotaExhausted, "The usage quota is spent."
	run := row("run_failed", 500)
	run.Wire, run.Type, run.Retry, run.MaybeExecuted = errcodes.NoCode, "server_error", errcodes.RetryOnce, true
	run.Class = errcodes.ClassServerError
	r, err := errcodes.New("x", errcodes.OpenAIDialect{}, gone)
	require.NoError(t, err)
	e, _ := r.Lookup(errcodes.NotFound)
	require.Equal(t, 404, e.Status, "another type tells them apart")
	r, err = errcodes.New("x", errcodes.RunbaseDialect{}, gone)
	require.NoError(t, err)
	e, _ = r.Lookup(errcodes.NotFound)
	require.Equal(t, 410, e.Status)
	require.Equal(t, "It was removed.", e.Message)
	r, err = errcodes.New("x", errcodes.RunInfraDialect{}, quota, run)
	require.NoError(t, err)
	e, _ = r.Lookup(errcodes.RateLimited)
	require.Equal(t, errcodes.RetryNever, e.Retry)
	require.Zero(t, e.RetryAfter)
	require.Equal(t, "The usage quota is spent.", e.Message)
	e, _ = r.Lookup(errcodes.Internal)
	require.True(t, e.MaybeExecuted)
}

func TestMatch(t *testing.T) {
	ri, rb, oa, an, gg := errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google()
	tests := []struct {
		name      string
		r         *errcodes.Registry
		status    int
		wire, typ string
		want      errcodes.Code
		class     errcodes.Class
		retry     errcodes.Retry
		by        errcodes.Matched
	}{
		{"code", rb, 429, "USAGE_EXCEEDED", "", errcodes.UsageExceeded, errcodes.ClassQuotaExhausted, errcodes.RetryNever, errcodes.MatchedCode},
		{"code is byte exact", rb, 429, "usage_exceeded", "", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedStatus},
		{"code beats status", rb, 500, "USAGE_EXCEEDED", "", errcodes.UsageExceeded, errcodes.ClassQuotaExhausted, errcodes.RetryNever, errcodes.MatchedCode},
		{"code in a stream, status 200", rb, 200, "RATE_LIMITED", "", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedCode},
		{"no code", rb, 500, "", "", errcodes.Internal, errcodes.ClassServerError, errcodes.RetryOnce, errcodes.MatchedStatus},
		{"no code, special rows are not guessed", rb, 403, "", "", errcodes.PermissionDenied, errcodes.ClassPermission, errcodes.RetryNever, errcodes.MatchedStatus},
		{"unknown code", rb, 404, "thing_missing", "", errcodes.NotFound, errcodes.ClassNotFound, errcodes.RetryNever, errcodes.MatchedStatus},
		{"type and status", ri, 504, "", "timeout_error", errcodes.Timeout, errcodes.ClassTimeout, errcodes.RetryChanged, errcodes.MatchedType},
		{"type and other status", ri, 408, "", "timeout_error", errcodes.RequestTimeout, errcodes.ClassTimeout, errcodes.RetryBackoff, errcodes.MatchedType},
		{"type in a stream", ri, 200, "", "timeout_error", errcodes.Timeout, errcodes.ClassTimeout, errcodes.RetryChanged, errcodes.MatchedType},
		{"type beats status", ri, 400, "", "rate_limit_error", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedType},
		{"vague type is settled by status", ri, 503, "", "server_error", errcodes.Unavailable, errcodes.ClassOverloaded, errcodes.RetryBackoff, errcodes.MatchedStatus},
		{"code that the dialect lacks", ri, 429, "RATE_LIMITED", "", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedStatus},
		{"type without code is not read as a special row", oa, 400, "", "invalid_request_error", errcodes.InvalidRequest, errcodes.ClassInvalidRequest, errcodes.RetryNever, errcodes.MatchedType},
		{"same in a stream", oa, 200, "", "invalid_request_error", errcodes.InvalidRequest, errcodes.ClassInvalidRequest, errcodes.RetryNever, errcodes.MatchedType},
		{"older OpenAI body", oa, 429, "", "tokens", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedStatus},
		{"quota by type alone", oa, 429, "", "insufficient_quota", errcodes.UsageExceeded, errcodes.ClassQuotaExhausted, errcodes.RetryNever, errcodes.MatchedType},
		{"quota by type in a stream", oa, 200, "", "insufficient_quota", errcodes.UsageExceeded, errcodes.ClassQuotaExhausted, errcodes.RetryNever, errcodes.MatchedType},
		{"a path that is mistyped is no model", oa, 404, "unknown_url", "invalid_request_error", errcodes.NotFound, errcodes.ClassNotFound, errcodes.RetryNever, errcodes.MatchedStatus},
		{"a 403 is no country", oa, 403, "", "invalid_request_error", errcodes.PermissionDenied, errcodes.ClassPermission, errcodes.RetryNever, errcodes.MatchedStatus},
		{"401", oa, 401, "", "", errcodes.InvalidAPIKey, errcodes.ClassAuthentication, errcodes.RetryNever, errcodes.MatchedStatus},
		{"overloaded in a stream", an, 200, "", "overloaded_error", errcodes.Overloaded, errcodes.ClassOverloaded, errcodes.RetryBackoff, errcodes.MatchedType},
		{"quota told by its code", an, 429, "usage_exceeded", "rate_limit_error", errcodes.UsageExceeded, errcodes.ClassQuotaExhausted, errcodes.RetryNever, errcodes.MatchedCode},
		{"rate", an, 429, "", "rate_limit_error", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedType},
		{"api_error in a stream", an, 200, "", "api_error", errcodes.Internal, errcodes.ClassServerError, errcodes.RetryOnce, errcodes.MatchedType},
		{"word with reason", gg, 429, "RESOURCE_EXHAUSTED", "USAGE_EXCEEDED", errcodes.UsageExceeded, errcodes.ClassQuotaExhausted, errcodes.RetryNever, errcodes.MatchedCode},
		{"word alone", gg, 429, "RESOURCE_EXHAUSTED", "", errcodes.RateLimited, errcodes.ClassRateLimited, errcodes.RetryBackoff, errcodes.MatchedCode},
		{"word and unknown reason", gg, 503, "UNAVAILABLE", "SOMETHING", errcodes.Unavailable, errcodes.ClassOverloaded, errcodes.RetryBackoff, errcodes.MatchedCode},
	}
	for _, tt := range tests {
		t.Run(tt.r.Name()+" "+tt.name, func(t *testing.T) {
			e, by := tt.r.MatchBy(tt.status, tt.wire, tt.typ)
			require.Equal(t, tt.want, e.Code)
			require.Equal(t, tt.class, e.Class)
			require.Equal(t, tt.retry, e.Retry)
			require.Equal(t, tt.by, by)
			require.Equal(t, e, tt.r.Match(tt.status, tt.wire, tt.typ))
		})
	}
}

func TestMatchIsTotal(t *testing.T) {
	tests := map[int]struct {
		class errcodes.Class
		retry errcodes.Retry
	}{
		0: {errcodes.ClassUnknown, errcodes.RetryNever}, 200: {errcodes.ClassUnknown, errcodes.RetryNever},
		402: {errcodes.ClassBilling, errcodes.RetryNever}, 407: {errcodes.ClassAuthentication, errcodes.RetryNever},
		410: {errcodes.ClassNotFound, errcodes.RetryNever}, 414: {errcodes.ClassTooLarge, errcodes.RetryNever},
		422: {errcodes.ClassInvalidRequest, errcodes.RetryNever}, 425: {errcodes.ClassServerError, errcodes.RetryOnce},
		431: {errcodes.ClassTooLarge, errcodes.RetryNever}, 451: {errcodes.ClassPermission, errcodes.RetryNever},
		500: {errcodes.ClassServerError, errcodes.RetryOnce}, 501: {errcodes.ClassUnsupported, errcodes.RetryNever},
		503: {errcodes.ClassOverloaded, errcodes.RetryBackoff}, 504: {errcodes.ClassTimeout, errcodes.RetryBackoff},
		505: {errcodes.ClassUnsupported, errcodes.RetryNever}, 507: {errcodes.ClassServerError, errcodes.RetryOnce},
		522: {errcodes.ClassTimeout, errcodes.RetryBackoff}, 511: {errcodes.ClassAuthentication, errcodes.RetryNever}, 520: {errcodes.ClassServerError, errcodes.RetryBackoff},
		524: {errcodes.ClassTimeout, errcodes.RetryBackoff}, 600: {errcodes.ClassUnknown, errcodes.RetryNever},
	}
	var none *errcodes.Registry
	for status, want := range tests {
		e := none.Match(status, "x", "y")
		require.Equal(t, want.class, e.Class, status)
		require.Equal(t, want.retry, e.Retry, status)
		require.Equal(t, status, e.Status)
		require.Empty(t, e.Code, "the row is of no registry")
		require.Empty(t, e.WireCode())
		require.NotEmpty(t, e.Message)
	}
	for _, r := range append(registries(), none, &errcodes.Registry{}) {
		for status := -1; status < 1000; status++ {
			e := r.Match(status, "no such code", "no such type")
			if status >= 400 && status < 600 {
				require.NotEqual(t, errcodes.ClassUnknown, e.Class, "%s %d", r.Name(), status)
			}
		}
		_, ok := r.Lookup("no such code")
		require.False(t, ok)
	}
	require.Empty(t, none.Name())
	require.Nil(t, none.Dialect())
	require.Empty(t, slices.Collect(none.All()))
}
