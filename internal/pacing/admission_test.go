package pacing

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// hostileWaits are what a server may state.
var hostileWaits = [...]time.Duration{
	0, 1, time.Millisecond, 300 * time.Millisecond, time.Second, 5 * time.Second, time.Minute, time.Hour, 365 * 24 * time.Hour,
	math.MaxInt64, math.MaxInt64 - 1, -1, -time.Hour, math.MinInt64,
}

// model is a state with its queue, and what must hold of both.
type model struct {
	*script
	t       *testing.T
	now     time.Time
	queue   []time.Time // the beginnings of those who wait
	flight  []uint64    // who was let through and has not reported yet
	last    time.Time   // of the last who was let through; zero if something else happened since that may let more through
	fastest float64     // the highest rate since then
}

// must ends the test unless something holds. It is called a million times, so it is cheap.
func (m *model) must(holds bool, what string) {
	if !holds {
		m.t.Helper()
		m.t.Fatalf("%s: %v after the start, %+v", what, m.now.Sub(m.start), *m.state)
	}
}

// release does what a scope does: whoever waited too long goes, and whose turn it is leaves.
func (m *model) release() {
	for {
		m.tick(m.now)
		for len(m.queue) > 0 && !m.limit(m.queue[0], time.Time{}).After(m.now) {
			m.queue = m.queue[1:]
		}
		if len(m.queue) == 0 {
			m.drained()
			return
		}
		if m.turn(m.now).After(m.now) {
			return
		}
		m.queue = m.queue[1:]
		m.leave(true)
	}
}

// leave lets one through, within the bounds.
func (m *model) leave(queued bool) {
	switch m.mode {
	case measuring:
		m.must(m.left < firstAttempts+2*m.ok, "four while nothing is known, and two for each success")
	case closed:
		m.must(m.parked, "nobody leaves while the server is down, but for a probe")
		m.must(!m.until.After(m.now), "and not before it is time for it")
		m.must(m.last.IsZero() || !m.probed || m.now.Sub(m.last) >= m.l.tuning.Probe, "one probe a second")
	case pacing:
		m.must(m.last.IsZero() || m.fastest == 0 || m.now.Sub(m.last) >= seconds(1/m.fastest)-lateness-time.Microsecond, "no faster than the rate")
	case watching:
	}
	m.fastest = 0
	if m.mode == pacing {
		m.fastest = m.rate()
	}
	before := m.seq
	seq := m.take(m.now, queued)
	m.must(seq == before+1, "attempts are numbered as they leave")
	m.flight = append(m.flight, seq)
	m.last = m.now
}

// check holds the state to its bounds.
func (m *model) check() {
	turn := m.turn(m.now)
	m.must(!turn.Before(m.now), "a turn is now or later")
	m.must(turn.Sub(m.now) <= 2*time.Minute, "and not too late, whatever the server states")
	for _, ahead := range [...]int{1, 1000, math.MaxInt32} {
		at := m.expect(m.now, turn, ahead)
		m.must(!at.Before(turn) && at.Sub(turn) < 150_000_000*time.Second, "what is expected is a time")
	}
	m.must(len(m.queue) <= m.l.queueSize, "the queue keeps its size")
	m.must(m.took >= 0 && m.spread >= 0 && m.answer() >= 0, "answers take some time")
	m.must(!m.parked || m.l.park > 0, "nobody is parked who does not want to be")
	kept := m.share.kept(m.now, 1)
	m.must(!math.IsNaN(kept) && !math.IsInf(kept, 0) && kept >= 0, "the share kept is a number")
	if m.mode == pacing {
		rate := m.rate()
		m.must(rate >= minRate && rate <= maxRate, "the rate keeps its bounds")
		m.fastest = max(m.fastest, rate)
	} else if m.mode != closed {
		m.last = time.Time{}
	}
}

// step is one thing that happens.
func (m *model) step(op, arg byte) {
	mode := m.mode
	switch op % 6 {
	case 0: // time passes
		m.now = m.now.Add(time.Duration(arg) * time.Duration(arg) * time.Millisecond)
	case 1: // somebody comes
		var deadline time.Time
		if arg&1 != 0 {
			deadline = m.now.Add(time.Duration(arg) * 20 * time.Millisecond)
		}
		v := m.arrive(m.now, time.Time{}, len(m.queue), len(m.queue), deadline)
		m.must(!v.admit || v.reason == 0, "a caller is admitted or refused")
		m.must(!v.at.Before(m.now), "a turn is now or later")
		switch {
		case v.admit:
			m.must(len(m.queue) == 0, "nobody overtakes")
			m.leave(false)
		case v.reason == 0:
			m.must(!v.at.After(m.limit(m.now, time.Time{})), "who waits may hope")
			m.must(deadline.IsZero() || !v.at.After(deadline), "who waits may hope to be in time")
			m.queue = append(m.queue, m.now)
		}
	case 2: // somebody gives up in the queue
		if n := len(m.queue); n > 0 {
			i := int(arg) % n
			m.queue = append(m.queue[:i], m.queue[i+1:]...)
		}
	case 3: // somebody gives up in the moment in which the turn comes
		if n := len(m.flight); n > 0 && m.last.Equal(m.now) {
			m.flight = m.flight[:n-1]
			m.untake(m.now)
			m.last = time.Time{}
		}
	default: // an answer comes
		seq := uint64(0)
		if n := len(m.flight); n > 0 && arg&16 == 0 {
			i := int(arg>>5) % n
			seq = m.flight[i]
			m.flight = append(m.flight[:i], m.flight[i+1:]...)
		}
		o := Outcome{Kind: Kind(arg & 3), Wait: hostileWaits[int(op/6)%len(hostileWaits)]}
		if o.Kind == OK {
			m.answered(time.Duration(arg) << (op % 57))
		}
		m.report(m.now, seq, o)
	}
	m.release()
	if m.mode != mode {
		m.last = time.Time{}
	}
	m.check()
}

// admissions plays a story to its end.
func admissions(t *testing.T, ops []byte) {
	t.Helper()
	for _, park := range []time.Duration{0, time.Minute} {
		m := &model{script: newScript(limits{park: park, queueSize: 20}), t: t}
		m.now = m.at(0)
		for i := 0; i+1 < len(ops); i += 2 {
			m.step(ops[i], ops[i+1])
		}
		// When nothing happens any more everybody goes or gives up, and then the scope may be forgotten.
		for n := 0; len(m.queue) > 0 && n < 1000; n++ {
			m.now = m.now.Add(time.Second)
			m.release()
		}
		m.must(len(m.queue) == 0, "nobody waits for ever")
		m.must(m.idle().Sub(m.now) <= 3*time.Minute, "a scope is forgotten")
	}
}

func TestAdmissions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ops := make([]byte, 4000)
		for i := range ops {
			ops[i] = byte(random.Uint32())
		}
		admissions(t, ops)
	}
}

// Whatever comes, leaves, gives up and is answered, with whatever the server states: nobody is let through beyond the bounds, and every
// figure stays one.
func FuzzAdmissions(f *testing.F) {
	f.Add([]byte{1, 0, 1, 0, 4, 2, 1, 0, 0, 40, 1, 0, 1, 0, 10, 3, 0, 99})
	f.Add([]byte("\x01\x00\x1c\x02\x01\x00\x01\x00\x00\x20\x01\x00\x03\x00\x01\x00\x02\x00"))
	f.Fuzz(func(t *testing.T, ops []byte) { admissions(t, ops[:min(len(ops), 2000)]) })
}

// The same through the shell, with goroutines: every caller is let through or refused, none waits longer than it may or beyond its deadline, the
// queue keeps its size, and nothing is left in the end.
func FuzzGate(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add([]byte("\x02\x42\x12\x33\x02\x83\x01\xf7\x21\x22\x99\x42\x42\x42\x42\x42"), uint64(1))
	f.Add([]byte("\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x01\x01\x01\x01\x01\x01"), uint64(2))
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			const queueSize = 5
			park := time.Duration(seed%3) * 10 * time.Second
			g := &Gate{QueueSize: queueSize, MaxWait: 3 * time.Second, MaxRetryWait: 7 * time.Second, Park: park, MaxScopes: 2}
			longest := max(7*time.Second, park)
			keys := [...]string{key, "b", "c"}
			random := rand.New(rand.NewPCG(seed, 0))
			var wg sync.WaitGroup
			var passed, reported atomic.Int32
			for _, b := range script[:min(len(script), 300)] {
				<-time.After(time.Duration(b>>5) * 30 * time.Millisecond)
				patience, took := time.Duration(random.Int64N(int64(10*time.Second))), time.Duration(random.Int64N(int64(200*time.Millisecond)))
				o := Outcome{Kind: Kind(b & 3), Wait: hostileWaits[random.IntN(len(hostileWaits))], Err: errServer}
				k := keys[int(b>>2)%len(keys)]
				wg.Go(func() {
					var since time.Time
					for range 3 {
						ctx, cancel := context.WithTimeout(context.Background(), patience)
						began := time.Now()
						ticket, err := g.Wait(ctx, k, since)
						waited := time.Since(began)
						cancel()
						if waited > min(patience, longest) {
							t.Errorf("waited %v", waited)
						}
						if err != nil {
							if _, ok := errors.AsType[*Refusal](err); !ok {
								t.Errorf("%v", err)
							}
							return
						}
						passed.Add(1)
						<-time.After(took)
						g.Report(k, ticket, o)
						reported.Add(1)
						if since.IsZero() {
							since = time.Now()
						}
					}
				})
				if n := waiting(g); n > queueSize {
					t.Errorf("%d wait", n)
				}
				if n := len(remembered(g)); n > 2 {
					t.Errorf("%d scopes", n)
				}
			}
			wg.Wait()
			require.Equal(t, passed.Load(), reported.Load())
			require.Zero(t, waiting(g))
			end(t, g)
		})
	})
}
