package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/locale"
	"postern/internal/mail"
)

// scanHit and scanned are the documented output of scan --json.
type scanHit struct {
	Test     string   `json:"test"`
	Points   float64  `json:"points"`
	Evidence []string `json:"evidence"`
}

type scanned struct {
	File      string    `json:"file"`
	Score     float64   `json:"score"`
	Raw       float64   `json:"raw"`
	Threshold float64   `json:"threshold"`
	Held      bool      `json:"held"`
	Hits      []scanHit `json:"hits"`

	Providers []scanCard `json:"providers,omitempty"`
}

// scanFlags are what scan is told beside the messages.
type scanFlags struct {
	local                     bool
	ip, hello, from, language string
	to, rules                 []string
	allHits, mbox, explain    bool
	untaught                  bool
	address                   netip.Addr
	reverse                   mail.Address
	sender                    bool // --from was given
	recipients                []mail.Recipient
}

func (c *command) scan() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{Use: "scan FILE...|FOLDER...|-", Short: "Test messages as the gateway would, without a server", Args: several("files with a message each, folders of them, or - for standard input"),
		Long: "Test messages as the gateway would, without a server, and say for each test what it found and what to change. A mailbox (a name that\n" +
			"ends in .mbox, or any with --mbox) is read message by message. What a gateway of this configuration learned is asked.\n" +
			"The tests look at a message as its receivers will: --ip and --helo are the address and name it leaves from (default: those of the\n" +
			"configuration). --from and --to are the envelope (default: taken from the header). The gateway's own signature is not there.\n" +
			"Exit code 1 when a message would be held.\n" +
			"With --rules only the rules of those folders run, and no network is asked: rules that need it are left out.\n\n" +
			"--json prints one line for each file: {\"file\",\"score\",\"raw\",\"threshold\",\"held\",\"hits\":[{\"test\",\"points\",\"evidence\"}],\n" +
			"\"providers\":[{\"provider\",\"state\",\"requirements\":[{\"id\",\"state\",\"why\",\"evidence\"}]}]}",
		Example: "  postern scan message.eml\n  postern scan --explain --lang fr message.eml\n  postern scan --local --json *.eml\n  postern scan --ip 192.0.2.25 --helo mx.example.org --lang fr - < message.eml"}
	cmd.Flags().BoolVar(&f.local, "local", false, "ask no network: tests that need it are shown as not measured")
	cmd.Flags().StringVar(&f.ip, "ip", "", "`address` the message leaves from")
	cmd.Flags().StringVar(&f.hello, "helo", "", "`name` said in EHLO from there")
	cmd.Flags().StringVar(&f.from, "from", "", "envelope sender; <> for none")
	cmd.Flags().StringSliceVar(&f.to, "to", nil, "envelope `recipient`; may be given again")
	languageFlag(cmd, &f.language, "names and explanations")
	cmd.Flags().StringArrayVar(&f.rules, "rules", nil, "run only the rules of this `folder`, .cf files in SpamAssassin's language; may be given again")
	cmd.Flags().BoolVar(&f.mbox, "mbox", false, "the files are mailboxes with several messages")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "show how the score comes about, what would let the message pass, and the rule behind each hit")
	cmd.Flags().BoolVar(&f.untaught, "untaught", false, "do not ask what was learned (tests BAYES_…)")
	cmd.Flags().BoolVar(&f.allHits, "all-hits", false, "with --rules: show sub-rules (__) too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return c.runScan(cmd.Context(), f, args)
	}
	return c.jsonFlag(cmd)
}

// languageFlag gives a command the flag --lang, which must name a language that we speak.
func languageFlag(cmd *cobra.Command, language *string, of string) {
	cmd.Flags().StringVar(language, "lang", locale.English, "language of "+of+": `en` or fr")
	cmd.PreRunE = func(*cobra.Command, []string) error { return knownLanguage(*language) }
}

func knownLanguage(language string) error {
	for _, l := range locale.Languages() {
		if l == language {
			return nil
		}
	}
	return usagef("--lang %s is not known; expected %s", language, strings.Join(locale.Languages(), " or "))
}

// check reads the flags.
func (f *scanFlags) check(cmd *cobra.Command) error {
	if f.allHits && len(f.rules) == 0 {
		return usagef("--all-hits goes with --rules; the built-in tests have no sub-rules")
	}
	if f.ip != "" {
		ip, err := netip.ParseAddr(f.ip)
		if err != nil || ip.Zone() != "" {
			return usagef("--ip %s is no address; expected 192.0.2.1 or 2001:db8::1", f.ip)
		}
		f.address = ip
	}
	if f.sender = cmd.Flags().Changed("from"); f.sender && f.from != "" && f.from != "<>" {
		a, err := mail.ParseAddress(strings.Trim(f.from, "<>"))
		if err != nil {
			return usagef("--from %s: %v", f.from, err)
		}
		f.reverse = a
	}
	for _, to := range f.to {
		a, err := mail.ParseAddress(strings.Trim(to, "<>"))
		if err != nil {
			return usagef("--to %s: %v", to, err)
		}
		f.recipients = append(f.recipients, mail.Recipient{Address: a})
	}
	return nil
}

// scan is what tests one message.
type scan func(ctx context.Context, raw []byte) (api.Verdict, error)

func (c *command) runScan(ctx context.Context, f scanFlags, args []string) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	test, done, err := c.scanner(ctx, conf, f)
	if err != nil {
		return err
	}
	defer done()
	letters, err := c.letters(args, f.mbox)
	if err != nil {
		return err
	}
	held, failed, first := false, false, true
	err = ordered(ctx, letters, scanners(f), test, func(l letter, v api.Verdict, err error) error {
		switch {
		case l.err != nil:
			c.warn("%v", l.err)
			failed = true
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", l.name, err)
		}
		held = held || v.Held
		if c.json {
			return c.object(scanResult(l.name, v))
		}
		if !first {
			_, _ = fmt.Fprintln(c.Stdout)
		}
		first = false
		return c.printScan(l.name, v, f)
	})
	switch {
	case err != nil:
		return err
	case failed:
		return errSaid
	case held:
		return errBad
	}
	return nil
}

// scanners is how many messages are tested at once: answers of the network are waited for, the processor is not.
func scanners(f scanFlags) int {
	if f.local || len(f.rules) > 0 {
		return runtime.GOMAXPROCS(0)
	}
	return 8
}

// ordered tests messages side by side and reports them in their order. It stops at the first error of report.
func ordered(ctx context.Context, letters iter.Seq[letter], workers int, test scan, report func(letter, api.Verdict, error) error) error {
	type tested struct {
		letter
		verdict api.Verdict
		failed  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line := make(chan chan tested, workers)
	go func() {
		defer close(line)
		for l := range letters {
			one := make(chan tested, 1)
			select {
			case line <- one: // room for as many as may be under way
			case <-ctx.Done():
				return
			}
			if l.err != nil {
				one <- tested{letter: l}
				continue
			}
			go func() {
				v, err := test(ctx, l.raw)
				one <- tested{letter{name: l.name}, v, err}
			}()
		}
	}()
	for one := range line {
		t := <-one
		if err := report(t.letter, t.verdict, t.failed); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// scanner returns what tests one message: the gateway's own tests or, with --rules, those rules alone; and what to call at the end.
func (c *command) scanner(ctx context.Context, conf *config.Config, f scanFlags) (scan, func(), error) {
	nothing := func() {}
	if len(f.rules) > 0 {
		test, err := c.ruleScanner(conf, f)
		return test, nothing, err
	}
	classify, done := c.experience(ctx, conf, f)
	scanner, err := app.NewScanner(conf, f.local, classify, slog.New(slog.DiscardHandler))
	if err != nil {
		done()
		return nil, nothing, err
	}
	var catalog *locale.Catalog // nil: no words, as in JSON
	if !c.json {
		if catalog, err = locale.New(); err != nil {
			done()
			return nil, nothing, err
		}
	}
	return func(ctx context.Context, raw []byte) (api.Verdict, error) {
		v, err := scanner.Scan(ctx, f.input(wireForm(raw)))
		out := api.Words(catalog, f.language, v)
		if f.explain {
			for i := range out.Hits {
				out.Hits[i].Rule = scanner.Rule(out.Hits[i].Test)
			}
		}
		return out, err
	}, done, nil
}

// experience is where what was learned is asked: the database itself or, while a gateway uses it, the gateway. nil: nowhere.
func (c *command) experience(ctx context.Context, conf *config.Config, f scanFlags) (app.Classify, func()) {
	nothing := func() {}
	if f.untaught {
		return nil, nothing
	}
	e, err := app.OpenExperience(ctx, conf, false, slog.New(slog.DiscardHandler))
	switch {
	case err == nil:
		return e.Classify(), func() { _ = e.Close() }
	case errors.Is(err, app.ErrNoExperience):
		return nil, nothing
	}
	if server, own := c.server(); own == nil {
		if _, down := server.Status(ctx); down == nil {
			return server.Classify, nothing
		}
	}
	c.warn("what was learned is not asked: %v", err)
	return nil, nothing
}

// ruleScanner tests with the rules of folders. The message is not brought into its form on the wire: rules see the line ends of the file.
func (c *command) ruleScanner(conf *config.Config, f scanFlags) (scan, error) {
	scanner, err := app.NewRuleScanner(f.rules, conf.Filter.Threshold)
	if err != nil {
		return nil, usagef("--rules: %v", err)
	}
	if report := scanner.Report(); report != "" {
		c.warn("%s", report)
	}
	return func(ctx context.Context, raw []byte) (api.Verdict, error) {
		in := app.RuleInput{ScanInput: app.ScanInput{Raw: raw, IP: f.address, Hello: f.hello, Envelope: mail.Envelope{ReversePath: f.reverse}},
			HasEnvelope: f.sender, Subs: f.allHits}
		v := scanner.Scan(ctx, in)
		out := api.Verdict{Score: v.Score, Raw: v.Raw, Threshold: v.Threshold, Held: v.Held, Hits: []api.Hit{}, Unknown: v.Unknown}
		for _, h := range v.Hits {
			hit := api.Hit{Test: h.Test, Points: h.Points, Evidence: h.Evidence, Name: scanner.Describe(h.Test, f.language)}
			if f.explain {
				hit.Rule = scanner.Rule(h.Test)
			}
			out.Hits = append(out.Hits, hit)
		}
		return out, nil
	}, nil
}

func scanResult(name string, v api.Verdict) scanned {
	out := scanned{File: name, Score: v.Score, Raw: v.Raw, Threshold: v.Threshold, Held: v.Held, Hits: []scanHit{}, Providers: scanCards(v.Providers)}
	for _, h := range v.Hits {
		out.Hits = append(out.Hits, scanHit{h.Test, h.Points, h.Evidence})
	}
	return out
}

// mostRecipients bounds how many recipients are taken from a header.
const mostRecipients = 100

// input completes what was not told from the header.
func (f scanFlags) input(raw []byte) app.ScanInput {
	m := mail.Parse(raw, mail.DefaultLimits())
	in := app.ScanInput{Message: m, IP: f.address, Hello: f.hello, Envelope: mail.Envelope{ReversePath: f.reverse, Recipients: f.recipients}}
	if !f.sender {
		for _, box := range m.From() {
			if in.Envelope.ReversePath.IsNull() {
				in.Envelope.ReversePath = box.Address
			}
		}
		if path := m.Header.Get("Return-Path"); path != "" {
			if a, err := mail.ParseAddress(strings.Trim(path, "<> ")); err == nil {
				in.Envelope.ReversePath = a
			}
		}
	}
	if len(f.recipients) > 0 {
		return in
	}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		for _, field := range m.Header.All(name) {
			boxes, _ := mail.ParseMailboxes(field.Value())
			for _, box := range boxes {
				if !box.Address.IsNull() && len(in.Envelope.Recipients) < mostRecipients {
					in.Envelope.Recipients = append(in.Envelope.Recipients, mail.Recipient{Address: box.Address})
				}
			}
		}
	}
	return in
}

func (c *command) printScan(name string, v api.Verdict, f scanFlags) error {
	if _, err := fmt.Fprintln(c.Stdout, c.paint(bold, clean(name))); err != nil {
		return err
	}
	if err := c.printVerdict(v); err != nil {
		return err
	}
	if err := c.printCards(v.Providers); err != nil || !f.explain {
		return err
	}
	return c.printSum(v)
}

// printVerdict prints the score, and each test with what it found, what it means and what to change.
func (c *command) printVerdict(v api.Verdict) error {
	decision, s := "passes", green
	if v.Held {
		decision, s = "is held", red
	}
	raw := ""
	if points(v.Raw) != points(v.Score) {
		raw = fmt.Sprintf(" (sum %s)", points(v.Raw))
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s: %s points of 15%s, held above %s\n", c.paint(s, decision), points(v.Score), raw, points(v.Threshold))
	if len(v.Hits) > 0 {
		_, _ = fmt.Fprintln(c.Stdout)
	}
	widest := 0
	for _, h := range v.Hits {
		widest = max(widest, textWidth(clean(h.Test)))
	}
	indent := strings.Repeat(" ", 10)
	for _, h := range v.Hits {
		looks := plainText
		switch {
		case h.Points >= 1:
			looks = red
		case h.Points > 0:
			looks = yellow
		case h.Points < 0:
			looks = green
		}
		test := clean(h.Test)
		_, _ = fmt.Fprintf(c.Stdout, "%s  %s%s  %s\n", c.paint(looks, fmt.Sprintf("%8s", fmt.Sprintf("%+.*f", decimals(h.Points), h.Points))), c.paint(bold, test),
			strings.Repeat(" ", widest-textWidth(test)), clean(h.Name))
		for _, e := range h.Evidence {
			_, _ = fmt.Fprintln(c.Stdout, c.paint(dim, indent+"found: "+clean(e)))
		}
		if h.Rule != "" {
			_, _ = fmt.Fprint(c.Stdout, c.paint(dim, wrap("rule: "+clean(h.Rule), indent, c.columns)))
		}
		if h.Points < 0.05 {
			continue // speaks for the message, or weighs nothing: there is nothing to change
		}
		if h.Explain != "" {
			_, _ = fmt.Fprint(c.Stdout, wrap(clean(h.Explain), indent, c.columns))
		}
		if h.Fix != "" {
			_, _ = fmt.Fprint(c.Stdout, wrap("→ "+clean(h.Fix), indent, c.columns))
		}
	}
	return c.notMeasured(v)
}

// notMeasured names the tests without an answer; those with the same reason stand together.
func (c *command) notMeasured(v api.Verdict) error {
	if len(v.Unknown) == 0 {
		return nil
	}
	tests, order := map[string][]string{}, []string{}
	for _, u := range v.Unknown {
		if tests[u.Why] == nil {
			order = append(order, u.Why)
		}
		tests[u.Why] = append(tests[u.Why], u.Test)
	}
	_, _ = fmt.Fprintln(c.Stdout, "\n"+c.paint(yellow, "Not measured")+" (scores nothing, and is not known to be fine):")
	for _, why := range order {
		_, _ = fmt.Fprint(c.Stdout, wrap(clean(strings.Join(tests[why], ", ")+": "+why), "  ", c.columns))
	}
	return nil
}
