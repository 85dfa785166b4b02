package classify_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/classify"
)

func ExampleTransport_streamErrors() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"choices\":[]}\n\n")
		io.WriteString(w, "data: {\"error\":{\"message\":\"The engine is overloaded.\"}}\n\n")
	}))
	defer srv.Close()

	client := &http.Client{Transport: &classify.Transport{StreamErrors: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	fmt.Printf("%q\n", text)
	if e, ok := errors.AsType[*classify.Error](err); ok {
		fmt.Println(e.Decision.Class, e.Decision.Message, e.Stop)
	}
	// Output:
	// "data: {\"choices\":[]}\n\n"
	// overloaded The engine is overloaded. response_begun
}
