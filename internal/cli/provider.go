package cli

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/provider"
)

// providerFlags are what the commands about receivers share.
type providerFlags struct {
	dirs     []string
	language string
}

func (c *command) provider() *cobra.Command {
	cmd := branch("provider", "Look up what is known about receivers, and what an answer means", c.providerList(), c.providerShow(), c.providerExplain(), c.providerCheck())
	cmd.Long = "Look up what is known about receivers: limits, retry times, and what their answers mean. The gateway's own knowledge and the folders of\n" +
		"delivery.providers are read, or those named with --dir instead."
	return cmd
}

func (f *providerFlags) add(c *command, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringArrayVar(&f.dirs, "dir", nil, "read this `folder` instead of those of delivery.providers; may be given again")
	return c.jsonFlag(cmd)
}

func (f *providerFlags) addLanguage(cmd *cobra.Command) {
	languageFlag(cmd, &f.language, "explanations and advice")
}

// known reads the knowledge.
func (c *command) known(f providerFlags) (*provider.Knowledge, error) {
	dirs := f.dirs
	if len(dirs) == 0 {
		conf, err := c.load()
		if err != nil {
			return nil, err
		}
		dirs = conf.Delivery.Providers
	}
	return provider.Load(dirs)
}

// providerLimits is a provider's limits for --json; 0 and "" mean none.
type providerLimits struct {
	Connections   int     `json:"connections"`
	PerConnection int     `json:"per_connection"`
	PerMessage    int     `json:"per_message"`
	PerSecond     float64 `json:"per_second"`
	PerMinute     int     `json:"per_minute"`
	PerHour       int     `json:"per_hour"`
	PerDay        int     `json:"per_day"`
	TLS           string  `json:"tls"`
}

// providerLine is one provider for --json.
type providerLine struct {
	Name      string         `json:"name"`
	Title     string         `json:"title"`
	Group     string         `json:"group,omitempty"`
	About     string         `json:"about,omitempty"`
	MX        []string       `json:"mx"`
	Domains   []mail.Domain  `json:"domains"`
	Mailboxes []mail.Domain  `json:"mailboxes"`
	Limits    providerLimits `json:"limits"`
	Retry     string         `json:"retry"` // "" the configured schedule
	Floor     int            `json:"floor,omitempty"`
	Governor  string         `json:"governor,omitempty"`
	Careful   []string       `json:"careful"`
	Rules     int            `json:"rules"`
	Sources   []providerFrom `json:"sources,omitempty"`
	Answers   []providerRule `json:"answers,omitempty"`
}

type providerFrom struct {
	What    string `json:"what"`
	Address string `json:"address,omitempty"`
	Read    string `json:"read"`
}

// providerRule is one rule for --json.
type providerRule struct {
	ID       string            `json:"id"`
	Code     []string          `json:"code,omitempty"`
	Enhanced []string          `json:"enhanced,omitempty"`
	Phase    []string          `json:"phase,omitempty"`
	Text     []string          `json:"text,omitempty"`
	Not      []string          `json:"not,omitempty"`
	Category provider.Category `json:"category"`
	Party    provider.Party    `json:"party"`
	Effects  []string          `json:"effects"`
	Advice   string            `json:"advice"`
	Doubt    string            `json:"doubt,omitempty"`
	Where    string            `json:"where"`
}

func line(p *provider.Provider) providerLine {
	l := p.Limits
	out := providerLine{Name: p.Name, Title: p.Title, Group: p.Group, MX: append([]string{}, p.Who.MX...), Domains: append([]mail.Domain{}, p.Who.Domains...),
		Mailboxes: append([]mail.Domain{}, p.Who.Mailboxes...), Retry: p.Retry.String(), Floor: p.Floor, Careful: append([]string{}, p.Careful...), Rules: len(p.Rules),
		Limits: providerLimits{l.Connections, l.PerConnection, l.PerMessage, l.PerSecond, l.PerMinute, l.PerHour, l.PerDay, l.TLS}}
	if g := p.Governor; g.Unknown > 0 {
		out.Governor = fmt.Sprintf("pause of %s when more than %g %% of at least %d recipients in %s are unknown", short(g.Pause), g.Unknown*100, g.Least, short(g.Of))
	}
	return out
}

func (c *command) providerList() *cobra.Command {
	var f providerFlags
	cmd := &cobra.Command{Use: "list", Short: "List the providers with their limits and retry times", Args: exactly(),
		Long: "List the providers with their limits for each sending address: connections at one time, messages on a connection, recipients of a message.\n" +
			"A value with * is published nowhere and is a careful choice.",
		Example: "  postern provider list\n  postern provider list --json"}
	cmd.RunE = func(*cobra.Command, []string) error {
		k, err := c.known(f)
		if err != nil {
			return err
		}
		t := c.table("name", "conn", "msgs", "rcpts", "rules", "retry", "title", "exchangers")
		for _, p := range k.Providers() {
			if c.json {
				if err := c.object(line(p)); err != nil {
					return err
				}
				continue
			}
			retry := p.Retry.String()
			if retry == "" {
				retry = "as configured"
			}
			who := strings.Join(p.Who.MX, " ")
			if p == k.Default() {
				who = "all others"
			}
			t.row(cell{text: p.Name, style: bold}, figure(p, "limits.connections", p.Limits.Connections), figure(p, "limits.per_connection", p.Limits.PerConnection),
				figure(p, "limits.per_message", p.Limits.PerMessage), cell{text: strconv.Itoa(len(p.Rules)), right: true}, retry, p.Title, who)
		}
		if c.json {
			return nil
		}
		return t.print(c.Stdout)
	}
	return f.add(c, cmd)
}

// figure is a limit with a star when it is our own choice.
func figure(p *provider.Provider, field string, n int) cell {
	text := "-"
	if n > 0 {
		text = strconv.Itoa(n)
	}
	mark := " "
	for _, careful := range p.Careful {
		if careful == field {
			mark = "*"
		}
	}
	return cell{text: text + mark, right: true}
}

func (c *command) providerShow() *cobra.Command {
	var f providerFlags
	cmd := &cobra.Command{Use: "show NAME", Short: "Show all that is known about a provider, with sources and advice", Args: exactly("a provider's name (postern provider list)"),
		Long:    "Show all that is known about a provider: who it is, its limits, what its answers mean, and where that is known from. The name \"any\" shows the rules\nthat hold for every receiver.",
		Example: "  postern provider show orange --lang fr"}
	f.addLanguage(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		k, err := c.known(f)
		if err != nil {
			return err
		}
		catalog, err := locale.New()
		if err != nil {
			return err
		}
		if args[0] == "any" {
			return c.showRules(catalog, f.language, k.Any())
		}
		p := k.Provider(args[0])
		if p == nil {
			c.warn("there is no provider %q; see `postern provider list`", args[0])
			return errBad
		}
		if c.json {
			out := line(p)
			out.About = p.About[f.language]
			for _, s := range p.Sources {
				out.Sources = append(out.Sources, providerFrom(s))
			}
			for _, r := range p.Rules {
				out.Answers = append(out.Answers, ruleLine(catalog, f.language, r))
			}
			return c.object(out)
		}
		return c.showProvider(catalog, f.language, k, p)
	}
	return f.add(c, cmd)
}

func (c *command) showProvider(catalog *locale.Catalog, language string, k *provider.Knowledge, p *provider.Provider) error {
	l, out := p.Limits, line(p)
	star := func(field, text string) string {
		if text == "0" || text == "" {
			return ""
		}
		for _, careful := range p.Careful {
			if careful == field {
				return text + " (our careful choice, published nowhere)"
			}
		}
		return text
	}
	names := func(domains []mail.Domain) string {
		var s []string
		for _, d := range domains {
			s = append(s, string(d))
		}
		return strings.Join(s, " ")
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s\n%s\n", c.paint(bold, clean(p.Title)), wrap(clean(p.About[language]), "", c.columns))
	err := c.pairs(c.Stdout, "exchangers", strings.Join(p.Who.MX, " "), "domains", names(p.Who.Domains), "mailboxes", names(p.Who.Mailboxes), "group", k.GroupTitle(p.Group),
		"connections", star("limits.connections", strconv.Itoa(l.Connections)), "messages/connection", star("limits.per_connection", strconv.Itoa(l.PerConnection)),
		"recipients/message", star("limits.per_message", strconv.Itoa(l.PerMessage)), "messages/second", star("limits.per_second", strings.TrimSuffix(strconv.FormatFloat(l.PerSecond, 'g', -1, 64), ".0")),
		"messages/minute", star("limits.per_minute", strconv.Itoa(l.PerMinute)), "messages/hour", star("limits.per_hour", strconv.Itoa(l.PerHour)), "messages/day", star("limits.per_day", strconv.Itoa(l.PerDay)),
		"TLS", star("limits.tls", l.TLS), "retry", star("retry", p.Retry.String()), "floor", star("floor", strconv.Itoa(p.Floor)), "governor", star("governor", out.Governor))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.Stdout, "\n%s\n", c.paint(bold, "Known from"))
	for _, s := range p.Sources {
		text := s.What + ", read " + s.Read
		if s.Address != "" {
			text += " <" + s.Address + ">"
		}
		_, _ = fmt.Fprint(c.Stdout, wrap(clean(text), "  ", c.columns))
	}
	if len(p.Rules) == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(c.Stdout, "\n%s\n", c.paint(bold, "Answers, in the order in which they are compared"))
	return c.showRules(catalog, language, p.Rules)
}

func (c *command) showRules(catalog *locale.Catalog, language string, rules []*provider.Rule) error {
	for _, r := range rules {
		l := ruleLine(catalog, language, r)
		if c.json {
			if err := c.object(l); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintf(c.Stdout, "\n%s  %s\n", c.paint(bold, l.ID), c.paint(dim, clean(l.Where)))
		var marks []string
		for name, words := range map[string][]string{"code ": l.Code, "status ": l.Enhanced, "phase ": l.Phase} {
			if len(words) > 0 {
				marks = append(marks, name+strings.Join(words, " or "))
			}
		}
		if len(l.Text) > 0 {
			marks = append(marks, "“"+strings.Join(l.Text, "” or “")+"”")
		}
		if len(l.Not) > 0 {
			marks = append(marks, "without “"+strings.Join(l.Not, "” or “")+"”")
		}
		_, _ = fmt.Fprint(c.Stdout, wrap(clean(strings.Join(sorted(marks), ", ")), "    ", c.columns))
		c.sayMeaning(catalog, language, r.Meaning, r.Code(), "    ")
		if l.Doubt != "" {
			_, _ = fmt.Fprint(c.Stdout, c.paint(yellow, strings.TrimSuffix(wrap(clean("Doubt: "+l.Doubt), "    ", c.columns), "\n"))+"\n")
		}
	}
	return nil
}

// sorted puts what stands before the texts into one order.
func sorted(marks []string) []string {
	var out []string
	for _, begin := range []string{"code ", "status ", "phase ", "“", "without "} {
		for _, m := range marks {
			if strings.HasPrefix(m, begin) {
				out = append(out, m)
			}
		}
	}
	return out
}

func ruleLine(catalog *locale.Catalog, language string, r *provider.Rule) providerRule {
	return providerRule{ID: r.ID, Code: r.Codes, Enhanced: r.Enhanced, Phase: r.Phases, Text: r.Texts, Not: r.Not, Category: r.Meaning.Category, Party: r.Meaning.Party,
		Effects: effects(catalog, language, r.Meaning, r.Code()), Advice: r.Meaning.Advice[language], Doubt: r.Doubt, Where: fmt.Sprintf("%s:%d", r.File, r.Line)}
}

// effects are the sentences on what follows from an answer.
func effects(catalog *locale.Catalog, language string, m provider.Meaning, code int) []string {
	out := []string{}
	for _, e := range m.Effects(code) {
		out = append(out, catalog.Text(language, "provider.effect."+e.Code, locale.ArgsOf(e.Args)))
	}
	return out
}

// partyName is who is at fault, for people.
func partyName(catalog *locale.Catalog, language string, p provider.Party) string {
	if p == provider.Nobody {
		p = "nobody"
	}
	return catalog.Text(language, "provider.party."+string(p), nil)
}

func (c *command) sayMeaning(catalog *locale.Catalog, language string, m provider.Meaning, code int, indent string) {
	fault := map[string]string{locale.English: "at fault: ", locale.French: "en cause\u00a0: "}[language]
	_, _ = fmt.Fprint(c.Stdout, wrap(clean(fmt.Sprintf("%s (%s); %s%s", catalog.Text(language, "provider.category."+string(m.Category), nil), m.Category, fault, partyName(catalog, language, m.Party))), indent, c.columns))
	_, _ = fmt.Fprint(c.Stdout, wrap(clean(strings.Join(effects(catalog, language, m, code), " ")), indent, c.columns))
	if advice := m.Advice[language]; advice != "" {
		_, _ = fmt.Fprint(c.Stdout, c.paint(green, strings.TrimSuffix(wrap(clean(advice), indent, c.columns), "\n"))+"\n")
	}
}

// explained is one answer for --json.
type explained struct {
	Provider  string            `json:"provider"` // "" nobody in particular
	Code      int               `json:"code"`
	Enhanced  string            `json:"enhanced"`
	Text      string            `json:"text"`
	Phase     string            `json:"phase,omitempty"`
	Rule      string            `json:"rule"` // "" told by the codes only
	Category  provider.Category `json:"category"`
	Party     provider.Party    `json:"party"`
	Permanent bool              `json:"permanent"`
	Temporary bool              `json:"temporary"` // the message is tried again
	Effects   []string          `json:"effects"`
	Advice    string            `json:"advice"`
}

func (c *command) providerExplain() *cobra.Command {
	var f providerFlags
	var name, mx, domain, phase string
	cmd := &cobra.Command{Use: "explain TEXT...|-", Short: "Say what an answer means, by which rule, and what follows", Args: several("an answer, or - for answers on standard input, one per line"),
		Long: "Say what an answer of a mail server means: by which rule, who is at fault, what follows, and what to do. The answer is given as the server sent it\n" +
			"(550 5.1.1 No such user), or as a line of a log or of a bounce has it. Exit code 1 when only its codes told.",
		Example: "  postern provider explain --provider free \"421 Too many spams from your IP\"\n  postern provider explain --mx smtp-in.orange.fr --lang fr 552 5.1.1 Boite pleine. OFR_417\n" +
			"  grep status=bounced mail.log | sed 's/.*said: //' | postern provider explain --json -"}
	f.addLanguage(cmd)
	cmd.Flags().StringVar(&name, "provider", "", "whose answer it is, by `name`; without: whoever")
	cmd.Flags().StringVar(&mx, "mx", "", "whose answer it is, by the exchanger's host `name`")
	cmd.Flags().StringVar(&domain, "domain", "", "whose answer it is, by the recipient's `domain` where it is a provider's own")
	cmd.Flags().StringVar(&phase, "phase", "", "`step` of the conversation: connect, ehlo, tls, mail, rcpt, data or end")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		k, err := c.known(f)
		if err != nil {
			return err
		}
		catalog, err := locale.New()
		if err != nil {
			return err
		}
		if name, err = answerOf(k, name, mx, domain); err != nil {
			return err
		}
		lines := []string{strings.Join(args, " ")}
		if len(args) == 1 && args[0] == "-" {
			lines = nil
			s := bufio.NewScanner(c.Stdin)
			for s.Scan() {
				if strings.TrimSpace(s.Text()) != "" {
					lines = append(lines, s.Text())
				}
			}
			if err := s.Err(); err != nil {
				return fmt.Errorf("standard input: %w", err)
			}
		}
		unknown := false
		for i, text := range lines {
			a := provider.Read(text)
			a.Provider = name
			if phase != "" {
				a.Phase = phase
			}
			m := k.Classify(a)
			unknown = unknown || m.Rule == "" && m.Category != provider.Accepted
			if err := c.explain(catalog, f.language, k, a, m, i > 0); err != nil {
				return err
			}
		}
		if unknown {
			return errBad
		}
		return nil
	}
	return f.add(c, cmd)
}

// answerOf finds the provider that flags name.
func answerOf(k *provider.Knowledge, name, mx, domain string) (string, error) {
	named := 0
	for _, s := range []string{name, mx, domain} {
		if s != "" {
			named++
		}
	}
	switch {
	case named > 1:
		return "", usagef("--provider, --mx and --domain exclude each other")
	case mx != "":
		return k.Behind("", []string{mx}).Name, nil
	case domain != "":
		d, err := mail.ParseDomain(domain)
		if err != nil {
			return "", usagef("--domain %s: %v", domain, err)
		}
		return k.Behind(d, nil).Name, nil
	case name != "" && k.Provider(name) == nil:
		return "", usagef("--provider %s is not known; see `postern provider list`", name)
	}
	return name, nil
}

func (c *command) explain(catalog *locale.Catalog, language string, k *provider.Knowledge, a provider.Answer, m provider.Meaning, more bool) error {
	if c.json {
		return c.object(explained{Provider: a.Provider, Code: a.Code, Enhanced: a.Enhanced, Text: a.Text, Phase: a.Phase, Rule: m.Rule, Category: m.Category, Party: m.Party,
			Permanent: m.Permanent, Temporary: m.Temporary(a.Code), Effects: effects(catalog, language, m, a.Code), Advice: m.Advice[language]})
	}
	if more {
		_, _ = fmt.Fprintln(c.Stdout)
	}
	rule := cell{text: m.Rule, style: bold}
	if m.Rule == "" {
		rule = cell{text: "none: told by code and status only", style: yellow}
	}
	code := ""
	if a.Code > 0 {
		code = strconv.Itoa(a.Code)
	}
	title := ""
	if p := k.Provider(a.Provider); p != nil {
		title = p.Title
	}
	err := c.pairs(c.Stdout, "answer", strings.Join(strings.Fields(strings.Join([]string{code, a.Enhanced, a.Text}, " ")), " "), "provider", title, "rule", rule)
	if err == nil {
		c.sayMeaning(catalog, language, m, a.Code, "  ")
	}
	return err
}

func (c *command) providerCheck() *cobra.Command {
	cmd := &cobra.Command{Use: "check DIR...", Short: "Check files of your own knowledge of receivers", Args: several("a folder of .yaml files for delivery.providers"),
		Long: "Read folders of .yaml files as delivery.providers does, over the gateway's own knowledge, and print every fault with file and line: what is not\n" +
			"understood, and rules that their own test lines do not reach. Exit code 1 when there is one.",
		Example: "  postern provider check /etc/postern/providers"}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		k, err := provider.Load(args)
		var faults provider.Faults
		switch {
		case errors.As(err, &faults):
			for _, x := range faults {
				if c.json {
					if err := c.object(struct {
						File string `json:"file"`
						Line int    `json:"line"`
						Text string `json:"text"`
					}{x.File, x.Line, x.Text}); err != nil {
						return err
					}
					continue
				}
				if _, err := fmt.Fprintf(c.Stdout, "%s %s\n", c.paint(bold, clean(fmt.Sprintf("%s:%d:", x.File, x.Line))), clean(x.Text)); err != nil {
					return err
				}
			}
			if !c.json {
				c.warn("%s", count(len(faults), "fault"))
			}
			return errBad
		case err != nil:
			return err
		case c.json:
			return nil
		}
		rules, providers := 0, 0
		each := func(all []*provider.Rule) (n int) {
			for _, r := range all {
				if r.Operator {
					n++
				}
			}
			return n
		}
		for _, p := range k.Providers() {
			if n := each(p.Rules); n > 0 {
				rules += n
				providers++
			}
		}
		rules += each(k.Any())
		return c.say("Nothing to complain about: %s of yours for %s and for everybody, %s known in all.", count(rules, "rule"), count(providers, "provider"), count(len(k.Providers()), "provider"))
	}
	return c.jsonFlag(cmd)
}
