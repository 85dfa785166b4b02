package middleware

import (
	"net/http"
	"sync/atomic"

	"github.com/errwire/errwire/errcodes"
)

// Shedding answers early in place of late. A request beyond the capacity costs a refusal of a microsecond instead of a place in a queue whose
// end nobody waits for; and since nothing was begun, sending it again is safe.

// LimitConcurrency returns a middleware that lets at most n requests run at the same time, streams included, and answers the others as
// Unavailable: 503 with Retry-After. An n of 0 or less refuses all, which takes a server out of service.
//
// Each use of the returned middleware counts for itself. Place it outside of the body check, so that a shed request is not read, and inside of
// authentication, so that strangers take no places.
func (ew *ErrorWriter) LimitConcurrency(n int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		var running atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if running.Add(1) > int64(n) {
				running.Add(-1)
				ew.WriteError(w, r, &errcodes.Error{Code: errcodes.Unavailable})
				return
			}
			defer running.Add(-1)
			next.ServeHTTP(w, r)
		})
	}
}
