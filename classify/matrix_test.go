package classify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// matrixRow is one input to the zero Transport, sent as a POST with a body, and everything that comes of it.
type matrixRow struct {
	name     string
	answers  []answer // the last one for ever
	deadline time.Duration
	setup    func(*Transport, *http.Request)
	attempts int
	waits    []time.Duration // at least; at most a tenth and at most a second more
	stop     Stop
	status   int // 0: an error
	class    errcodes.Class
}

const (
	ms = time.Millisecond
	s1 = time.Second
)

// own is the client's own backoff.
var own = []time.Duration{s1, 2 * s1, 4 * s1}

func asGet(_ *Transport, r *http.Request) {
	r.Method, r.Body, r.GetBody, r.ContentLength = http.MethodGet, nil, nil, 0
}

func withKey(_ *Transport, r *http.Request) { r.Header.Set("Idempotency-Key", "k") }

func ofRunbase(tr *Transport, _ *http.Request) {
	tr.Classifier = &Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}}
}

func with(status int, name, value string) []answer {
	return []answer{{status: status, header: map[string]string{name: value}}}
}

// matrix holds the inputs on which clients in use were measured, and what ours makes of them.
func matrix() []matrixRow {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	date := func(format string, d time.Duration) answer {
		now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
		return answer{status: 429, header: map[string]string{"Date": now.Format(http.TimeFormat), "Retry-After": now.Add(d).Format(format)}}
	}
	rate, over, timeout, failed := errcodes.ClassRateLimited, errcodes.ClassOverloaded, errcodes.ClassTimeout, errcodes.ClassServerError
	three := func(w time.Duration) []time.Duration { return []time.Duration{w, w, w} }
	return []matrixRow{
		{"429, Retry-After 2", with(429, "Retry-After", "2"), 0, nil, 4, three(2 * s1), StopAttempts, 429, rate},
		{"429, a date 3 s ahead", []answer{date(http.TimeFormat, 3*s1)}, 0, nil, 4, three(3 * s1), StopAttempts, 429, rate},
		{"429, the same in RFC 850", []answer{date("Monday, 02-Jan-06 15:04:05 GMT", 3*s1)}, 0, nil, 4, three(3 * s1), StopAttempts, 429, rate},
		{"429, the same in asctime", []answer{date(time.ANSIC, 3*s1)}, 0, nil, 4, three(3 * s1), StopAttempts, 429, rate},
		{"429, a date that has passed", []answer{date(http.TimeFormat, -3*s1)}, 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, a date without the server's own", with(429, "Retry-After", "Sat, 21 Nov 2026 08:00:03 GMT"), 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, Retry-After 1.5", with(429, "Retry-After", "1.5"), 0, nil, 4, three(1500 * ms), StopAttempts, 429, rate},
		{"429, Retry-After 10000000000", with(429, "Retry-After", "10000000000"), 0, nil, 1, nil, StopNever, 429, errcodes.ClassQuotaExhausted},
		{"503, Retry-After 10000000000", with(503, "Retry-After", "10000000000"), 0, nil, 1, nil, StopWait, 503, over},
		{"429, an epoch without a Date", with(429, "Retry-After", "1795248003"), 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, an epoch 3 s ahead", []answer{{status: 429, header: map[string]string{"Date": "Sat, 21 Nov 2026 08:00:00 GMT", "Retry-After": "1795248003"}}}, 0, nil, 4, three(3 * s1), StopAttempts, 429, rate},
		{"429, Retry-After 0", with(429, "Retry-After", "0"), 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, negative", with(429, "Retry-After", "-5"), 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, garbage", with(429, "Retry-After", "soon"), 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, NaN", with(429, "Retry-After", "NaN"), 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, two headers", []answer{{status: 429, headers: http.Header{"Retry-After": {"2", "5"}}}}, 0, nil, 4, three(5 * s1), StopAttempts, 429, rate},
		{"429, Retry-After-Ms wins", []answer{{status: 429, header: map[string]string{"Retry-After-Ms": "2500", "Retry-After": "9"}}}, 0, nil, 4, three(2500 * ms), StopAttempts, 429, rate},
		{"429, no word of a wait", []answer{{status: 429}}, 0, nil, 4, own, StopAttempts, 429, rate},
		{"429, a wait in the text", []answer{{status: 429, body: `{"error":{"message":"Rate limit reached. Please try again in 7.66s."}}`}}, 0, nil, 4, three(7660 * ms), StopAttempts, 429, rate},
		{"429, insufficient_quota", []answer{{status: 429, header: map[string]string{"Retry-After": "1"}, body: `{"error":{"code":"insufficient_quota"}}`}}, 0, nil, 1, nil, StopNever, 429, errcodes.ClassQuotaExhausted},
		{"429, USAGE_EXCEEDED", []answer{{status: 429, body: `{"error":{"code":"USAGE_EXCEEDED","message":"The quota is used up."}}`}}, 0, nil, 1, nil, StopNever, 429, errcodes.ClassQuotaExhausted},
		{"500", []answer{{status: 500}}, 0, nil, 2, own[:1], StopClass, 500, failed},
		{"500, Retry-After 2", with(500, "Retry-After", "2"), 0, nil, 4, three(2 * s1), StopAttempts, 500, failed},
		{"500, 429, 500", []answer{{status: 500}, {status: 429}, {status: 500}}, 0, nil, 3, own[:2], StopClass, 500, failed},
		{"503, Retry-After 86400", with(503, "Retry-After", "86400"), 0, nil, 1, nil, StopWait, 503, over},
		{"429, Retry-After 86400", with(429, "Retry-After", "86400"), 0, nil, 1, nil, StopNever, 429, errcodes.ClassQuotaExhausted},
		{"504", []answer{{status: 504}}, 0, nil, 4, own, StopAttempts, 504, timeout},
		{"504 of RunInfra, nothing changed", []answer{{status: 504, body: `{"error":{"message":"m","type":"timeout_error"}}`}}, 0,
			func(tr *Transport, _ *http.Request) {
				tr.Classifier = &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}}
			}, 1, nil, StopUnchanged, 504, timeout},
		{"the same within a loop", []answer{{status: 504, body: `{"error":{"message":"m","type":"timeout_error"}}`}}, 0,
			func(tr *Transport, r *http.Request) {
				tr.Classifier = &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}}
				r.Header.Set("X-Stainless-Retry-Count", "1")
			}, 1, nil, StopNested, 504, timeout},
		{"408", []answer{{status: 408}}, 0, nil, 4, own, StopAttempts, 408, timeout},
		{"409", []answer{{status: 409}}, 0, nil, 1, nil, StopNever, 409, errcodes.ClassConflict},
		{"425", []answer{{status: 425}}, 0, nil, 4, own, StopAttempts, 425, errcodes.ClassConflict},
		{"507", []answer{{status: 507}}, 0, nil, 1, nil, StopNever, 507, failed},
		{"529", []answer{{status: 529}}, 0, nil, 4, own, StopAttempts, 529, over},
		{"501", []answer{{status: 501}}, 0, nil, 1, nil, StopNever, 501, errcodes.ClassUnsupported},
		{"400", []answer{{status: 400}}, 0, nil, 1, nil, StopNever, 400, errcodes.ClassInvalidRequest},
		{"403, Retry-After 60", with(403, "Retry-After", "60"), 0, nil, 1, nil, StopNever, 403, errcodes.ClassPermission},
		{"connection refused", []answer{{err: refused}}, 0, nil, 4, own, StopAttempts, 0, errcodes.ClassNetwork},
		{"no such host", []answer{{err: &net.DNSError{IsNotFound: true}}}, 0, nil, 1, nil, StopNever, 0, errcodes.ClassNetwork},
		{"reset before the headers, POST", []answer{{err: reset}}, 0, nil, 1, nil, StopUnsafe, 0, errcodes.ClassNetwork},
		{"reset before the headers, POST with a key", []answer{{err: reset}}, 0, withKey, 4, own, StopAttempts, 0, errcodes.ClassNetwork},
		{"reset before the headers, GET", []answer{{err: reset}}, 0, asGet, 4, own, StopAttempts, 0, errcodes.ClassNetwork},
		{"EOF before the headers, POST", []answer{{err: io.EOF}}, 0, nil, 1, nil, StopUnsafe, 0, errcodes.ClassNetwork},
		{"TLS, unknown authority", []answer{{err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}}, 0, nil, 1, nil, StopNever, 0, errcodes.ClassNetwork},
		{"a deadline of 1 s, Retry-After 30", with(429, "Retry-After", "30"), s1, nil, 1, nil, StopDeadline, 429, rate},
		{"a deadline of 1 s, own backoff", []answer{{status: 503}}, s1, nil, 1, nil, StopDeadline, 503, over},
		{"X-Should-Retry: false, 500", with(500, "X-Should-Retry", "false"), 0, nil, 1, nil, StopVeto, 500, failed},
		{"X-Should-Retry: false, 500 of Runbase, which may have done it", with(500, "X-Should-Retry", "false"), 0, ofRunbase, 1, nil, StopUnsafe, 500, failed},
		{"the same with a key", with(500, "X-Should-Retry", "false"), 0, func(tr *Transport, r *http.Request) {
			ofRunbase(tr, r)
			withKey(tr, r)
		}, 1, nil, StopVeto, 500, failed},
		{"X-Should-Retry: true, 400", with(400, "X-Should-Retry", "true"), 0, nil, 4, own, StopAttempts, 400, errcodes.ClassInvalidRequest},
		{"X-Should-Retry: true, quota", []answer{{status: 429, header: map[string]string{"X-Should-Retry": "true"}, body: `{"error":{"code":"insufficient_quota"}}`}}, 0, nil, 1, nil, StopNever, 429, errcodes.ClassQuotaExhausted},
		{"302", []answer{{status: 302}}, 0, nil, 1, nil, StopNone, 302, errcodes.ClassUnknown},
		{"200 with an error in its body", []answer{{status: 200, body: `{"error":{"message":"m"}}`}}, 0, nil, 1, nil, StopNone, 200, errcodes.ClassUnknown},
		{"503, then 200", []answer{{status: 503, header: map[string]string{"Retry-After": "3"}}, {status: 200}}, 0, nil, 2, three(3 * s1)[:1], StopNone, 200, errcodes.ClassUnknown},
		{"refused, then 404", []answer{{err: refused}, {status: 404}}, 0, nil, 2, own[:1], StopNever, 404, errcodes.ClassNotFound},
		{"503, then reset", []answer{{status: 503}, {err: reset}}, 0, nil, 2, own[:1], StopUnsafe, 0, errcodes.ClassNetwork},
	}
}

func TestMatrix(t *testing.T) {
	for _, row := range matrix() {
		t.Run(row.name, func(t *testing.T) { synctest.Test(t, row.run) })
	}
}

func (row *matrixRow) run(t *testing.T) {
	s := &fakeServer{script: row.answers}
	ctx := t.Context()
	if row.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, row.deadline)
		defer cancel()
	}
	tr := &Transport{Base: s}
	req := post(t, ctx, `{"model":"m"}`)
	if row.setup != nil {
		row.setup(tr, req)
	}
	start := time.Now()
	resp, err := tr.RoundTrip(req)
	took := time.Since(start)

	require.Len(t, s.times, row.attempts, "attempts")
	require.Len(t, row.waits, row.attempts-1, "the row itself")
	var least time.Duration
	for i, wait := range s.waits() {
		require.GreaterOrEqual(t, wait, row.waits[i], "never shorter than told")
		require.LessOrEqual(t, wait, row.waits[i]+min(row.waits[i]/10, time.Second))
		least += wait
	}
	require.Equal(t, least, took, "nothing is waited for in vain")

	var e *Error
	last := row.answers[min(row.attempts, len(row.answers))-1]
	if row.status == 0 {
		require.Nil(t, resp)
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, last.err)
	} else {
		require.NoError(t, err)
		require.Equal(t, row.status, resp.StatusCode)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, last.body, string(body), "the provider's answer")
		require.NoError(t, resp.Body.Close())
		e = ErrorOf(resp)
	}
	require.Equal(t, s.open, s.closed, "bodies")
	if row.stop == StopNone {
		require.Nil(t, e)
		return
	}
	require.NotNil(t, e)
	require.Equal(t, row.stop.String(), e.Stop.String())
	require.Equal(t, row.class.String(), e.Decision.Class.String())
	require.Len(t, e.Attempts, row.attempts)
	require.NotEmpty(t, e.Decision.Rule)
	require.NotEmpty(t, e.Decision.Advice)
	require.ErrorIs(t, e, row.class)
	switch row.stop {
	case StopDeadline:
		require.ErrorIs(t, e, context.DeadlineExceeded)
	case StopWait:
		require.True(t, e.RetryAt.After(start.Add(time.Hour)), "it says when to come back")
	default:
	}
}

// A body that breaks off is for its reader: what went before cannot be taken back.
func TestMatrixBrokenBody(t *testing.T) {
	n := 0
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		n++
		return &http.Response{StatusCode: 200, Body: io.NopCloser(iotest.ErrReader(syscall.ECONNRESET)), Request: r}, nil
	})
	resp, err := (&Transport{Base: base}).RoundTrip(post(t, t.Context(), "{}"))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Equal(t, 1, n)
}

// A loop of redirects is the client's business: the Transport adds nothing to it.
func TestMatrixRedirectLoop(t *testing.T) {
	n := 0
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		n++
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/again"}}, Body: http.NoBody, Request: r}, nil
	})
	_, err := (&http.Client{Transport: &Transport{Base: base}}).Do(get(t, t.Context()))
	require.ErrorContains(t, err, "stopped after 10 redirects")
	require.Equal(t, 10, n)
}

// Every row of both registries: a POST, the same with a key, and a GET. What is expected follows from the row alone.
func TestMatrixOfTheProviders(t *testing.T) {
	for _, r := range []*errcodes.Registry{errcodes.RunInfra(), errcodes.Runbase()} {
		for row := range r.All() {
			if row.Source == errcodes.SourceErrwire {
				continue
			}
			for kind, setup := range map[string]func(*Transport, *http.Request){"POST": nil, "keyed": withKey, "GET": asGet} {
				t.Run(fmt.Sprintf("%s/%s/%s", r.Name(), row.Code, kind), func(t *testing.T) {
					wait := 3 * time.Second
					m := matrixRow{status: row.Status, class: row.Class, answers: []answer{{
						status: row.Status, body: string(r.Dialect().Append(nil, row.Body(nil, "req_1"))), header: map[string]string{"Retry-After": "3"},
					}}}
					m.setup = func(tr *Transport, req *http.Request) {
						tr.Classifier = &Classifier{Registries: []*errcodes.Registry{r}}
						if setup != nil {
							setup(tr, req)
						}
					}
					switch row.Retry {
					case errcodes.RetryBackoff:
						m.attempts, m.stop = 4, StopAttempts
					case errcodes.RetryOnce:
						m.attempts, m.stop = 2, StopClass
					case errcodes.RetryChanged:
						m.attempts, m.stop = 1, StopUnchanged
					default:
						m.attempts, m.stop = 1, StopNever
					}
					if row.MaybeExecuted && kind == "POST" && m.attempts > 1 {
						m.attempts, m.stop = 1, StopUnsafe
					}
					for range m.attempts - 1 {
						m.waits = append(m.waits, wait)
					}
					synctest.Test(t, m.run)
				})
			}
		}
	}
}
