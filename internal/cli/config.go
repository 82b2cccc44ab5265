package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/internal/config"
)

func (c *command) configuration() *cobra.Command {
	return branch("config", "Check and explain the configuration", c.configCheck(), c.configExplain(),
		&cobra.Command{Use: "example", Short: "Print a configuration with every key, its meaning and default", Args: exactly(), RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(c.Stdout, config.Example())
			return err
		}},
		&cobra.Command{Use: "schema", Short: "Print the JSON Schema of the configuration, for editors", Args: exactly(), RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.Stdout, "%s\n", config.Schema())
			return err
		}})
}

func (c *command) configCheck() *cobra.Command {
	return &cobra.Command{Use: "check [FILE]", Short: "Read the configuration, print every fault, or what is in force and where it comes from",
		Long: "Read the configuration without starting anything. Every fault is printed with file, line and column (exit code 2).\n" +
			"Without a fault, the configuration in force is printed, each value with where it comes from; secrets are masked.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && c.config != "" {
				return usagef("%s takes one file", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				c.config = args[0]
			}
			conf, err := c.load()
			var problems config.Problems
			if errors.As(err, &problems) {
				for _, p := range problems {
					_, _ = fmt.Fprintln(c.Stderr, clean(p.Error()))
				}
				c.warn("%s", count(len(problems), "fault"))
				return errSaid
			}
			if err != nil {
				return err
			}
			for _, w := range conf.Warnings {
				_, _ = fmt.Fprintln(c.Stderr, "warning: "+clean(w.Error()))
			}
			if len(conf.Files) == 0 {
				c.warn("no configuration file: these are the values without one")
			}
			_, err = fmt.Fprintln(c.Stdout, cleanLines(conf.Effective()))
			return err
		}}
}

func (c *command) configExplain() *cobra.Command {
	return &cobra.Command{Use: "explain KEY", Short: "Say what a key means, its value and where that comes from", Args: exactly("a key"),
		Example: "  postern config explain delivery.retry", RunE: func(_ *cobra.Command, args []string) error {
			conf, err := c.load()
			if err != nil {
				return err
			}
			text, ok := conf.Explain(args[0])
			if !ok {
				c.warn("%s", text)
				return errBad
			}
			return c.say("%s", text)
		}}
}
