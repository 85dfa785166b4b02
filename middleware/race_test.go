//go:build race

package middleware

// raceEnabled: the race detector allocates too, and makes sync.Pool forget.
const raceEnabled = true
