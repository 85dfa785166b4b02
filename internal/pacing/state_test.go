package pacing

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script drives a state through a story, at times in seconds since its beginning.
type script struct {
	*state
	start time.Time
}

func newScript(l limits) *script {
	l.queueSize = orDefault(l.queueSize, DefaultQueueSize)
	l.maxWait = orDefault(l.maxWait, DefaultMaxWait)
	l.maxRetryWait = orDefault(l.maxRetryWait, DefaultMaxRetryWait)
	l.tuning = l.tuning.defaults()
	return &script{&state{l: &l}, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
}

func (s *script) at(seconds float64) time.Time {
	return s.start.Add(time.Duration(seconds * float64(time.Second)))
}

// send lets a caller through, who must be allowed to, and returns the number of the attempt.
func (s *script) send(t *testing.T, at float64) uint64 {
	t.Helper()
	require.True(t, s.arrive(s.at(at), time.Time{}, 0, 0, time.Time{}).admit, "at %v s", at)
	return s.take(s.at(at), false)
}

// pacedAt brings the state to a rate, which it was measured to serve until second at.
func (s *script) pacedAt(t *testing.T, rate int, at float64) {
	t.Helper()
	require.Equal(t, Paced, s.report(s.at(at-1), 0, Outcome{Kind: Slower, Wait: time.Second}))
	for i := range rate {
		s.report(s.at(at-1+float64(i)/float64(rate)), 0, Outcome{Kind: OK})
	}
	require.Equal(t, Paced, s.say(at-0.01, s.send(t, at-0.02), Slower, time.Second), "and no more")
	s.tick(s.at(at))
	require.Equal(t, pacing, s.mode)
	require.False(t, s.slowStart)
	require.InDelta(t, rate, s.rate(), 1e-6)
}

func (s *script) say(at float64, seq uint64, kind Kind, wait time.Duration) Pace {
	return s.report(s.at(at), seq, Outcome{Kind: kind, Wait: wait})
}

// The first refusal begins a second in which the server gets to show what it serves: four attempts, and two for each success.
func TestMeasuring(t *testing.T) {
	s := newScript(limits{})
	require.Equal(t, watching, s.mode)
	s.say(0, 0, OK, 0)
	require.Equal(t, Paced, s.say(0, 0, Slower, time.Second))
	require.Equal(t, Paced, s.say(0, 0, Slower, time.Second), "and another one")
	require.Equal(t, measuring, s.mode)
	for range firstAttempts {
		s.send(t, 0.1)
	}
	require.Equal(t, s.at(1), s.turn(s.at(0.1)), "no more until something is served, or the second is over")
	s.say(0.2, 0, OK, 0)
	require.Equal(t, s.at(0.2), s.turn(s.at(0.2)))
	s.send(t, 0.2)
	s.send(t, 0.2)
	require.Equal(t, s.at(1), s.turn(s.at(0.2)))
	s.tick(s.at(1))
	require.Equal(t, pacing, s.mode)
	require.InDelta(t, 1, s.rate(), 1e-9, "one success in a second")
	require.True(t, s.slowStart, "which is hardly a measurement")
}

// What is served is all that the server can do only if it refused something at the same time.
func TestMeasuredWithoutRefusals(t *testing.T) {
	for _, tt := range []struct {
		name      string
		served    int // of those that left before the first refusal
		sent      int // since, and all served
		refused   int // since
		rate      float64
		slowStart bool
	}{
		{"nothing was tried and nothing came back", 0, 0, 0, 0.5, true},
		{"nothing was tried", 20, 0, 0, 20, true},
		{"everything was served", 20, 30, 0, 50, true},
		{"something was refused", 20, 30, 1, 50, false},
		{"too little was served", 2, 2, 1, 4, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(limits{})
			s.say(0, 0, Slower, time.Second)
			s.say(0, 0, Slower, time.Second)
			for range tt.served {
				s.say(0.05, 0, OK, 0)
			}
			for range tt.sent {
				s.say(0.5, s.send(t, 0.5), OK, 0)
			}
			for range tt.refused {
				s.say(0.6, s.send(t, 0.6), Slower, time.Second)
			}
			s.tick(s.at(1))
			require.Equal(t, pacing, s.mode)
			require.InDelta(t, tt.rate, s.rate(), 1e-9)
			require.Equal(t, tt.slowStart, s.slowStart)
		})
	}
}

// One refusal may be chance: after a second without another nobody is held back. A second one within a few seconds, or within the wait that
// the server states, is no chance.
func TestOneRefusalIsChance(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait time.Duration
		next float64
		want mode
	}{
		{"alone", time.Second, 0, watching},
		{"another long after", time.Second, 6, watching},
		{"another soon", time.Second, 4, pacing},
		{"another within the wait stated", 30 * time.Second, 20, pacing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(limits{})
			s.say(0, s.send(t, 0), Slower, tt.wait)
			s.say(0.5, s.send(t, 0.5), OK, 0)
			s.tick(s.at(1))
			require.Equal(t, watching, s.mode)
			require.Equal(t, s.at(1), s.turn(s.at(1)))
			if tt.next > 0 {
				s.say(tt.next, s.send(t, tt.next), Slower, tt.wait)
				s.tick(s.at(tt.next + 1))
			}
			require.Equal(t, tt.want, s.mode)
		})
	}
}

// A slow start of which nobody makes use and which nobody has refused for some seconds ends: it knows nothing that would justify to hold
// anybody back.
func TestSlowStartEnds(t *testing.T) {
	for _, tt := range []struct {
		wait  time.Duration
		until float64
	}{{time.Second, 5}, {20 * time.Second, 20}, {time.Hour, 60}} {
		s := newScript(limits{})
		s.say(0, 0, Slower, tt.wait)
		s.say(0, 0, Slower, tt.wait)
		s.tick(s.at(1))
		require.True(t, s.slowStart)
		s.tick(s.at(tt.until - 0.01))
		require.Equal(t, pacing, s.mode)
		s.tick(s.at(tt.until))
		require.Equal(t, watching, s.mode)
	}
}

func TestMeasuringEndsWithEnough(t *testing.T) {
	s := newScript(limits{})
	s.say(0, 0, Slower, time.Second)
	for i := range enough {
		at := 0.1 + float64(i)/100
		s.say(at, s.send(t, at), OK, 0)
		s.say(at, s.send(t, at), Slower, time.Second)
	}
	require.Equal(t, pacing, s.mode)
	require.InDelta(t, enough/0.19, s.rate(), 1)
	require.False(t, s.slowStart)
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		name            string
		tuning          Tuning
		served, refused int // in the last second, of a rate of 100, the refusal that cuts not counted
		want            float64
	}{
		{"nothing known", Tuning{}, 0, 0, 70},
		{"too little known", Tuning{}, 2, 0, 70},
		{"little served", Tuning{}, 30, 70, 70},
		{"most served", Tuning{}, 90, 10, 90},
		{"most served, plain", Tuning{Plain: true}, 90, 10, 70},
		{"most served of the little that was sent", Tuning{}, 9, 1, 90},
		{"a single refusal, perhaps by chance", Tuning{}, 50, 0, 100},
		{"another factor", Tuning{Decrease: 0.5}, 0, 0, 50},
		{"below the floor", Tuning{Decrease: 0.001}, 0, 0, 0.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(limits{tuning: tt.tuning})
			s.pacedAt(t, 100, 10)
			s.share = meter{
				from: s.at(19.2), mid: s.at(19.6), last: s.at(20),
				old: portion{served: tt.served, area: 40}, cur: portion{refused: tt.refused, area: 40},
			}
			seq := s.send(t, 20)
			require.Equal(t, Paced, s.say(20, seq, Slower, time.Second))
			require.InDelta(t, tt.want, s.rate(), 1e-6)
			require.False(t, s.turn(s.at(20)).After(s.at(20).Add(seconds(1/s.rate()))), "the next turn follows the new rate")
		})
	}
}

// A refusal now and then does not take growth its pace, and a cut that counts does.
func TestCutAndGrowth(t *testing.T) {
	for _, tt := range []struct {
		name            string
		served, refused int
		want            time.Duration // of 5 s of growth
	}{
		{"by chance", 100, 0, 5 * time.Second},
		{"five in a hundred", 95, 5, 2500 * time.Millisecond},
		{"ten", 90, 10, 0},
		{"all", 0, 100, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(limits{})
			s.pacedAt(t, 100, 10)
			s.grown = 5 * time.Second
			rate := s.rate()
			s.share = meter{
				from: s.at(19.2), mid: s.at(19.6), last: s.at(20),
				old: portion{served: tt.served, area: rate * 0.4}, cur: portion{refused: tt.refused, area: rate * 0.4},
			}
			s.say(20, s.send(t, 20), Slower, time.Second)
			require.InDelta(t, tt.want, s.grown, float64(time.Millisecond))
			require.InDelta(t, rate*max(0.7, float64(tt.served)/float64(tt.served+tt.refused)), s.rate(), 1e-6)
		})
	}
}

// A server that refused everything for a moment and serves again is found to be what it was within seconds.
func TestDeepRow(t *testing.T) {
	s := newScript(limits{})
	s.pacedAt(t, 100, 10)
	for i := range 6 {
		at := 20 + float64(i)/10
		s.say(at, s.send(t, at), Slower, 20*time.Second)
	}
	require.InDelta(t, 11.8, s.rate(), 0.1)
	s.say(21, s.send(t, 21), OK, 0)
	require.True(t, s.slowStart)
	for at := s.turn(s.at(21)); at.Before(s.at(24)); at = s.turn(at) {
		s.take(at, true)
	}
	require.False(t, s.slowStart, "up to where the first cut had been")
	require.InDelta(t, 73, s.rate(), 4)
}

// What left before the last cut does not cut again, whatever comes back of it.
func TestCutOncePerRound(t *testing.T) {
	s := newScript(limits{})
	s.pacedAt(t, 100, 10)
	var flight []uint64
	for i := range 10 {
		flight = append(flight, s.send(t, 20+float64(i)/100))
	}
	s.share = meter{}
	for _, seq := range flight {
		s.say(20.2, seq, Slower, time.Second)
		s.say(20.2, 0, Slower, time.Second)
	}
	require.InDelta(t, 70, s.rate(), 1e-6)
	s.say(20.3, s.send(t, 20.3), Slower, time.Second)
	require.InDelta(t, 49, s.rate(), 1e-6)
}

func TestFloor(t *testing.T) {
	for _, tt := range []struct {
		stated time.Duration
		want   float64
	}{
		{0, 0.5},
		{time.Millisecond, 0.5},
		{time.Second, 0.5},
		{10 * time.Second, 0.05},
		{time.Minute, 1.0 / 60},
		{1 << 62, 1.0 / 60},
		{-time.Hour, 0.5},
	} {
		s := newScript(limits{})
		s.pacedAt(t, 10, 10)
		for i := range nobody - 2 {
			at := 100 * float64(i+1)
			s.share = meter{}
			s.say(at, s.send(t, at), Slower, tt.stated)
		}
		for range 30 {
			s.slower(s.at(2000))
		}
		require.InDelta(t, tt.want, s.rate(), 1e-9, "stated %v", tt.stated)
	}
}

// The rate grows while callers wait for it, and not otherwise.
func TestGrowth(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tuning  Tuning
		queued  bool
		seconds float64
		want    float64
	}{
		{"nobody waits", Tuning{}, false, 10, 100},
		{"a second", Tuning{}, true, 1, 105.3},
		{"five seconds", Tuning{}, true, 5, 158},
		{"ten seconds", Tuning{}, true, 10, 417},
		{"ten seconds, plain", Tuning{Convex: -1}, true, 10, 150},
		{"ten seconds, steeper", Tuning{Convex: -1, Increase: 0.1}, true, 10, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(limits{tuning: tt.tuning})
			s.pacedAt(t, 100, 10)
			at := s.at(10)
			for at.Before(s.at(10 + tt.seconds)) {
				at = later(s.turn(at), at.Add(time.Millisecond))
				s.take(at, tt.queued)
			}
			require.InDelta(t, tt.want, s.rate(), tt.want/50)
		})
	}
}

// One attempt a minute proves no more than one attempt a second does.
func TestGrowthOfASlowRate(t *testing.T) {
	s := newScript(limits{})
	s.say(0, 0, Slower, time.Minute)
	s.say(0, 0, Slower, time.Minute)
	s.tick(s.at(1))
	require.True(t, s.slowStart)
	require.InDelta(t, 1.0/60, s.rate(), 1e-9, "a server that states a minute gets one a minute")
	at := later(s.turn(s.at(1)), s.at(1))
	s.take(at, true)
	s.take(s.turn(at.Add(time.Second)), true)
	require.LessOrEqual(t, s.rate(), 4.0/60)
}

func TestSlowStart(t *testing.T) {
	s := newScript(limits{})
	s.say(0, 0, Slower, time.Second)
	s.say(0, 0, Slower, time.Second)
	s.tick(s.at(1))
	require.True(t, s.slowStart)
	require.InDelta(t, 0.5, s.rate(), 1e-9)
	for at := s.at(1); at.Before(s.at(8)); {
		at = s.turn(at)
		s.take(at, true)
	}
	require.Greater(t, s.rate(), 200.0, "seven seconds are hundreds of times as fast")
	before := s.rate()
	s.say(8, s.take(s.at(8), true), Slower, time.Second)
	require.False(t, s.slowStart)
	require.Less(t, s.rate(), before)
}

// A slow start that is refused ends where the server is, and not where the rate has been: what was served on the way up does not
// hold the cuts up.
func TestSlowStartRefused(t *testing.T) {
	s := newScript(limits{})
	s.say(0, 0, Slower, time.Second)
	s.say(0, 0, Slower, time.Second)
	s.tick(s.at(1))
	at := s.at(1)
	for s.rate() < 80 {
		at = later(s.turn(at), at)
		s.report(at, s.take(at, true), Outcome{Kind: OK})
	}
	rates := []float64{s.rate()}
	for range 4 {
		at = s.turn(at)
		s.report(at, s.take(at, true), Outcome{Kind: Slower, Wait: time.Second})
		rates = append(rates, s.rate())
	}
	require.False(t, s.slowStart)
	for i, rate := range rates[1:] {
		require.InEpsilon(t, 0.7, rate/rates[i], 0.05, "%v", rates)
	}
}

// In a slow start a turn is foreseen to come when it does come, if nothing is refused.
func TestExpectInSlowStart(t *testing.T) {
	for _, tt := range []struct {
		name    string
		stated  time.Duration
		rate    float64 // 0: the floor
		ceiling float64
	}{
		{"from the floor", time.Second, 0, 0},
		{"from the floor of a server that states a minute", time.Minute, 0, 0},
		{"from ten", time.Second, 10, 0},
		{"from a thousand", time.Second, 1000, 0},
		{"up to a ceiling", time.Second, 2, 40},
		{"up to a ceiling among the first", time.Second, 0, 3},
		{"at its ceiling", time.Second, 40, 40},
		{"above its ceiling", time.Second, 40, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(limits{})
			s.stated = tt.stated
			s.pace(s.at(0), tt.rate, true)
			s.ceiling = tt.ceiling
			s.take(s.at(0), false)
			now := s.at(0)
			const callers = 1000
			expected := make([]time.Time, callers)
			for ahead := range expected {
				expected[ahead] = s.expect(now, s.turn(now), ahead)
			}
			for ahead, want := range expected {
				now = s.turn(now)
				foreseen, came := want.Sub(s.start).Seconds(), now.Sub(s.start).Seconds()
				require.LessOrEqual(t, came, 1.02*foreseen+0.02, "behind %d", ahead)
				if s.slowStart { // what comes after a ceiling is growth that is not foreseen
					require.GreaterOrEqual(t, came, 0.98*foreseen-0.02, "behind %d", ahead)
				}
				s.take(now, true)
			}
		})
	}
}

func TestTurnsKeepTheirDistance(t *testing.T) {
	s := newScript(limits{})
	s.pacedAt(t, 10, 10)
	at := s.at(10)
	s.take(at, false)
	require.Equal(t, s.at(10.1), s.turn(at))
	// A timer that fires 4 ms late is made up for; a caller that comes a second late is not.
	s.take(s.at(10.104), false)
	require.Equal(t, s.at(10.2), s.turn(s.at(10.104)))
	s.take(s.at(11.5), false)
	require.Equal(t, s.at(11.59), s.turn(s.at(11.5)))
	s.untake(s.at(11.51))
	require.Equal(t, s.at(11.51), s.turn(s.at(11.51)), "a turn that was not used is the next one's")
}

func TestArrive(t *testing.T) {
	for _, tt := range []struct {
		name     string
		limits   limits
		again    bool
		ahead    int
		deadline float64
		answer   float64 // what an answer takes
		admit    bool
		reason   Reason
		at       float64
	}{
		{name: "short queue", ahead: 5, at: 10.5},
		{name: "as long as it may be", ahead: 19, at: 11.9},
		{name: "longer", ahead: 21, reason: TooLong, at: 12.1},
		{name: "longer, but refused before", ahead: 21, again: true, at: 12.1},
		{name: "a minute, refused before", ahead: 601, again: true, reason: TooLong, at: 70.1},
		{name: "after the deadline", ahead: 15, deadline: 11, reason: Deadline, at: 11.5},
		{name: "before the deadline", ahead: 5, deadline: 11, at: 10.5},
		{name: "too close to the deadline for the answer", ahead: 5, deadline: 11, answer: 0.4, reason: Deadline, at: 10.5},
		{name: "too close to the deadline for a rate that falls", ahead: 9, deadline: 11, reason: Deadline, at: 10.9},
		{name: "too many", ahead: 1000, again: true, limits: limits{maxRetryWait: time.Hour}, reason: QueueFull, at: 110},
		{name: "nobody may wait", limits: limits{queueSize: -1}, reason: QueueFull, at: 10.09},
		{name: "no waiting", limits: limits{maxWait: -1}, reason: TooLong, at: 10.09},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(tt.limits)
			s.pacedAt(t, 10, 9.9)
			now := s.at(10)
			if tt.answer > 0 {
				s.answered(seconds(tt.answer))
			}
			if tt.ahead == 0 {
				s.take(now, false)
			}
			s.next = later(s.next, now)
			var deadline, since time.Time
			if tt.again {
				since = s.at(9)
			}
			if tt.deadline > 0 {
				deadline = s.at(tt.deadline)
			}
			v := s.arrive(now, since, tt.ahead, tt.ahead, deadline)
			require.Equal(t, tt.admit, v.admit)
			require.Equal(t, tt.reason, v.reason, "%v", v.reason)
			require.WithinDuration(t, s.at(tt.at), v.at, 2*time.Millisecond)
		})
	}
}

// A 503 with a Retry-After closes; then one attempt goes, and when it succeeds the rest at the rate at which they came.
func TestClose(t *testing.T) {
	s := newScript(limits{})
	require.Equal(t, Paced, s.say(0, 0, Down, 10*time.Second))
	require.Equal(t, closed, s.mode)
	require.Equal(t, Closed, s.arrive(s.at(1), time.Time{}, 0, 0, time.Time{}).reason, "nine seconds are too long to wait")
	require.Zero(t, s.arrive(s.at(1), s.at(0), 0, 0, time.Time{}).reason, "but not for a call that has had its first attempt")
	require.Equal(t, Deadline, s.arrive(s.at(8.5), time.Time{}, 0, 0, s.at(9)).reason)
	require.Zero(t, s.arrive(s.at(8.5), time.Time{}, 0, 0, time.Time{}).reason)
	for i := range 197 {
		s.arrive(s.at(float64(i)/20), time.Time{}, 0, 0, time.Time{})
	}
	seq := s.send(t, 10)
	require.True(t, s.reopening)
	require.True(t, s.turn(s.at(10)).After(s.at(10.9)), "one attempt, to see")
	s.say(10.1, seq, OK, 0)
	require.False(t, s.reopening)
	require.InDelta(t, 20, s.rate(), 0.2, "200 callers in 10 s")
	require.InDelta(t, 21, s.base*1.05, 0.5)
}

func TestCloseAgain(t *testing.T) {
	s := newScript(limits{})
	s.say(0, 0, Down, time.Second)
	for i := range 100 {
		s.arrive(s.at(float64(i)/100), time.Time{}, 0, 0, time.Time{})
	}
	first := s.send(t, 1)
	require.Equal(t, Paced, s.say(1.01, first, Down, 2*time.Second), "it is still down")
	require.Equal(t, closed, s.mode)
	require.Equal(t, s.at(3.01), s.until)
	require.Equal(t, s.at(0), s.closedAt, "it is one outage")
	s.say(1.5, 0, Down, 5*time.Second)
	require.Equal(t, s.at(3.01), s.until, "an answer to what left before says nothing")
	second := s.send(t, 3.01)
	s.say(3.02, 0, Down, 0)
	require.NotEqual(t, closed, s.mode)
	s.say(3.05, second, OK, 0)
	require.Equal(t, pacing, s.mode)
	require.InDelta(t, 102/3.05, s.rate(), 1)
}

// A server that comes back and says "slower" is met at the rate at which callers came, less a cut, not at that of the probe.
func TestReopenSlower(t *testing.T) {
	s := newScript(limits{})
	s.say(0, 0, Down, 10*time.Second)
	for i := range 1000 {
		s.arrive(s.at(float64(i)/100), time.Time{}, 0, 0, time.Time{})
	}
	require.Equal(t, Paced, s.say(10.01, s.send(t, 10), Slower, time.Second))
	require.False(t, s.reopening)
	require.InDelta(t, 70, s.rate(), 1)
}

// An outage that ends after what was in flight at its beginning has come back does not end with that.
func TestCloseInFlight(t *testing.T) {
	s := newScript(limits{})
	s.pacedAt(t, 100, 10)
	s.alive = false
	early, refused, late := s.send(t, 11), s.send(t, 11.1), s.send(t, 11.2)
	s.say(11.2, refused, Down, 10*time.Second)
	require.Equal(t, closed, s.mode)
	s.say(11.3, early, OK, 0)
	s.say(11.3, 0, OK, 0)
	require.Equal(t, closed, s.mode, "sent before")
	s.say(11.4, late, OK, 0)
	require.Equal(t, pacing, s.mode, "sent after: the server is there")
	require.InDelta(t, 100, s.rate(), 30)
}

// A server that sheds some while it serves others is not down.
func TestShed(t *testing.T) {
	s := newScript(limits{})
	s.pacedAt(t, 100, 10)
	s.say(11, s.send(t, 11), OK, 0)
	for i := range 4 {
		at := 12 + float64(i)
		require.Equal(t, Paced, s.say(at, s.send(t, at), Down, 30*time.Second))
		require.Equal(t, pacing, s.mode)
		require.Less(t, s.rate(), 100.0)
	}
	s.say(20, s.send(t, 20), Down, 30*time.Second)
	require.Equal(t, closed, s.mode, "five in a row and nothing between")
}

// Nor is one that has served the probe.
func TestShedAfterAProbe(t *testing.T) {
	for _, park := range []time.Duration{0, time.Minute} {
		s := newScript(limits{park: park})
		s.say(0, 0, Down, 5*time.Second)
		require.Equal(t, closed, s.mode)
		s.say(5.1, s.send(t, 5), OK, 0)
		require.Equal(t, Paced, s.say(7, s.send(t, 7), Down, 5*time.Second))
		require.Equal(t, pacing, s.mode)
	}
}

// A window that is used up refuses everybody until the next: the rate of before is right then, not what is left of it.
func TestWindow(t *testing.T) {
	s := newScript(limits{})
	s.pacedAt(t, 100, 10)
	s.share = meter{}
	at := 20.0
	for s.mode == pacing && at < 40 {
		at += 0.2
		s.say(at, s.send(t, at), Slower, 30*time.Second)
	}
	require.Equal(t, closed, s.mode)
	require.InDelta(t, 20+0.2*nobody, at, 0.3)
	require.False(t, s.parked)
	for i := range 1000 {
		s.arrive(s.at(at+float64(i)/50), time.Time{}, 0, 0, time.Time{})
	}
	end := at + 30
	s.say(end+0.1, s.send(t, end), OK, 0)
	require.InDelta(t, 1000.0/30, s.rate(), 1, "at the rate at which callers came, which is below that of before")
}

func TestPark(t *testing.T) {
	s := newScript(limits{park: time.Minute})
	for i := range 4 {
		require.Equal(t, Unpaced, s.say(float64(i)/100, s.send(t, float64(i)/100), Down, 0))
	}
	s.say(0.045, 0, OK, 0)
	require.Equal(t, watching, s.mode)
	for i := range 5 {
		at := 0.05 + float64(i)/100
		require.Equal(t, map[bool]Pace{true: Parked}[i == 4], s.say(at, s.send(t, at), Down, 0))
	}
	require.Equal(t, closed, s.mode)
	require.True(t, s.parked)
	for i := range 100 {
		require.Zero(t, s.arrive(s.at(0.1+float64(i)/100), time.Time{}, i, i, time.Time{}).reason)
	}
	require.Equal(t, s.at(61), s.limit(s.at(1), time.Time{}), "as long as they may be parked")
	require.Equal(t, Paced, s.say(1, 0, Slower, 0), "left before, and is no probe")
	for i := range 3 {
		now := s.turn(s.at(1))
		require.WithinDuration(t, s.at(1.09+float64(i)), now, time.Microsecond, "one probe a second")
		require.Equal(t, Parked, s.say(now.Sub(s.start).Seconds()+0.005, s.take(now, true), Down, 0))
	}
	seq := s.take(s.at(4.09), true)
	s.say(4.14, seq, OK, 0)
	require.Equal(t, pacing, s.mode)
	require.True(t, s.parked, "until the last waiter has left")
	require.InDelta(t, 101/4.05, s.rate(), 1)
	s.drained()
	require.False(t, s.parked)
}

// Whoever comes back to a parked scope after its time is refused, also when its turn has come: an attempt that takes longer than the pause between two probes
// would find it so each time.
func TestParkEnds(t *testing.T) {
	s := newScript(limits{park: time.Minute})
	s.say(0, s.send(t, 0), Down, time.Second)
	require.True(t, s.parked)
	for _, tt := range []struct {
		at   float64
		want verdict
	}{
		{59, verdict{admit: true, at: s.at(59)}},
		{60, verdict{reason: Closed, at: s.at(60)}},
		{100, verdict{reason: Closed, at: s.at(100)}},
	} {
		require.Equal(t, tt.want, s.arrive(s.at(tt.at), s.at(0), 0, 0, time.Time{}), "%v", tt.at)
	}
	require.True(t, s.arrive(s.at(100), time.Time{}, 0, 0, time.Time{}).admit, "a first attempt finds out")
}

// Failures in a row by chance are taken back as soon as something of the same time turns out well.
func TestParkTakenBack(t *testing.T) {
	s := newScript(limits{park: time.Minute})
	s.say(0, 0, Down, 0)
	s.say(0, 0, OK, 0)
	var failed []uint64
	for range 5 {
		failed = append(failed, s.send(t, 1))
	}
	good := s.send(t, 1)
	for _, seq := range failed {
		s.say(1.1, seq, Down, 0)
	}
	require.Equal(t, closed, s.mode)
	s.say(1.2, good, OK, 0)
	require.Equal(t, watching, s.mode)
	require.False(t, s.parked)
	require.Equal(t, s.at(1.2), s.turn(s.at(1.2)))
}

// A server that names a year is not believed for one, and one that names nothing without parking closes nothing.
func TestHostileWaits(t *testing.T) {
	for _, tt := range []struct {
		wait time.Duration
		want mode
	}{
		{math.MaxInt64, closed},
		{365 * 24 * time.Hour, closed},
		{time.Nanosecond, pacing}, // it is over by the next look
		{0, watching},
		{-time.Second, watching},
		{math.MinInt64, watching},
	} {
		s := newScript(limits{})
		s.say(0, 0, Down, tt.wait)
		s.tick(s.at(0.001))
		require.Equal(t, tt.want, s.mode, "%v", tt.wait)
		require.False(t, s.until.After(s.at(60)), "%v", tt.wait)
		s.tick(s.at(61))
		require.NotEqual(t, closed, s.mode, "%v", tt.wait)

		s = newScript(limits{})
		s.say(0, 0, Slower, tt.wait)
		s.say(0, 0, Slower, tt.wait)
		s.tick(s.at(2))
		require.Equal(t, pacing, s.mode, "%v", tt.wait)
		require.GreaterOrEqual(t, s.rate(), minRate)
	}
}

// Whatever is reported, at whatever times, there is a rate, a turn that comes, and no time at which nothing is right.
func FuzzState(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200, 100})
	f.Add([]byte("\x02\x02\x02\x02\x02\x02\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		for _, park := range []time.Duration{0, time.Minute} {
			s := newScript(limits{park: park})
			now, latest := s.at(0), s.at(0)
			for i, op := range ops {
				now = now.Add(time.Duration(op>>4) * time.Duration(op>>4) * 10 * time.Millisecond)
				latest = later(latest, now)
				if op == 0xff {
					now = now.Add(-time.Second) // a clock without a monotonic reading
				}
				seq := s.seq
				if op&8 == 0 {
					s.report(now, seq-min(seq, uint64(op>>5)), Outcome{Kind: Kind(op & 3), Wait: time.Duration(op>>4) * 300 * time.Millisecond})
				} else {
					var since time.Time
					if op&1 == 0 {
						since = s.at(0)
					}
					v := s.arrive(now, since, int(op>>6), int(op>>6), time.Time{})
					queued := !v.admit && op&2 == 0
					if queued { // and waits, even beyond its limit, since nobody leaves before a turn
						now = s.turn(now)
						s.tick(now)
						now = s.turn(now)
						latest = later(latest, now)
					}
					if v.admit || queued {
						require.Greater(t, s.take(now, queued), seq)
					}
				}
				if op&7 == 7 {
					s.drained()
				}
				s.tick(now)
				turn := s.turn(now)
				require.False(t, turn.Before(now), "op %d", i)
				require.False(t, turn.After(latest.Add(61*time.Second)), "op %d: %v", i, turn.Sub(now))
				require.False(t, s.expect(now, turn, 3).Before(turn), "op %d", i)
				if s.mode == pacing {
					rate := s.rate()
					require.True(t, rate >= minRate && rate <= maxRate, "op %d: %v", i, rate)
				}
				require.False(t, s.parked && park == 0)
			}
		}
	})
}

func TestAnswer(t *testing.T) {
	s := newScript(limits{})
	require.Zero(t, s.answer())
	s.answered(-time.Second)
	require.Zero(t, s.answer(), "a clock that was set back")
	for range 100 {
		s.answered(100 * time.Millisecond)
	}
	require.InDelta(t, 0.1, s.answer().Seconds(), 0.001, "always the same")
	s.answered(500 * time.Millisecond)
	require.InDelta(t, 0.5, s.answer().Seconds(), 0.01, "once something else, and none took longer")
	for range 100 {
		s.answered(100 * time.Millisecond)
	}
	require.InDelta(t, 0.1, s.answer().Seconds(), 0.02, "which is forgotten")
	s.answered(1 << 62)
	require.Positive(t, s.answer())
}

func TestMeter(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1_800_000_000, 0).Add(seconds(s)) }
	m := meter{from: at(0), mid: at(0), last: at(0)}
	for i := range 300 {
		p := m.note(at(float64(i)/100), 200, time.Second)
		if i%4 == 0 {
			p.refused++
		} else {
			p.served++
		}
	}
	require.InDelta(t, 150, m.kept(at(3), 200), 1.5, "three quarters of the rate allowed, of which only half was used")
	// The rate falls, and the mean follows later.
	m.note(at(3), 200, time.Second)
	require.InDelta(t, 75, m.kept(at(5), 50), 2)
	m.note(at(10), 50, time.Second).served++
	require.Zero(t, m.kept(at(10.5), 50), "one is too few to tell")
	require.Zero(t, (&meter{}).kept(at(0), 1))
	m.note(at(9), 50, time.Second).served += 10
	require.Positive(t, m.kept(at(10.5), 50), "a clock that was set back")
}
