package pacing

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name     string
		budget   *Budget
		requests int
		want     int // retries that are granted when each request asks for two
	}{
		{"defaults, nothing sent yet", &Budget{}, 0, 10},
		{"defaults", &Budget{}, 1000, 209}, // the first deposit meets a full bucket
		{"a tenth", &Budget{Ratio: 0.1}, 1000, 109},
		{"each request pays for its own", &Budget{Ratio: 2}, 1000, 2000},
		{"no ratio", &Budget{Ratio: -1}, 1000, 10},
		{"no number", &Budget{Ratio: math.NaN()}, 1000, 10},
		{"no burst", &Budget{Burst: -1}, 1000, 0},
		{"one token", &Budget{Burst: 1}, 1000, 200},
		{"nothing", &Budget{Ratio: -1, Burst: -1}, 1000, 0},
		{"endless", &Budget{Ratio: math.Inf(1), Burst: math.MaxInt}, 1000, 2000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.budget
			granted := 0
			for range tt.requests {
				b.Deposit()
				for range 2 {
					if b.Take() {
						granted++
					}
				}
			}
			if tt.requests == 0 {
				for b.Take() {
					granted++
				}
			}
			require.InDelta(t, tt.want, granted, 1)
			require.GreaterOrEqual(t, b.Left(), 0.0)
		})
	}
}

// What is never sent costs nothing, and nothing is saved up beyond the burst.
func TestBudgetUntake(t *testing.T) {
	var b Budget
	require.True(t, b.Take())
	require.InDelta(t, 9, b.Left(), 1e-6)
	b.Untake()
	b.Untake()
	require.InDelta(t, 10, b.Left(), 1e-6)
	for range 100 {
		b.Deposit()
	}
	require.InDelta(t, 10, b.Left(), 1e-6)
}

func TestBudgetShared(t *testing.T) {
	const goroutines, each = 8, 10_000
	var b Budget
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				b.Deposit()
				if b.Take() {
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	paid := 0.2*goroutines*each + 10
	require.LessOrEqual(t, float64(granted.Load()), paid)
	require.InDelta(t, paid, float64(granted.Load())+b.Left(), goroutines+10)
}

func TestBudgetAllocatesNothing(t *testing.T) {
	var b Budget
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b.Deposit()
		b.Take()
	}))
}

// A healthy client finds the bucket full.
func BenchmarkBudgetDepositFull(b *testing.B) {
	var budget Budget
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.Deposit()
		}
	})
}

func BenchmarkBudgetDepositTake(b *testing.B) {
	budget := Budget{Ratio: 1}
	b.ReportAllocs()
	for b.Loop() {
		budget.Deposit()
		budget.Take()
	}
}
