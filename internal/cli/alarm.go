package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) alarm() *cobra.Command {
	return branch("alarm", "See what needs the operator", c.alarmList(), c.alarmTest())
}

func (c *command) alarmList() *cobra.Command {
	lang := "en"
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the alarms that stand, and how the webhooks fare", Args: exactly(),
		Long: "List the alarms that stand, the oldest first, with what to do, and how the webhooks fare. Exit code 1 while an alarm stands."}
	cmd.Flags().StringVar(&lang, "lang", "en", "language of the texts: `en` or fr")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := knownLanguage(lang); err != nil {
			return err
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		all, err := server.Alarms(cmd.Context(), lang)
		if err != nil {
			return err
		}
		if c.json {
			err = c.object(all)
		} else {
			err = c.printAlarms(all)
		}
		if err == nil && len(all.Alarms) > 0 {
			err = errBad
		}
		return err
	}
	return c.jsonFlag(cmd)
}

func (c *command) printAlarms(all api.Alarms) error {
	if len(all.Alarms) == 0 {
		if err := c.say("%s", c.paint(green, "No alarm stands.")); err != nil {
			return err
		}
	}
	for i, x := range all.Alarms {
		if i > 0 {
			_, _ = fmt.Fprintln(c.Stdout)
		}
		s := yellow
		if x.Severity == "critical" {
			s = red
		}
		_, _ = fmt.Fprintf(c.Stdout, "%s  %s\n%s\n", c.paint(s, x.Severity), c.paint(bold, clean(x.Title)), c.paint(dim, "    since "+both(x.Since, c.now())))
		for _, part := range strings.Split(x.Text, "\n\n") {
			_, _ = fmt.Fprint(c.Stdout, wrap(clean(part), "    ", c.columns))
		}
	}
	if len(all.Hooks) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(c.Stdout)
	t := c.table("WEBHOOK", "WAITING", "TAKEN", "DROPPED", "LAST FAILURE")
	for _, h := range all.Hooks {
		t.row(h.Name, cell{text: fmt.Sprint(h.Waiting), right: true}, cell{text: fmt.Sprint(h.Taken), right: true}, cell{text: fmt.Sprint(h.Dropped), right: true},
			cell{text: h.Last, style: red})
	}
	return t.print(c.Stdout)
}

func (c *command) alarmTest() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "test", Short: "Post a test to every webhook", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		server, err := c.server()
		if err != nil {
			return err
		}
		d, err := server.TestWebhooks(cmd.Context())
		if err != nil {
			return err
		}
		if c.json {
			return c.object(d)
		}
		return c.say("%s", d.Text)
	}})
}
