package classify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Trailers that nobody announced come behind the body, and reach the caller whatever the Transport has done to the response.
func TestTrailersArrive(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, tt := range []struct {
			name, contentType string
			failures          int32
			status            int
			limit             time.Duration
		}{
			{"at once", "text/plain", 0, 200, 0},
			{"after a failure", "text/plain", 1, 200, 0},
			{"a stream", "text/event-stream", 0, 200, 0},
			{"a stream after a failure", "text/event-stream", 1, 200, 0},
			{"within a time limit", "text/event-stream", 1, 200, time.Minute},
			{"of a failure", "text/plain", 0, 503, 0},
		} {
			t.Run(fmt.Sprintf("%s/HTTP2 %t", tt.name, h2), func(t *testing.T) {
				var n atomic.Int32
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if n.Add(1) <= tt.failures {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					w.Header().Set("Content-Type", tt.contentType)
					w.WriteHeader(tt.status)
					io.WriteString(w, done)
					http.NewResponseController(w).Flush()
					w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				}))
				srv.EnableHTTP2 = h2
				srv.StartTLS()
				defer srv.Close()
				base := srv.Client().Transport
				tr := &Transport{Base: base, NewBackOff: atOnce, MaxAttempts: 2, StreamErrors: true, AttemptTimeout: tt.limit}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
				require.NoError(t, err)
				resp, err := tr.RoundTrip(req)
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, done, string(got))
				require.NoError(t, resp.Body.Close())
				require.Equal(t, "0", resp.Trailer.Get("Grpc-Status"))
				tr.CloseIdleConnections()
			})
		}
	}
}

// The history belongs to its response: a further request with the context of that response's request is a call of its own.
func TestHistoryIsOfItsResponse(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Minute} {
		s := &fakeServer{script: []answer{
			{status: 503}, {status: 200}, // the first call
			{status: 503}, {status: 503}, {status: 200}, // a further one
			{status: 200}, // one that succeeds at once
			{status: 400}, // one that fails
			{status: 200},
			{status: 503}, {status: 200}, // after one that succeeded
		}}
		tr := &Transport{Base: s, NewBackOff: atOnce, AttemptTimeout: limit}
		req := get(t, t.Context())
		send := func(status, attempts int) *http.Response {
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, status, resp.StatusCode)
			require.Len(t, AttemptsOf(resp), attempts)
			require.Equal(t, status >= 400, ErrorOf(resp) != nil)
			require.Zero(t, ResendCount(resp.Request.Context()))
			require.NoError(t, resp.Request.Context().Err())
			return resp
		}
		for _, want := range []struct{ status, attempts int }{{200, 2}, {200, 3}, {200, 0}, {400, 1}, {200, 0}} {
			req = get(t, send(want.status, want.attempts).Request.Context())
		}
		resp := send(200, 2)
		kept := *resp
		kept.Body = io.NopCloser(resp.Body)
		require.Len(t, AttemptsOf(&kept), 2, "a copy of the response is the response")
	}
}
