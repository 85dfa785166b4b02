package classify

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWaitInText(t *testing.T) {
	date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ text, want string }{
		{"Please try again in 6m0s.", "6m0s"},
		{"Please retry after 1h2m3s", "1h2m3s"},
		{"retry in 0.5 seconds", "500ms"},
		{"Retry after 58 seconds.", "58s"},
		{"Try again in 1 hour, 2 minutes", "1h2m0s"},
		{"try again in 30 sec", "30s"},
		{"available again in 5 min.", "5m0s"},
		{"wait 10s before", "10s"},
		{"Please wait for 20 seconds", "20s"},
		{"You must wait 3 more seconds", "3s"},
		{"Wait time: 9s", "9s"},
		{"Cooldown: 10 s", "10s"},
		{"Run time: 9s", ""},
		{"After enabling it, wait 5 minutes", ""},
		{"After waiting for 20 seconds try again", "20s"},
		{"wait 7 seconds and try again", "7s"},
		{"Expected available in 3 seconds.", "3s"},
		{"rate limit resets in 12 minutes", "12m0s"},
		{"Expected time to availability: 45s", "45s"},
		{"The estimated time to recovery is 2 minutes", "2m0s"},
		{"availability: 45s", ""},
		{"Retry-After: 30s", "30s"},
		{"reset after 2h59m59s", "2h59m59s"},
		{"Your quota will reset after 18h31m10s.", "18h31m10s"},
		{"Next request in 4 seconds", "4s"},
		{"limit is 5 requests in 10 seconds", ""},
		{"timeout of 600 seconds exceeded", ""},
		{"took longer than 30s", ""},
		{"in the last 24 hours", ""},
		{"per 60 seconds", ""},
		{"3 requests/10s", ""},
		{"the request was running for 120 seconds", ""},
		{"retry up to 3 times", ""},
		{"tokens valid for 3600 seconds", ""},
		{"until 2026-01-01T00:01:00Z", "1m0s"},
		{"resets at 2026-01-01 00:02:00 UTC", "2m0s"},
		{"try again at 2026-01-01T00:00:10.5Z.", "10.5s"},
		{"available on 2026-01-02", "24h0m0s"},
		{"banned until 1767225660", "1m0s"},
		{"retry after 1767225660", "1m0s"},
		{"Please retry after 35", "35s"},
		{"try again in 1 day", "24h0m0s"},
		{"try again in 2d3h", "51h0m0s"},
		{"please wait approximately 15 seconds", "15s"},
		{"retry in about 2 minutes", "2m0s"},
		{"try again in less than 5 seconds", ""},
		{"retry after 5 attempts", ""},
		{"Too many: retry after 7. Thanks", "7s"},
		{"retry_after=12s", "12s"},
		{"Retry your request after 12 seconds", "12s"},
		{"blocked for 10 minutes", "10m0s"},
		{"wait until 10:00", ""},
		{"请在 30 秒后重试", "30s"},
		{"resets in 3 days", "72h0m0s"},
		{"Try again in 00:05:00", "5m0s"},
		{"The quota will be replenished in 5.12:10:33.", "132h10m33s"},
		{"Try again at 00:05:00", ""},
		{"Try again in 1:2:3:4", ""},
		{"Try again in 00:75:00", ""},
		{"You can only ask for this after 52 seconds.", "52s"},
		{"only 5 requests in 60 seconds", ""},
		{"wait 1.5min", "1m30s"},
	} {
		w, ok := waitInText(c.text, date)
		got := ""
		if ok {
			got = w.String()
		}
		require.Equal(t, c.want, got, c.text)
	}
	// Without the response's date a point in time is no wait.
	_, ok := waitInText("banned until 1767225660", time.Time{})
	require.False(t, ok)
}
