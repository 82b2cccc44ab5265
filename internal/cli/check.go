package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/app"
	"postern/internal/checkup"
	"postern/internal/locale"
	"postern/internal/mail"
)

// checkFlags are what check is told beside its targets.
type checkFlags struct {
	language, hello, returns, relayTo string
	selectors, ips, mine              []string
	explain, callout                  bool
	noLists, noProbe, relayTest       bool

	ask     checkup.Ask // what comes of them
	targets []checkup.Target
}

func (c *command) check() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{Use: "check DOMAIN|IP|ADDRESS...", Short: "Check up a domain, an IP or a sender's address as its receivers will", Args: several("a domain, an IP or a mail address"),
		Long: "Look at a domain (name servers, MX, SPF, DKIM, DMARC, MTA-STS, DNSSEC and more), an IP (blocklists, reverse DNS, neighbours, mail servers and their TLS) or a\n" +
			"sender's address, from outside, and say what is the case, why it matters and what to change, with records ready to copy. No gateway is needed; the addresses and\n" +
			"lists of a configuration are used where there is one. What could not be measured is shown as not known, never as fine.\n\n" +
			"Servers are connected to once for each port; those that are yours (the configuration's own, and --mine) more closely. With --relay-test a server of\n" +
			"yours is asked in several forms whether it would pass mail on to --relay-to; no message is ever sent.\n\n" +
			"Exit code 1 when there is something to mend, 0 when not (also when something is not known).\n\n" +
			"--json prints one line for each target: {\"target\",\"kind\",\"at\",\"took_ms\",\"state\",\"score\":{\"points\",\"measured\",\"marks\",\"unmeasured\"},\n" +
			"\"groups\":[{\"group\",\"name\",\"why\",\"state\",\"findings\":[{\"code\",\"state\",\"subject\",\"optional\",\"what\",\"do\",\"records\",\"evidence\"}]}],\"listings\",\"spf\"}.\n" +
			"state is fine, advice, unknown or problem.",
		Example: "  postern check example.org\n  postern check --lang fr --explain 192.0.2.25\n  postern check --helo mail.example.org --ip 192.0.2.25 news@example.org\n" +
			"  postern check --mine 192.0.2.0/24 --mine example.org --relay-test --relay-to me@example.org 192.0.2.25\n  postern check --json --no-lists example.org example.net"}
	s := cmd.Flags()
	languageFlag(cmd, &f.language, "findings")
	s.StringVar(&f.hello, "helo", "", "`name` that the IP, or the sender's server, gives in EHLO")
	s.StringVar(&f.returns, "return-path", "", "`domain` that bounces to the sender return to")
	s.StringSliceVar(&f.selectors, "selector", nil, "DKIM `selector` of the domain; may be given again")
	s.StringSliceVar(&f.ips, "ip", nil, "`address` that the domain's mail leaves from; may be given again")
	s.StringSliceVar(&f.mine, "mine", nil, "`address`, network or domain that is yours; may be given again")
	s.BoolVar(&f.explain, "explain", false, "show also why each group matters, and what was asked and found")
	s.BoolVar(&f.callout, "callout", false, "ask mail servers of yours whether the sender's address exists; no message is sent")
	s.BoolVar(&f.relayTest, "relay-test", false, "test whether a server of yours is an open relay; no message is sent")
	s.StringVar(&f.relayTo, "relay-to", "", "`mailbox` of yours at a domain of yours that the relay test asks for")
	s.BoolVar(&f.noLists, "no-lists", false, "ask no blocklist")
	s.BoolVar(&f.noProbe, "no-probe", false, "connect to no mail server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(args); err != nil {
			return err
		}
		return c.runCheck(cmd.Context(), f)
	}
	return c.jsonFlag(cmd)
}

// check reads the flags and the targets.
func (f *checkFlags) check(args []string) error {
	f.ask = checkup.Ask{HELO: f.hello, Selectors: f.selectors, Probe: !f.noProbe, Callout: f.callout, NoLists: f.noLists}
	if f.returns != "" {
		d, err := mail.ParseDomain(f.returns)
		if err != nil {
			return usagef("--return-path %s: %v", f.returns, err)
		}
		f.ask.ReturnPath = d
	}
	for _, text := range f.ips {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return usagef("--ip %s is no address; expected 192.0.2.1 or 2001:db8::1", text)
		}
		f.ask.IPs = append(f.ask.IPs, ip.Unmap())
	}
	for _, text := range f.mine {
		if err := f.own(text); err != nil {
			return err
		}
	}
	for _, text := range args {
		t, err := checkup.ParseTarget(text)
		if err != nil {
			return usagef("%v", err)
		}
		f.targets = append(f.targets, t)
	}
	return f.relay()
}

// own reads one --mine: an address, a network or a domain.
func (f *checkFlags) own(text string) error {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		f.ask.Mine.IPs = append(f.ask.Mine.IPs, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
		return nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		if p.Addr().Is4() && p.Bits() < 16 || p.Addr().Is6() && p.Bits() < 32 {
			return usagef("--mine %s is too large; networks of at most /16 (IPv4) and /32 (IPv6)", text)
		}
		f.ask.Mine.IPs = append(f.ask.Mine.IPs, p.Masked())
		return nil
	}
	d, err := mail.ParseDomain(text)
	if err != nil || !strings.Contains(string(d), ".") {
		return usagef("--mine %s is neither an address, nor a network, nor a domain", text)
	}
	f.ask.Mine.Domains = append(f.ask.Mine.Domains, d)
	return nil
}

// relay reads what the relay test needs. Whether it may be made, checkup says.
func (f *checkFlags) relay() error {
	switch {
	case !f.relayTest && f.relayTo == "":
		return nil
	case !f.relayTest:
		return usagef("--relay-to goes with --relay-test")
	case f.relayTo == "":
		return usagef("--relay-test needs --relay-to, a mailbox of yours at a domain that you name with --mine")
	case f.noProbe:
		return usagef("--relay-test connects to the server; it does not go with --no-probe")
	}
	a, err := mail.ParseAddress(strings.Trim(f.relayTo, "<>"))
	if err != nil {
		return usagef("--relay-to %s: %v", f.relayTo, err)
	}
	f.ask.Relay = &checkup.RelayTest{To: a}
	return nil
}

func (c *command) runCheck(ctx context.Context, f checkFlags) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	checker, err := app.NewCheck(conf, app.CheckOptions{NoLists: f.noLists, Inside: f.ask.Mine.IPs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for _, t := range f.targets {
		if err := checker.CheckRelay(t, f.ask); err != nil {
			return usagef("%v. Name what is yours with --mine", err)
		}
	}
	words, err := locale.New()
	if err != nil {
		return err
	}
	p := c.checkProgress(words, f.language)
	bad := false
	for i, t := range f.targets {
		f.ask.Progress = func(done, of int) {
			p.say("checkup.cli.progress", map[string]any{"Target": t.String(), "Done": done, "Of": of})
		}
		p.say("checkup.cli.looking", map[string]any{"Target": t.String()})
		r, err := checker.Check(ctx, t, f.ask)
		p.clear()
		switch {
		case errors.Is(err, context.Canceled):
			return err
		case err != nil:
			return fmt.Errorf("%s: %w", t, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		bad = bad || r.State() == checkup.Problem
		out := r.JSON(words, f.language)
		if c.json {
			if err := c.object(out); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			_, _ = fmt.Fprintln(c.Stdout)
		}
		if err := c.printCheck(words, f, out); err != nil {
			return err
		}
	}
	if bad {
		return errBad
	}
	return nil
}
