package otelhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/otelhook"
)

// apiError stands for the error of an SDK.
type apiError struct {
	status int
	header http.Header
}

func (e *apiError) Error() string { return fmt.Sprint("status ", e.status) }

// Calls of an SDK under one span each, with a span event for each wait.
func ExampleDo() {
	hook := &otelhook.Client{Operation: "chat"}
	policy := hook.Policy(&classify.Policy{Signal: func(err error) classify.Signal {
		if e, ok := errors.AsType[*apiError](err); ok {
			return classify.Signal{Status: e.status, Header: e.header}
		}
		return classify.Signal{}
	}})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := otelhook.Do(ctx, policy, func(ctx context.Context) (string, error) {
		if classify.ResendCount(ctx) == 0 {
			return "", &apiError{http.StatusTooManyRequests, http.Header{"Retry-After-Ms": {"5"}}}
		}
		return "fine", nil
	})
	fmt.Println(answer, err)
	// Output: fine <nil>
}

// The HTTP client of the SDK hands on the trace with each attempt.
func ExamplePolicy_Transport() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("in trace", strings.Split(r.Header.Get("Traceparent"), "-")[1])
		if r.Header.Get("X-Attempt") == "1" {
			w.Header().Set("Retry-After-Ms", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()

	hook := &otelhook.Client{Operation: "chat", Propagator: propagation.TraceContext{}}
	policy := hook.Policy(&classify.Policy{Signal: func(err error) classify.Signal {
		if e, ok := errors.AsType[*apiError](err); ok {
			return classify.Signal{Status: e.status, Header: e.header}
		}
		return classify.Signal{}
	}})
	client := &http.Client{Transport: policy.Transport(nil)} // for the SDK

	// The trace that the caller is part of.
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	status, err := otelhook.Do(ctx, policy, func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, http.NoBody)
		if err != nil {
			return 0, err
		}
		req.Header.Set("X-Attempt", strconv.Itoa(classify.ResendCount(ctx)+1))
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return 0, &apiError{resp.StatusCode, resp.Header}
		}
		return resp.StatusCode, nil
	})
	fmt.Println(status, err)
	// Output:
	// in trace 01000000000000000000000000000000
	// in trace 01000000000000000000000000000000
	// 200 <nil>
}
