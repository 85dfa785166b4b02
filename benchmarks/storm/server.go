package storm

import (
	"bytes"
	"cmp"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Server is an API behind a token bucket, seen through an [http.RoundTripper]. Its fields do not change while it runs.
type Server struct {
	// Capacity is the number of requests per second that it serves, by the time since the start.
	Capacity func(at time.Duration) float64
	// Depth is the depth of its token bucket.
	Depth float64
	// RefusalCost is what a 429 costs it, in requests.
	RefusalCost float64
	// DownFrom and DownTo bound the outage in which everything is answered with 503.
	DownFrom, DownTo time.Duration
	// DownRetryAfter is the Retry-After of those answers; 0 for none.
	DownRetryAfter time.Duration
	// Fail is the share of the attempts that are answered with 503 by chance; FailSlower with 429; FailRetryAfter is the Retry-After of such a 503.
	Fail, FailSlower float64
	FailRetryAfter   time.Duration
	// Window makes it count in fixed windows of that length instead of a bucket: Capacity times Window requests in each, and
	// a Retry-After until the next.
	Window time.Duration
	// RetryAfter is what a 429 states; 0 means 1 s.
	RetryAfter time.Duration
	// ServeTime and RefuseTime are how long a 200 and an error take; 0 means 50 ms and 5 ms.
	ServeTime, RefuseTime time.Duration

	start time.Time
	mu    sync.Mutex
	rand  *rand.Rand
	at    time.Time
	have  float64
	total counts
	bins  []counts // a second each
}

// counts is what a server saw in some time.
type counts struct{ attempts, served int }

// The time an answer takes.
const (
	serveTime  = 50 * time.Millisecond
	refuseTime = 5 * time.Millisecond
)

var (
	okBody      = []byte(`{"id":"run_1","object":"completion","model":"m","choices":[]}`)
	slowerBody  = []byte(`{"error":{"message":"Too many requests.","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`)
	downBody    = []byte(`{"error":{"message":"The service is unavailable.","type":"server_error","param":null,"code":null}}`)
	contentType = []string{"application/json"}
)

func (s *Server) begin(seed uint64) {
	s.start = time.Now()
	s.at, s.have = s.start, s.Depth
	s.rand = rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same run again for the same seed
}

// answer decides about one attempt.
func (s *Server) answer(now time.Time) (status int, retryAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := now.Sub(s.start)
	bin := int(since / time.Second)
	for len(s.bins) <= bin {
		s.bins = append(s.bins, counts{})
	}
	s.total.attempts++
	s.bins[bin].attempts++
	retryAfter = cmp.Or(s.RetryAfter, time.Second)
	if s.Window > 0 {
		if left := s.Window - since%s.Window; s.at.Before(now.Add(left-s.Window)) || s.total.attempts == 1 {
			s.have = s.Capacity(since) * s.Window.Seconds()
		}
		retryAfter = (s.Window - since%s.Window).Truncate(time.Second) + time.Second
	} else {
		s.have = min(s.Depth, s.have+now.Sub(s.at).Seconds()*s.Capacity(since))
	}
	s.at = now
	switch {
	case since >= s.DownFrom && since < s.DownTo:
		return http.StatusServiceUnavailable, s.DownRetryAfter
	case s.Fail > 0 && s.rand.Float64() < s.Fail:
		return http.StatusServiceUnavailable, s.FailRetryAfter
	case s.FailSlower > 0 && s.rand.Float64() < s.FailSlower:
		return http.StatusTooManyRequests, retryAfter
	case s.have < 1:
		s.have = max(s.have-s.RefusalCost, 0)
		return http.StatusTooManyRequests, retryAfter
	}
	s.have--
	s.total.served++
	s.bins[bin].served++
	return http.StatusOK, 0
}

// RoundTrip answers a request after the time that takes.
func (s *Server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, err := io.Copy(io.Discard, req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	status, retryAfter := s.answer(time.Now())
	took, body := cmp.Or(s.ServeTime, serveTime), okBody
	if status != http.StatusOK {
		took, body = cmp.Or(s.RefuseTime, refuseTime), downBody
		if status == http.StatusTooManyRequests {
			body = slowerBody
		}
	}
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	header := make(http.Header, 2)
	header["Content-Type"] = contentType
	if retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}
