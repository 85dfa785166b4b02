package otelhook_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
	"github.com/errwire/errwire/otelhook"
)

// A client whose calls are shown, in the program's traces and metrics if it has OpenTelemetry set up, and in its log.
func ExampleClient_Transport() {
	errs := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler)}
	srv := httptest.NewServer(errs.Handler(func(http.ResponseWriter, *http.Request) error {
		return &errcodes.Error{Code: errcodes.UsageExceeded}
	}))
	defer srv.Close()

	hook := &otelhook.Client{Operation: "create_run", Logger: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "request_id" {
				return slog.Attr{} // it differs from run to run
			}
			return a
		},
	}))}
	client := &http.Client{Transport: hook.Transport(&classify.Transport{
		Classifier: &classify.Classifier{Registries: []*errcodes.Registry{errcodes.Runbase()}},
	})}
	resp, err := client.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output:
	// level=WARN msg="request given up" operation=create_run attempt=1 category=quota_exhausted status=429 code=USAGE_EXCEEDED reason=not_retryable waited=0s
	// 429
}
