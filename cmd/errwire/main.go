// Command errwire explains HTTP API errors and prints reference pages of registries.
//
//	curl -si https://api.example.com/v1/models | errwire explain
//	errwire explain -jsonl -registry runbase <responses.jsonl
//	errwire docs -registry runbase
//
// Run errwire -h, or errwire explain -h, for more.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/errwire/errwire/errcodes"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // some input could not be read, or output not written
	exitUsage  = 2 // the command line is wrong
)

const usage = `errwire explains HTTP API errors.

Usage:
  errwire explain [-jsonl] [-registry NAME] [FILE]   judge a response: retry or not, how long to wait, why, what to do
  errwire docs -registry NAME                        print the reference page of a registry as Markdown
  errwire help [COMMAND]

Registries: ` + registryNames + `.

Exit status: 0 when everything was read, 1 when some input was not, 2 for a wrong command line.
`

func main() {
	os.Exit(run(os.Args[1:], terminal{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, color: wantsColor(os.Stdout, os.Getenv),
	}))
}

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	color    bool
}

// run runs the command that args name and returns the exit status.
func run(args []string, t terminal) int {
	if len(args) == 0 {
		fmt.Fprint(t.err, usage)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	if name == "help" && len(rest) > 0 {
		name, rest = rest[0], []string{"-h"}
	}
	switch name {
	case "explain":
		return explain(rest, t)
	case "docs":
		return docs(rest, t)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(t.out, usage)
		return exitOK
	}
	fmt.Fprintf(t.err, "errwire: the command %q is not known\n\n%s", name, usage)
	return exitUsage
}

// parse reads the flags of a command. done says that the command is over, with that exit status: help was asked for, or a flag is wrong.
func parse(flags *flag.FlagSet, args []string, help string, t terminal) (status int, done bool) {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(t.out, help)
		return exitOK, true
	case err != nil:
		fmt.Fprintf(t.err, "errwire %s: %v\n\n%s", flags.Name(), err, help)
		return exitUsage, true
	}
	return exitOK, false
}

const registryNames = "anthropic, google, openai, problem, runbase, runinfra"

// registryByName returns the registry of that name.
func registryByName(name string) (*errcodes.Registry, error) {
	switch name {
	case "anthropic":
		return errcodes.Anthropic(), nil
	case "google":
		return errcodes.Google(), nil
	case "openai":
		return errcodes.OpenAI(), nil
	case "problem":
		return errcodes.Problem(), nil
	case "runbase":
		return errcodes.Runbase(), nil
	case "runinfra":
		return errcodes.RunInfra(), nil
	}
	return nil, fmt.Errorf("the registry %q is not known; there are %s", name, registryNames)
}

// wantsColor reports whether f is a terminal whose owner has not asked for plain text: see no-color.org.
func wantsColor(f *os.File, getenv func(string) string) bool {
	if getenv("NO_COLOR") != "" || strings.EqualFold(getenv("TERM"), "dumb") {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
