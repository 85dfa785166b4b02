package middleware

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func take(tb testing.TB, l *LocalLimiter, key string) RateState {
	tb.Helper()
	state, err := l.Take(tb.Context(), &RateQuery{Key: key})
	require.NoError(tb, err)
	return state
}

func TestLocalLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &LocalLimiter{Quota: Quota{Requests: 60, Burst: 3}}
		start := time.Now()
		for i, want := range []RateState{
			{Limit: 60, Remaining: 2, Reset: start.Add(time.Second)},
			{Limit: 60, Remaining: 1, Reset: start.Add(2 * time.Second)},
			{Limit: 60, Remaining: 0, Reset: start.Add(3 * time.Second)},
			{Limit: 60, Refused: true, Reset: start.Add(3 * time.Second), RetryAfter: time.Second},
			{Limit: 60, Refused: true, Reset: start.Add(3 * time.Second), RetryAfter: time.Second},
		} {
			require.Equal(t, want, take(t, l, "a"), "%d", i)
		}
		require.Equal(t, 2, take(t, l, "b").Remaining, "keys do not share")
		pause(time.Second - 1)
		require.Equal(t, time.Duration(1), take(t, l, "a").RetryAfter)
		pause(1)
		require.False(t, take(t, l, "a").Refused)
		require.True(t, take(t, l, "a").Refused)
		pause(time.Hour)
		require.Equal(t, RateState{Limit: 60, Remaining: 2, Reset: time.Now().Add(time.Second)}, take(t, l, "a"))
	})
}

// No more remains than there is.
func TestLocalLimiterWithALargeBurst(t *testing.T) {
	l := &LocalLimiter{Quota: Quota{Requests: 10, Burst: 20}}
	state := take(t, l, "a")
	require.Equal(t, 20, state.Limit)
	require.Equal(t, 19, state.Remaining)
}

func TestLocalLimiterQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quotas := map[string]Quota{
			"none": {}, "negative": {Requests: -1}, "hourly": {Requests: 2, Per: time.Hour}, "fast": {Requests: 1 << 40, Per: time.Second, Burst: 2},
			"endless": {Requests: 1, Per: 1 << 62, Burst: 1 << 62},
		}
		l := &LocalLimiter{QuotaFor: func(q *RateQuery) Quota { return quotas[q.Key] }}
		for range 5 {
			require.Equal(t, RateState{}, take(t, l, "none"))
			require.Equal(t, RateState{}, take(t, l, "negative"))
		}
		require.Equal(t, 1, take(t, l, "hourly").Remaining)
		require.Equal(t, 0, take(t, l, "hourly").Remaining)
		require.Equal(t, 30*time.Minute, take(t, l, "hourly").RetryAfter)
		require.Equal(t, 1, take(t, l, "fast").Remaining)
		require.Equal(t, 0, take(t, l, "fast").Remaining)
		require.Equal(t, time.Duration(1), take(t, l, "fast").RetryAfter)
		for range 3 {
			state := take(t, l, "endless")
			require.GreaterOrEqual(t, state.RetryAfter, time.Duration(0))
			require.GreaterOrEqual(t, state.Remaining, 0)
		}
	})
}

// Whatever a hundred goroutines do, exactly the burst and what has come in since gets through.
func TestLocalLimiterIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst, every, lasts = 50, 120 * time.Millisecond, 10 * time.Minute
		l := &LocalLimiter{Quota: Quota{Requests: 500, Burst: burst}}
		var passed atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 100 {
			wg.Go(func() {
				for n := 0; time.Since(start) <= lasts; n++ {
					state, _ := l.Take(context.Background(), &RateQuery{Key: "k"})
					if !state.Refused {
						passed.Add(1)
						continue
					}
					if (i+n)%3 == 0 {
						pause(state.RetryAfter) // some come as soon as they may
					} else {
						pause(time.Duration(1+(i*37+n*11)%400) * time.Millisecond)
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(burst+lasts/every), passed.Load())
	})
}

func pause(d time.Duration) { <-time.After(d) }

func TestLocalLimiterForgetsTheStalest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &LocalLimiter{Quota: Quota{Requests: 1, Per: time.Hour}, MaxKeys: 3}
		for _, key := range []string{"a", "b", "c"} {
			require.False(t, take(t, l, key).Refused)
		}
		require.True(t, take(t, l, "a").Refused, "a refusal is use too")
		require.False(t, take(t, l, "d").Refused)
		require.True(t, take(t, l, "a").Refused)
		require.True(t, take(t, l, "c").Refused)
		require.False(t, take(t, l, "b").Refused, "the stalest is gone")
		require.True(t, take(t, l, "c").Refused)
		require.False(t, take(t, l, "d").Refused)
		require.Equal(t, 3, l.keys)

		pause(2 * time.Hour)
		require.False(t, take(t, l, "c").Refused)
		require.Equal(t, 1, l.keys, "full buckets are forgotten")
	})
}

// The order of use and the free list survive any sequence.
func FuzzLocalLimiter(f *testing.F) {
	f.Add([]byte("abcabcdefgaaa\xff\xffbcd"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		synctest.Test(t, func(t *testing.T) {
			l := &LocalLimiter{Quota: Quota{Requests: 60}, MaxKeys: 5}
			for _, s := range steps {
				if s >= 200 {
					pause(time.Duration(s-199) * time.Second)
					continue
				}
				take(t, l, strconv.Itoa(int(s%16)))
				if len(steps) > 3 {
					l.index = shrunk(l) // so small that keys stand in each other's way
				}
				seen := 0
				for i, before := l.newest, int32(none); i != none; i = l.at(i).older {
					require.Equal(t, before, l.at(i).newer)
					require.Equal(t, i, l.index[l.slot(l.at(i).hash)])
					before = i
					seen++
				}
				require.Equal(t, seen, l.keys)
				require.LessOrEqual(t, seen, 5)
			}
		})
	})
}

// shrunk returns the index in the least size that holds the keys.
func shrunk(l *LocalLimiter) []int32 {
	old := l.index
	l.index = emptyIndex(8)
	for i := l.oldest; i != none; i = l.at(i).newer {
		l.index[l.slot(l.at(i).hash)] = i
	}
	if len(old) == len(l.index) {
		return old
	}
	return l.index
}

func TestAMillionKeysTakeBoundedMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("memory is measured without the race detector")
	}
	const keys = 1_000_000
	l := &LocalLimiter{Quota: Quota{Requests: 1, Per: time.Hour}}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	key := func(i int) string { return fmt.Sprintf("%064x", i) } // as digests are
	for i := range keys {
		if state, _ := l.Take(t.Context(), &RateQuery{Key: key(i)}); state.Refused {
			require.Fail(t, "two keys share a bucket")
		}
	}
	used := heap() - before
	t.Logf("%d keys: %.1f MB", keys, float64(used)/1e6)
	require.LessOrEqual(t, used, uint64(64e6))
	require.True(t, take(t, l, key(0)).Refused, "all of them are known")

	for i := range keys / 2 { // as many again do not make it grow
		if state, _ := l.Take(t.Context(), &RateQuery{Key: key(keys + i)}); state.Refused {
			require.Fail(t, "two keys share a bucket")
		}
	}
	used = heap() - before
	t.Logf("after another half: %.1f MB", float64(used)/1e6)
	require.LessOrEqual(t, used, uint64(64e6))
	require.Equal(t, keys, l.keys)
	require.False(t, take(t, l, key(1)).Refused, "the stalest went first")
	require.True(t, take(t, l, key(0)).Refused, "it was used since")
	require.True(t, take(t, l, key(keys-1)).Refused)
	runtime.KeepAlive(l)
}

// A period that no process lives to see the end of still has its burst.
func TestLocalLimiterOfAgeLongPeriods(t *testing.T) {
	for _, per := range []time.Duration{1 << 61, 1 << 62, math.MaxInt64} {
		for _, burst := range []int{0, 1, math.MaxInt} {
			l := &LocalLimiter{Quota: Quota{Requests: 1, Per: per, Burst: burst}}
			require.False(t, take(t, l, "a").Refused)
			state := take(t, l, "a")
			if burst <= 1 {
				require.True(t, state.Refused)
				require.Greater(t, state.RetryAfter, 50*365*24*time.Hour)
			}
		}
	}
}

// Keys that stand in each other's way are found again when any of them has left, in whatever order.
func TestLocalLimiterIndex(t *testing.T) {
	const buckets = 64
	for _, homes := range [][]uint64{{5, 5, 5, 5}, {5, 5, 6, 5}, {5, 6, 5, 6, 7}, {63, 63, 0, 63, 1}, {62, 63, 62, 0, 0, 63}} {
		for gone := range homes {
			l := &LocalLimiter{Quota: Quota{Requests: 1}}
			l.init()
			require.Len(t, l.index, buckets)
			hash := func(i int) uint64 { return homes[i] + buckets*uint64(i) }
			for i := range homes {
				l.find(hash(i), 0).full = 1 // not idle, so that it stays
			}
			l.remove(l.index[l.slot(hash(gone))])
			for i := range homes {
				require.Equal(t, i != gone, l.index[l.slot(hash(i))] != none, "%v without %d: %d", homes, gone, i)
			}
			require.Equal(t, len(homes)-1, l.keys)
		}
	}
}
