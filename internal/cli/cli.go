// Package cli is the command line: `postern serve` runs the gateway, every other command either asks the running server through
// the operator's socket (package api) or works on files alone. It keeps no state and decides nothing about mail.
//
// Main is the whole program: it touches no global, so that tests run it with their own arguments and streams. Answers go to
// standard output, everything said about the work to standard error.
//
// Exit codes: 0 fine; 1 the answer is "bad" (a message would be held, a configuration key is unknown); 2 wrong usage or an error.
//
// What came from outside (subjects, addresses, answers of remote servers) passes through clean before it reaches a terminal: no control
// character, escape sequence or change of writing direction gets through. --json prints one object per line instead, whose strings are
// escaped by JSON.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Process is what the operating system gives a program. Env nil means an empty environment, Hangup nil that no signal ever comes.
type Process struct {
	Args           []string // Args[0] is the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            func(name string) (value string, ok bool)
	Hangup         <-chan os.Signal // SIGHUP: read the configuration again
	Version        string
}

// Exit codes of the program.
const (
	exitFine = 0
	exitBad  = 1
	exitFail = 2
)

// errBad ends a command whose answer is "bad": it has been printed, nothing is left to say.
var errBad = errors.New("bad")

// usageError is a wrong call; the hint where help is found follows it.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// command is one run of the program: its surroundings and the flags that every command knows.
type command struct {
	Process
	config string // -c
	socket string // --socket
	json   bool   // --json
	color  bool   // standard output is a terminal that shows colours
}

// Main runs the program and returns its exit code. It ends when ctx does.
func Main(ctx context.Context, p Process) int {
	if p.Env == nil {
		p.Env = func(string) (string, bool) { return "", false }
	}
	c := &command{Process: p}
	root := c.root()
	if len(p.Args) > 0 {
		root.SetArgs(p.Args[1:])
	}
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	ran, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errBad):
		return exitBad
	case errors.As(err, &usage) || ran.Annotations["started"] == "":
		fmt.Fprintf(p.Stderr, "postern: %s\nSee `%s --help`.\n", clean(strings.TrimSpace(err.Error())), ran.CommandPath())
	default:
		fmt.Fprintf(p.Stderr, "postern: %s\n", cleanLines(err.Error()))
	}
	return exitFail
}

// root is the tree of commands.
func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "postern",
		Short:         "Outbound mail gateway: takes mail in, tests it as its receivers will, holds what would harm, delivers the rest",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// Every command passes here after its arguments were accepted: errors after this point are not errors of usage.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Annotations == nil {
				cmd.Annotations = map[string]string{}
			}
			cmd.Annotations["started"] = "yes"
			return nil
		},
	}
	root.PersistentFlags().StringVarP(&c.config, "config", "c", "", "configuration file or folder (default "+standardConfig+" if it is there)")
	root.PersistentFlags().StringVar(&c.socket, "socket", "", "socket of the running server (default: POSTERN_SOCKET, then what the configuration says)")
	root.AddCommand(c.serve(), c.version())
	return root
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(c.Stdout, "postern "+c.Version)
		return err
	}}
}
