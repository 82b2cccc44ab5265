// Package cli is the command line: `postern serve` runs the gateway, every other command either asks the running server through
// the operator's socket (package api) or works on files alone. It keeps no state and decides nothing about mail.
//
// Main is the whole program: it touches no global, so that tests run it with their own arguments and streams. Answers go to
// standard output, everything said about the work to standard error.
//
// Exit codes: 0 fine; 1 the answer is "bad" (a message would be held, a configuration key is unknown, nothing was found); 2 wrong usage
// or an error.
//
// What came from outside (subjects, addresses, answers of remote servers) passes through clean before it reaches a terminal: no control
// character, escape sequence or change of writing direction gets through. --json prints one object per line instead, whose strings are
// escaped the same way.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

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

// errSaid ends a command that failed and has said so.
var errSaid = errors.New("said")

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
	// language is that of the command's --lang, once its flags were read; "": it has none. Errors are told in it.
	language string
	color    bool // standard output is a terminal that shows colours
	columns  int  // width of that terminal; 0: no terminal, nothing is cut
	started  bool // arguments were accepted: what goes wrong now is no wrong call
	now      func() time.Time
}

// Main runs the program and returns its exit code. It ends when ctx does.
func Main(ctx context.Context, p Process) int {
	if p.Env == nil {
		p.Env = func(string) (string, bool) { return "", false }
	}
	c := &command{Process: p, now: time.Now}
	c.look()
	root := c.root()
	args := []string{}
	if len(p.Args) > 1 {
		args = p.Args[1:]
	}
	root.SetArgs(args)
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
	case errors.Is(err, errSaid):
	case errors.As(err, &usage) || !c.started:
		_, _ = fmt.Fprintf(p.Stderr, "postern: %s\n%s\n", cleanLines(c.inLanguage(err.Error())), c.inLanguage(fmt.Sprintf("See `%s --help`.", ran.CommandPath())))
	default:
		_, _ = fmt.Fprintf(p.Stderr, "postern: %s\n", cleanLines(c.inLanguage(err.Error())))
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
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			c.started = true
			c.speaks(cmd)
		},
	}
	root.PersistentFlags().StringVarP(&c.config, "config", "c", "", "configuration `file` or folder (default "+standardConfig+" if it is there)")
	root.PersistentFlags().StringVar(&c.socket, "socket", "", "`path` of the running server's socket (default: POSTERN_SOCKET, then what the configuration says)")
	root.AddGroup(&cobra.Group{ID: "run", Title: "Gateway:"}, &cobra.Group{ID: "mail", Title: "Mail (asks the running server):"},
		&cobra.Group{ID: "admin", Title: "Senders and keys (asks the running server):"}, &cobra.Group{ID: "files", Title: "Without a server:"})
	group := func(id string, commands ...*cobra.Command) {
		for _, x := range commands {
			x.GroupID = id
			root.AddCommand(x)
		}
	}
	group("run", c.serve(), c.status(), c.lane(), c.pool(), c.blocklists(), c.reputation(), c.reload())
	group("mail", c.queue(), c.trace(), c.returnPath())
	group("admin", c.customers(), c.credentials(), c.users(), c.tokens(), c.keys(), c.learn(), c.tune(), c.suppression(), c.alarm(), c.webhook(), c.snds())
	group("files", c.demo(), c.check(), c.scan(), c.rules(), c.provider(), c.bounce(), c.report(), c.tlsPolicy(), c.configuration(), c.version())
	return root
}

// noSuchCommand refuses arguments of a command that only has commands below it.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q below %s", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// branch is a command that only has commands below it.
func branch(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, RunE: func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, x := range below {
			names = append(names, x.Name())
		}
		return usagef("%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}}
	cmd.AddCommand(below...)
	return cmd
}

// exactly demands the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return usagef("%s: %q is one argument too many", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// several demands one argument or more.
func several(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs %s", cmd.CommandPath(), name)
		}
		return nil
	}
}

func (c *command) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "one JSON object per line")
	return cmd
}

// object prints a value as one line of JSON. Strings from outside are made safe for a terminal by escapes, not by loss.
func (c *command) object(v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(c.Stdout, escapeControls(b.String()))
	return err
}

// say prints a sentence on standard output.
func (c *command) say(format string, args ...any) error {
	_, err := fmt.Fprintln(c.Stdout, cleanLines(fmt.Sprintf(format, args...)))
	return err
}

// warn prints a sentence on standard error.
func (c *command) warn(format string, args ...any) {
	_, _ = fmt.Fprintln(c.Stderr, "postern: "+cleanLines(c.inLanguage(fmt.Sprintf(format, args...))))
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: exactly(), RunE: func(*cobra.Command, []string) error {
		return c.say("postern %s", c.Version)
	}}
}
