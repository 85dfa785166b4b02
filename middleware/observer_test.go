package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// panickyLog is a slog.Handler with a bug.
type panickyLog struct{}

func (panickyLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickyLog) Handle(context.Context, slog.Record) error { panic("bug in the log handler") }
func (p panickyLog) WithAttrs([]slog.Attr) slog.Handler      { return p }
func (p panickyLog) WithGroup(string) slog.Handler           { return p }

// Who is told of an answer cannot spoil it, nor end the process from the goroutine of a timer or of a handler that was left behind.
func TestPanicOfWhoIsTold(t *testing.T) {
	inTime := func(http.ResponseWriter, *http.Request) error { return &errcodes.Error{Code: errcodes.RunNotFound} }
	late := func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		pause(time.Second)
		panic("late")
	}
	twice := func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	standard := slog.Default()
	t.Cleanup(func() { slog.SetDefault(standard) })
	for _, c := range []struct {
		name   string
		h      func(http.ResponseWriter, *http.Request) error
		status int
		told   int // how often the observer is told
		said   int // how many records there are
	}{
		{"in time", inTime, 404, 1, 1},
		{"late", late, 504, 2, 2},
		{"panic", func(http.ResponseWriter, *http.Request) error { panic("boom") }, 500, 1, 1},
		{"twice", twice, 202, 0, 1},
	} {
		for _, limits := range []middleware.Timeout{{}, {FirstByte: time.Second}} {
			if c.name == "late" && limits == (middleware.Timeout{}) {
				continue // nobody ends it
			}
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					run := func(ew *middleware.ErrorWriter) {
						w := newSafeRecorder()
						h := ew.Wrap(ew.Timeout(limits)(ew.Handler(c.h)))
						require.NotPanics(t, func() { h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)) })
						pause(time.Minute)
						require.Equal(t, c.status, w.Code)
					}
					bug := observerFunc(func(r *middleware.Refusal) { panic("bug in the observer of " + r.RequestID) })

					logs := newRecords()
					run(&middleware.ErrorWriter{Registry: errcodes.Runbase(), Observer: bug, Logger: slog.New(logs)})
					complaints := 0
					for _, record := range logs.all() {
						if record["msg"] == "observer panicked" {
							complaints++
							require.Equal(t, "ERROR", record["level"])
							require.Contains(t, record["cause"], record["request_id"])
							require.Contains(t, record["stack"], "observer_test.go")
						}
					}
					require.Equal(t, c.told, complaints)
					require.Len(t, logs.all(), c.said+c.told)

					logs.clear()
					slog.SetDefault(slog.New(logs))
					run(&middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(panickyLog{})})
					require.Len(t, logs.all(), c.said)
					for _, record := range logs.all() {
						require.Equal(t, "log handler panicked", record["msg"])
						require.Equal(t, "bug in the log handler", record["cause"])
						require.Regexp(t, requestIDForm, record["request_id"])
					}

					slog.SetDefault(slog.New(panickyLog{}))
					run(&middleware.ErrorWriter{Registry: errcodes.Runbase(), Observer: bug})
				})
			})
		}
	}
}

// An observer may ask for the text of Err without looking.
func TestRefusalOfPanicHasAnError(t *testing.T) {
	for _, value := range []any{"boom", errKilled, panics{}} {
		var seen *middleware.Refusal
		ew := quiet(errcodes.OpenAI())
		ew.Observer = observerFunc(func(r *middleware.Refusal) { seen = r })
		ew.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(value) })).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, value, seen.Panic)
		require.Contains(t, seen.Err.Error(), "middleware: the handler panicked: ")
		require.Equal(t, value == any(errKilled), errors.Is(seen.Err, errKilled))
	}
}
