// Command nethttp shows errwire at work on plain net/http.
//
// Without flags it starts an inference API on a loopback port, drives every documented error of RunInfra and
// Runbase through it with the errwire client, prints how each came out, and exits with 0 if all of them came out
// as the registries say, else with 1. With -addr it serves the API instead, until interrupted.
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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

// Exit statuses.
const (
	exitOK    = 0
	exitDiff  = 1 // an error came out otherwise than its registry says, or the server failed
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// dialects returns the registries that -dialect names.
func dialects() []*errcodes.Registry {
	return []*errcodes.Registry{
		errcodes.Runbase(), errcodes.RunInfra(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	names := make([]string, 0, len(dialects()))
	for _, r := range dialects() {
		names = append(names, r.Name())
	}
	flags := flag.NewFlagSet("nethttp", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "", "serve on this `address` until interrupted, instead of running the main job")
	dialect := flags.String("dialect", "runbase", "with -addr: the `vocabulary` of the errors, one of "+strings.Join(names, ", "))
	verbose := flags.Bool("v", false, "print headers and bodies of every exchange too, and the server's log to standard error")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "nethttp: argument %q is not expected\n", flags.Arg(0))
		return exitUsage
	}
	if *addr == "" {
		dialectGiven := false
		flags.Visit(func(f *flag.Flag) { dialectGiven = dialectGiven || f.Name == "dialect" })
		if dialectGiven {
			fmt.Fprintln(stderr, "nethttp: -dialect needs -addr: the main job speaks both seeds")
			return exitUsage
		}
		return mainJob(ctx, stdout, stderr, *verbose)
	}
	i := slices.Index(names, *dialect)
	if i < 0 {
		fmt.Fprintf(stderr, "nethttp: dialect %q is not one of %s\n", *dialect, strings.Join(names, ", "))
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	tr, err := newTracing(ctx, false)
	if err != nil {
		fmt.Fprintf(stderr, "nethttp: %v\n", err)
		return exitDiff
	}
	srv, err := serve(ctx, *addr, dialects()[i], log, tr)
	if err != nil {
		fmt.Fprintf(stderr, "nethttp: %v\n", errors.Join(err, tr.close(ctx)))
		return exitDiff
	}
	fmt.Fprintf(stdout, "listening on %s\n", srv.url)
	select {
	case <-ctx.Done():
	case err = <-srv.failed:
		fmt.Fprintf(stderr, "nethttp: %v\n", err)
	}
	if err = errors.Join(err, srv.close(), tr.close(ctx)); err != nil {
		fmt.Fprintf(stderr, "nethttp: %v\n", err)
		return exitDiff
	}
	return exitOK
}

// server is a provider that listens.
type server struct {
	url    string
	http   *http.Server
	failed chan error
}

// serve starts the API on addr in the vocabulary of r. The caller closes it.
func serve(ctx context.Context, addr string, r *errcodes.Registry, log *slog.Logger, tr *tracing) (*server, error) {
	p := &provider.Provider{Errors: &middleware.ErrorWriter{
		Registry: r, Logger: log, Observer: observer(),
		// What the clients of /v1/messages need, and no other client minds.
		XAPIKey: true, RequestIDs: middleware.RequestIDs{Short: true},
	}}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", r.Name(), err)
	}
	s := &server{
		url: "http://" + l.Addr().String(),
		http: &http.Server{
			Handler:           tr.handler(p.Handler()),
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       time.Minute,
			// So that OPTIONS * reaches the handler and has a request id.
			DisableGeneralOptionsHandler: true,
			ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		failed: make(chan error, 1),
	}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s, nil
}

// close lets the requests at work finish, for at most five seconds.
func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
