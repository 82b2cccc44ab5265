package cli

import (
	"github.com/spf13/cobra"

	"postern/internal/locale"
	"postern/internal/world"
)

func (c *command) demo() *cobra.Command {
	var o world.DemoOptions
	cmd := &cobra.Command{Use: "demo", Short: "Show the whole product on a small internet of its own, on this machine alone", Args: exactly(),
		Long: "Show the whole product: a gateway, senders and receivers on loopback, without configuration and without the internet.\n" +
			"With --once it tells its story and ends; without, traffic goes on until it is interrupted."}
	cmd.Flags().BoolVar(&o.Once, "once", false, "end after the story")
	cmd.Flags().StringVar(&o.Language, "lang", locale.English, "language of the story: `en` or fr")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "`folder` for temporary files (default: the system's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := knownLanguage(o.Language); err != nil {
			return err
		}
		o.Out, o.Color = c.Stdout, c.color
		return world.Demo(cmd.Context(), o)
	}
	return cmd
}
