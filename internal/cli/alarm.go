package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) alarm() *cobra.Command {
	return branch("alarm", "See what needs the operator", c.alarmList(), c.alarmHistory(), c.alarmTest())
}

func (c *command) alarmList() *cobra.Command {
	var lang string
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the alarms that stand, and how the webhooks fare", Args: exactly(),
		Long: "List the alarms that stand, the oldest first, with what to do, and how the webhooks fare. Exit code 1 while an alarm stands."}
	languageFlag(cmd, &lang, "the texts")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		all, err := server.Alarms(ctx, lang)
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
	})
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
	return c.jsonFlag(&cobra.Command{Use: "test", Short: "Post a test to every webhook", Args: exactly(), RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		d, err := server.TestWebhooks(ctx)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(d)
		}
		return c.say("%s", d.Text)
	})})
}

func (c *command) alarmHistory() *cobra.Command {
	lang, code, cursor, limit := "en", "", "", 50
	cmd := &cobra.Command{Use: "history", Short: "List what the operator was told of, to whom, and when it ended", Args: exactly(),
		Long: "List what the operator was told of, the latest first: in which words, to whom, how often again, and when it ended. alarm.history says how long it is kept."}
	languageFlag(cmd, &lang, "the texts")
	cmd.Flags().StringVar(&code, "code", code, "only alarms of this `code`, such as queue-lane")
	cmd.Flags().StringVar(&cursor, "cursor", cursor, "go on after the page before, with its `next`")
	cmd.Flags().IntVar(&limit, "limit", limit, "alarms of one page")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		page, err := server.AlarmHistory(ctx, lang, code, cursor, limit)
		if err != nil {
			return err
		}
		if code != "" && !slices.Contains(page.Codes, code) {
			return fmt.Errorf("there is no code %q; there are %s", clean(code), strings.Join(page.Codes, ", "))
		}
		if c.json {
			return c.object(page)
		}
		return c.printAlarmHistory(page)
	})
	return c.jsonFlag(cmd)
}

func (c *command) printAlarmHistory(page api.AlarmHistory) error {
	if len(page.Lines) == 0 {
		return c.say("No alarm is remembered.")
	}
	t := c.table("RAISED", "ENDED", "CODE", "ALARM", "TOLD")
	for _, l := range page.Lines {
		ended := cell{text: "stands", style: red}
		switch {
		case l.Once:
			ended = cell{text: "–", style: dim}
		case l.Cleared != nil:
			ended = cell{text: clock(*l.Cleared)}
		}
		told := strings.Join(l.Told, ", ")
		if l.Again > 0 {
			told += fmt.Sprintf(", %d times again", l.Again)
		}
		s := yellow
		if l.Severity == "critical" {
			s = red
		}
		t.row(clock(l.Raised), ended, cell{text: l.Code, style: dim}, cell{text: l.Title, style: s}, cell{text: told, style: dim})
	}
	if err := t.print(c.Stdout); err != nil || page.Next == "" {
		return err
	}
	return c.say("\nMore: --cursor %s", page.Next)
}
