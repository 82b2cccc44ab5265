package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/feedback"
	"postern/internal/locale"
	"postern/internal/provider"
	"postern/internal/report"
)

// bouncedTo and bounced are the documented output of bounce --json.
type bouncedTo struct {
	Address    string `json:"address"`
	Original   string `json:"original,omitempty"`
	Action     string `json:"action"`
	Status     string `json:"status"`
	Reply      int    `json:"reply"`
	Category   string `json:"category"`
	Permanent  bool   `json:"permanent"`
	Party      string `json:"party"`
	Phase      string `json:"phase"`
	Rule       string `json:"rule"`
	Provider   string `json:"provider"`
	RemoteMTA  string `json:"remote_mta"`
	Diagnostic string `json:"diagnostic"`
	Advice     string `json:"advice,omitempty"`
}

type bouncedMail struct {
	MessageID   string `json:"message_id"`
	ReversePath string `json:"reverse_path"`
	From        string `json:"from"`
	To          string `json:"to"`
	Subject     string `json:"subject"`
}

type bounced struct {
	File         string      `json:"file"`
	Kind         string      `json:"kind"`
	ReportingMTA string      `json:"reporting_mta"`
	Structured   bool        `json:"structured"`
	Feedback     string      `json:"feedback,omitempty"`
	Recipients   []bouncedTo `json:"recipients"`
	Original     bouncedMail `json:"original"`
}

// bounceFlags are what bounce is told beside the messages.
type bounceFlags struct {
	providerFlags
	mbox, explain bool
}

func (c *command) bounce() *cobra.Command {
	var f bounceFlags
	cmd := &cobra.Command{Use: "bounce FILE...|FOLDER...|-", Short: "Say what bounces mean, recipient by recipient", Args: several("files with a bounce each, folders of them, or - for standard input"),
		Long: "Read what mail systems send back (bounces in any form, automatic answers, complaints) and say for each recipient what happened, whether the address is\n" +
			"lost, whose doing it is, and what to do. No gateway is needed. A mailbox (a name that ends in .mbox, or any with --mbox) is read message by message;\n" +
			"of another file that holds several messages all recipients are shown together. Exit code 1 when something is no bounce.\n\n" +
			"--json prints one line for each file: {\"file\",\"kind\",\"reporting_mta\",\"structured\",\"feedback\",\"recipients\":[{\"address\",\"original\",\"action\",\"status\",\"reply\",\n" +
			"\"category\",\"permanent\",\"party\",\"phase\",\"rule\",\"provider\",\"remote_mta\",\"diagnostic\",\"advice\"}],\"original\":{\"message_id\",\"reverse_path\",\"from\",\"to\",\"subject\"}}.\n" +
			"kind is failed, delayed, delivered, auto-reply, challenge, complaint or none; advice is there with --explain.",
		Example: "  postern bounce returned.eml\n  postern bounce --lang fr --explain returned.eml\n  postern bounce --json *.eml\n  postern bounce bounces.mbox"}
	f.addLanguage(cmd)
	cmd.Flags().BoolVar(&f.mbox, "mbox", false, "the files are mailboxes with several messages")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "show what the server said, by which rule it was understood, and what to do")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return c.runBounce(f, args)
	}
	return f.add(c, cmd)
}

func (c *command) runBounce(f bounceFlags, args []string) error {
	k, err := c.known(f.providerFlags)
	if err != nil {
		return err
	}
	catalog, err := locale.New()
	if err != nil {
		return err
	}
	letters, err := c.letters(args, f.mbox)
	if err != nil {
		return err
	}
	none, failed, first := false, false, true
	for l := range letters {
		if l.err != nil {
			c.warn("%v", l.err)
			failed = true
			continue
		}
		read, ok := readBounces(l.raw, k)
		none = none || !ok
		if c.json {
			if err := c.object(bounceResult(l.name, read, f)); err != nil {
				return err
			}
			continue
		}
		if !first {
			_, _ = fmt.Fprintln(c.Stdout)
		}
		first = false
		if err := c.printBounce(catalog, l.name, read, f); err != nil {
			return err
		}
	}
	switch {
	case failed:
		return errSaid
	case none:
		return errBad
	}
	return nil
}

// readBounces reads the messages of a file as one. ok is false when one of them is no bounce.
func readBounces(raw []byte, k *provider.Knowledge) (out feedback.BounceRead, ok bool) {
	ok = true
	for i, one := range report.SplitMailbox(raw) {
		read, err := feedback.ReadBounce(one, k)
		if errors.Is(err, report.ErrNoBounce) {
			ok = false
			continue
		}
		if i == 0 || out.Kind == "" {
			read.Verdicts = append(out.Verdicts, read.Verdicts...)
			out = read
			continue
		}
		out.Verdicts = append(out.Verdicts, read.Verdicts...)
	}
	return out, ok
}

func bounceResult(name string, b feedback.BounceRead, f bounceFlags) bounced {
	out := bounced{File: name, Kind: string(b.Kind), ReportingMTA: b.ReportingMTA, Structured: b.Structured, Feedback: b.Feedback, Recipients: []bouncedTo{},
		Original: bouncedMail{b.Original.MessageID, b.Original.ReversePath, b.Original.From, b.Original.To, b.Original.Subject}}
	if out.Kind == "" {
		out.Kind = "none"
	}
	for _, v := range b.Verdicts {
		to := bouncedTo{Address: v.Text, Original: v.Original, Action: v.Action, Status: v.Status, Reply: v.Reply, Category: string(v.Category), Permanent: v.Permanent,
			Party: string(v.Party), Phase: v.Phase, Rule: v.Rule, Provider: v.Provider, RemoteMTA: v.RemoteMTA, Diagnostic: v.Diagnostic}
		if !v.Address.IsNull() {
			to.Address = v.Address.String()
		}
		if f.explain {
			to.Advice = v.Advice[f.language]
		}
		out.Recipients = append(out.Recipients, to)
	}
	return out
}

// printBounce shows one bounce to a person.
func (c *command) printBounce(catalog *locale.Catalog, name string, b feedback.BounceRead, f bounceFlags) error {
	say := func(key string) string { return catalog.Text(f.language, "bounce."+key, nil) }
	kind := string(b.Kind)
	if kind == "" {
		_, err := fmt.Fprintf(c.Stdout, "%s: %s\n", c.paint(bold, clean(name)), c.paint(yellow, say("kind.none")))
		return err
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s: %s\n", c.paint(bold, clean(name)), say("kind."+kind))
	if subject := strings.TrimSpace(b.Original.Subject); subject != "" {
		_, _ = fmt.Fprintln(c.Stdout, "  "+c.paint(dim, clean(cut(say("about")+" "+subject, max(40, c.columns-4)))))
	}
	t := c.table(say("head.recipient"), say("head.meaning"), say("head.status"), say("head.party"), say("head.after"))
	var advised []string
	for _, v := range b.Verdicts {
		status := v.Status
		if v.Reply != 0 {
			status = strings.TrimSpace(fmt.Sprintf("%d %s", v.Reply, status))
		}
		party := string(v.Party)
		if party == "" {
			party = "nobody"
		}
		address := v.Text
		if !v.Address.IsNull() {
			address = v.Address.String()
		}
		after, style := c.after(b, v)
		t.row(address, catalog.Text(f.language, "provider.category."+string(v.Category), nil), status, catalog.Text(f.language, "provider.party."+party, nil), cell{text: say("after." + after), style: style})
		if f.explain && v.Diagnostic != "" {
			t.lines(dim, strings.Join(strings.Fields(v.Diagnostic), " "))
		}
		if f.explain && v.Rule != "" {
			t.note(dim, say("rule")+" "+v.Rule)
		}
		if text := v.Advice[f.language]; text != "" && (f.explain || !slices.Contains(advised, text)) {
			advised = append(advised, text)
			t.lines("", text)
		}
	}
	return t.print(c.Stdout)
}

// after says what comes next: the address is lost, or tried again, or this message alone failed.
func (c *command) after(b feedback.BounceRead, v feedback.Verdict) (string, style) {
	switch {
	case v.Category == provider.Accepted || v.Category == provider.Vacation:
		return "nothing", ""
	case b.Kind == report.BounceComplaint:
		return "unsubscribe", red
	case v.Permanent:
		return "lost", red
	case v.Action == report.Delayed:
		return "waits", yellow
	}
	if v.Party == provider.OfRecipient || v.Party == provider.RecipientDomain || v.Category == provider.OnHold || v.Category == provider.Undefined {
		return "again", yellow
	}
	return "fine", green
}
