package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"postern/internal/world"
)

func (c *command) demo() *cobra.Command {
	var o world.DemoOptions
	cmd := &cobra.Command{Use: "demo", Short: "Show the whole product on a small internet of its own, on this machine alone", Args: exactly(),
		Long: "Show the whole product: a gateway, senders and receivers on loopback, without configuration and without the internet.\n" +
			"With --once it tells its story and ends; without, traffic goes on until it is interrupted."}
	cmd.Flags().BoolVar(&o.Once, "once", false, "end after the story")
	languageFlag(cmd, &o.Language, "the story")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "`folder` for temporary files (default: the system's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Out, o.Color, o.Columns = c.Stdout, c.color, c.columns
		err := world.Demo(cmd.Context(), o)
		if errors.Is(err, world.ErrNotAsTold) {
			c.warn("%v", err)
			return errBad
		}
		return err
	}
	return cmd
}
