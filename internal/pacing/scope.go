package pacing

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// scope is the shell around one state: its lock, its queues and its timer. A forgotten scope is gone and never comes back.
type scope struct {
	gate  *Gate
	key   string
	epoch time.Time // what tickets count from

	mu sync.Mutex
	state
	first, again queue     // callers before their first attempt, and after a failed one
	soonest      time.Time // when the first of again has waited too long
	wasParked    bool      // what soonest was worked out for
	refusals     tally
	spareAt      time.Time // when to ask for a token again
	spared       uint64    // the last attempt that took one
	others       time.Time // until when a caller that was refused stays away: another refusal before is not its own
	cause        error
	gone         bool
	timer        *time.Timer
	armed        time.Time // when the timer fires
}

// waiter is a caller in a queue. The scope's lock guards it until ready is closed.
type waiter struct {
	prev, next *waiter
	queue      *queue // nil: it is in none
	began      time.Time
	since      time.Time // see state.limit
	ready      chan struct{}
	ticket     Ticket
	refused    *Refusal
}

// queue is a list of callers, in the order in which they came.
type queue struct {
	head, tail *waiter
	n          int
	all        *atomic.Int64 // those in all queues of the Gate
}

func (q *queue) push(w *waiter) {
	w.queue, w.prev = q, q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.n++
	q.all.Add(1)
}

func (q *queue) remove(w *waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queue, w.prev, w.next = nil, nil, nil
	q.n--
	q.all.Add(-1)
}

func (sc *scope) waiting() int { return sc.first.n + sc.again.n }

// wait is [Gate.Wait]. It keeps the stack shallow, since in a crowd there are thousands of them: that is why waiters are allocated here.
func (sc *scope) wait(ctx context.Context, since time.Time) (Ticket, error) {
	if err := ctx.Err(); err != nil {
		return Ticket{}, &Refusal{Reason: Canceled, Err: err}
	}
	w := &waiter{since: since}
	sc.mu.Lock()
	if sc.gone {
		sc.mu.Unlock()
		return Ticket{}, nil
	}
	sc.enter(ctx, w)
	sc.mu.Unlock()
	if w.ready != nil {
		select {
		case <-w.ready:
		case <-ctx.Done():
			return sc.leave(ctx, w)
		}
	}
	if w.refused != nil {
		return Ticket{}, w.refused
	}
	return w.ticket, nil
}

// enter admits or refuses a caller, or puts it into a queue.
func (sc *scope) enter(ctx context.Context, w *waiter) {
	w.began = time.Now()
	sc.release(w.began)
	queue, ahead := &sc.first, sc.waiting()
	if !w.since.IsZero() {
		queue, ahead = &sc.again, sc.again.n
	}
	deadline, _ := ctx.Deadline()
	switch v := sc.arrive(w.began, w.since, ahead, sc.waiting(), deadline); {
	case v.admit && sc.spares(w.began, w):
		w.ticket = Ticket{scope: sc, seq: sc.take(w.began, false), left: w.began.Sub(sc.epoch)}
	case v.reason != 0:
		w.refused = &Refusal{Reason: v.reason, RetryAt: v.at, Cause: sc.cause}
	default:
		w.ready = make(chan struct{})
		queue.push(w)
		if limit := sc.limit(w.began, w.since); !w.since.IsZero() && (sc.again.n == 1 || limit.Before(sc.soonest)) {
			sc.soonest = limit
		}
	}
	sc.arm(w.began)
}

// leave takes a caller whose context ended out of its queue, or gives back the turn it has just got.
func (sc *scope) leave(ctx context.Context, w *waiter) (Ticket, error) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	now := time.Now()
	switch {
	case w.queue != nil:
		w.queue.remove(w)
	case w.refused == nil:
		sc.untake(now)
	}
	sc.release(now)
	sc.arm(now)
	return Ticket{}, &Refusal{Reason: Canceled, Err: ctx.Err(), Cause: sc.cause}
}

// report returns false as its second result if the scope is gone.
func (sc *scope) report(t Ticket, o Outcome) (Pace, bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.gone {
		return Unpaced, false
	}
	now := time.Now()
	lined := true // others stand in line, or will
	switch o.Kind {
	case Slower, Down:
		sc.cause = o.Err
		lined = sc.lined(now, t, o.Wait)
	case OK:
		if t.scope == sc {
			sc.answered(now.Sub(sc.epoch) - t.left)
		}
		if sc.l.park > 0 {
			sc.gate.spare.served(now)
		}
	case Unknown:
	}
	pace := sc.state.report(now, t.seq, o)
	if pace == Paced && !lined {
		pace = Unpaced
	}
	sc.release(now)
	sc.arm(now)
	return pace, true
}

// lined notes a refusal and reports whether the pace of the scope bounds the retries that follow from it: callers wait in line, or others than
// this one were refused just now, in a scope that is not one of many.
func (sc *scope) lined(now time.Time, t Ticket, wait time.Duration) bool {
	spared := t.scope == sc && t.seq == sc.spared
	mine, all := sc.refusals.add(now), sc.gate.spare.refused(now, spared)
	others := now.Before(sc.others)
	sc.others = later(sc.others, now.Add(max(min(wait, sc.longestClosed()), leastWait)))
	return sc.waiting() > 0 || others && mine*minor >= all
}

// release lets go whose turn it is, and refuses who waited too long.
func (sc *scope) release(now time.Time) {
	for {
		sc.tick(now)
		sc.expire(now)
		w := sc.head()
		if w == nil {
			sc.drained()
			return
		}
		if sc.turn(now).After(now) {
			return
		}
		if !sc.spares(now, w) {
			if w = sc.first.head; w == nil {
				return
			}
		}
		w.queue.remove(w)
		w.ticket = Ticket{scope: sc, seq: sc.take(now, true), left: now.Sub(sc.epoch), Queued: now.Sub(w.began)}
		close(w.ready)
	}
}

// spares reports whether a parked caller may use the turn that has come. A retry in a scope without others, or in one of many, needs a token.
func (sc *scope) spares(now time.Time, w *waiter) bool {
	n := int64(sc.waiting())
	if !sc.parked || w.since.IsZero() || sc.mode != closed && sc.mode != pacing || n > 1 && n*minor >= sc.gate.waiting.Load() {
		return true
	}
	if now.Before(sc.spareAt) {
		return false
	}
	at, ok := sc.gate.spare.take(now)
	sc.spareAt = at
	if ok {
		sc.spared = sc.seq + 1
	}
	return ok
}

// expire refuses the callers that waited too long.
func (sc *scope) expire(now time.Time) {
	for w := sc.first.head; w != nil && !sc.limit(w.began, w.since).After(now); w = sc.first.head {
		sc.refuse(now, w) // those behind it came later
	}
	if sc.again.n == 0 || sc.wasParked == sc.parked && sc.soonest.After(now) {
		return
	}
	// In an outage these are bounded by the beginnings of their calls, which are in no order.
	sc.wasParked = sc.parked
	sc.soonest = time.Time{}
	for w := sc.again.head; w != nil; {
		next, limit := w.next, sc.limit(w.began, w.since)
		switch {
		case !limit.After(now):
			sc.refuse(now, w)
		case sc.soonest.IsZero() || limit.Before(sc.soonest):
			sc.soonest = limit
		}
		w = next
	}
}

func (sc *scope) refuse(now time.Time, w *waiter) {
	w.refused = &Refusal{Reason: TooLong, RetryAt: sc.expect(now, sc.turn(now), sc.waiting()), Cause: sc.cause}
	if sc.mode == closed {
		w.refused.Reason = Closed
	}
	w.queue.remove(w)
	close(w.ready)
}

// head returns whose turn is next. Those who were refused before go first, except that a probe, which is likely to fail, is
// sent by somebody who has not lost an attempt yet.
func (sc *scope) head() *waiter {
	if sc.again.head == nil || sc.mode == closed && sc.first.head != nil {
		return sc.first.head
	}
	return sc.again.head
}

// arm sets the timer to the next time at which something happens by itself.
func (sc *scope) arm(now time.Time) {
	at := sc.wake(now)
	switch {
	case sc.timer == nil:
		sc.timer = time.AfterFunc(at.Sub(now), sc.fire)
	case sc.armed.After(now) && !sc.armed.After(at):
		return // it fires early enough, and then arms itself again
	default:
		sc.timer.Reset(at.Sub(now))
	}
	sc.armed = at
}

// wake returns that time.
func (sc *scope) wake(now time.Time) time.Time {
	if sc.waiting() == 0 {
		return sc.idle()
	}
	at := sc.turn(now)
	if w := sc.first.head; w != nil {
		at = earlier(at, sc.limit(w.began, w.since))
	} else if now.Before(sc.spareAt) {
		at = later(at, sc.spareAt)
	}
	if sc.again.n > 0 {
		at = earlier(at, sc.soonest)
	}
	return at
}

func (sc *scope) fire() {
	sc.mu.Lock()
	if sc.gone {
		sc.mu.Unlock()
		return
	}
	now := time.Now()
	sc.armed = time.Time{}
	sc.release(now)
	if sc.waiting() == 0 && !sc.idle().After(now) {
		sc.mu.Unlock()
		sc.gate.mu.Lock()
		sc.gate.drop(sc)
		sc.gate.mu.Unlock()
		return
	}
	sc.arm(now)
	sc.mu.Unlock()
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
