package classify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// apiError is the error type of some SDK.
type apiError struct {
	StatusCode int
	Header     http.Header
	RawJSON    string
}

func (e *apiError) Error() string { return fmt.Sprintf("some-sdk: status %d", e.StatusCode) }

func ExampleDo() {
	policy := &classify.Policy{
		Signal: func(err error) classify.Signal {
			var e *apiError
			if !errors.As(err, &e) {
				return classify.Signal{}
			}
			return classify.Signal{Status: e.StatusCode, Header: e.Header, Body: []byte(e.RawJSON)}
		},
	}
	answers := []error{
		&apiError{StatusCode: 429, Header: http.Header{"Retry-After-Ms": {"20"}}, RawJSON: `{"error":{"message":"Slow down."}}`},
		&apiError{StatusCode: 429, RawJSON: `{"error":{"message":"Add credit.","code":"insufficient_quota"}}`},
	}
	_, err := classify.Do(context.Background(), policy, func(ctx context.Context) (string, error) {
		// The SDK's own retries are off.
		return "", answers[classify.ResendCount(ctx)]
	})

	if e, ok := errors.AsType[*classify.Error](err); ok {
		for _, a := range e.Attempts {
			fmt.Println(a.N, a.Status, a.Decision.Class, a.Decision.Retry)
		}
		fmt.Println(e.Stop, errors.Is(err, errcodes.ClassQuotaExhausted))
	}
	var sdk *apiError
	fmt.Println(errors.As(err, &sdk))
	// Output:
	// 1 429 rate_limited backoff
	// 2 429 quota_exhausted never
	// not_retryable true
	// true
}
