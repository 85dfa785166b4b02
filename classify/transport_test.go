package classify

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"net"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/internal/pacing"
)

// answer is one scripted answer of a fakeServer.
type answer struct {
	status  int
	header  map[string]string
	headers http.Header // further ones
	body    string
	err     error
	took    time.Duration
}

// fakeServer is a RoundTripper that gives scripted answers, the last one for ever, and keeps count.
type fakeServer struct {
	mu      sync.Mutex
	script  []answer
	times   []time.Time
	bodies  []string
	headers []http.Header
	counts  []int
	open    int
	closed  int
}

type countedBody struct {
	io.Reader
	s    *fakeServer
	once sync.Once
}

func (b *countedBody) Close() error {
	b.once.Do(func() {
		b.s.mu.Lock()
		b.s.closed++
		b.s.mu.Unlock()
	})
	return nil
}

func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	s.mu.Lock()
	a := s.script[min(len(s.times), len(s.script)-1)]
	s.times = append(s.times, time.Now())
	s.bodies = append(s.bodies, string(sent))
	seen := make(http.Header) // as a server sees it
	for k, v := range r.Header {
		seen[http.CanonicalHeaderKey(k)] = slices.Concat(seen[http.CanonicalHeaderKey(k)], v)
	}
	s.headers = append(s.headers, seen)
	s.counts = append(s.counts, ResendCount(r.Context()))
	s.mu.Unlock()
	if a.took > 0 {
		timer := time.NewTimer(a.took)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	h := make(http.Header)
	for k, v := range a.header {
		h.Set(k, v)
	}
	maps.Copy(h, a.headers)
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	return &http.Response{
		StatusCode: a.status, Status: strconv.Itoa(a.status), Header: h, ContentLength: -1,
		Body: &countedBody{Reader: strings.NewReader(a.body), s: s}, Request: r,
	}, nil
}

// waits returns the pauses between the requests that arrived.
func (s *fakeServer) waits() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(s.times); i++ {
		out = append(out, s.times[i].Sub(s.times[i-1]))
	}
	return out
}

func post(t *testing.T, ctx context.Context, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://api.test/v1/chat/completions", strings.NewReader(body))
	require.NoError(t, err)
	return req
}

func get(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.test/v1/models", http.NoBody)
	require.NoError(t, err)
	return req
}

func TestTransportDecides(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	after := func(v string) map[string]string { return map[string]string{"Retry-After": v} }
	quota := `{"error":{"message":"Out of quota.","code":"insufficient_quota","type":"insufficient_quota"}}`
	for _, tt := range []struct {
		name     string
		script   []answer
		get      bool
		key      bool
		deadline time.Duration
		attempts int
		waits    []time.Duration // at least, and at most a tenth more
		stop     Stop
		status   int // 0: an error
	}{
		{"recovers after two 503", []answer{{status: 503, header: after("2")}, {status: 503, header: after("2")}, {status: 200}}, false, false, 0, 3,
			[]time.Duration{2 * time.Second, 2 * time.Second}, StopNone, 200},
		{"429 without a wait backs off", []answer{{status: 429}}, false, false, 0, 4,
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, StopAttempts, 429},
		{"plain 500 twice", []answer{{status: 500}}, false, false, 0, 2, []time.Duration{time.Second}, StopClass, 500},
		{"500, 429, 500 ends at the second 500", []answer{{status: 500}, {status: 429}, {status: 500}}, false, false, 0, 3,
			[]time.Duration{time.Second, 2 * time.Second}, StopClass, 500},
		{"502, 500: of one class, but worth more attempts", []answer{{status: 502}, {status: 500}, {status: 200}}, false, false, 0, 3,
			[]time.Duration{time.Second, 2 * time.Second}, StopNone, 200},
		{"500, no answer: as many attempts, but of another class", []answer{{status: 500}, {err: errors.New("what")}, {status: 200}}, true, false, 0, 3,
			[]time.Duration{time.Second, 2 * time.Second}, StopNone, 200},
		{"400 once", []answer{{status: 400}}, false, false, 0, 1, nil, StopNever, 400},
		{"quota is not rate", []answer{{status: 429, header: after("1"), body: quota}}, false, false, 0, 1, nil, StopNever, 429},
		{"a day is too long", []answer{{status: 503, header: after("86400")}}, true, false, 0, 1, nil, StopWait, 503},
		{"two minutes are too long", []answer{{status: 503, header: after("120")}}, true, false, 0, 1, nil, StopWait, 503},
		{"1e10 does not overflow", []answer{{status: 503, header: after("10000000000")}}, true, false, 0, 1, nil, StopWait, 503},
		{"61 s are too long", []answer{{status: 429, header: after("61")}}, true, false, 0, 1, nil, StopWait, 429},
		{"60 s are not", []answer{{status: 429, header: after("60")}, {status: 200}}, true, false, 0, 2, []time.Duration{time.Minute}, StopNone, 200},
		{"deadline before the wait", []answer{{status: 429, header: after("30")}}, false, false, time.Second, 1, nil, StopDeadline, 429},
		{"veto", []answer{{status: 503, header: map[string]string{"X-Should-Retry": "false"}}}, false, false, 0, 1, nil, StopVeto, 503},
		{"true does not lift a quota", []answer{{status: 429, header: map[string]string{"X-Should-Retry": "true"}, body: quota}}, false, false, 0, 1, nil, StopNever, 429},
		{"refused is safe", []answer{{err: refused}, {err: refused}, {status: 200}}, false, false, 0, 3,
			[]time.Duration{time.Second, 2 * time.Second}, StopNone, 200},
		{"reset POST is ambiguous", []answer{{err: reset}}, false, false, 0, 1, nil, StopUnsafe, 0},
		{"reset POST with key", []answer{{err: reset}, {status: 200}}, false, true, 0, 2, []time.Duration{time.Second}, StopNone, 200},
		{"reset GET", []answer{{err: reset}}, true, false, 0, 4, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, StopAttempts, 0},
		{"EOF POST", []answer{{err: io.EOF}}, false, false, 0, 1, nil, StopUnsafe, 0},
		{"no such host", []answer{{err: &net.DNSError{IsNotFound: true}}}, true, false, 0, 1, nil, StopNever, 0},
		{"a response after errors wins", []answer{{err: refused}, {status: 404}}, true, false, 0, 2, []time.Duration{time.Second}, StopNever, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: tt.script}
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				req := post(t, ctx, `{"model":"m"}`)
				if tt.get {
					req = get(t, ctx)
				}
				if tt.key {
					req.Header.Set("Idempotency-Key", "k")
				}
				before := req.Header.Clone()
				start := time.Now()
				resp, err := (&Transport{Base: s}).RoundTrip(req)
				require.Equal(t, before, req.Header, "the request was changed")
				require.Len(t, s.times, tt.attempts)
				for i, w := range s.waits() {
					require.GreaterOrEqual(t, w, tt.waits[i])
					require.LessOrEqual(t, w, tt.waits[i]+min(tt.waits[i]/10, time.Second))
				}
				require.Len(t, s.waits(), len(tt.waits))
				if len(tt.waits) == 0 {
					require.Zero(t, time.Since(start), "waited for nothing")
				}
				for i, b := range s.bodies {
					if !tt.get {
						require.Equal(t, `{"model":"m"}`, b)
					}
					require.Equal(t, i, s.counts[i])
				}
				var e *Error
				if tt.status == 0 {
					require.Nil(t, resp)
					require.ErrorAs(t, err, &e)
				} else {
					require.NoError(t, err)
					require.Equal(t, tt.status, resp.StatusCode)
					e = ErrorOf(resp)
					got, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.Equal(t, tt.script[min(tt.attempts, len(tt.script))-1].body, string(got))
					require.NoError(t, resp.Body.Close())
					if tt.stop == StopNone {
						require.Nil(t, e)
						require.Empty(t, resp.Header.Get("X-Should-Retry"))
						require.Len(t, AttemptsOf(resp), tt.attempts)
						require.Equal(t, 200, AttemptsOf(resp)[tt.attempts-1].Status)
						require.Zero(t, AttemptsOf(resp)[tt.attempts-1].Decision)
					} else {
						require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
						require.Equal(t, e.Attempts, AttemptsOf(resp))
					}
				}
				if tt.stop != StopNone {
					require.NotNil(t, e)
					require.Equal(t, tt.stop.String(), e.Stop.String())
					require.Len(t, e.Attempts, tt.attempts)
					require.ErrorIs(t, e, e.Decision.Class)
				}
				require.Equal(t, s.open, s.closed, "a response body was left open")
			})
		})
	}
}

func TestTransportKeepsTheProvidersErrorBesideTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 429, header: map[string]string{"Retry-After": "30"}, body: `{"error":{"message":"slow down"}}`}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		resp, err := (&Transport{Base: s}).RoundTrip(post(t, ctx, "{}"))
		require.NoError(t, err)
		e := ErrorOf(resp)
		require.ErrorIs(t, e, context.DeadlineExceeded)
		require.ErrorIs(t, e, errcodes.ClassRateLimited)
		require.Equal(t, time.Now().Add(30*time.Second), e.RetryAt)
		require.Equal(t, "slow down", e.Decision.Message)
		require.True(t, e.Timeout())
	})
}

// A base may answer from a header of its own, to many: what is said to this caller does not stand in it.
func TestTransportLeavesTheBasesHeaderAlone(t *testing.T) {
	own := http.Header{"Content-Type": {"text/plain"}}
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Header: own, Body: http.NoBody, Request: r}, nil
	})
	resp, err := (&Transport{Base: base}).RoundTrip(get(t, t.Context()))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	require.Equal(t, http.Header{"Content-Type": {"text/plain"}}, own)
}

// Clients that were refused at once do not come back at once: each adds to the wait by chance, but not so much that its own deadline passes.
func TestWaitsAreSpread(t *testing.T) {
	const wait = 10 * time.Second
	script := []answer{{status: 503, header: map[string]string{"Retry-After": "10"}}, {status: 200}}
	for _, tt := range []struct {
		name     string
		deadline time.Duration
		most     time.Duration
	}{
		{"no deadline", 0, wait / 10},
		{"a deadline close behind", wait + 100*time.Millisecond, 50 * time.Millisecond},
	} {
		for name, call := range map[string]func(context.Context, *fakeServer) error{
			"Transport": func(ctx context.Context, s *fakeServer) error {
				resp, err := (&Transport{Base: s}).RoundTrip(get(t, ctx))
				if err != nil {
					return err
				}
				return resp.Body.Close()
			},
			"Do": func(ctx context.Context, s *fakeServer) error {
				_, err := Do(ctx, &Policy{Signal: sdkSignal}, func(ctx context.Context) (int, error) {
					resp, err := s.RoundTrip(get(t, ctx))
					if err != nil || resp.StatusCode == http.StatusOK {
						return 0, err
					}
					return 0, errors.Join(resp.Body.Close(), &sdkError{status: resp.StatusCode, header: resp.Header})
				})
				return err
			},
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					seen := make(map[time.Duration]bool)
					const calls = 20
					for range calls {
						ctx, cancel := t.Context(), context.CancelFunc(func() {})
						if tt.deadline > 0 {
							ctx, cancel = context.WithTimeout(ctx, tt.deadline)
						}
						s := &fakeServer{script: script}
						require.NoError(t, call(ctx, s))
						cancel()
						waits := s.waits()
						require.Len(t, waits, 1)
						require.GreaterOrEqual(t, waits[0], wait)
						require.LessOrEqual(t, waits[0], wait+tt.most)
						seen[waits[0]] = true
					}
					if tt.deadline == 0 {
						require.Greater(t, len(seen), calls/2)
					}
				})
			})
		}
	}
}

func TestTransportCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"Retry-After": "30"}, body: `{"error":{"message":"busy"}}`}}}
		cause := errors.New("the user left")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-time.NewTimer(3 * time.Second).C
			cancel(cause)
		}()
		start := time.Now()
		resp, err := (&Transport{Base: s}).RoundTrip(post(t, ctx, "{}"))
		require.Nil(t, resp)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, errcodes.ClassOverloaded)
		require.ErrorContains(t, err, "busy")
		require.Len(t, s.times, 1)
		require.Equal(t, s.open, s.closed)
	})
}

// A request has a second way to be cancelled, which an http.Client with a Timeout still uses.
func TestTransportRequestCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503, header: map[string]string{"Retry-After": "30"}}}}
		gone := make(chan struct{})
		time.AfterFunc(3*time.Second, func() { close(gone) })
		req := post(t, t.Context(), "{}")
		req.Cancel = gone //nolint:staticcheck // it is what is tested
		start := time.Now()
		_, err := (&Transport{Base: s}).RoundTrip(req)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errcodes.ClassOverloaded)
		require.Equal(t, s.open, s.closed)
	})
}

// pastContext has a deadline of which it does not know itself, like that of an http.Client.
type pastContext struct {
	context.Context //nolint:containedctx // it is one

	deadline time.Time
}

func (c pastContext) Deadline() (time.Time, bool) { return c.deadline, true }

// A call that was cancelled at its deadline is out of time, whoever was first to end it.
func TestTransportDeadlineOfSomebodyElse(t *testing.T) {
	for after, late := range map[time.Duration]bool{time.Second: false, 5 * time.Second: true, 6 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(after, cancel)
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			_, err := (&Transport{Base: base}).RoundTrip(get(t, pastContext{ctx, time.Now().Add(5 * time.Second)}))
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, late, errors.Is(err, context.DeadlineExceeded))
		})
	}
}

// What a Transport further down concluded at a later attempt ends the call, with the attempts that this one made before.
func TestTransportOverOneThatConcludesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusing := &script{admit: func(Admission) (Pass, error) { return Pass{}, errBroken }}
		inner, n := &Transport{Base: &fakeServer{}, Gate: refusing}, 0
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return nil, io.EOF
			}
			return inner.RoundTrip(r)
		})
		_, err := (&Transport{Base: base}).RoundTrip(get(t, t.Context()))
		e, ok := err.(*Error)
		require.True(t, ok)
		require.Equal(t, 2, n)
		require.Len(t, e.Attempts, 2)
		require.ErrorIs(t, e.Attempts[0].Err, io.EOF)
		require.Equal(t, StopNested, e.Stop)
		require.ErrorIs(t, err, errBroken)
	})
}

func TestTransportMutatesTheRequest(t *testing.T) {
	changed := `{"error":{"message":"The request took too long.","type":"timeout_error"}}`
	for _, tt := range []struct {
		name   string
		hook   func(*http.Request, Decision) (*http.Request, error)
		body   string
		sent   []string
		stop   Stop
		status int
	}{
		{"no hook", nil, `{}`, []string{`{}`}, StopUnchanged, 504},
		{"lower", LowerMaxTokens(16), `{"messages":[],"max_tokens":4096}`, []string{`{"messages":[],"max_tokens":4096}`, `{"messages":[],"max_tokens":16}`}, StopNone, 200},
		{"stream", SetStream, `{"stream":false}`, []string{`{"stream":false}`, `{"stream":true}`}, StopNone, 200},
		{"nothing to change", SetStream, `{"stream":true}`, []string{`{"stream":true}`}, StopUnchanged, 504},
		{"broken", SetStream, `{"stream":`, []string{`{"stream":`}, StopMutateHook, 504},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 504, body: changed}, {status: 200}}}
				tr := &Transport{
					Base: s, MutateRequest: tt.hook,
					Classifier: &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
				}
				resp, err := tr.RoundTrip(post(t, t.Context(), tt.body))
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				require.Equal(t, tt.sent, s.bodies)
				if e := ErrorOf(resp); tt.stop != StopNone {
					require.Equal(t, tt.stop, e.Stop)
					require.Equal(t, errcodes.Timeout, errcodes.CodeOf(e))
				}
				resp.Body.Close()
				require.Equal(t, s.open, s.closed)
			})
		})
	}
}

// A hook may make another request: it is the one that is sent, as an attempt of this call, and its body is the one that has to be had again.
func TestTransportSendsTheRequestOfTheHook(t *testing.T) {
	changed := answer{status: 504, body: `{"error":{"message":"The request took too long.","type":"timeout_error"}}`}
	for _, tt := range []struct {
		name    string
		getBody bool
		sent    []string
		stop    Stop
	}{
		{"with a body that can be had again", true, []string{"{}", "other", "other"}, StopNone},
		{"with one that cannot", false, []string{"{}", "other"}, StopBody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{changed, {status: 503}, {status: 200}}}
				g := &script{}
				tr := &Transport{
					Base: s, Gate: g, Classifier: &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
					MutateRequest: func(r *http.Request, _ Decision) (*http.Request, error) {
						other, err := http.NewRequestWithContext(context.Background(), r.Method, r.URL.String(), strings.NewReader("other"))
						if err == nil && !tt.getBody {
							other.GetBody = nil
						}
						return other, err
					},
				}
				resp, err := tr.RoundTrip(post(t, t.Context(), "{}"))
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, tt.sent, s.bodies)
				for i, n := range s.counts {
					require.Equal(t, i, n)
					require.Equal(t, i, ResendCount(g.reports[i].Request.Context()), "the gate is told of the request that was sent")
				}
				if tt.stop != StopNone {
					require.Equal(t, tt.stop, ErrorOf(resp).Stop)
				}
			})
		})
	}
}

// A body that is encoded is not read, and a length that stands in the header is that of the body.
func TestLowerMaxTokensHeaders(t *testing.T) {
	req := post(t, t.Context(), `{"messages":[]}`)
	req.Header.Set("Content-Encoding", "gzip")
	got, err := LowerMaxTokens(16)(req, Decision{})
	require.NoError(t, err)
	require.Nil(t, got)

	req = post(t, t.Context(), `{"messages":[]}`)
	req.Header.Set("Content-Length", "15")
	got, err = LowerMaxTokens(16)(req, Decision{})
	require.NoError(t, err)
	b, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(len(b)), got.Header.Get("Content-Length"))
}

func TestLowerMaxTokens(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{`{"messages":[]}`, `{"max_tokens":16,"messages":[]}`},
		{` { "prompt" : "x" } `, ` {"max_tokens":16, "prompt" : "x" } `},
		{`{"max_completion_tokens":1e3,"max_tokens" : 99}`, `{"max_completion_tokens":16,"max_tokens" : 16}`},
		{`{"max_tokens":4}`, ``},
		{`{"messages":[],"max_tokens":null}`, `{"messages":[],"max_tokens":16}`},
		{`{"messages":[],"max_completion_tokens":null}`, `{"messages":[],"max_completion_tokens":16}`},
		{`{"max_completion_tokens":null,"max_tokens":null}`, `{"max_completion_tokens":null,"max_tokens":16}`},
		{`{"max_tokens":null,"max_completion_tokens":null}`, `{"max_tokens":null,"max_completion_tokens":16}`},
		{`{"max_completion_tokens":99,"max_tokens":null}`, `{"max_completion_tokens":16,"max_tokens":null}`},
		{`{"max_completion_tokens":9,"max_tokens":null}`, ``},
		{`{"input":"x","max_output_tokens":null}`, `{"input":"x","max_output_tokens":16}`},
		{`{"max_tokens":99,"messages":[],"max_tokens":null}`, `{"max_tokens":16,"messages":[],"max_tokens":16}`},
		{`{"max_tokens":null,"max_tokens":9}`, ``},
		{`{"max_tokens":null,"max_completion_tokens":null,"max_tokens":99}`, `{"max_tokens":null,"max_completion_tokens":null,"max_tokens":16}`},
		{`{"max_tokens":1e400}`, `{"max_tokens":16}`},
		{`{"max_tokens":1E3}`, `{"max_tokens":16}`},
		{`{"max_tokens":-1}`, `{"max_tokens":16}`},
		{`{"max_tokens":"4096"}`, `{"max_tokens":16}`},
		{`{"max_tokens":"\u0034096"}`, `{"max_tokens":16}`},
		{`{"max_tokens":"9","messages":[]}`, ``},
		{`{"max_tokens":"auto","messages":[]}`, ``},
		{`{"max_tokens":[99],"messages":[]}`, ``},
		{`{"input":{"prompt":"x"}}`, ``},
		{`{"nested":{"max_tokens":99},"max_tokens":99}`, `{"nested":{"max_tokens":99},"max_tokens":16}`},
	} {
		req := post(t, t.Context(), tt.in)
		got, err := LowerMaxTokens(16)(req, Decision{})
		require.NoError(t, err)
		if tt.out == "" {
			require.Nil(t, got)
			continue
		}
		b, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Equal(t, tt.out, string(b))
		require.Equal(t, int64(len(b)), got.ContentLength)
		again, err := got.GetBody()
		require.NoError(t, err)
		b, err = io.ReadAll(again)
		require.NoError(t, err)
		require.Equal(t, tt.out, string(b))
	}
	for _, in := range []string{`[]`, `{`, `{} {}`, `"x"`} {
		_, err := LowerMaxTokens(16)(post(t, t.Context(), in), Decision{})
		require.Error(t, err, in)
	}
	_, err := LowerMaxTokens(0)(post(t, t.Context(), `{}`), Decision{})
	require.Error(t, err)
}

// What cannot be read is not changed, and what has no body has nothing to change.
func TestMutateOfEncodedBodies(t *testing.T) {
	for _, tt := range []struct {
		encoding, body string
		changed        bool
	}{
		{"", `{"stream":false}`, true}, {"identity", `{"stream":false}`, true}, {"Identity", `{"stream":false}`, true},
		{"gzip", `{"stream":false}`, false}, {"", "", false},
	} {
		req := post(t, t.Context(), tt.body)
		req.Header.Set("Content-Encoding", tt.encoding)
		got, err := SetStream(req, Decision{})
		require.NoError(t, err)
		require.Equal(t, tt.changed, got != nil, tt)
	}
	req := post(t, t.Context(), "")
	req.Body = nil
	got, err := SetStream(req, Decision{})
	require.NoError(t, err)
	require.Nil(t, got)
}

func TestTransportWithoutGetBody(t *testing.T) {
	s := &fakeServer{script: []answer{{status: 503}}}
	req := post(t, t.Context(), "{}")
	req.GetBody = nil
	resp, err := (&Transport{Base: s}).RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, StopBody, ErrorOf(resp).Stop)
	require.Len(t, s.times, 1)
	require.NoError(t, resp.Body.Close())
}

func TestTransportLeavesRetryingToTheLoopAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		req := get(t, t.Context())
		req.Header.Set("X-Stainless-Retry-Count", "1")
		resp, err := (&Transport{Base: s}).RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, StopNested, ErrorOf(resp).Stop)
		require.Len(t, s.times, 1)
		resp.Body.Close()

		for _, script := range [][]answer{{{status: 503}}, {{err: io.EOF}}} {
			s = &fakeServer{script: script}
			resp, err = (&Transport{Base: &Transport{Base: s}}).RoundTrip(get(t, t.Context()))
			require.Len(t, s.times, 4, "two loops must not multiply")
			if err == nil {
				require.Len(t, ErrorOf(resp).Attempts, 4)
				resp.Body.Close()
			} else {
				var e *Error
				require.ErrorAs(t, err, &e)
				require.Len(t, e.Attempts, 4)
			}
		}
	})
}

// What net/http refuses to send is a fault of the program: it was not sent, it is not tried again, and it says nothing about the server.
func TestTransportRequestsThatCannotBeSent(t *testing.T) {
	var served atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer srv.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	for _, tt := range []struct {
		name string
		make func(*http.Request)
	}{
		{"a key that ends in a newline", func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk-abc\n") }},
		{"a name of two words", func(r *http.Request) { r.Header["X Y"] = []string{"1"} }},
		{"an empty name", func(r *http.Request) { r.Header[""] = []string{"1"} }},
		{"a trailer", func(r *http.Request) { r.Trailer = http.Header{"X": {"a\x00"}} }},
		{"no header", func(r *http.Request) { r.Header = nil }},
		{"a method of two words", func(r *http.Request) { r.Method += " X" }},
		{"a length without a body", func(r *http.Request) { r.Body, r.GetBody, r.ContentLength = nil, nil, 10 }},
		{"a query with a newline", func(r *http.Request) { r.URL.RawQuery = "key=k\n" }},
		{"another scheme", func(r *http.Request) { r.URL.Scheme = "ftp" }},
		{"no scheme", func(r *http.Request) { r.URL.Scheme = "" }},
		{"no host", func(r *http.Request) { r.URL.Host = "" }},
		{"no URL", func(r *http.Request) { r.URL = nil }},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for name, over := range map[string]http.RoundTripper{"": base, "/over another": &Transport{Base: base}} {
				t.Run(tt.name+"/"+method+name, func(t *testing.T) {
					req, err := http.NewRequestWithContext(t.Context(), method, srv.URL, strings.NewReader("{}"))
					require.NoError(t, err)
					tt.make(req)
					paid, told := &ledger{}, &reports{}
					_, err = (&Transport{Base: over, Budget: paid, Gate: told}).RoundTrip(req)
					e, ok := errors.AsType[*Error](err)
					require.True(t, ok)
					require.Equal(t, netMisuse.decision(), e.Decision, "%v", err)
					require.Equal(t, StopNever, e.Stop)
					require.Len(t, e.Attempts, 1)
					require.Empty(t, paid.deposits, "no server has served this")
					require.Len(t, *told, 1)
					require.Equal(t, pacing.Unknown, outcomeOf((*told)[0].Failure).Kind)
				})
			}
		}
	}
	require.Zero(t, served.Load())
}

// A base may send what net/http would not, so a failure of a known kind counts as what it is.
func TestTransportOverABaseWithASchemeOfItsOwn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		err      error
		attempts int
		rule     string
	}{
		{"refused", &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}, 4, netRefused.rule},
		{"reset", &net.OpError{Op: "read", Net: "unix", Err: syscall.ECONNRESET}, 4, netReset.rule},
		{"closed", &net.OpError{Op: "read", Net: "unix", Err: net.ErrClosed}, 4, netReset.rule},
		{"of no known kind", errors.New("unsupported"), 1, netMisuse.rule},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{err: tt.err}}}
				req := get(t, t.Context())
				req.URL.Scheme, req.Header = "http+unix", nil
				_, err := (&Transport{Base: s}).RoundTrip(req)
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, tt.rule, e.Decision.Rule)
				require.Len(t, s.times, tt.attempts)
			})
		})
	}
}

// Whatever stands in Base happens for each attempt: each has a signature of its own.
func TestTransportSignsEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}, {status: 503}, {status: 200}}}
		n := 0
		signer := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			n++
			r = r.Clone(r.Context())
			r.Header.Set("Signature", strconv.Itoa(n))
			return s.RoundTrip(r)
		})
		resp, err := (&Transport{Base: signer}).RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		for i, h := range s.headers {
			require.Equal(t, strconv.Itoa(i+1), h.Get("Signature"))
		}
		require.Len(t, s.headers, 3)
	})
}

// A client library whose retry it is has the decision, unless nobody is to send the request again, or the attempts of a call are used up.
func TestTransportLeavesTheLibraryTheDecision(t *testing.T) {
	gone, err := errcodes.RunInfra().With(errcodes.Entry{
		Code: "gone_wrong", Wire: errcodes.NoCode, Type: "gone_wrong", Status: 500, Class: errcodes.ClassServerError, Retry: errcodes.RetryOnce, MaybeExecuted: true,
		Message: "m", Cause: "c", Fix: "f", Source: "s",
	})
	require.NoError(t, err)
	begun := answer{status: 500, body: `{"error":{"message":"m","type":"gone_wrong"}}`}
	for _, tt := range []struct {
		name   string
		count  string // X-Stainless-Retry-Count
		resend int    // of a loop further out
		tr     *Transport
		answer answer
		key    string
		stop   Stop
		header string // X-Should-Retry
	}{
		{"a retry of the library", "1", 0, &Transport{}, answer{status: 503}, "", StopNested, ""},
		{"another one", "2", 0, &Transport{}, answer{status: 500}, "", StopNested, ""},
		{"the server's word", "1", 0, &Transport{}, answer{status: 503, header: map[string]string{"X-Should-Retry": "true"}}, "", StopNested, "true"},
		{"the server's veto", "1", 0, &Transport{}, answer{status: 503, header: map[string]string{"X-Should-Retry": "false"}}, "", StopVeto, "false"},
		{"never", "1", 0, &Transport{}, answer{status: 400}, "", StopNever, "false"},
		{"work that may have begun", "1", 0, &Transport{}, begun, "", StopNested, "false"},
		{"work that may have begun, with a key", "1", 0, &Transport{}, begun, "k", StopNested, ""},
		{"work that may be done twice", "1", 0, &Transport{ReplayAmbiguous: true}, begun, "", StopNested, ""},
		{"only a changed request", "1", 0, &Transport{}, answer{status: 504}, "", StopNested, "false"},
		{"no retries at all", "1", 0, &Transport{MaxAttempts: 1}, answer{status: 503}, "", StopNested, "false"},
		{"the last attempt", "3", 0, &Transport{}, answer{status: 503}, "", StopNested, "false"},
		{"a loop around the library", "1", 1, &Transport{}, answer{status: 503}, "", StopNested, "false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeServer{script: []answer{tt.answer}}
			tt.tr.Base, tt.tr.Classifier = s, &Classifier{Registries: []*errcodes.Registry{gone}}
			ctx := t.Context()
			if tt.resend > 0 {
				ctx = context.WithValue(ctx, attemptKey{}, tt.resend)
			}
			req := post(t, ctx, "{}")
			req.Header.Set("X-Stainless-Retry-Count", tt.count)
			if tt.key != "" {
				req.Header.Set("Idempotency-Key", tt.key)
			}
			resp, err := tt.tr.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Len(t, s.times, 1)
			require.Equal(t, tt.stop, ErrorOf(resp).Stop)
			require.Equal(t, tt.header, resp.Header.Get("X-Should-Retry"))
		})
	}
}

func TestTransportIdempotencyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{err: io.EOF}, {status: 503}, {status: 200}}}
		tr := &Transport{Base: s, IdempotencyKeys: true}
		req := post(t, t.Context(), "{}")
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Empty(t, req.Header)
		key := s.headers[0].Get("Idempotency-Key")
		require.Len(t, key, 26)
		for _, h := range s.headers {
			require.Equal(t, key, h.Get("Idempotency-Key"))
		}
		_, err = tr.RoundTrip(post(t, t.Context(), "{}"))
		require.NoError(t, err)
		require.NotEqual(t, key, s.headers[3].Get("Idempotency-Key"))
	})
}

// Another body does not go out under the same key of ours. Whoever sets a key decides about it, and the keys of a repetition stay.
func TestTransportKeysOfChangedRequests(t *testing.T) {
	lower := LowerMaxTokens(1)
	for _, tt := range []struct {
		name string
		key  string // the caller's
		hook func(*http.Request, Decision) (*http.Request, error)
	}{
		{"ours", "", lower},
		{"the caller's", "caller", lower},
		{"the hook's", "", func(req *http.Request, d Decision) (*http.Request, error) {
			req.Header.Set("Idempotency-Key", "hook")
			return lower(req, d)
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{script: []answer{{status: 503}, {status: 504}, {status: 503}, {status: 200}}}
			tr := &Transport{
				Base: s, IdempotencyKeys: true, MutateRequest: tt.hook,
				Classifier: &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
			}
			req := post(t, t.Context(), `{"messages":[]}`)
			if tt.key != "" {
				req.Header.Set("Idempotency-Key", tt.key)
			}
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
			require.NotEqual(t, s.bodies[1], s.bodies[2])
			key := func(i int) string { return s.headers[i].Get("Idempotency-Key") }
			require.Equal(t, key(0), key(1))
			require.Equal(t, key(2), key(3))
			require.NotEmpty(t, key(2))
			switch tt.name {
			case "ours":
				require.NotEqual(t, key(1), key(2))
				require.Len(t, key(2), 26)
			case "the caller's":
				require.Equal(t, "caller", key(2))
			case "the hook's":
				require.Equal(t, "hook", key(2))
			}
		})
	}
}

// A fresh key does not guard work that may have begun under the one before.
func TestTransportChangesNothingThatMayHaveBegun(t *testing.T) {
	registry, err := errcodes.RunInfra().With(errcodes.Entry{
		Code: "gone_wrong", Wire: errcodes.NoCode, Type: "gone_wrong", Status: 504, Class: errcodes.ClassTimeout, Retry: errcodes.RetryChanged, MaybeExecuted: true,
		Message: "m", Cause: "c", Fix: "f", Source: "s",
	})
	require.NoError(t, err)
	s := &fakeServer{script: []answer{{status: 504, body: `{"error":{"message":"m","type":"gone_wrong"}}`}}}
	tr := &Transport{Base: s, IdempotencyKeys: true, MutateRequest: LowerMaxTokens(1), Classifier: &Classifier{Registries: []*errcodes.Registry{registry}}}
	resp, err := tr.RoundTrip(post(t, t.Context(), `{"messages":[]}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, StopUnsafe, ErrorOf(resp).Stop)
	require.Len(t, s.times, 1)
}

// A loop around a Transport that says so makes it leave the retries to that loop from the second attempt on, and not before.
func TestTransportInsideALoop(t *testing.T) {
	for count, want := range map[string]int{"0": 4, "-1": 4, "x": 4, "1": 1, "2": 1} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{script: []answer{{status: 503}}}
			req := get(t, t.Context())
			req.Header.Set("X-Stainless-Retry-Count", count)
			resp, err := (&Transport{Base: s}).RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Len(t, s.times, want, count)
		})
	}
	// Another Transport says so by the context alone.
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		inner := &Transport{Base: s}
		hides := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			resp, err := inner.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: resp.StatusCode, Header: http.Header{}, Body: resp.Body}, nil
		})
		resp, err := (&Transport{Base: hides}).RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Len(t, s.times, 4+3)
	})
}

// Whatever ends a call whose next attempt was made ready, the body of that attempt is closed.
func TestTransportClosesTheBodiesItMakes(t *testing.T) {
	changing := func(hook func(*http.Request) (*http.Request, error)) func(*Transport, context.CancelFunc) {
		return func(tr *Transport, _ context.CancelFunc) {
			tr.Classifier = &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}}
			tr.MutateRequest = func(r *http.Request, _ Decision) (*http.Request, error) { return hook(r) }
		}
	}
	for name, spoil := range map[string]func(*Transport, context.CancelFunc){
		"canceled in the wait": func(_ *Transport, cancel context.CancelFunc) { time.AfterFunc(500*time.Millisecond, cancel) },
		"refused by the gate": func(tr *Transport, _ context.CancelFunc) {
			tr.Gate = &script{admit: func(a Admission) (Pass, error) {
				if a.FirstFailed.IsZero() {
					return Pass{}, nil
				}
				return Pass{}, errBroken
			}}
		},
		"an observer panics": func(tr *Transport, _ context.CancelFunc) {
			tr.Observer = observerFunc(func(*AttemptEvent) { panic("hook") })
		},
		"the hook fails":  changing(func(*http.Request) (*http.Request, error) { return nil, errBroken }),
		"nothing changed": changing(func(*http.Request) (*http.Request, error) { return nil, nil }), //nolint:nilnil // documented
		"the hook makes another request": changing(func(r *http.Request) (*http.Request, error) {
			return http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), strings.NewReader("other"))
		}),
		"the hook reads the body": changing(func(r *http.Request) (*http.Request, error) { return LowerMaxTokens(1)(r, Decision{}) }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 504, body: `{"error":{"message":"m","type":"timeout_error"}}`}, {status: 200}}}
				tr := &Transport{Base: s}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				spoil(tr, cancel)
				req := post(t, ctx, `{"messages":[]}`)
				var made []*spyBody
				req.GetBody = func() (io.ReadCloser, error) {
					made = append(made, &spyBody{Reader: strings.NewReader(`{"messages":[]}`)})
					return made[len(made)-1], nil
				}
				func() {
					defer func() { _ = recover() }()
					if resp, err := tr.RoundTrip(req); err == nil {
						resp.Body.Close()
					}
				}()
				require.Len(t, made, 1)
				require.Positive(t, made[0].closed)
			})
		})
	}
}

func TestTransportBackOffPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		tr := &Transport{Base: s, MaxAttempts: 10, NewBackOff: func() backoff.BackOff {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(10*time.Second), 2)
		}}
		for range 2 { // each call has a policy of its own
			s.times = nil
			resp, err := tr.RoundTrip(get(t, t.Context()))
			require.NoError(t, err)
			require.Equal(t, StopBackOff, ErrorOf(resp).Stop)
			require.Len(t, s.times, 3)
			resp.Body.Close()
		}
	})
}

// What a policy of backoff returns is held to what a wait may be.
func TestTransportBackOffPolicyBounds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy backoff.BackOff
		want   time.Duration
	}{
		{"longer than MaxWait", backoff.NewConstantBackOff(10 * time.Second), 3 * time.Second},
		{"negative", backoff.NewConstantBackOff(-5 * time.Second), 0},
		{"nil", nil, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 503}, {status: 200}}}
				r := &recorder{}
				tr := &Transport{Base: s, MaxWait: 3 * time.Second, Observer: r, NewBackOff: func() backoff.BackOff { return tt.policy }}
				require.Equal(t, 2, spend(t, tr, s, 1))
				require.Len(t, r.done, 1)
				for _, waited := range []time.Duration{s.waits()[0], r.attempts[1].Attempt.Waited, r.done[0].Waited} {
					require.GreaterOrEqual(t, waited, tt.want)
					require.LessOrEqual(t, waited, tt.want+tt.want/10)
				}
			})
		})
	}
}

type recorder struct {
	attempts []AttemptEvent
	done     []DoneEvent
}

func (r *recorder) Attempt(_ context.Context, e *AttemptEvent) { r.attempts = append(r.attempts, *e) }
func (r *recorder) Done(_ context.Context, e *DoneEvent)       { r.done = append(r.done, *e) }

func TestTransportObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{
			{status: 503, header: map[string]string{"Retry-After": "2", "X-Request-Id": "r1"}, took: time.Second},
			{status: 200, header: map[string]string{"X-Request-Id": "r2"}, took: 3 * time.Second},
			{status: 200},
		}}
		r := &recorder{}
		tr := &Transport{Base: s, Observer: r}
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.Len(t, r.attempts, 2)
		first, second := r.attempts[0], r.attempts[1]
		require.Equal(t, "r1", first.Attempt.RequestID)
		require.Equal(t, time.Second, first.Attempt.Took)
		require.Equal(t, SourceRetryAfter, first.WaitFrom)
		require.Equal(t, first.Wait, second.Attempt.Waited)
		require.False(t, first.Last)
		require.True(t, second.Last)
		require.Equal(t, "r2", second.Attempt.RequestID)
		require.Equal(t, 3*time.Second, second.Attempt.Took)
		require.Equal(t, []DoneEvent{{Attempts: AttemptsOf(resp), Waited: first.Wait}}, r.done)

		_, err = tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.Len(t, r.done, 1, "a call that succeeds at once is not reported")
	})
}

func TestTransportAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 200, took: time.Minute}, {status: 503, took: time.Second}, {status: 200, took: 9 * time.Second, body: "late but whole"}}}
		tr := &Transport{Base: s, AttemptTimeout: 10 * time.Second}
		resp, err := tr.RoundTrip(get(t, t.Context()))
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		<-time.NewTimer(time.Hour).C // the timer of the attempt is stopped: nothing cuts the body off
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "late but whole", string(body))
		require.NoError(t, resp.Body.Close())
		require.Equal(t, s.open, s.closed)
		attempts := AttemptsOf(resp)
		require.Len(t, attempts, 3)
		require.Equal(t, errcodes.ClassTimeout, attempts[0].Decision.Class)
		require.Equal(t, MaybeExecuted, attempts[0].Decision.Safety)
		require.ErrorContains(t, attempts[0].Err, "no complete answer within 10s")

		// A POST may have been executed, and is not sent again.
		s.times = nil
		_, err = tr.RoundTrip(post(t, t.Context(), "{}"))
		var e *Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, StopUnsafe, e.Stop)
		require.True(t, e.Timeout())

		// The caller's own deadline is no timeout of an attempt.
		s.times = nil
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = tr.RoundTrip(get(t, ctx))
		require.ErrorAs(t, err, &e)
		require.Equal(t, StopCanceled, e.Stop)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestTransportSuccessAllocatesNothing(t *testing.T) {
	base := roundTripFunc(func(*http.Request) (*http.Response, error) { return okResponse, nil })
	tr := &Transport{Base: base}
	req := get(t, t.Context())
	require.Zero(t, testing.AllocsPerRun(100, func() {
		resp, err := tr.RoundTrip(req)
		if err != nil || resp != okResponse {
			t.Fail()
		}
	}))
}

var okResponse = &http.Response{StatusCode: 200, Body: http.NoBody}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransportHoldsTheBaseToItsContract(t *testing.T) {
	closed := false
	both := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 503, Request: r, Body: closeFunc(func() { closed = true })}, io.ErrUnexpectedEOF
	})
	resp, err := (&Transport{Base: both}).RoundTrip(post(t, t.Context(), "{}"))
	require.Nil(t, resp)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.True(t, closed)

	neither := roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }) //nolint:nilnil // the breach
	resp, err = (&Transport{Base: neither, MaxAttempts: 1}).RoundTrip(post(t, t.Context(), "{}"))
	require.Nil(t, resp)
	require.Error(t, err)
}

type closeFunc func()

func (closeFunc) Read([]byte) (int, error) { return 0, io.EOF }
func (f closeFunc) Close() error           { f(); return nil }

func BenchmarkTransportSuccess(b *testing.B) {
	base := roundTripFunc(func(*http.Request) (*http.Response, error) { return okResponse, nil })
	used := &Transport{Base: base}
	budgetOr(nil, &used.own).Withdraw(b.Context(), nil)
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://api.test/", strings.NewReader("{}"))
	require.NoError(b, err)
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer key"}, "Accept": {"*/*"}, "User-Agent": {"x"}}
	for _, c := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"plain", base}, {"errwire", &Transport{Base: base}}, {"budget in use", used}, {"gate", &Transport{Base: base, Gate: &Pacer{}}},
		{"streams", &Transport{Base: base, StreamErrors: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.rt.RoundTrip(req)
			}
		})
	}
}

// Whatever hook panics, no body stays open, and the panic reaches the caller.
func TestTransportHooksThatPanic(t *testing.T) {
	for name, set := range map[string]func(*Transport){
		"observer": func(tr *Transport) { tr.Observer = observerFunc(func(*AttemptEvent) { panic("hook") }) },
		"backoff":  func(tr *Transport) { tr.NewBackOff = func() backoff.BackOff { panic("hook") } },
		"mutate": func(tr *Transport) {
			tr.Classifier = &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}}
			tr.MutateRequest = func(*http.Request, Decision) (*http.Request, error) { panic("hook") }
		},
		"scope": func(tr *Transport) { tr.Gate = &Pacer{ScopeFor: func(*http.Request) string { panic("hook") }} },
	} {
		t.Run(name, func(t *testing.T) {
			status, body := 503, ""
			if name == "mutate" {
				status, body = 504, `{"error":{"message":"m","type":"timeout_error"}}`
			}
			s := &fakeServer{script: []answer{{status: status, body: body}}}
			tr := &Transport{Base: s}
			set(tr)
			require.PanicsWithValue(t, "hook", func() { _, _ = tr.RoundTrip(post(t, t.Context(), "{}")) })
			require.Equal(t, 1, s.open)
			require.Equal(t, 1, s.closed)
		})
	}
}

// panickyGate panics where it is told to.
type panickyGate struct{ admit, report bool }

func (g panickyGate) Admit(context.Context, Admission) (Pass, error) {
	if g.admit {
		panic("hook")
	}
	return Pass{}, nil
}

func (g panickyGate) Report(context.Context, GateReport) Pace {
	if g.report {
		panic("hook")
	}
	return Unpaced
}

type panickyDeposit struct{ Unlimited }

func (panickyDeposit) Deposit(context.Context, BudgetDeposit) { panic("hook") }

// The same for a call that succeeds at once, and for the bodies of its request.
func TestTransportHooksThatPanicOnSuccess(t *testing.T) {
	for name, tt := range map[string]struct {
		tr   Transport
		sent int
	}{
		"admission":             {Transport{Gate: panickyGate{admit: true}}, 0},
		"report":                {Transport{Gate: panickyGate{report: true}}, 1},
		"deposit":               {Transport{Budget: panickyDeposit{}}, 1},
		"deposit behind a gate": {Transport{Budget: panickyDeposit{}, Gate: &Pacer{}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeServer{script: []answer{{status: 200, body: "ok"}}}
			tt.tr.Base = s
			req := post(t, t.Context(), "{}")
			body := &spyBody{Reader: strings.NewReader("{}")}
			req.Body = body
			require.PanicsWithValue(t, "hook", func() { _, _ = tt.tr.RoundTrip(req) })
			require.Equal(t, tt.sent, s.open)
			require.Equal(t, tt.sent, s.closed)
			if tt.sent == 0 {
				require.Equal(t, 1, body.closed)
			}
		})
	}
}

// The body that was made for the next attempt is closed as well.
func TestMutateRequestThatPanics(t *testing.T) {
	s := &fakeServer{script: []answer{{status: 504, body: `{"error":{"message":"m","type":"timeout_error"}}`}}}
	tr := &Transport{
		Base: s, Classifier: &Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
		MutateRequest: func(*http.Request, Decision) (*http.Request, error) { panic("hook") },
	}
	fresh := &spyBody{Reader: strings.NewReader("{}")}
	req := post(t, t.Context(), "{}")
	req.GetBody = func() (io.ReadCloser, error) { return fresh, nil }
	require.PanicsWithValue(t, "hook", func() { _, _ = tr.RoundTrip(req) })
	require.Equal(t, 1, fresh.closed)
}

// A GetBody that gives nothing ends the call with the provider's answer.
func TestGetBodyThatGivesNothing(t *testing.T) {
	gone := errors.New("gone")
	for _, cause := range []error{nil, gone} {
		s := &fakeServer{script: []answer{{status: 503, body: "the provider says no"}}}
		req := post(t, t.Context(), "{}")
		req.GetBody = func() (io.ReadCloser, error) { return nil, cause }
		resp, err := (&Transport{Base: s}).RoundTrip(req)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "the provider says no", string(got))
		require.NoError(t, resp.Body.Close())
		require.Len(t, s.times, 1)
		require.Equal(t, StopBody, ErrorOf(resp).Stop)
		if cause == nil {
			cause = errNoBody
		}
		require.ErrorIs(t, ErrorOf(resp), cause)
	}
}

// The zero value, nil, and nil fields of the request work.
func TestTransportNilFields(t *testing.T) {
	s := &fakeServer{script: []answer{{status: 404}}}
	for _, tr := range []*Transport{{Base: s}, {Base: s, StreamErrors: true, BufferBody: 1, AttemptTimeout: time.Hour, IdempotencyKeys: true, Gate: &Pacer{}}} {
		for _, req := range []*http.Request{{}, {Method: http.MethodPost}} {
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, 404, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
		}
	}
	resp, err := (*Transport)(nil).RoundTrip(&http.Request{})
	require.Nil(t, resp)
	require.Error(t, err)
	(*Transport)(nil).CloseIdleConnections()

	headless := roundTripFunc(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 400}, nil })
	resp, err = (&Transport{Base: headless, AttemptTimeout: time.Hour, StreamErrors: true}).RoundTrip(get(t, t.Context()))
	require.NoError(t, err)
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	require.NotNil(t, ErrorOf(resp))
}

// A hundred callers of one Transport with everything on.
func TestTransportUnderManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}
			switch n.Add(1) % 5 {
			case 1:
				resp.StatusCode = 429
				resp.Header.Set("Retry-After", "1")
			case 2:
				return nil, io.EOF
			case 3:
				resp.StatusCode = 503
			}
			return resp, nil
		})
		tr := &Transport{Base: base, Gate: &Pacer{Park: time.Minute}, IdempotencyKeys: true, StreamErrors: true, AttemptTimeout: time.Minute, Observer: &recorderSync{}, Budget: Unlimited{}, MaxAttempts: 20}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for range 3 {
					resp, err := tr.RoundTrip(post(t, t.Context(), "{}"))
					require.False(t, resp != nil && err != nil)
					if resp != nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			})
		}
		wg.Wait()
	})
}

// A copy that is made before use has a budget of its own.
func TestTransportCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{{status: 503}}}
		tr := Transport{Base: s}
		other := tr
		require.Equal(t, 60, spend(t, &tr, s, 50))
		require.Equal(t, 60, spend(t, &other, s, 50))
	})
}

// A base may know more schemes than http and https. Only what says nothing about itself is laid to the scheme.
func TestTransportOfOtherSchemes(t *testing.T) {
	what := errors.New("unsupported protocol scheme")
	for _, tt := range []struct {
		name, url string
		err       error
		attempts  int
		stop      Stop
	}{
		{"refused", "http+unix://docker/v1/models", &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}, 4, StopAttempts},
		{"broken", "tunnel://api.test/v1/models", io.EOF, 4, StopAttempts},
		{"unknown", "tunnel://api.test/v1/models", what, 1, StopNever},
		{"unknown, of http", "http://api.test/v1/models", what, 2, StopClass},
		{"no host", "http:///v1/models", what, 1, StopNever},
		{"no host, refused", "http:///v1/models", syscall.ECONNREFUSED, 4, StopAttempts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{err: tt.err}}}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, http.NoBody)
				require.NoError(t, err)
				_, err = (&Transport{Base: s}).RoundTrip(req)
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, tt.stop, e.Stop)
				require.Len(t, s.times, tt.attempts)
				if errors.Is(tt.err, what) {
					require.Equal(t, MaybeExecuted, e.Decision.Safety, "the base may have completed the URL and sent it")
				}
			})
		})
	}
	// What net/http itself does not know is sent once.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "ftp://api.test/", http.NoBody)
	require.NoError(t, err)
	_, err = (&Transport{Base: &http.Transport{}}).RoundTrip(req)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, StopNever, e.Stop)
	require.Len(t, e.Attempts, 1)
}
