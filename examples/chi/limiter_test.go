package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

// backend is a Redis of a test's own.
type backend struct {
	url         string
	start, stop func()
}

// redises are the servers that everything is tested on: one in Go, which is always there, and Redis itself where it is installed.
func redises() map[string]func(*testing.T) *backend {
	return map[string]func(*testing.T) *backend{"miniredis": startMiniredis, "redis-server": startRedis}
}

func startMiniredis(t *testing.T) *backend {
	t.Helper()
	s := miniredis.RunT(t)
	return &backend{url: "redis://" + s.Addr(), start: func() { require.NoError(t, s.Restart()) }, stop: s.Close}
}

func startRedis(t *testing.T) *backend {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed (apt-get install redis-server)")
	}
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // the name of a socket has to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "s")
	var server *exec.Cmd
	b := &backend{url: "unix://" + socket}
	b.start = func() {
		server = exec.CommandContext(context.Background(), program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
		require.NoError(t, server.Start())
		require.Eventually(t, func() bool {
			c, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
			if err != nil {
				return false
			}
			return c.Close() == nil
		}, 10*time.Second, 10*time.Millisecond)
	}
	b.stop = func() {
		if server != nil {
			require.NoError(t, server.Process.Kill())
			_ = server.Wait()
			server = nil
			_ = os.Remove(socket)
		}
	}
	t.Cleanup(b.stop)
	b.start()
	return b
}

func (b *backend) client(t *testing.T) *redis.Client {
	t.Helper()
	c, err := newRedis(b.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func (b *backend) limiter(t *testing.T, quota middleware.Quota) *redisLimiter {
	t.Helper()
	l := newRedisLimiter(b.client(t), quota, slog.New(slog.DiscardHandler))
	l.patience = time.Minute // a busy machine is no reason to count elsewhere
	return l
}

func take(t *testing.T, l middleware.Limiter, key string) middleware.RateState {
	t.Helper()
	s, err := l.Take(t.Context(), &middleware.RateQuery{Key: key})
	require.NoError(t, err)
	return s
}

func TestRedisLimiter(t *testing.T) {
	for name, start := range redises() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			q := middleware.Quota{Requests: 6, Per: time.Hour, Burst: 3}
			one, two := b.limiter(t, q), b.limiter(t, q)

			// Two processes count together, and as one process would.
			local := &middleware.LocalLimiter{Quota: q}
			for i, l := range []middleware.Limiter{one, two, one, two, one} {
				began := time.Now()
				got, want := take(t, l, "a"), take(t, local, "a")
				require.Equal(t, i >= 3, got.Refused)
				require.Equal(t, want.Refused, got.Refused)
				require.Equal(t, want.Limit, got.Limit)
				require.Equal(t, want.Remaining, got.Remaining)
				require.WithinDuration(t, want.Reset, got.Reset, 5*time.Second)
				require.InDelta(t, want.RetryAfter.Seconds(), got.RetryAfter.Seconds(), 5)
				require.True(t, got.Reset.After(began))
				require.Equal(t, got.Refused, got.RetryAfter > 0)
			}
			// Another key has a rate of its own.
			require.Equal(t, 2, take(t, one, "b").Remaining)

			// Callers at the same time get no more than there is.
			var passed atomic.Int32
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					l := one
					if i%2 == 0 {
						l = two
					}
					if s, err := l.Take(t.Context(), &middleware.RateQuery{Key: "c"}); err == nil && !s.Refused {
						passed.Add(1)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 3, passed.Load())

			// A caller who left is no failure of Redis.
			ctx, leave := context.WithCancel(t.Context())
			leave()
			_, err := one.Take(ctx, &middleware.RateQuery{Key: "d"})
			require.ErrorIs(t, err, context.Canceled)
			require.Zero(t, one.resume.Load())
		})
	}
}

// While Redis is down requests pass, each process counts for itself, and the log says so once for each pause. Then Redis counts on.
func TestRedisIsDown(t *testing.T) {
	for name, start := range redises() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			var log bytes.Buffer
			l := newRedisLimiter(b.client(t), middleware.Quota{Requests: 3, Per: time.Hour, Burst: 3}, slog.New(slog.NewTextHandler(&log, nil)))
			l.patience, l.pause = time.Minute, time.Hour
			require.Equal(t, 2, take(t, l, "a").Remaining)
			b.stop()
			for i, want := range []int{2, 1, 0} {
				s := take(t, l, "a")
				require.False(t, s.Refused)
				require.Equal(t, want, s.Remaining, i)
				require.Equal(t, 3, s.Limit)
			}
			require.True(t, take(t, l, "a").Refused, "one key cannot take everything")
			require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
			require.Contains(t, log.String(), "redis failed, rates are counted by this process alone")

			b.start()
			require.True(t, take(t, l, "a").Refused, "the pause goes on")
			l.resume.Store(0) // it ends
			require.False(t, take(t, l, "a").Refused, "Redis has its own count")
			require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
		})
	}
}

// A Redis that takes connections and says nothing costs one request a tenth of a second, not all of them.
func TestRedisIsSilent(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	b := &backend{url: "redis://" + silent.Addr().String()}
	var log bytes.Buffer
	l := newRedisLimiter(b.client(t), quota, slog.New(slog.NewTextHandler(&log, nil)))
	l.pause = time.Hour
	for range 100 {
		require.False(t, take(t, l, "a").Refused)
		require.NotZero(t, l.resume.Load())
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
	require.NoError(t, silent.Close())
	wg.Wait()
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
}

// Two machines behind a balancer hold a key to one rate, answer in the provider's shape, and no API key gets into Redis.
func TestRatesOverHTTP(t *testing.T) {
	for name, start := range redises() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			var machines []*httptest.Server
			for range 2 {
				errs := &middleware.ErrorWriter{Registry: errcodes.Runbase(), Logger: slog.New(slog.DiscardHandler)}
				srv := httptest.NewServer(router(&provider.Provider{Errors: errs}, b.limiter(t, middleware.Quota{Requests: 2, Per: time.Hour, Burst: 2}), nil))
				defer srv.Close()
				machines = append(machines, srv)
			}
			before := time.Now().Unix()
			for i, want := range []struct {
				status    int
				remaining string
			}{{200, "1"}, {200, "0"}, {429, "0"}, {429, "0"}} {
				resp, body := send(t, machines[i%2], "models")
				require.Equal(t, want.status, resp.StatusCode, body)
				require.Equal(t, "2", resp.Header.Get("X-RateLimit-Limit"))
				require.Equal(t, want.remaining, resp.Header.Get("X-RateLimit-Remaining"))
				reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
				require.NoError(t, err)
				require.Greater(t, reset, before)
				if want.status == http.StatusTooManyRequests {
					got, err := errcodes.Runbase().Dialect().Decode([]byte(body))
					require.NoError(t, err)
					require.Equal(t, "RATE_LIMITED", got.Code)
					require.Equal(t, "false", resp.Header.Get("X-Should-Retry"), "half an hour is too long a wait")
				}
			}
			// Who has no right to be here counts against nobody, and the state of a key comes first.
			for _, stranger := range []string{"no key", "unknown key", "ip blocked"} {
				resp, _ := send(t, machines[0], stranger)
				require.NotEqual(t, http.StatusTooManyRequests, resp.StatusCode)
			}
			keys, err := b.client(t).Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			require.Len(t, keys, 1)
			require.Regexp(t, `^rate:[0-9a-f]{64}$`, keys[0])
		})
	}
}

func TestRedisURL(t *testing.T) {
	for _, bad := range []string{"http://127.0.0.1", "redis://user:hunter2@[::1", "redis://:hunter2@host:port:/x"} {
		_, err := newRedis(bad)
		require.ErrorContains(t, err, "redis URL: ")
		require.NotContains(t, err.Error(), "hunter2")
	}
	require.ErrorContains(t, run(t.Context(), []string{"-redis", "http://x"}, io.Discard, io.Discard), "redis URL: ")
	t.Setenv("REDIS_URL", "gopher://x")
	require.ErrorContains(t, run(t.Context(), nil, io.Discard, io.Discard), "redis URL: ")
}
