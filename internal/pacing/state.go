package pacing

import (
	"math"
	"time"
)

// This file decides. Nothing in it waits, locks or looks at a clock.

// mode is what a scope does with its callers.
type mode uint8

const (
	watching  mode = iota // lets everybody through and counts failures in a row
	measuring             // just refused for the first time: lets through what the server keeps serving, and counts
	pacing                // lets callers through at a rate
	closed                // lets nobody through until a time, or one attempt per probe interval
)

const (
	// lateness is how much of a turn's delay, by a timer that fired late, is made up for.
	lateness = 10 * time.Millisecond
	// firstAttempts is how many callers pass while measuring before anything was served.
	firstAttempts = 4
	// enough successes or refusals make a measured rate.
	enough = 10
	// nobody is how many refusals in a row, without a success between, show that the server serves nobody at the moment.
	nobody = 8
	// deepRow is how many cuts in a row, without a success between, leave less than the truth.
	deepRow = 3
	// fullCut is the share of the rate from which on a cut lets growth begin anew.
	fullCut = 0.1
	// maxRate bounds the rate, per second.
	maxRate = 1e6
	// minSpan bounds what is believed of how close together callers come.
	minSpan = 10 * time.Millisecond
	// longestAnswer bounds what is believed of how long an answer takes.
	longestAnswer = time.Hour
	// minRate bounds the floor: a server may ask for a longer wait than a minute, but nobody is paced that slowly.
	minRate = 1.0 / 60
)

// limits is what bounds waiting; see Gate.
type limits struct {
	queueSize                   int
	maxWait, maxRetryWait, park time.Duration
	tuning                      Tuning
}

// state is what is known about one scope.
type state struct {
	l    *limits
	mode mode

	// Attempts are numbered as they leave, from 1; 0 is an attempt that left while the scope was not watched.
	// What attempts up to cut bring is no news.
	seq, cut uint64

	// parked: callers wait for up to limits.park, from the beginning of an outage until the last of its waiters has left.
	parked bool

	lastRefusal time.Time
	stated      time.Duration // the wait the server stated last

	// While pacing.
	base      float64       // the rate after the last cut
	grown     time.Duration // the time under demand since then
	slowStart bool          // doubling: little is known about capacity
	ceiling   float64       // where slow start ends if nothing is refused; 0 for nowhere
	reopening bool          // after an outage, before the first success
	draining  bool          // after an outage, before the last of its waiters has left, or the first refusal
	next      time.Time     // the next turn
	lastTurn  time.Time     // the last one

	// While measuring: since when, until when, and what happened.
	since, until     time.Time // until is also the end of closed
	earlier          time.Time // the last refusal before since
	left, ok, refuse int
	okNew            bool // one of those that left since
	crowd            int  // refused besides the first, whenever they left

	share meter
	// How long a success takes, and how much that varies: RFC 6298; and the longest of late.
	took, spread, longest time.Duration

	// Down and up again.
	closedAt  time.Time // the beginning of the outage, over all its closings
	arrivals  int       // callers that came since
	away      int       // and callers whose attempts were under way at its beginning and failed
	came      time.Time // the last of all these
	probed    bool      // an attempt was let through since
	known     float64   // the rate before it, 0 for none
	alive     bool      // something was served since the scope was closed last
	streak    int       // failures in a row
	streakSeq uint64    // the first of them
	row       int       // cuts in a row
	rowRate   float64   // the rate before the first of them
	rowSince  time.Time // when that was
}

// verdict is the answer to a caller that arrives.
type verdict struct {
	admit  bool
	reason Reason // not 0: refused
	at     time.Time
}

// arrive decides about a caller that comes at now, behind ahead others of queued in all; see limit for since. A deadline of zero is
// none. If the caller is neither admitted nor refused, it waits.
func (s *state) arrive(now, since time.Time, ahead, queued int, deadline time.Time) verdict {
	s.tick(now)
	if since.IsZero() && (s.mode == closed || s.reopening) {
		s.arrivals, s.came = s.arrivals+1, now
	}
	turn := s.turn(now)
	if ahead == 0 && !turn.After(now) {
		if s.parked && !since.IsZero() && !s.limit(now, since).After(now) {
			// Its time is up. An attempt that takes longer than the pause between two probes never has to wait, and would come back for ever.
			return verdict{reason: Closed, at: now}
		}
		return verdict{admit: true, at: now}
	}
	at := s.expect(now, turn, ahead)
	v := verdict{at: at}
	switch {
	case queued >= s.l.queueSize:
		v.reason = QueueFull
	case at.After(s.limit(now, since)):
		v.reason = TooLong
		if s.mode == closed {
			v.reason = Closed
		}
	case !deadline.IsZero() && at.Add(at.Sub(now)/4+s.answer()).After(deadline):
		// The turn has to leave time for the answer, and the rate may fall until then. A queue of which everybody is
		// sent just before giving up keeps a server busy for nobody.
		v.reason = Deadline
	}
	return v
}

// answered takes in how long a success took.
func (s *state) answered(took time.Duration) {
	if took < 0 {
		return
	}
	took = min(took, longestAnswer)
	s.longest = max(took, s.longest-(s.longest-took)/64)
	if s.took == 0 {
		s.took, s.spread = took, took/2
		return
	}
	s.spread += ((s.took - took).Abs() - s.spread) / 4
	s.took += (took - s.took) / 8
}

// answer returns how long an answer may well take: what RFC 6298 waits before it gives up, but no longer than any took of late.
func (s *state) answer() time.Duration { return min(s.took+4*s.spread, s.longest) }

// limit returns until when a caller waits that began at began; since is when its call first had to wait or failed, zero for a
// first attempt. In an outage the whole call is bounded, or callers whose probes fail would take turns for ever.
func (s *state) limit(began, since time.Time) time.Time {
	first := since.IsZero()
	switch {
	case s.parked && first:
		return began.Add(s.l.park)
	case s.parked:
		return since.Add(s.l.park)
	case first:
		return began.Add(s.l.maxWait)
	}
	return began.Add(s.l.maxRetryWait)
}

// turn returns when the next caller may leave: now or later.
func (s *state) turn(now time.Time) time.Time {
	switch s.mode {
	case measuring:
		if s.left < firstAttempts+2*s.ok {
			return now
		}
		return later(s.until, now)
	case pacing:
		return later(s.next, now)
	case closed:
		return later(s.until, now)
	default:
		return now
	}
}

// expect returns when the turn of a caller with ahead others before it is to be expected. It is an estimate. Once the server has
// shown what it can do, growth is not foreseen: the rate is as good as any. In a slow start it says nothing about capacity yet, and its
// doubling is: or most of a crowd would be refused by a rate that lasts for a second.
func (s *state) expect(now, turn time.Time, ahead int) time.Time {
	if ahead == 0 {
		return turn
	}
	rate := 0.0
	switch {
	case s.mode == closed && s.parked, s.mode == measuring:
		return turn // whatever is said here would be a guess
	case s.mode == closed, s.reopening:
		rate = s.demand(now)
	case s.mode == pacing && s.slowStart:
		return turn.Add(seconds(min(s.slowStartOf(turn, ahead), 1e8)))
	case s.mode == pacing:
		rate = s.rate()
	}
	if rate <= 0 {
		return turn
	}
	return turn.Add(seconds(min(float64(ahead)/rate, 1e8)))
}

// slowStartOf returns how many seconds after turn, at which the next caller leaves, the one behind n others does if nothing is
// refused: what take is going to do, n times over.
func (s *state) slowStartOf(turn time.Time, n int) float64 {
	d := s.l.tuning.Doubling.Seconds()
	most := s.slowStartEnd()
	rate, gap, took := s.rate(), turn.Sub(s.lastTurn).Seconds(), 0.0
	left := float64(n)
	for ; left > 0 && rate < min(most, 8/d); left-- {
		pause := 1 / rate
		took += pause
		rate = min(rate*math.Exp2(max(min(gap, 2*pause, 1), 0)/d), most)
		gap = pause
	}
	// From here on the steps are so small that the sum is as good as the integral.
	if rate < most && left > 0 {
		doubling := min(left, (most-rate)*d/math.Ln2)
		took += d * math.Log2(1+doubling*math.Ln2/(rate*d))
		left -= doubling
	}
	return took + left/most
}

// take accounts for one caller that leaves; queued says that it waited for its turn. It returns the number of the attempt.
func (s *state) take(now time.Time, queued bool) uint64 {
	s.seq++
	switch s.mode {
	case measuring:
		s.left++
	case pacing:
		rate := s.rate()
		pause := seconds(1 / rate)
		if queued {
			// Only time under demand counts: a rate that nobody uses proves nothing by not being refused.
			// And one attempt proves only so much, however long its turn took to come.
			s.grown += max(min(now.Sub(s.lastTurn), 2*pause, time.Second), 0)
			if s.slowStart && s.ceiling > 0 && s.rate() >= s.ceiling {
				s.base, s.grown, s.slowStart = s.rate(), 0, false
			}
		}
		s.next = later(s.next, now.Add(-lateness)).Add(pause)
		s.lastTurn = now
	case closed:
		s.probed = true
		s.until = now.Add(s.l.tuning.Probe)
	case watching:
	}
	return s.seq
}

// untake undoes a take whose caller was gone by then.
func (s *state) untake(now time.Time) {
	switch s.mode {
	case measuring:
		s.left--
	case pacing:
		s.next = now
	case closed:
		if s.parked {
			s.until = now
		}
	case watching:
	}
}

// tick does what time alone does.
func (s *state) tick(now time.Time) {
	switch {
	case s.mode == measuring && !now.Before(s.until):
		s.measured(now)
	case s.mode == closed && !s.parked && !now.Before(s.until):
		s.reopen(now)
	case s.mode == pacing && s.slowStart && !s.reopening && !s.draining && now.Sub(s.next) >= time.Second && now.Sub(s.lastRefusal) >= s.relax():
		// It knows nothing that would justify to hold anybody back, and nobody waits who would find out.
		s.mode = watching
	}
}

// relax returns how long after a refusal a further one is no sequel to it.
func (s *state) relax() time.Duration {
	return max(s.l.tuning.Relax, min(s.stated, s.longestClosed()))
}

// reopen lets through one attempt, then twice as many a second, since an answer may take long and a refusal seldom does; but before the
// first success no more than came since the scope was closed, those included that were under way at its closing and come back, or slow answers would find
// everybody sent before one of them is there.
func (s *state) reopen(now time.Time) {
	s.pace(now, 1, true)
	back := float64(s.arrivals+s.away) / max(now.Sub(s.closedAt).Seconds(), 0.25)
	if s.known > 0 {
		back = min(back, s.known)
	}
	s.reopening, s.ceiling = true, max(s.demand(now), back)
}

// report takes in what attempt seq brought. It returns how the attempt that may follow it is to be made.
func (s *state) report(now time.Time, seq uint64, o Outcome) Pace {
	s.tick(now)
	switch o.Kind {
	case OK:
		s.succeeded(now, seq)
	case Slower:
		s.refused(now, seq, o.Wait)
		return Paced
	case Down:
		if !s.down(now, seq, o.Wait) {
			return Unpaced
		}
		if s.parked && (s.mode == closed || s.reopening) {
			return Parked
		}
		return Paced
	case Unknown:
	}
	return Unpaced
}

func (s *state) succeeded(now time.Time, seq uint64) {
	fresh := seq > s.cut
	if fresh && s.row >= deepRow && s.mode == pacing && !s.reopening {
		// Several cuts without a success between, and now it serves again: the rate of before is closer to the truth than what is left of it.
		s.base, s.grown, s.slowStart, s.ceiling = s.rate(), 0, true, s.rowRate*s.l.tuning.Decrease
	}
	s.streak, s.row = 0, 0
	s.alive = s.alive || fresh
	s.share.note(now, s.noted(), s.window()).served++
	switch {
	case s.mode == measuring:
		s.ok++
		s.okNew = s.okNew || fresh
		s.measuredEnough(now)
	case !fresh:
		// It left before the door closed.
	case s.mode == closed && !s.probed:
		s.resume(now)
	case s.mode == closed, s.reopening:
		most := s.before()
		s.pace(now, s.demand(now), false)
		// A row of workers arrives once and then stands at the door: as many as they are, they look like a few callers a second.
		s.slowStart, s.ceiling = most > s.base, most
		// That rate is trusted for a few answers, or the first refusal by chance would cut it deeply.
		s.share = meter{from: now, mid: now, last: now, old: portion{served: enough / 2}}
	}
}

// refused is a 429.
func (s *state) refused(now time.Time, seq uint64, wait time.Duration) {
	s.streak = 0
	s.noteRefusal(now)
	s.shed(now, seq, wait)
}

func (s *state) noteRefusal(now time.Time) {
	if s.mode == watching {
		s.earlier = s.lastRefusal
	}
	s.lastRefusal = now
}

// down is a 503 or a connection that did not come about. It returns whether what follows waits for its turn.
func (s *state) down(now time.Time, seq uint64, wait time.Duration) bool {
	s.noteRefusal(now)
	if s.streak == 0 {
		s.streakSeq = seq
	}
	s.streak++
	stale := s.mode != watching && seq <= s.cut
	if wait > 0 && s.alive && s.streak < s.l.tuning.DownAfter {
		// Others are served at the same time: this one was shed, the server is not down.
		s.shed(now, seq, wait)
		return true
	}
	if stale && (s.mode == closed || s.reopening) {
		s.away, s.came = s.away+1, now
	}
	switch {
	case s.mode == closed:
		if wait > 0 && !stale {
			s.until = later(s.until, now.Add(min(wait, s.longestClosed())))
		}
	case wait > 0:
		if !stale {
			s.close(now, now.Add(min(wait, s.longestClosed())), seq)
		}
	case s.reopening && !stale:
		s.reopen(now)
	case s.l.park > 0 && s.streak >= s.l.tuning.DownAfter:
		s.close(now, now.Add(s.l.tuning.Probe), s.streakSeq)
	}
	return s.mode == closed || s.reopening || wait > 0
}

// shed is a refusal that asks for less.
func (s *state) shed(now time.Time, seq uint64, wait time.Duration) {
	s.stated = wait
	s.share.note(now, s.noted(), s.window()).refused++
	switch fresh := seq > s.cut; {
	case s.mode == watching:
		s.measure(now)
	case s.mode == measuring:
		s.crowd++
		if fresh {
			s.refuse++
			s.measuredEnough(now)
		}
	case s.mode == pacing && fresh && !s.reopening:
		if s.row == 0 {
			s.rowRate, s.rowSince = s.rate(), now
		}
		if s.row++; s.row >= nobody && wait > 0 && now.Sub(s.rowSince) >= s.l.tuning.Measure {
			// A window is used up, and the wait is the time until the next.
			s.shut(now, wait, s.rowRate)
			return
		}
		s.slower(now)
	case fresh && s.mode != measuring:
		s.slower(now)
	}
}

// longestClosed is as far ahead as a scope closes: beyond it no caller waits anyway, and a server that
// names a year must not be believed for one.
func (s *state) longestClosed() time.Duration {
	return max(s.l.maxWait, s.l.maxRetryWait, s.l.park)
}

func (s *state) close(now, until time.Time, seq uint64) {
	if !s.reopening {
		s.probed = false
		s.closedAt, s.arrivals, s.away, s.came, s.known = now, 0, 1, now, 0
		if s.mode == pacing && !s.slowStart {
			s.known = s.rate()
		}
	}
	s.row = 0
	s.mode, s.until, s.reopening, s.alive, s.draining = closed, until, false, false, true
	s.parked = s.parked || s.l.park > 0
	s.cut = max(s.cut, seq)
}

// resume takes back a closing: an attempt that left after the refused one was served, so the server is not down.
func (s *state) resume(now time.Time) {
	parked := s.parked
	s.parked, s.draining = false, false
	switch {
	case s.known > 0:
		s.slower(now)
	case parked:
		// It began with nothing but a few failures in a row.
		s.mode = watching
	default:
		s.measure(now)
	}
}

// shut closes the scope because of refusals that look like "slower", but reach everybody. Callers are not parked: the server works.
func (s *state) shut(now time.Time, wait time.Duration, known float64) {
	parked := s.parked
	s.close(now, now.Add(min(wait, s.longestClosed())), s.seq)
	s.parked, s.known = parked, known
}

// demand returns the rate at which callers came since the scope closed.
func (s *state) demand(now time.Time) float64 {
	rate := float64(s.arrivals) / max(now.Sub(s.closedAt).Seconds(), 0.25)
	if s.known > 0 {
		rate = min(rate, s.known)
	}
	return max(rate, 1, s.floor())
}

// before returns the rate at which callers came when the scope was closed: until the last of them, since those of a pool are held one after the
// other and then come no more. An answer takes as long as it takes, so one caller is no crowd, however soon it comes.
func (s *state) before() float64 {
	span := max(s.came.Sub(s.closedAt), s.took, minSpan)
	rate := float64(s.arrivals+s.away) / span.Seconds()
	if s.known > 0 {
		rate = min(rate, s.known)
	}
	return rate
}

// drained ends an outage: nobody waits any more.
func (s *state) drained() {
	if (s.parked || s.draining) && s.mode != closed && !s.reopening {
		if s.draining {
			s.base, s.grown = s.rate(), 0
		}
		s.parked, s.draining = false, false
	}
}

// measure begins to count what the server serves.
func (s *state) measure(now time.Time) {
	wait := s.stated
	if wait <= 0 {
		wait = s.l.tuning.Measure
	}
	s.mode = measuring
	s.since = now
	s.until = now.Add(min(max(wait, s.l.tuning.Measure/10), s.l.tuning.Measure))
	s.left, s.ok, s.refuse, s.okNew, s.crowd = 0, 0, 0, false, 0
	s.cut = s.seq
}

func (s *state) measuredEnough(now time.Time) {
	if s.ok >= enough && s.refuse >= enough {
		s.measured(now)
	}
}

func (s *state) measured(now time.Time) {
	if !s.okNew && s.left >= firstAttempts && s.refuse >= s.left && s.stated > 0 {
		if wait := s.lastRefusal.Add(s.stated).Sub(now); wait > 0 {
			s.shut(now, wait, 0)
			return
		}
	}
	if s.crowd == 0 && s.since.Sub(s.earlier) >= s.relax() {
		// One refusal in all that time may be chance, and paces nobody.
		s.mode = watching
		return
	}
	elapsed := max(now.Sub(s.since), time.Millisecond).Seconds()
	rate := float64(s.ok) / elapsed
	// As if all of that rate had been served, since it is what was.
	s.share = meter{from: s.since, mid: now, last: now, old: portion{served: s.ok, area: rate * elapsed}}
	// Unless something that left in the meantime was refused as well, this is not all that the server can do; and when a crowd
	// is refused at once, nothing left at all, since everybody stays away for as long as was stated.
	s.pace(now, rate, s.ok < enough/2 || s.refuse == 0)
}

// slower cuts the rate.
func (s *state) slower(now time.Time) {
	rate := s.known
	switch {
	case s.mode == pacing && !s.reopening:
		rate = s.rate()
	case rate == 0: // after an outage, and the rate before it was not limited
		rate = s.demand(now)
	}
	s.draining = false // from here on refusals lead the way
	cut := rate * s.l.tuning.Decrease
	if !s.l.tuning.Plain {
		cut = max(cut, min(rate, s.share.kept(now, rate)))
	}
	grown := time.Duration(0)
	if s.slowStart {
		// What was served while the rate doubled tells nothing about the rate that it has come to.
		s.share = meter{from: now, mid: now, last: now}
	}
	if s.mode == pacing && !s.slowStart && !s.reopening {
		// A small cut leaves growth most of its pace: what is refused by chance should not hold it back.
		grown = time.Duration(float64(s.grown) * max(1-(1-cut/rate)/fullCut, 0))
	}
	s.pace(now, cut, false)
	s.grown = grown
	s.base = s.base * s.base / s.rate()
}

// pace begins to let callers through at a rate.
func (s *state) pace(now time.Time, rate float64, slowStart bool) {
	if s.mode != pacing {
		s.next, s.lastTurn = now, now
	}
	s.mode, s.reopening = pacing, false
	s.base, s.grown, s.slowStart = min(max(rate, s.floor()), maxRate), 0, slowStart
	s.ceiling = 0
	s.cut = s.seq
	// A turn that was given at a slower rate comes no later than one at the new.
	if limit := now.Add(seconds(1 / s.base)); s.next.After(limit) {
		s.next = limit
	}
}

// rate returns the present rate, per second.
func (s *state) rate() float64 {
	t := &s.l.tuning
	grown := s.grown.Seconds()
	if s.slowStart {
		rate := s.base * math.Exp2(grown/t.Doubling.Seconds())
		return min(rate, s.slowStartEnd())
	}
	growth := t.Increase * grown
	switch {
	case s.draining:
		// Whoever waited through an outage can wait a little longer; the server should not meet them at once.
		growth /= 2
	case t.Convex > 0:
		x := grown / t.Convex.Seconds()
		growth *= 1 + x*x/3
	}
	return min(s.base*(1+growth), maxRate)
}

// slowStartEnd returns the rate up to which a slow start goes if nothing is refused.
func (s *state) slowStartEnd() float64 {
	if s.ceiling > 0 {
		return min(max(s.ceiling, s.base), maxRate)
	}
	return maxRate
}

// floor returns the lowest rate: a share of one attempt per wait that the server states itself.
func (s *state) floor() float64 {
	wait := min(max(s.stated.Seconds(), 1), 60)
	return max(s.l.tuning.Floor/wait, minRate)
}

// noted returns the rate for the meter: outside of pacing there is none.
func (s *state) noted() float64 {
	if s.mode != pacing {
		return 0
	}
	return s.rate()
}

// window returns over which time to measure what is served: at a slow rate it takes longer to see anything.
func (s *state) window() time.Duration {
	w := s.l.tuning.Window
	if s.mode == pacing {
		w = max(w, min(seconds(8/s.rate()), 16*w))
	}
	return w
}

// idle returns from when on the scope may be forgotten, if nobody waits.
func (s *state) idle() time.Time {
	at := s.lastRefusal
	if s.mode == closed {
		at = later(at, s.until)
	}
	return at.Add(s.l.tuning.Forget)
}

// meter counts what the server served and refused over a window that slides by halves, and the rate at which it was allowed to.
type meter struct {
	from, mid, last time.Time // the beginnings of the older and the younger half, and the last note
	old, cur        portion
}

// portion is one half: area is the rate summed up over its time.
type portion struct {
	served, refused int
	area            float64
}

// note brings the meter up to now, during all of which the rate was rate, and returns where to count.
func (m *meter) note(now time.Time, rate float64, window time.Duration) *portion {
	if past := now.Sub(m.last); past > 0 {
		m.cur.area += rate * past.Seconds()
		m.last = now
	}
	switch past := now.Sub(m.mid); {
	case past >= 2*window:
		*m = meter{from: now, mid: now, last: now}
	case past >= window:
		m.from, m.old = m.mid, m.cur
		m.mid, m.cur = now, portion{}
	}
	return &m.cur
}

// kept returns the part of the mean rate that was served; 0 when it looks back on too little. The mean is of the rate allowed, not of
// the one that was used: who sends little is not held to it. And it lags behind, so that the refusals of one
// window are not counted again by every cut within it.
func (m *meter) kept(now time.Time, rate float64) float64 {
	served, refused := m.old.served+m.cur.served, max(m.old.refused+m.cur.refused-1, 0)
	past := now.Sub(m.from).Seconds()
	if served+refused < enough/3 || past <= 0 {
		return 0
	}
	area := m.old.area + m.cur.area + rate*max(now.Sub(m.last).Seconds(), 0)
	return area / past * float64(served) / float64(served+refused)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
