package errcodes_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// The same condition, as six vocabularies spell it.
func Example() {
	err := &errcodes.Error{Code: errcodes.RateLimited, RetryAfter: 2 * time.Second}
	for _, r := range []*errcodes.Registry{
		errcodes.RunInfra(), errcodes.Runbase(), errcodes.OpenAI(),
		errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	} {
		e, _ := r.Lookup(err.Code)
		b := e.Body(err, "req_7")
		b.Message = "Slow down."
		fmt.Printf("%d %s\n", e.Status, r.Dialect().Append(nil, b))
	}
	// Output:
	// 429 {"error":{"message":"Slow down.","type":"rate_limit_error"}}
	// 429 {"error":{"message":"Slow down.","code":"RATE_LIMITED"}}
	// 429 {"error":{"message":"Slow down.","type":"rate_limit_error","code":"rate_limit_exceeded"}}
	// 429 {"type":"error","error":{"type":"rate_limit_error","message":"Slow down."},"request_id":"req_7"}
	// 429 {"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"},{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req_7"}]}}
	// 429 {"title":"Too Many Requests","status":429,"detail":"Slow down.","code":"rate_limited","request_id":"req_7"}
}

func ExampleNew() {
	r, err := errcodes.New("acme", errcodes.OpenAIDialect{}, errcodes.Entry{
		Code: "gpu_lost", Status: 503, Type: "server_error",
		Class: errcodes.ClassOverloaded, Retry: errcodes.RetryBackoff, RetryAfter: 5 * time.Second,
		Message: "The GPU of this run was lost.",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := r.Match(503, "gpu_lost", "")
	fmt.Println(e.Code, e.Class, e.Retry)

	_, err = errcodes.New("acme", errcodes.OpenAIDialect{}, errcodes.Entry{Code: "gpu lost", Status: 200})
	fmt.Println(err)
	// Output:
	// gpu_lost overloaded backoff
	// errcodes: registry "acme": row "gpu lost": code must be 1 to 64 bytes of [A-Za-z0-9_.-]
	// row "gpu lost": status 200 must be 400 to 599
	// row "gpu lost": message must not be empty
}

func ExampleRegistry_With() {
	base := errcodes.Runbase()
	e, _ := base.Lookup(errcodes.Unavailable)
	e.RetryAfter = 10 * time.Second
	patient, err := base.With(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range []*errcodes.Registry{base, patient} {
		e, _ := r.Lookup(errcodes.Unavailable)
		fmt.Println(e.RetryAfter)
	}
	// Output:
	// 1s
	// 10s
}

func ExampleRegistry_Lookup() {
	for _, r := range []*errcodes.Registry{errcodes.Runbase(), errcodes.OpenAI()} {
		e, ok := r.Lookup(errcodes.ModelNotFound)
		fmt.Println(ok, e.Status, e.WireCode())
	}
	// Output:
	// true 400 model_not_found
	// true 404 model_not_found
}

func ExampleRegistry_Match() {
	r := errcodes.Runbase()
	for _, code := range []string{"RATE_LIMITED", "USAGE_EXCEEDED", ""} {
		e := r.Match(429, code, "")
		fmt.Println(e.Class, e.Retry)
	}
	fmt.Println(r.Match(418, "", "").Class)
	// Output:
	// rate_limited backoff
	// quota_exhausted never
	// rate_limited backoff
	// invalid_request
}

func ExampleRegistry_MatchBy() {
	_, by := errcodes.Runbase().MatchBy(500, "", "")
	fmt.Println(by == errcodes.MatchedStatus)
	_, by = errcodes.Runbase().MatchBy(418, "", "")
	fmt.Println(by == errcodes.MatchedNothing)
	// Output:
	// true
	// true
}

func ExampleRegistry_All() {
	n := 0
	for e := range errcodes.Runbase().All() {
		if e.Source != errcodes.SourceErrwire && e.Status == 403 {
			fmt.Println(e.WireCode())
		}
		n++
	}
	fmt.Println(n, "rows")
	// Output:
	// api_key_spend_limit_exceeded
	// ip_not_allowed
	// 27 rows
}

func ExampleError() {
	load := func() error {
		return &errcodes.Error{Code: errcodes.Unavailable, RetryAfter: time.Second, Err: errors.New("gpu 3 is gone")}
	}
	err := fmt.Errorf("load model: %w", load())
	fmt.Println(err)
	fmt.Println(errors.Is(err, &errcodes.Error{Code: errcodes.Unavailable}))
	// Output:
	// load model: unavailable: gpu 3 is gone
	// true
}

func ExampleCodeOf() {
	fmt.Println(errcodes.CodeOf(&errcodes.Error{Code: errcodes.RateLimited}))
	fmt.Println(errcodes.CodeOf(errors.New("disk full")))
	// Output:
	// rate_limited
	// internal
}

func ExampleClass() {
	err := fmt.Errorf("generate: %w", errcodes.ClassBilling)
	if errors.Is(err, errcodes.ClassBilling) {
		fmt.Println("ask somebody to top up:", err)
	}
	// Output:
	// ask somebody to top up: generate: billing
}

func ExampleDialect() {
	var d errcodes.Dialect = errcodes.RunbaseDialect{}
	wire := d.Append(nil, errcodes.Body{Message: "The model field is missing.", Code: "missing_model"})
	fmt.Printf("%s\n", wire)
	b, err := d.Decode(wire)
	fmt.Println(b.Code, err)
	_, err = d.Decode([]byte("<html>"))
	fmt.Println(err)
	// Output:
	// {"error":{"message":"The model field is missing.","code":"missing_model"}}
	// missing_model <nil>
	// errcodes: body is not valid JSON within 512 levels
}
