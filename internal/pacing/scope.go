package pacing

import (
	"context"
	"sync"
	"time"
)

// scope is the shell around one state: its lock, its queues and its timer. A forgotten scope is gone and never comes back.
type scope struct {
	gate *Gate
	key  string

	mu sync.Mutex
	state
	first, again queue // callers before their first attempt, and after a refused one
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
	ready      chan struct{}
	seq        uint64
	refused    *Refusal
}

// queue is a list of callers, in the order in which they came.
type queue struct {
	head, tail *waiter
	n          int
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
}

func (sc *scope) waiting() int { return sc.first.n + sc.again.n }

func (sc *scope) wait(ctx context.Context, again bool) (Ticket, error) {
	if err := ctx.Err(); err != nil {
		return Ticket{}, &Refusal{Reason: Canceled, Err: err}
	}
	deadline, _ := ctx.Deadline()
	sc.mu.Lock()
	if sc.gone {
		sc.mu.Unlock()
		return Ticket{}, nil
	}
	now := time.Now()
	sc.release(now)
	queue, ahead := &sc.first, sc.waiting()
	if again {
		queue, ahead = &sc.again, sc.again.n
	}
	v := sc.arrive(now, again, ahead, sc.waiting(), deadline)
	if v.admit {
		t := Ticket{sc, sc.take(now, false)}
		sc.arm(now)
		sc.mu.Unlock()
		return t, nil
	}
	if v.reason != 0 {
		err := &Refusal{Reason: v.reason, RetryAt: v.at, Cause: sc.cause}
		sc.mu.Unlock()
		return Ticket{}, err
	}
	w := &waiter{began: now, ready: make(chan struct{})}
	queue.push(w)
	sc.arm(now)
	sc.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
		return sc.leave(ctx, w)
	}
	if w.refused != nil {
		return Ticket{}, w.refused
	}
	return Ticket{sc, w.seq}, nil
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
func (sc *scope) report(seq uint64, o Outcome) (bool, bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.gone {
		return false, false
	}
	now := time.Now()
	if o.Kind == Slower || o.Kind == Down {
		sc.cause = o.Err
	}
	paced := sc.state.report(now, seq, o)
	sc.release(now)
	sc.arm(now)
	return paced, true
}

// release lets go whose turn it is, and refuses who waited too long.
func (sc *scope) release(now time.Time) {
	for {
		sc.tick(now)
		sc.expire(now, &sc.again, true)
		sc.expire(now, &sc.first, false)
		w := sc.head()
		if w == nil {
			sc.drained()
			return
		}
		if sc.turn(now).After(now) {
			return
		}
		w.queue.remove(w)
		w.seq = sc.take(now, true)
		close(w.ready)
	}
}

// expire refuses the callers at the head of q that waited too long. Those behind them came later.
func (sc *scope) expire(now time.Time, q *queue, again bool) {
	for w := q.head; w != nil && !sc.limit(w.began, again).After(now); w = q.head {
		w.refused = &Refusal{Reason: TooLong, RetryAt: sc.expect(now, sc.turn(now), sc.waiting()), Cause: sc.cause}
		if sc.mode == closed {
			w.refused.Reason = Closed
		}
		q.remove(w)
		close(w.ready)
	}
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
	at := sc.idle()
	if sc.waiting() > 0 {
		at = sc.turn(now)
		if w := sc.first.head; w != nil {
			at = earlier(at, sc.limit(w.began, false))
		}
		if w := sc.again.head; w != nil {
			at = earlier(at, sc.limit(w.began, true))
		}
	}
	if sc.timer == nil {
		sc.timer = time.AfterFunc(at.Sub(now), sc.fire)
	} else if sc.armed.After(now) && !sc.armed.After(at) {
		return // it fires early enough, and then arms itself again
	} else {
		sc.timer.Reset(at.Sub(now))
	}
	sc.armed = at
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
