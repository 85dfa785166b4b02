package classify_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

func ExampleClassifier_Body() {
	c := &classify.Classifier{}
	h := http.Header{"Retry-After": {"2"}, "X-Request-Id": {"req_1"}}
	for _, body := range []string{
		`{"error":{"message":"Too many requests in a short time."}}`,
		`{"error":{"message":"Too many requests per day."}}`,
		`{"error":{"message":"Add credit.","code":"insufficient_quota"}}`,
	} {
		d := c.Body(http.StatusTooManyRequests, h, []byte(body))
		fmt.Println(d.Retry, d.Class, d.Wait, d.WaitFrom, d.RequestID)
	}
	// Output:
	// backoff rate_limited 2s retry_after req_1
	// never quota_exhausted 2s retry_after req_1
	// never quota_exhausted 2s retry_after req_1
}

func ExampleClassifier_Response() {
	c := &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}}
	w := httptest.NewRecorder()
	w.WriteHeader(http.StatusTooManyRequests)
	fmt.Fprint(w, `{"error":{"message":"The quota is used up.","code":"USAGE_EXCEEDED"}}`)
	d := c.Response(w.Result())
	fmt.Println(d.Condition, d.Retry, d.Class)
	fmt.Println(d.Rule)
	// Output:
	// usage_exceeded never quota_exhausted
	// registry runbase: code
}

func ExampleClassifier_Err() {
	d := (&classify.Classifier{}).Err(http.ErrSchemeMismatch)
	fmt.Println(d.Retry, d.Class, d.Safety)
	// Output: never network not_sent
}

func ExampleTransport() {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Retry-After-Ms", "20")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()

	client := &http.Client{Transport: &classify.Transport{}}
	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	for _, a := range classify.AttemptsOf(resp) {
		fmt.Println(a.N, a.Status, a.WaitFrom, a.Waited >= 0)
	}
	client.CloseIdleConnections()
	// Output:
	// 1 503 none true
	// 2 200 retry_after_ms true
}

func ExampleErrorOf() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "req_7")
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprint(w, `{"error":{"message":"The balance is too low.","code":"insufficient_balance"}}`)
	}))
	defer srv.Close()

	client := &http.Client{Transport: &classify.Transport{}}
	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	if e := classify.ErrorOf(resp); errors.Is(e, errcodes.ClassBilling) {
		fmt.Println(e)
	}
	client.CloseIdleConnections()
	// Output: classify: billing (status 402, code "insufficient_balance", request id "req_7"): "The balance is too low."; sending the same request again cannot help
}

func ExampleLowerMaxTokens() {
	// A 504 of RunInfra says that the same request would take as long again.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(string(body))
		if bytes.Contains(body, []byte("4096")) {
			w.WriteHeader(http.StatusGatewayTimeout)
			fmt.Fprint(w, `{"error":{"message":"The request took too long.","type":"timeout_error"}}`)
		}
	}))
	defer srv.Close()

	client := &http.Client{Transport: &classify.Transport{
		Classifier:    &classify.Classifier{Registries: []*errcodes.Registry{errcodes.RunInfra()}},
		MutateRequest: classify.LowerMaxTokens(256),
	}}
	resp, err := client.Post(srv.URL, "application/json", strings.NewReader(`{"messages":[],"max_tokens":4096}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, len(classify.AttemptsOf(resp)))
	client.CloseIdleConnections()
	// Output:
	// {"messages":[],"max_tokens":4096}
	// {"messages":[],"max_tokens":256}
	// 200 2
}
