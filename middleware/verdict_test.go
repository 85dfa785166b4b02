package middleware

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

func TestDecide(t *testing.T) {
	open := context.Background()
	gone, leave := context.WithCancel(open)
	leave()
	stopped, stop := context.WithCancelCause(open)
	stop(errors.New("shutting down"))
	refused, refuse := context.WithCancelCause(open)
	refuse(&errcodes.Error{Code: errcodes.Overloaded})
	bare, empty := context.WithCancelCause(open)
	empty(&errcodes.Error{})
	expired, release := context.WithDeadline(open, time.Unix(1, 0))
	defer release()
	wrapped := func(err error) error { return fmt.Errorf("run: %w", err) }
	behind := func(class errcodes.Class) error {
		return &upstreamError{class: class, inside: &errcodes.Error{Code: errcodes.InvalidAPIKey, Message: "Theirs."}}
	}

	for _, c := range []struct {
		name      string
		err       error
		ctx, conn context.Context
		want      errcodes.Code
	}{
		{"an error of ours", &errcodes.Error{Code: errcodes.RunNotFound}, open, open, errcodes.RunNotFound},
		{"wrapped", wrapped(&errcodes.Error{Code: errcodes.RunNotFound}), open, open, errcodes.RunNotFound},
		{"joined", errors.Join(errors.New("x"), &errcodes.Error{Code: errcodes.RunNotFound}), open, open, errcodes.RunNotFound},
		{"without a code", &errcodes.Error{}, open, open, errcodes.Internal},
		{"a nil pointer", (*errcodes.Error)(nil), open, open, errcodes.Internal},
		{"foreign", errors.New("x"), open, open, errcodes.Internal},
		{"too long", wrapped(&http.MaxBytesError{Limit: 1}), open, open, errcodes.BodyTooLarge},
		{"late", wrapped(context.DeadlineExceeded), open, open, errcodes.Timeout},
		{"late by its context", wrapped(context.DeadlineExceeded), expired, open, errcodes.Timeout},
		{"late by the connection's context", wrapped(context.DeadlineExceeded), expired, expired, errcodes.Timeout},
		{"http.TimeoutHandler", http.ErrHandlerTimeout, open, open, errcodes.Timeout},
		{"somebody else's cancel", context.Canceled, open, open, errcodes.Internal},
		{"the handler's own cancel", context.Canceled, gone, open, errcodes.Internal},
		{"stopped", wrapped(context.Canceled), stopped, stopped, errcodes.Unavailable},
		{"stopped with an error of ours", wrapped(context.Canceled), refused, refused, errcodes.Overloaded},
		{"stopped with an error of ours without a code", wrapped(context.Canceled), bare, open, errcodes.Internal},
		{"stopped, and another error", errors.New("x"), stopped, stopped, errcodes.Internal},
		{"behind: a refused key", wrapped(behind(errcodes.ClassAuthentication)), open, open, errcodes.BadGateway},
		{"behind: money", behind(errcodes.ClassBilling), open, open, errcodes.BadGateway},
		{"behind: unknown", behind(errcodes.ClassUnknown), open, open, errcodes.BadGateway},
		{"behind: rate", behind(errcodes.ClassRateLimited), open, open, errcodes.Unavailable},
		{"behind: load", wrapped(behind(errcodes.ClassOverloaded)), open, open, errcodes.Unavailable},
		{"behind: late", behind(errcodes.ClassTimeout), open, open, errcodes.Timeout},
		{"behind: given up", behind(errcodes.ClassCanceled), open, open, errcodes.Internal},
		{"behind, and the handler's word", &errcodes.Error{Code: errcodes.Overloaded, Err: behind(errcodes.ClassBilling)}, open, open, errcodes.Overloaded},
		{"behind, and the handler's word beside it", errors.Join(behind(errcodes.ClassBilling), &errcodes.Error{Code: errcodes.Overloaded}), open, open, errcodes.Overloaded},
		{"behind, of our own deadline", &upstreamError{inside: context.DeadlineExceeded}, expired, open, errcodes.Timeout},
		{"behind, of a body of our caller", &upstreamError{inside: &http.MaxBytesError{Limit: 1}}, open, open, errcodes.BodyTooLarge},
		{"behind, and it panics", wrapped((*upstreamError)(nil)), open, open, errcodes.Internal},
		{"gone", wrapped(context.Canceled), gone, gone, errcodes.ClientClosed},
		{"gone, and another error", &errcodes.Error{Code: errcodes.RunNotFound}, gone, gone, errcodes.ClientClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, reg := range []*errcodes.Registry{errcodes.Runbase(), errcodes.RunInfra(), errcodes.Problem()} {
				v := verdict{reg: reg, err: c.err}
				v.decide(c.ctx, callerGone(c.conn))
				require.Equal(t, c.want, v.row.Code)
				require.Equal(t, c.want == errcodes.ClientClosed, v.gone)
				require.Empty(t, v.undeclared)
				require.NotPanics(t, func() { _ = v.cause() })
				if strings.HasPrefix(c.name, "behind:") {
					require.Nil(t, v.public)
				}
			}
		})
	}

	v := verdict{reg: errcodes.Runbase(), err: &errcodes.Error{Code: "nope", Message: "Nope."}}
	v.decide(open, false)
	require.Equal(t, errcodes.Code("nope"), v.undeclared)
	require.Equal(t, errcodes.Internal, v.row.Code)
	require.Nil(t, v.public, "what was meant for another row is not written")
}

// upstreamError is what a client of another server returns.
type upstreamError struct {
	class  errcodes.Class
	wait   time.Duration
	inside error
}

func (e *upstreamError) Error() string                             { return "behind: " + e.inside.Error() }
func (e *upstreamError) Unwrap() error                             { return e.inside }
func (e *upstreamError) Upstream() (errcodes.Class, time.Duration) { return e.class, e.wait }

// The wait that another server asks for is handed on, as far as a header may say it.
func TestUpstreamWait(t *testing.T) {
	for _, c := range []struct {
		class       errcodes.Class
		wait        time.Duration
		status      int
		after, veto string
	}{
		{errcodes.ClassRateLimited, 7 * time.Second, 503, "7", ""},
		{errcodes.ClassOverloaded, time.Hour, 503, "", "false"},
		{errcodes.ClassOverloaded, -time.Hour, 503, "1", ""},
		{errcodes.ClassRateLimited, 0, 503, "1", ""},
		{errcodes.ClassQuotaExhausted, 9 * time.Second, 502, "", ""},
		{errcodes.ClassTimeout, 9 * time.Second, 504, "", ""},
	} {
		for _, reg := range []*errcodes.Registry{errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google()} {
			w := httptest.NewRecorder()
			err := &upstreamError{class: c.class, wait: c.wait, inside: &errcodes.Error{Code: errcodes.RateLimited, Message: "Theirs.", RetryAfter: 8 * time.Second}}
			(&ErrorWriter{Registry: reg, Logger: discard()}).WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.after, w.Header().Get("Retry-After"), "%s %s", reg.Name(), c.class)
			require.Equal(t, c.veto, w.Header().Get("X-Should-Retry"), "%s %s", reg.Name(), c.class)
			require.NotContains(t, w.Body.String(), "Theirs")
		}
	}
}

func TestAdvise(t *testing.T) {
	row := func(status int, retry errcodes.Retry, maybe bool, after time.Duration) errcodes.Entry {
		return errcodes.Entry{Status: status, Retry: retry, MaybeExecuted: maybe, RetryAfter: after}
	}
	const never, once, backoff, changed = errcodes.RetryNever, errcodes.RetryOnce, errcodes.RetryBackoff, errcodes.RetryChanged
	for _, c := range []struct {
		name    string
		row     errcodes.Entry
		wait    time.Duration
		asked   asked
		seconds int
		veto    bool
	}{
		{"400", row(400, never, false, 0), 0, asked{}, 0, false},
		{"400 with a wait", row(400, never, false, 0), time.Second, asked{}, 0, false},
		{"408 never", row(408, never, false, 0), 0, asked{}, 0, true},
		{"409 never", row(409, never, false, 0), 0, asked{}, 0, true},
		{"quota", row(429, never, false, 0), time.Second, asked{}, 0, true},
		{"500 never", row(500, never, false, 0), 0, asked{}, 0, true},
		{"rate", row(429, backoff, false, 2*time.Second), 0, asked{}, 2, false},
		{"rate without a wait", row(429, backoff, false, 0), 0, asked{}, 1, false},
		{"503 without a wait", row(503, backoff, false, 0), 0, asked{}, 1, false},
		{"529 without a wait", row(529, backoff, false, 0), 0, asked{}, 1, false},
		{"504 without a wait", row(504, backoff, false, 0), 0, asked{}, 0, false},
		{"504 with a wait", row(504, backoff, false, 0), time.Second, asked{}, 1, false},
		{"a negative wait is the row's", row(429, backoff, false, 3*time.Second), -time.Second, asked{}, 3, false},
		{"rounded up", row(429, backoff, false, 0), time.Nanosecond, asked{}, 1, false},
		{"rounded up, too", row(429, backoff, false, 0), time.Second + time.Nanosecond, asked{}, 2, false},
		{"a minute", row(429, backoff, false, 0), time.Minute, asked{}, 60, false},
		{"just below", row(429, backoff, false, 0), time.Minute - time.Nanosecond, asked{}, 60, false},
		{"more than a minute", row(429, backoff, false, 0), time.Minute + time.Nanosecond, asked{}, 0, true},
		{"for ever", row(503, backoff, false, 0), math.MaxInt64, asked{}, 0, true},
		{"once", row(500, once, false, 0), 0, asked{}, 0, false},
		{"once with a wait", row(500, once, false, 0), time.Second, asked{}, 1, false},
		{"once, again", row(500, once, false, 0), time.Second, asked{repeated: true}, 0, true},
		{"backoff, again", row(503, backoff, false, 0), time.Second, asked{repeated: true}, 1, false},
		{"changed", row(504, changed, false, 0), time.Second, asked{}, 0, true},
		{"maybe executed", row(500, once, true, 0), time.Second, asked{}, 0, true},
		{"maybe executed, repeatable", row(500, once, true, 0), time.Second, asked{repeatable: true}, 1, false},
		{"maybe executed, repeatable, again", row(500, once, true, 0), 0, asked{repeatable: true, repeated: true}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := advise(&c.row, c.wait, c.asked)
			require.Equal(t, c.seconds, got.seconds)
			require.Equal(t, c.veto, got.veto)
			require.False(t, got.seconds > 0 && got.veto, "a Retry-After beside a veto brings one client back")
		})
	}
}

func FuzzAdvise(f *testing.F) {
	f.Add(429, uint8(2), false, int64(time.Second), int64(0), false, false)
	f.Fuzz(func(t *testing.T, status int, retry uint8, maybe bool, after, wait int64, repeatable, repeated bool) {
		row := errcodes.Entry{Status: status, Retry: errcodes.Retry(retry), MaybeExecuted: maybe, RetryAfter: time.Duration(after)}
		got := advise(&row, time.Duration(wait), asked{repeatable, repeated})
		require.False(t, got.seconds > 0 && got.veto)
		require.True(t, got.seconds >= 0 && got.seconds <= 60)
		if got.long {
			require.Contains(t, waitSentence(&row, nil, got.wait), "Try again in ")
		}
	})
}

func TestAskedBy(t *testing.T) {
	for _, c := range []struct {
		method string
		header []string
		want   asked
	}{
		{"POST", nil, asked{}},
		{"PATCH", nil, asked{}},
		{"GET", nil, asked{repeatable: true}},
		{"HEAD", nil, asked{repeatable: true}},
		{"PUT", nil, asked{repeatable: true}},
		{"DELETE", nil, asked{repeatable: true}},
		{"POST", []string{"Idempotency-Key", "k"}, asked{repeatable: true}},
		{"POST", []string{"Idempotency-Key", ""}, asked{}},
		{"POST", []string{"X-Stainless-Retry-Count", "0"}, asked{}},
		{"POST", []string{"X-Stainless-Retry-Count", "1"}, asked{repeated: true}},
		{"POST", []string{"X-Stainless-Retry-Count", "2"}, asked{repeated: true}},
		{"POST", []string{"X-Stainless-Retry-Count", "-1"}, asked{}},
		{"POST", []string{"X-Stainless-Retry-Count", "true"}, asked{}},
		{"POST", []string{"X-Stainless-Retry-Count", "99999999999999999999"}, asked{}},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		require.Equal(t, c.want, askedBy(r), "%s %v", c.method, c.header)
	}
}

func TestLongWaitsAreSaid(t *testing.T) {
	for _, c := range []struct {
		err  errcodes.Error
		want string
	}{
		{errcodes.Error{Code: errcodes.RateLimited, RetryAfter: time.Hour}, "The rate limit is reached. Try again in 3600 seconds."},
		{errcodes.Error{Code: errcodes.Unavailable, RetryAfter: 61 * time.Second}, "The service is not available just now. Try again in 61 seconds."},
		{errcodes.Error{Code: errcodes.BadGateway, RetryAfter: 90*time.Second + 1}, "The request cannot be served just now. Try again in 91 seconds."},
		{errcodes.Error{Code: errcodes.RateLimited, RetryAfter: time.Hour, Message: "Slow down."}, "Slow down. Try again in 3600 seconds."},
	} {
		for _, reg := range []*errcodes.Registry{errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google()} {
			w := httptest.NewRecorder()
			(&ErrorWriter{Registry: reg, Logger: discard()}).WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), &c.err)
			got, err := reg.Dialect().Decode(w.Body.Bytes())
			require.NoError(t, err)
			require.Equal(t, c.want, got.Message)
			require.Empty(t, w.Header().Get("Retry-After"))
			require.Equal(t, "false", w.Header().Get("X-Should-Retry"))
			if reg.Dialect().Slots()&errcodes.SlotRetryAfter != 0 {
				require.Equal(t, c.err.RetryAfter, got.RetryAfter)
			}
		}
	}
}

func TestWaitIn(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for after, want := range map[string]time.Duration{
		"": 0, "0": 0, "47": 47 * time.Second, "3600": time.Hour, "-1": 0, "1.5": 0, "soon": 0, "+7": 0, "0x10": 0,
		"9223372036": 9223372036 * time.Second, "9223372037": 9223372036 * time.Second, "99999999999999999999": 9223372036 * time.Second,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:04 GMT": 0,
		"Friday, 02-Jan-26 03:04:06 GMT": time.Second, "Fri Jan  2 03:04:07 2026": 2 * time.Second,
		"Mon, 02 Jan 9999 03:04:35 GMT": 1<<63 - 1,
	} {
		require.Equal(t, want, waitIn(after, now), "%q", after)
	}
}

func TestDecideStatus(t *testing.T) {
	now := time.Now()
	for status, code := range statusCodes {
		for _, reg := range []*errcodes.Registry{errcodes.Runbase(), errcodes.OpenAI(), errcodes.Problem()} {
			v := decideStatus(reg, status, nil, now, "text")
			require.Equal(t, code, v.row.Code)
			require.Equal(t, status, v.row.Status)
		}
	}
	v := decideStatus(errcodes.RunInfra(), http.StatusUnsupportedMediaType, nil, now, "")
	require.Equal(t, 400, v.row.Status, "the page puts the content type under 400")
	v = decideStatus(errcodes.OpenAI(), http.StatusGone, nil, now, "")
	require.Equal(t, "Gone.", v.row.Message)
	require.Equal(t, http.StatusGone, v.row.Status)
	require.Equal(t, errcodes.ClassNotFound, v.row.Class)
	v = decideStatus(errcodes.OpenAI(), http.StatusNotImplemented, nil, now, "")
	require.Equal(t, errcodes.RetryNever, v.row.Retry)
	require.Equal(t, "server_error", v.row.Type)
}

func TestCauseTextSurvivesEverything(t *testing.T) {
	require.Empty(t, causeText(nil))
	require.Equal(t, "x", causeText(errors.New("x")))
	require.Contains(t, causeText(panicky{}), "panicked")
	long := causeText(errors.New(strings.Repeat("é", maxCause)))
	require.LessOrEqual(t, len(long), maxCause+len(" (truncated)"))
	require.True(t, strings.HasSuffix(long, " (truncated)"))
	require.Contains(t, panicText(panicky{}), "PANIC", "fmt says so itself")
}

type panicky struct{}

func (panicky) String() string { panic("no") }
func (panicky) Error() string  { panic("no") }
