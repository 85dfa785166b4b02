package middleware

import (
	"context"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// Quota is how much a key may do.
type Quota struct {
	// Requests is how many requests may be sent in the time Per, evenly in the long run; 0 or less sets no limit.
	Requests int
	// Per is the period; 0 or less means a minute.
	Per time.Duration
	// Burst is how many may be sent at once after a pause; 0 or less means Requests. Where it is the larger of the two, it is what
	// X-RateLimit-Limit says, so that no more remains than there is.
	Burst int
}

// LocalLimiter is the [Limiter] of a single process: a token bucket for each key, exact to the nanosecond. The zero value limits nobody. It is safe for concurrent
// use; do not modify or copy it after its first use. Several processes that share their keys' limits need a Limiter with a common store.
//
// A key takes 24 bytes and 8 to 16 to find it, and a bucket that is full again is as good as none, so keys that fall silent are forgotten. Beyond MaxKeys the key that has not been
// used for the longest time is forgotten early and starts anew when it returns.
type LocalLimiter struct {
	// Quota is the limit of each key.
	Quota Quota
	// QuotaFor returns the limit of a key of its own, as that of its plan; nil means Quota for all. It runs concurrently.
	QuotaFor func(*RateQuery) Quota
	// MaxKeys bounds the keys that are remembered; 0 or less means a million.
	MaxKeys int

	once  sync.Once
	seed  maphash.Seed
	start time.Time

	mu     sync.Mutex
	index  []int32 // open addressing by hash, linear probing: where in pages a key's bucket is, none for no key
	keys   int
	pages  []*[pageSize]bucket
	used   int32 // buckets in pages that were ever used
	free   int32 // first of a list of those that are not, linked by newer
	newest int32
	oldest int32
}

// bucket is the state of one key. A key is known by 64 bits of a hash whose seed nobody knows: among a million keys two meet once in some 30 million processes.
type bucket struct {
	hash         uint64
	full         int64 // when the bucket is full again, in nanoseconds since start
	newer, older int32 // by last use, none at the ends
}

const (
	none     = -1
	pageSize = 4096
	// forget is how many idle keys each request may remove, so that they go faster than they come.
	forget         = 2
	defaultMaxKeys = 1_000_000
)

// Take implements [Limiter]. It never fails.
func (l *LocalLimiter) Take(_ context.Context, q *RateQuery) (RateState, error) {
	quota := l.Quota
	if l.QuotaFor != nil {
		quota = l.QuotaFor(q)
	}
	if quota.Requests <= 0 {
		return RateState{}, nil
	}
	l.once.Do(l.init)
	hash := maphash.String(l.seed, q.Key)

	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	since := int64(now.Sub(l.start))
	b := l.find(hash, since)
	state, full := quota.take(since, b.full)
	b.full = full
	state.Reset = now.Add(time.Duration(full - since))
	return state, nil
}

func (l *LocalLimiter) init() {
	l.seed, l.start = maphash.MakeSeed(), time.Now()
	l.index = emptyIndex(64)
	l.free, l.newest, l.oldest = none, none, none
}

// take is the arithmetic: full is when the bucket would be full without this request, now when it arrives, both in nanoseconds. A bucket of n tokens that is full at
// a time t in the future lacks what comes in until then.
func (quota Quota) take(now, full int64) (RateState, int64) {
	per, burst := int64(quota.Per), int64(quota.Burst)
	if per <= 0 {
		per = int64(time.Minute)
	}
	if burst <= 0 {
		burst = int64(quota.Requests)
	}
	every := min(max(1, per/int64(quota.Requests)), math.MaxInt64/4) // one token comes in
	if burst > math.MaxInt64/4/every {
		burst = math.MaxInt64 / 4 / every
	}
	full = max(full, now)
	state := RateState{Limit: max(quota.Requests, quota.Burst)}
	if early := full + every - now - every*burst; early > 0 {
		state.Refused, state.RetryAfter = true, time.Duration(early)
		return state, full
	}
	full += every
	state.Remaining = int((every*burst - (full - now)) / every)
	return state, full
}

// find returns the bucket of a key, a full one for a key that is not known, as the one that was used last.
func (l *LocalLimiter) find(hash uint64, now int64) *bucket {
	i := l.index[l.slot(hash)]
	known := i != none
	if known {
		l.unlink(i)
	}
	for range forget {
		if l.oldest == none || l.at(l.oldest).full > now {
			break
		}
		l.remove(l.oldest)
	}
	if !known {
		i = l.alloc()
		*l.at(i) = bucket{hash: hash, full: now}
		l.enter(hash, i)
	}
	b := l.at(i)
	b.older, b.newer = l.newest, none
	if l.newest == none {
		l.oldest = i
	} else {
		l.at(l.newest).newer = i
	}
	l.newest = i
	return b
}

func (l *LocalLimiter) at(i int32) *bucket { return &l.pages[i/pageSize][i%pageSize] }

// alloc returns a bucket that is not in use, that of the stalest key if there may be no more.
func (l *LocalLimiter) alloc() int32 {
	limit := l.MaxKeys
	if limit <= 0 {
		limit = defaultMaxKeys
	}
	if l.keys >= min(limit, math.MaxInt32-pageSize) {
		l.remove(l.oldest)
	}
	if i := l.free; i != none {
		l.free = l.at(i).newer
		return i
	}
	if int(l.used) == len(l.pages)*pageSize {
		l.pages = append(l.pages, new([pageSize]bucket))
	}
	l.used++
	return l.used - 1
}

// remove forgets a key.
func (l *LocalLimiter) remove(i int32) {
	l.unlink(i)
	b := l.at(i)
	l.leave(l.slot(b.hash))
	b.newer, l.free = l.free, i
}

func emptyIndex(size int) []int32 {
	index := make([]int32, size)
	for i := range index {
		index[i] = none
	}
	return index
}

// slot returns where in the index the key of that hash is, or would be.
func (l *LocalLimiter) slot(hash uint64) int {
	mask := len(l.index) - 1
	for s := int(hash) & mask; ; s = (s + 1) & mask {
		if i := l.index[s]; i == none || l.at(i).hash == hash {
			return s
		}
	}
}

// enter makes the bucket i known. A quarter of the index at least is empty, so that searches end soon.
func (l *LocalLimiter) enter(hash uint64, i int32) {
	if l.keys++; l.keys > len(l.index)/4*3 {
		old := l.index
		l.index = emptyIndex(2 * len(old))
		for _, k := range old {
			if k != none {
				l.index[l.slot(l.at(k).hash)] = k
			}
		}
	}
	l.index[l.slot(hash)] = i
}

// leave empties a slot, and moves up what stands behind it only because it was taken.
func (l *LocalLimiter) leave(s int) {
	l.keys--
	mask := len(l.index) - 1
	gap := s
	for {
		s = (s + 1) & mask
		i := l.index[s]
		if i == none {
			break
		}
		if home := int(l.at(i).hash) & mask; (s-home)&mask >= (s-gap)&mask {
			l.index[gap] = i
			gap = s
		}
	}
	l.index[gap] = none
}

// unlink takes a bucket out of the order of use.
func (l *LocalLimiter) unlink(i int32) {
	b := l.at(i)
	if b.older == none {
		l.oldest = b.newer
	} else {
		l.at(b.older).newer = b.newer
	}
	if b.newer == none {
		l.newest = b.older
	} else {
		l.at(b.newer).older = b.older
	}
}
