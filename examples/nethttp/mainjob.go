package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
)

// jobTimeout bounds the main job; it takes about three seconds.
const jobTimeout = 15 * time.Second

// outcome is how a scenario came out.
type outcome struct {
	scenario
	attempts  []classify.Attempt
	first     classify.Decision // what the client made of the first failure
	stop      classify.Stop
	final     int // the status that reached the caller
	exchanges []exchange
	diffs     []string // what differs from the registry; none if all is well
}

// exchange is one request and its answer, as they were on the wire.
type exchange struct {
	request string
	answer  string
}

// mainJob drives the scenarios of both seeds and prints the table. It returns the exit status.
func mainJob(ctx context.Context, stdout, stderr io.Writer, verbose bool) int {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	if verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	tr, err := newTracing(ctx, true)
	if err != nil {
		fmt.Fprintf(stderr, "nethttp: %v\n", err)
		return exitDiff
	}
	p := printer{w: stdout, colour: wantsColour(stdout)}
	failed, total := 0, 0
	began := time.Now()
	for _, seed := range []struct {
		registry  *errcodes.Registry
		scenarios []scenario
	}{
		{errcodes.RunInfra(), runInfra()},
		{errcodes.Runbase(), runbase()},
	} {
		outcomes, err := drive(ctx, seed.registry, seed.scenarios, log, tr)
		if err != nil {
			fmt.Fprintf(stderr, "nethttp: %v\n", errors.Join(err, tr.close(ctx)))
			return exitDiff
		}
		p.table(seed.registry.Name(), outcomes)
		if verbose {
			p.exchanges(outcomes)
		}
		missing := undriven(seed.registry, seed.scenarios)
		for _, o := range outcomes {
			if len(o.diffs) > 0 {
				failed++
				p.diff(o)
			}
		}
		for _, c := range missing {
			failed++
			fmt.Fprintf(stdout, "%s: no request drives the documented error %s\n", seed.registry.Name(), c)
		}
		total += len(outcomes) + len(missing)
	}
	tr.print(stdout)
	if err := tr.close(ctx); err != nil {
		fmt.Fprintf(stderr, "nethttp: %v\n", err) // telemetry that is lost is no failure of the job
	}
	if failed > 0 {
		fmt.Fprintf(stdout, "%d of %d errors came out otherwise than their registry says.\n", failed, total)
		return exitDiff
	}
	fmt.Fprintf(stdout, "All %d errors came out as their registries say, in %.1f s.\n", total, time.Since(began).Seconds())
	return exitOK
}

// drive starts a server in the vocabulary of r and sends it all scenarios at once.
func drive(ctx context.Context, r *errcodes.Registry, scenarios []scenario, log *slog.Logger, tr *tracing) ([]outcome, error) {
	srv, err := serve(ctx, "127.0.0.1:0", r, log, tr)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(scenarios))
	var wg sync.WaitGroup
	for i, s := range scenarios {
		wg.Go(func() { outcomes[i] = s.drive(ctx, srv.url, r, tr) })
	}
	wg.Wait()
	if err := srv.close(); err != nil {
		return nil, fmt.Errorf("drive %s: %w", r.Name(), err)
	}
	return outcomes, nil
}

// undriven returns the conditions that the provider documents and no scenario drives.
func undriven(r *errcodes.Registry, scenarios []scenario) []errcodes.Code {
	var missing []errcodes.Code
	for e := range r.All() {
		driven := slices.ContainsFunc(scenarios, func(s scenario) bool { return s.condition == e.Code })
		if e.Source != errcodes.SourceErrwire && !driven {
			missing = append(missing, e.Code)
		}
	}
	return missing
}

// drive sends the request of s through a retrying client of its own and compares what comes out with r.
func (s scenario) drive(ctx context.Context, base string, r *errcodes.Registry, tr *tracing) outcome {
	o := outcome{scenario: s}
	wire := &recorder{base: &http.Transport{}}
	defer wire.base.CloseIdleConnections()
	client := &http.Client{Transport: tr.transport(&classify.Transport{
		Base:            wire,
		Classifier:      &classify.Classifier{Registries: []*errcodes.Registry{r}},
		MutateRequest:   s.mutate,
		IdempotencyKeys: s.keyed,
	})}
	req, err := http.NewRequestWithContext(ctx, s.method, base+s.path, strings.NewReader(s.body))
	if err != nil {
		o.diffs = append(o.diffs, err.Error())
		return o
	}
	if s.body != "" {
		req.Header.Set("Content-Type", s.contentType)
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := client.Do(req)
	o.exchanges = wire.seen
	if err != nil {
		o.diffs = append(o.diffs, err.Error())
		return o
	}
	defer resp.Body.Close()
	o.final = resp.StatusCode
	if e := classify.ErrorOf(resp); e != nil {
		o.attempts, o.stop = e.Attempts, e.Stop
	} else {
		o.attempts = classify.AttemptsOf(resp)
	}
	if len(o.attempts) > 0 {
		o.first = o.attempts[0].Decision
	}
	o.compare(r, len(wire.seen))
	return o
}

// compare notes everything in which o differs from the row of its condition in r.
func (o *outcome) compare(r *errcodes.Registry, sent int) {
	row, ok := r.Lookup(o.condition)
	if !ok {
		o.diffs = append(o.diffs, "the registry has no such row")
		return
	}
	check := func(what string, got, want any) {
		if got != want {
			o.diffs = append(o.diffs, fmt.Sprintf("%s is %v, expected %v", what, got, want))
		}
	}
	check("status", o.first.Status, row.Status)
	check("code", o.first.Code, row.WireCode())
	check("type", o.first.Type, row.Type)
	check("class", o.first.Class, row.Class)
	check("retry rule", o.first.Retry, row.Retry)
	check("requests sent", sent, o.scenario.attempts)
	check("attempts told", len(o.attempts), o.scenario.attempts)
	check("reason to stop", o.stop, o.scenario.stop)
	check("success at the end", o.final < 300, o.recovers)
	if o.first.Message == "" {
		o.diffs = append(o.diffs, "there is no message")
	}
	if !isRequestID(o.first.RequestID) {
		o.diffs = append(o.diffs, fmt.Sprintf("request id %q is not req_ and 32 hex digits", o.first.RequestID))
	}
	for _, a := range o.attempts {
		if stated := o.first.Wait; a.N > 1 && stated > 0 && a.Waited < stated {
			o.diffs = append(o.diffs, fmt.Sprintf("attempt %d came after %s, the server said %s", a.N, a.Waited, stated))
		}
	}
}

func isRequestID(id string) bool {
	hex, ok := strings.CutPrefix(id, "req_")
	return ok && len(hex) == 32 && strings.Trim(hex, "0123456789abcdef") == ""
}

// waited returns the sum of the waits.
func (o *outcome) waited() time.Duration {
	var sum time.Duration
	for _, a := range o.attempts {
		sum += a.Waited
	}
	return sum
}

// recorder is a http.RoundTripper that keeps what was on the wire. It serves one call at a time.
type recorder struct {
	base *http.Transport
	seen []exchange
}

// RoundTrip sends the request and reads the whole answer, which is short here.
func (rec *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent bytes.Buffer
	sent.WriteString(req.Method + " " + req.URL.Path + " HTTP/1.1\n")
	header := req.Header.Clone()
	if header.Get("Authorization") != "" {
		header.Set("Authorization", "Bearer (not shown)")
	}
	_ = header.Write(&sent)
	sent.WriteString("\n")
	if req.Body != nil {
		req = req.Clone(req.Context())
		req.Body = teeBody{io.TeeReader(req.Body, &sent), req.Body}
	}
	resp, err := rec.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 " + strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode) + "\n")
	_ = resp.Header.WriteSubset(&head, map[string]bool{"Date": true})
	rec.seen = append(rec.seen, exchange{
		request: strings.ReplaceAll(sent.String(), "\r\n", "\n"),
		answer:  strings.ReplaceAll(head.String(), "\r\n", "\n") + "\n" + string(body),
	})
	return resp, nil
}

// teeBody reads from one side of a tee and closes the other.
type teeBody struct {
	io.Reader
	io.Closer
}
