package pacing_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errwire/errwire/internal/pacing"
)

func ExampleGate() {
	gate := &pacing.Gate{}
	ctx := context.Background()

	// A first attempt: the gate has no reason to hold it.
	ticket, err := gate.Wait(ctx, "api.example.com", time.Time{})
	fmt.Println(gate.Active(), err)

	// The server is down for a minute.
	gate.Report("api.example.com", ticket, pacing.Outcome{Kind: pacing.Down, Wait: time.Minute, Err: errors.New("503 overloaded")})
	_, err = gate.Wait(ctx, "api.example.com", time.Time{})
	fmt.Println(gate.Active(), err)

	// Others are not concerned.
	_, err = gate.Wait(ctx, "api.example.org", time.Time{})
	fmt.Println(err)
	// Output:
	// false <nil>
	// true refused locally, nothing was sent: the server said to stay away for longer than the wait allowed; the server's last refusal: 503 overloaded
	// <nil>
}
