// Command chi serves the API of examples/nethttp on chi's router, until interrupted.
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

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/examples/nethttp/provider"
	"github.com/errwire/errwire/middleware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "chi: %v\n", err)
		os.Exit(1)
	}
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
	if err := flags.Parse(args); err != nil {
		return err
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
		return fmt.Errorf("dialect %q is not one of %s", *dialect, strings.Join(names, ", "))
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("serve %s: %w", *dialect, err)
	}
	fmt.Fprintf(stdout, "listening on http://%s\n", l.Addr())
	srv := &http.Server{
		Handler: router(&provider.Provider{Errors: &middleware.ErrorWriter{
			Registry: registry, Logger: slog.New(slog.NewTextHandler(stderr, nil)),
			// What the clients of /v1/messages need, and no other client minds.
			XAPIKey: true, RequestIDs: middleware.RequestIDs{Short: true},
		}}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		// So that OPTIONS * reaches the handler and has a request id.
		DisableGeneralOptionsHandler: true,
	}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", *dialect, err)
	}
	return <-stopped
}
