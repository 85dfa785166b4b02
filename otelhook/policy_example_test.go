package otelhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

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
