package otelhooktest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// stopping makes a backoff policy that ends every call, of whatever type the policies of a Transport are.
func stopping[B any](func() B) func() B {
	return func() B { return any(stopBackOff{}).(B) }
}

type stopBackOff struct{}

func (stopBackOff) NextBackOff() time.Duration { return -1 }
func (stopBackOff) Reset()                     {}

// Every reason to give up comes out of a real call, and is the one that docs/tracing.md explains.
func TestEveryReasonToGiveUp(t *testing.T) {
	unchanged := answer{status: 504, body: `{"error":{"message":"too long","type":"timeout_error","code":"timeout"}}`}
	reasons := map[string]struct {
		script []answer
		set    func(tr *classify.Transport)
		req    func(r *http.Request) *http.Request
	}{
		"not_retryable": {script: []answer{{status: 401}}},
		"veto":          {script: []answer{{status: 503, header: map[string]string{"X-Should-Retry": "false"}}}},
		"max_attempts":  {script: []answer{{status: 503}}},
		"max_attempts_of_class": {
			script: []answer{{status: 500}},
		},
		"retry_after_too_long": {script: []answer{{status: 429, header: after("3600")}}},
		"deadline": {script: []answer{{status: 503, header: after("10")}}, req: func(r *http.Request) *http.Request {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			context.AfterFunc(ctx, cancel)
			return r.WithContext(ctx)
		}},
		"unsafe_replay": {script: []answer{{err: io.ErrUnexpectedEOF}}, req: func(r *http.Request) *http.Request {
			r.Method = http.MethodPost
			return r
		}},
		"body_not_replayable": {script: []answer{{status: 503}}, req: func(r *http.Request) *http.Request {
			r.Body, r.GetBody, r.ContentLength = io.NopCloser(strings.NewReader("{}")), nil, 2
			return r
		}},
		"unchanged": {script: []answer{unchanged}},
		"nested": {script: []answer{{status: 503}}, req: func(r *http.Request) *http.Request {
			r.Header.Set("X-Stainless-Retry-Count", "1")
			return r
		}},
		"backoff_policy": {script: []answer{{status: 503}}, set: func(tr *classify.Transport) { tr.NewBackOff = stopping(tr.NewBackOff) }},
		"mutate_failed": {script: []answer{unchanged}, set: func(tr *classify.Transport) {
			tr.MutateRequest = func(*http.Request, classify.Decision) (*http.Request, error) {
				return nil, errors.New("cannot shorten it")
			}
		}},
		"retry_budget": {script: []answer{{status: 503}}, set: func(tr *classify.Transport) { tr.Budget = &classify.TokenBucket{Burst: -1} }},
		"gate":         {script: []answer{{status: 503}}, set: func(tr *classify.Transport) { tr.Gate = &gate{refuse: 1} }},
		"response_begun": {
			script: []answer{{status: 200, body: "half", broken: io.ErrUnexpectedEOF}},
		},
		"panic": {script: []answer{{panics: "boom"}}},
	}
	for reason, tt := range reasons {
		for name, setup := range instrumentations() {
			t.Run(reason+" "+name, func(t *testing.T) {
				tel, hook := setup()
				synctest.Test(t, func(t *testing.T) {
					tr := &classify.Transport{
						Base: &fakeServer{script: tt.script}, Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
					}
					if tt.set != nil {
						tt.set(tr)
					}
					req := request(t, t.Context(), http.MethodGet, target)
					if tt.req != nil {
						req = tt.req(req)
					}
					func() {
						defer func() { require.Equal(t, reason == "panic", recover() != nil) }()
						resp, err := hook.Transport(tr).RoundTrip(req)
						if err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					}()
					outer := tel.outer()[0]
					require.Equal(t, "give_up", outer.attrs()["errwire.retry.outcome"])
					require.Equal(t, reason, outer.attrs()["errwire.retry.give_up.reason"])
					require.Equal(t, codes.Error, outer.Status().Code)
					require.NotEmpty(t, outer.attrs()["error.type"])
					if reason != "panic" {
						require.Equal(t, reason, outer.event(t, "errwire.retry.give_up", 0)["errwire.retry.give_up.reason"])
						require.Equal(t, outer.attrs()["error.type"], outer.attrs()["errwire.category"])
						tel.balanced(t)
					}
				})
			})
		}
	}
	page, err := os.ReadFile("../../docs/tracing.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(page), "## Reasons to give up")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	var documented, reached []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		if !strings.Contains(row[1], ".") {
			documented = append(documented, row[1])
		}
	}
	for reason := range reasons {
		reached = append(reached, reason)
	}
	require.ElementsMatch(t, documented, reached)
}

// panicking panics wherever a Transport asks its parts.
type panicking struct{}

func (panicking) Admit(context.Context, classify.Admission) (classify.Pass, error) { panic("boom") }
func (panicking) Report(context.Context, classify.GateReport) classify.Pace        { panic("boom") }
func (panicking) Attempt(context.Context, *classify.AttemptEvent)                  { panic("boom") }
func (panicking) Done(context.Context, *classify.DoneEvent)                        { panic("boom") }
func (panicking) Deposit(context.Context, classify.BudgetDeposit)                  { panic("boom") }
func (panicking) Withdraw(context.Context, *classify.BudgetWithdrawal) bool        { panic("boom") }
func (panicking) Mutate(*http.Request, classify.Decision) (*http.Request, error)   { panic("boom") }
func (panicking) RoundTrip(*http.Request) (*http.Response, error)                  { panic("boom") }
func (panicking) OperationFor(*http.Request) string                                { panic("boom") }

// reporting panics where a Gate is told how an attempt went.
type reporting struct{ gate }

func (*reporting) Report(context.Context, classify.GateReport) classify.Pace { panic("boom") }

// finishing panics where an Observer is told how a call ended.
type finishing struct{ observed }

func (*finishing) Done(context.Context, *classify.DoneEvent) { panic("boom") }

// A panic in anything that the program hung into the Transport ends all spans, and goes on to the caller.
func TestPanicInAHook(t *testing.T) {
	for where, set := range map[string]func(tr *classify.Transport){
		"gate":            func(tr *classify.Transport) { tr.Gate = panicking{} },
		"gate's report":   func(tr *classify.Transport) { tr.Gate = &reporting{} },
		"observer":        func(tr *classify.Transport) { tr.Observer = panicking{} },
		"observer's end":  func(tr *classify.Transport) { tr.Observer = &finishing{} },
		"budget":          func(tr *classify.Transport) { tr.Budget = panicking{} },
		"mutation":        func(tr *classify.Transport) { tr.MutateRequest = panicking{}.Mutate },
		"backoff factory": func(tr *classify.Transport) { tr.NewBackOff = nil; tr.NewBackOff = exploding(tr.NewBackOff) },
	} {
		for name, setup := range instrumentations() {
			t.Run(where+" "+name, func(t *testing.T) {
				tel, hook := setup()
				synctest.Test(t, func(t *testing.T) {
					script := []answer{{status: 503}, {status: 400}}
					if where == "mutation" {
						script = []answer{{status: 504, body: `{"error":{"message":"too long","type":"timeout_error","code":"timeout"}}`}}
					}
					s := &fakeServer{script: script}
					tr := &classify.Transport{Base: s, Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}}}
					set(tr)
					rt := hook.Transport(tr)
					require.PanicsWithValue(t, "boom", func() { _, _ = rt.RoundTrip(request(t, t.Context(), http.MethodGet, target)) })
					require.Len(t, tel.outer(), 1)
					require.Equal(t, "panic", tel.outer()[0].attrs()["error.type"])
					require.Equal(t, "panic", tel.outer()[0].attrs()["errwire.retry.give_up.reason"])
					require.Equal(t, codes.Error, tel.outer()[0].Status().Code)
					tel.balanced(t)
				})
			})
		}
	}
	t.Run("naming", func(t *testing.T) {
		tel := newTelemetry()
		hook := tel.client()
		hook.OperationFor = panicking{}.OperationFor
		rt := hook.Transport(&classify.Transport{Base: panicking{}})
		require.PanicsWithValue(t, "boom", func() { _, _ = rt.RoundTrip(request(t, t.Context(), http.MethodGet, target)) })
		require.Empty(t, tel.spans.Started(), "the call had not begun")
	})
}

func exploding[B any](func() B) func() B { return func() B { panic("boom") } }

// The attempts whose bodies nobody is given are ended and closed by the time that the next one is sent, read or not.
func TestFailedAttemptsEndBeforeTheNext(t *testing.T) {
	for name, setup := range instrumentations() {
		t.Run(name, func(t *testing.T) {
			tel, hook := setup()
			synctest.Test(t, func(t *testing.T) {
				s := &fakeServer{script: []answer{{status: 503, body: strings.Repeat("x", 200<<10)}, {status: 503, body: "half", broken: io.ErrUnexpectedEOF}, {status: 200}}}
				var ended, open []int
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					ended, open = append(ended, len(tel.spans.Ended())), append(open, s.open)
					return s.RoundTrip(r)
				})
				_, err := call(t, t.Context(), hook.Transport(&classify.Transport{Base: base}))
				require.NoError(t, err)
				require.Equal(t, []int{0, 1, 2}, ended)
				require.Equal(t, []int{0, 0, 0}, open)
				tel.balanced(t)
			})
		})
	}
}

// A dropped body ends the call under otelhttp as well, whose own span is its own affair.
func TestDroppedBodyUnderOtelhttp(t *testing.T) {
	tel := newTelemetry()
	rt := tel.withOtelhttp(tel.client()).Transport(&classify.Transport{Base: &fakeServer{script: []answer{{status: 200, body: "some"}}}})
	func() {
		_, err := rt.RoundTrip(request(t, t.Context(), http.MethodGet, target))
		require.NoError(t, err)
	}()
	for range 1000 {
		if len(tel.outer()) == 1 {
			break
		}
		runtime.GC()
		runtime.Gosched()
	}
	require.Len(t, tel.outer(), 1)
	require.Equal(t, "success", tel.outer()[0].attrs()["errwire.retry.outcome"])
}
