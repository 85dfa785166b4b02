package pacing_test

import (
	"fmt"

	"github.com/errwire/errwire/internal/pacing"
)

func ExampleBudget() {
	budget := &pacing.Budget{Ratio: 0.5, Burst: 1}
	fmt.Println("retry:", budget.Take())
	fmt.Println("retry:", budget.Take())
	budget.Deposit() // a call succeeds
	budget.Deposit()
	fmt.Println("retry:", budget.Take())
	// Output:
	// retry: true
	// retry: false
	// retry: true
}
