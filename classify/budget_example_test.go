package classify_test

import (
	"context"
	"fmt"

	"github.com/errwire/errwire/classify"
)

func ExampleTokenBucket() {
	ctx := context.Background()
	shared := &classify.TokenBucket{Ratio: 0.5, Burst: 2} // for every Transport that talks to one server
	for range 3 {
		fmt.Println("retry:", shared.Withdraw(ctx, &classify.BudgetWithdrawal{}))
	}
	for range 2 {
		shared.Deposit(ctx, classify.BudgetDeposit{}) // a call that was served
	}
	fmt.Println("left:", shared.Left())
	// Output:
	// retry: true
	// retry: true
	// retry: false
	// left: 1
}

func ExampleUnlimited() {
	transport := &classify.Transport{Budget: classify.Unlimited{}} // retries are bounded by MaxAttempts alone
	fmt.Println(transport.Budget.Withdraw(context.Background(), &classify.BudgetWithdrawal{}))
	// Output: true
}
