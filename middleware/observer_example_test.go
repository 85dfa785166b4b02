package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// counter counts refusals by class.
type counter map[errcodes.Class]int

func (c counter) Refused(r *middleware.Refusal) { c[r.Entry.Class]++ }

func ExampleObserver() {
	counts := counter{}
	ew := &middleware.ErrorWriter{Observer: counts, Logger: slog.New(slog.DiscardHandler)}
	h := ew.Wrap(http.NewServeMux())
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
	fmt.Println(counts[errcodes.ClassNotFound])
	// Output: 3
}
