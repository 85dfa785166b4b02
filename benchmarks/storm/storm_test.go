package storm

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/internal/pacing"
)

// figure is one number of a result.
type figure func(s *Scenario, r *Result) float64

func goodput(s *Scenario, r *Result) float64  { return r.Goodput(0, s.Load.For) }
func attempts(_ *Scenario, r *Result) float64 { return r.Amplification() }
func failed(_ *Scenario, r *Result) float64   { return r.Failed() }
func finished(_ *Scenario, r *Result) float64 { return float64(r.Finished()) }
func total(_ *Scenario, r *Result) float64    { return float64(r.Attempts()) }
func peak(s *Scenario, r *Result) float64     { return float64(r.Peak(s.DownTo)) }

func inOutage(s *Scenario, r *Result) float64 { return r.AttemptsPerCall(s.DownFrom, s.DownTo) }

// fine is how long after the outage everything is well; a run that never gets there fails every bound.
func fine(s *Scenario, r *Result) float64 {
	after := r.FineAfter(s.DownTo)
	if after < 0 {
		return 1e9
	}
	return after.Seconds()
}

// The promises, at the lengths and loads of the published figures. budget is the most that the default budget may add: a fifth, and ten.
func TestPromises(t *testing.T) {
	scenarios := Scenarios(1)
	budget := func(calls float64) float64 { return 1 + 0.2 + 10/calls }
	none := map[string]float64{}
	for _, name := range []string{"A+"} {
		s := scenarios[name]
		none[name] = goodput(s, s.Run(t, NoRetry(), 1))
	}

	type promise struct {
		what      string
		figure    figure
		low, high float64
	}
	for _, tt := range []struct {
		scenario string
		client   Client
		promises []promise
	}{
		{"A", Default(), []promise{{"attempts a call", attempts, 1, budget(60_000)}}},
		{"A", Gated(), []promise{{"attempts a call", attempts, 0, budget(60_000)}, {"goodput", goodput, 0.95 * capacity, 2 * capacity}}},
		{"A+", Default(), []promise{{"attempts a call", attempts, 1, budget(60_000)}, {"goodput", goodput, 0.85 * none["A+"], capacity}}},
		{"A+", Gated(), []promise{{"attempts a call", attempts, 0, budget(60_000)}, {"goodput", goodput, 0.95 * capacity, 2 * capacity}}},
		{"B", Default(), []promise{{"attempts a call in the outage", inOutage, 1, budget(1400)}, {"peak after it", peak, 0, 1.1 * most}, {"fine after", fine, 0, 1}}},
		{"B", Gated(), []promise{{"attempts a call in the outage", inOutage, 1, budget(1400)}, {"peak after it", peak, 0, 1.1 * most}, {"fine after", fine, 0, 1}}},
		{"B+", Default(), []promise{{"attempts a call in the outage", inOutage, 1, budget(1400)}, {"peak after it", peak, 0, 1.1 * most}, {"fine after", fine, 0, 1}}},
		{"B+", Gated(), []promise{{"attempts a call in the outage", inOutage, 1, budget(1400)}, {"peak after it", peak, 0, 1.1 * most}, {"fine after", fine, 0, 1}}},
		// 1,400 callers wait, and 30 a second are to spare: 46.7 s at best.
		{"B", Parked(), []promise{{"attempts a call in the outage", inOutage, 0, 0.05}, {"failed", failed, 0, 0}, {"peak after it", peak, 0, 1.1 * capacity}, {"fine after", fine, 0, 1.5 * 46.7}}},
		{"B+", Parked(), []promise{{"attempts a call in the outage", inOutage, 0, 0.05}, {"failed", failed, 0, 0}, {"peak after it", peak, 0, 1.1 * capacity}, {"fine after", fine, 0, 1.5 * 46.7}}},
		// The 503 says when to come back.
		{"B5", Gated(), []promise{{"attempts a call in the outage", inOutage, 0, 0.05}, {"peak after it", peak, 0, 1.1 * capacity}, {"fine after", fine, 0, 10}}},
		{"C", Default(), []promise{{"failed", failed, 0, 0.05}, {"attempts a call", attempts, 1, 1.03}}},
		{"C", Gated(), []promise{{"failed", failed, 0, 0.05}, {"attempts a call", attempts, 1, 1.03}}},
		{"C+", Default(), []promise{{"failed", failed, 0, 0.5}}},
		{"C+", Gated(), []promise{{"failed", failed, 0, 0.5}}},
		{"C+", Parked(), []promise{{"failed", failed, 0, 0.5}}},
		// Some of the answers are 503 with a Retry-After, or 429, for no reason of rate: nobody is to suffer from the gate.
		{"C1", Gated(), []promise{{"failed", failed, 0, 0.05}, {"goodput", goodput, 0.99 * most, most}}},
		{"R", Gated(), []promise{{"failed", failed, 0, 0.05}, {"goodput", goodput, 0.99 * most, most}}},
		{"P", Default(), []promise{{"goodput", goodput, 0.85 * none["A+"], capacity}}},
		{"P", Gated(), []promise{{"goodput", goodput, none["A+"], capacity}, {"attempts a call", attempts, 0, 1}}},
		// Scopes in which nobody stands in line: a Gate must not cost more than the budget does.
		{"T", Default(), []promise{{"attempts a call", attempts, 1, budget(60_000)}, {"goodput", goodput, 0.85 * none["A+"], capacity}}},
		{"T", Gated(), []promise{{"attempts a call", attempts, 0, budget(60_000)}, {"goodput", goodput, 0.85 * none["A+"], capacity}}},
		{"TP", Gated(), []promise{{"attempts a call", attempts, 0, budget(60_000 / 2000)}, {"goodput", goodput, 0.85 * none["A+"], capacity}}},
		{"TB", Default(), []promise{{"attempts a call in the outage", inOutage, 0, budget(1400)}, {"peak after it", peak, 0, 1.2 * most}}},
		{"TB", Gated(), []promise{{"attempts a call in the outage", inOutage, 0, budget(1400)}, {"peak after it", peak, 0, 1.2 * most}}},
		{"TB", Parked(), []promise{{"attempts a call in the outage", inOutage, 0, budget(1400)}, {"peak after it", peak, 0, 2 * most}, {"failed", failed, 0, 1}}},
		{"L", Gated(), []promise{{"goodput", goodput, 0.95 * capacity, capacity}}},
		{"S", Gated(), []promise{{"goodput", goodput, 0.9 * 0.5, 0.6}}},
		{"W", Gated(), []promise{{"goodput", goodput, 0.95 * 20, 20}}},
		{"herd", Gated(), []promise{{"finished", finished, 200, 200}, {"attempts", total, 200, 400}}},
		{"herd", Parked(), []promise{{"finished", finished, 200, 200}, {"attempts", total, 200, 400}}},
		{"herd after quiet traffic", Gated(), []promise{{"finished", finished, 200, 200}, {"attempts", total, 200, 400}}},
		{"herd after quiet traffic", Parked(), []promise{{"finished", finished, 200, 200}, {"attempts", total, 200, 400}}},
	} {
		t.Run(tt.scenario+"/"+tt.client.Name, func(t *testing.T) {
			s := scenarios[tt.scenario]
			r := s.Run(t, tt.client, 1)
			for _, p := range tt.promises {
				got := p.figure(s, r)
				t.Logf("%s: %.4g, promised %.4g to %.4g", p.what, got, p.low, p.high)
				require.GreaterOrEqual(t, got, p.low, p.what)
				require.LessOrEqual(t, got, p.high, p.what)
			}
		})
	}
}

// Where refusals come by chance or by the window, luck could hide a fault: so these hold for every seed.
func TestPromisesOfChance(t *testing.T) {
	for name, least := range map[string]float64{"C1": 0.99 * most, "R": 0.99 * most, "W": 0.99 * 20} {
		s := Scenarios(1)[name]
		for seed := range uint64(4) {
			got := goodput(s, s.Run(t, Gated(), seed+1))
			t.Logf("%s, seed %d: goodput %.4g, promised %.4g", name, seed+1, got, least)
			require.GreaterOrEqual(t, got, least, "%s, seed %d", name, seed+1)
		}
	}
}

// The waits of a herd are spread by chance, and nobody is to be lost whatever they come to.
func TestHerds(t *testing.T) {
	for _, name := range []string{"herd", "herd after quiet traffic"} {
		s := Scenarios(1)[name]
		worst := 0.0
		for seed := range uint64(25) {
			worst = max(worst, s.Run(t, Gated(), seed+1).AttemptsForAll())
		}
		t.Logf("%s: at most %v attempts, promised 400", name, worst)
		require.LessOrEqual(t, worst, 400.0, name)
	}
}

// Capacity that rises, falls to a ninth and comes back is followed within ten seconds.
func TestFollow(t *testing.T) {
	s := Scenarios(0.5)["V"]
	quarter := s.Load.For / time.Duration(len(changes))
	r := s.Run(t, Gated(), 1)
	require.LessOrEqual(t, r.Rose(0, 0.9*changes[0]), 10.0)
	require.LessOrEqual(t, r.Rose(quarter, 0.9*150), 10.0, "the tripled capacity is more than what is offered")
	require.LessOrEqual(t, r.Fell(2*quarter, 1.25*changes[2]), 10.0)
	require.LessOrEqual(t, r.Rose(2*quarter, 0.9*changes[2]), 10.0)
	require.LessOrEqual(t, r.Rose(3*quarter, 0.9*changes[3]), 10.0)
}

// Nobody waits in a queue for a turn that comes too late, whatever capacity does, and the server is kept busy all the same.
func TestFollowWithDeadlines(t *testing.T) {
	s := Scenarios(0.5)["VD"]
	r := s.Run(t, Gated(), 1)
	possible := (changes[0] + 150 + changes[2] + changes[3]) / float64(len(changes))
	require.LessOrEqual(t, r.Longest(), s.Load.Deadline)
	require.LessOrEqual(t, r.Doomed(), 1.0, "percent of the calls waited for nothing")
	require.GreaterOrEqual(t, r.Goodput(0, s.Load.For), 0.9*possible)
}

// The simulation itself does what the arithmetic says, so that what it says about clients can be believed.
func TestServer(t *testing.T) {
	for _, tt := range []struct {
		scenario string
		goodput  float64
		failed   float64
	}{
		{"A", 100, 50},
		{"A+", 75, 62.5}, // a + 0.2 (200 - a) = 100
		{"B", 70 * (1 - 20.0/90), 100 * 20.0 / 90},
		{"C+", 70 * 0.85, 15},
	} {
		t.Run(tt.scenario, func(t *testing.T) {
			s := Scenarios(0.3)[tt.scenario]
			r := s.Run(t, NoRetry(), 1)
			require.InEpsilon(t, tt.goodput, goodput(s, r), 0.04)
			require.InEpsilon(t, tt.failed, failed(s, r), 0.05)
			require.InDelta(t, 1, r.Amplification(), 1e-9)
		})
	}
}

// The sweep measures what users get: with the constants that are built in, the one is the other.
func TestTuned(t *testing.T) {
	for name, within := range map[string]float64{"A+": 0.01, "V": 0.01, "R": 0.01, "herd": 0.02, "herd after quiet traffic": 0.02} {
		s := Scenarios(0.2)[name]
		tuned, gated := s.Run(t, Tuned(pacing.Tuning{}), 1), s.Run(t, Gated(), 1)
		require.InEpsilon(t, gated.Finished(), tuned.Finished(), within, name)
		require.InEpsilon(t, gated.Attempts(), tuned.Attempts(), within, name)
	}
}

// Every peer is really at work: it retries what can be retried.
func TestPeers(t *testing.T) {
	s := Scenarios(0.1)["C+"]
	for _, c := range append(Peers(), Default()) {
		t.Run(c.Name, func(t *testing.T) {
			r := s.Run(t, c, 1)
			require.Greater(t, r.Amplification(), 1.1, fmt.Sprint(r.Failed()))
			require.Less(t, r.Failed(), 2.0)
		})
	}
}
