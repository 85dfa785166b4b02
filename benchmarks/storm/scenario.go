package storm

import (
	"testing"
	"time"
)

// Length stretches the scenarios: 1 is 300 s of load with 120 s to finish, as the published figures have it.
type Length float64

func (l Length) of(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(l)).Round(time.Second)
}

// Scenario is a server and a load, fresh for each run.
type Scenario struct {
	Name  string
	About string
	Load  Load
	New   func() *Server
	// Down bounds the outage, if there is one.
	DownFrom, DownTo time.Duration
}

// The offered loads and the capacity, per second.
const (
	capacity = 100
	double   = 200
	most     = 70
)

// granted is the server that a herd meets.
func granted() *Server {
	return &Server{Capacity: func(time.Duration) float64 { return 20 }, Depth: 20}
}

func steady() func(time.Duration) float64 { return func(time.Duration) float64 { return capacity } }

// Run runs one client.
func (s *Scenario) Run(t *testing.T, c Client, seed uint64) *Result {
	t.Helper()
	return Run(t, s.New(), s.Load, c, seed)
}

// Scenarios returns all of them, by name. The outage is 20 s long at any length, after a third of the load.
func Scenarios(l Length) map[string]*Scenario {
	load := func(rate, processes int) Load {
		return Load{Rate: rate, Processes: processes, For: l.of(300 * time.Second), Finish: l.of(120 * time.Second)}
	}
	from := l.of(100 * time.Second)
	to := from + 20*time.Second
	list := []*Scenario{
		{Name: "A", About: "200 req/s at a capacity of 100", Load: load(double, 1),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25} }},
		{Name: "A+", About: "the same, and a 429 costs 0.2 of a request", Load: load(double, 1),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2} }},
		{Name: "B", About: "70 req/s, 20 s of 503", Load: load(most, 1), DownFrom: from, DownTo: to,
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, DownFrom: from, DownTo: to} }},
		{Name: "B+", About: "the same, and a 429 costs 0.2 of a request", Load: load(most, 1), DownFrom: from, DownTo: to,
			New: func() *Server {
				return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, DownFrom: from, DownTo: to}
			}},
		{Name: "B5", About: "B with Retry-After: 5 on the 503", Load: load(most, 1), DownFrom: from, DownTo: to,
			New: func() *Server {
				return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, DownFrom: from, DownTo: to, DownRetryAfter: 5 * time.Second}
			}},
		{Name: "C", About: "70 req/s, 2 % answered with 503 by chance", Load: load(most, 1),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, Fail: 0.02} }},
		{Name: "C+", About: "15 %", Load: load(most, 1),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, Fail: 0.15} }},
		{Name: "C1", About: "C with Retry-After: 1 on the 503", Load: load(most, 1),
			New: func() *Server {
				return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, Fail: 0.02, FailRetryAfter: time.Second}
			}},
		{Name: "R", About: "70 req/s, 2 % answered with 429 by chance", Load: load(most, 1),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, FailSlower: 0.02} }},
		{Name: "P", About: "A+ from 200 processes of one request a second", Load: load(double, double),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2} }},
		{Name: "PB", About: "B from 70 processes of one request a second", Load: load(most, most), DownFrom: from, DownTo: to,
			New: func() *Server {
				return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, DownFrom: from, DownTo: to}
			}},
		{Name: "T", About: "A+ from 2,000 tenants with a key and a call every 10 s each", Load: tenants(load(double, 1)),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2} }},
		{Name: "TP", About: "the same from as many processes", Load: tenants(load(double, 10*double)),
			New: func() *Server { return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2} }},
		{Name: "TB", About: "B+ with Retry-After: 1 on the 503, from 700 such tenants", Load: tenants(load(most, 1)), DownFrom: from, DownTo: to,
			New: func() *Server {
				return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, DownFrom: from, DownTo: to, DownRetryAfter: time.Second}
			}},
		{Name: "V", About: "150 req/s; capacity 100, then 300, then 33, then 100", Load: load(150, 1),
			New: func() *Server { return &Server{Capacity: varying(l), Depth: 25, RefusalCost: 0.2} }},
		{Name: "VD", About: "V with calls that have a second each",
			Load: Load{Rate: 150, Deadline: time.Second, For: l.of(300 * time.Second), Finish: l.of(120 * time.Second)},
			New:  func() *Server { return &Server{Capacity: varying(l), Depth: 25, RefusalCost: 0.2} }},
		{Name: "L", About: "A+ with answers after 3 s and refusals after 0.2 s", Load: load(double, 1),
			New: func() *Server {
				return &Server{Capacity: steady(), Depth: 25, RefusalCost: 0.2, ServeTime: 3 * time.Second, RefuseTime: 200 * time.Millisecond}
			}},
		{Name: "S", About: "2 req/s at a capacity of 0.5, Retry-After: 2", Load: load(2, 1),
			New: func() *Server {
				return &Server{Capacity: func(time.Duration) float64 { return 0.5 }, Depth: 3, RefusalCost: 0.2, RetryAfter: 2 * time.Second}
			}},
		{Name: "W", About: "30 req/s, 1200 in each minute", Load: load(30, 1),
			New: func() *Server {
				return &Server{Capacity: func(time.Duration) float64 { return 20 }, RefusalCost: 0, Window: time.Minute}
			}},
		{Name: "herd", About: "200 callers at once, 20/s granted", Load: Load{Rate: 200, Once: true, For: 10 * time.Second, Finish: 110 * time.Second}, New: granted},
		{Name: "herd after quiet traffic", About: "20 of the callers are served, and the others come a tenth of a second later",
			Load: Load{Rate: 200, Once: true, Quiet: 20, For: 10 * time.Second, Finish: 110 * time.Second}, New: granted},
	}
	m := make(map[string]*Scenario, len(list))
	for _, s := range list {
		m[s.Name] = s
	}
	return m
}

// tenants makes ten times as many callers of a load, each of which calls every ten seconds with a key of its own.
func tenants(l Load) Load {
	l.Tenants = 10
	return l
}

// changes are the capacities of scenario V, each for a quarter of the load.
var changes = [...]float64{100, 300, 33, 100}

func varying(l Length) func(time.Duration) float64 {
	quarter := l.of(300*time.Second) / time.Duration(len(changes))
	return func(at time.Duration) float64 { return changes[min(int(at/quarter), len(changes)-1)] }
}
