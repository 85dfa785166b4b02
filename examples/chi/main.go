// Command chi serves the API of examples/nethttp on chi's router, until interrupted: with rate limits in Redis where there is one, and with traces and
// metrics over OTLP where an endpoint is named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
	"github.com/errwire/errwire/otelhook"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if code := exitCode(err, os.Stderr); code != 0 {
		os.Exit(code)
	}
}

// usageError is a command line that is not understood.
type usageError struct {
	error

	told bool // by package flag
}

func (e usageError) Unwrap() error { return e.error }

// exitCode returns the exit status of the program that ends with err, and tells of err on stderr.
func exitCode(err error, stderr io.Writer) int {
	usage, wrongUsage := errors.AsType[usageError](err)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case wrongUsage && usage.told:
		return 2
	}
	fmt.Fprintf(stderr, "chi: %v\n", err)
	if wrongUsage {
		return 2
	}
	return 1
}

// registries returns the vocabularies that -dialect names.
func registries() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.Runbase(), errcodes.RunInfra(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("chi", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "serve on this `address`")
	dialect := flags.String("dialect", "runbase", "the `vocabulary` of the errors")
	redisURL := flags.String("redis", "", "count rates in the Redis at this `URL` (default $REDIS_URL; without either, in this process)")
	if err := flags.Parse(args); err != nil {
		return usageError{err, true}
	}
	if flags.NArg() > 0 {
		return usageError{error: fmt.Errorf("argument %q is not expected", flags.Arg(0))}
	}
	if *redisURL == "" {
		// Not as the flag's default, which -help would print with the password.
		*redisURL = os.Getenv("REDIS_URL")
	}
	var registry *errcodes.Registry
	var names []string
	for _, r := range registries() {
		names = append(names, r.Name())
		if r.Name() == *dialect {
			registry = r
		}
	}
	if registry == nil {
		return usageError{error: fmt.Errorf("dialect %q is not one of %s", *dialect, strings.Join(names, ", "))}
	}
	logger := slog.New(&otelhook.LogHandler{Base: slog.NewTextHandler(stderr, nil)})
	var limiter middleware.Limiter = &middleware.LocalLimiter{Quota: quota}
	if *redisURL != "" {
		client, err := newRedis(*redisURL)
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		redis.SetLogger(redisLog{logger})
		limiter = newRedisLimiter(client, quota, logger)
	}
	tr, err := newTracing(ctx)
	if err != nil {
		return err
	}
	err = serve(ctx, *addr, stdout, router(&provider.Provider{Errors: &middleware.ErrorWriter{
		Registry: registry, Logger: logger, Observer: observer(),
		// What the clients of /v1/messages need, and no other client minds.
		XAPIKey: true, RequestIDs: middleware.RequestIDs{Short: true},
	}}, limiter, tr))
	if err != nil {
		err = fmt.Errorf("serve %s: %w", *dialect, err)
	}
	return errors.Join(err, tr.close(ctx))
}

// serve serves h on addr until ctx is done; then it lets the requests at work finish, for at most five seconds.
func serve(ctx context.Context, addr string, stdout io.Writer, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening on http://%s\n", l.Addr())
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		// So that OPTIONS * reaches the handler and has a request id.
		DisableGeneralOptionsHandler: true,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-stopped
}
