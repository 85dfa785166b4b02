package main

import (
	"flag"
	"fmt"

	"github.com/errwire/errwire/errcodes/codedoc"
)

const docsHelp = `Usage: errwire docs -registry NAME

Prints the reference page of a registry as Markdown: every error with status, code, type, retry rule, cause, fix and source.

  -registry NAME   one of ` + registryNames + `

Exit status: 0, or 1 when the page cannot be written, or 2 for a wrong command line.
`

// docs prints a registry's reference page.
func docs(args []string, t terminal) int {
	flags := flag.NewFlagSet("docs", flag.ContinueOnError)
	name := flags.String("registry", "", "")
	if status, done := parse(flags, args, docsHelp, t); done {
		return status
	}
	r, err := registryByName(*name)
	switch {
	case *name == "":
		err = fmt.Errorf("-registry is missing; there are %s", registryNames)
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("the argument %q is one too many", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(t.err, "errwire docs: %v\n", err)
		return exitUsage
	}
	if err := codedoc.Markdown(t.out, r); err != nil {
		fmt.Fprintf(t.err, "errwire docs: %v\n", err)
		return exitFailed
	}
	return exitOK
}
