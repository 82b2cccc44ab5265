package cli

import (
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"postern/internal/app"
	"postern/internal/mail"
)

// tlsLine is the documented output of tls --json: one per exchanger.
type tlsLine struct {
	Domain     mail.Domain `json:"domain"`
	MXSigned   bool        `json:"mx_signed"`
	Exchanger  string      `json:"exchanger"`
	Preference uint16      `json:"preference"`
	Signed     bool        `json:"address_signed"`
	Mode       string      `json:"mode"`
	Source     string      `json:"source"`
	Testing    bool        `json:"testing"`
	Refused    string      `json:"refused,omitempty"`
	Deferred   string      `json:"deferred,omitempty"`
	Why        []string    `json:"why"`
}

func (c *command) tlsPolicy() *cobra.Command {
	cmd := &cobra.Command{Use: "tls DOMAIN...", Short: "Show what TLS mail for a domain must have, and who asks for it", Args: several("a recipient domain"),
		Long: "Show what TLS mail for a domain must have at each of its mail servers, and who asks for it: DANE, MTA-STS, a rule of delivery.tls_rules, its provider, or nobody.\n" +
			"DNS and the domain's policy host are asked; a policy that the gateway keeps from an earlier day is not known here. DANE needs a resolver that validates.\n" +
			"Exit code 1 when no mail server may be used now.\n\n" +
			"--json prints one line for each server: {\"domain\",\"mx_signed\",\"exchanger\",\"preference\",\"address_signed\",\"mode\",\"source\",\"testing\",\"refused\",\"deferred\",\"why\"}",
		Example: "  postern tls example.org\n  postern tls --json example.org example.net"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		conf, err := c.load()
		if err != nil {
			return err
		}
		bad := false
		for _, arg := range args {
			domain, err := mail.ParseDomain(arg)
			if err != nil {
				return usagef("%s is no domain: %v", arg, err)
			}
			got, err := app.CheckTLS(cmd.Context(), conf, domain, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			usable, err := c.printTLS(got)
			if err != nil {
				return err
			}
			bad = bad || !usable
		}
		if bad {
			return errBad
		}
		return nil
	}
	return c.jsonFlag(cmd)
}

// printTLS prints the policies of one domain. usable says that mail can go to one exchanger at least.
func (c *command) printTLS(got app.TLSCheck) (usable bool, err error) {
	w := tabwriter.NewWriter(c.Stdout, 0, 4, 2, ' ', 0)
	if !c.json {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", clean(string(got.Domain)), map[bool]string{true: "MX signed by DNSSEC", false: "MX not signed, or the resolver does not validate"}[got.Signed])
	}
	for _, x := range got.Exchangers {
		p := x.Policy
		if p.Refused == "" && p.Deferred == "" {
			usable = true
		}
		if c.json {
			why := append([]string{}, p.Why()...)
			if err := c.object(tlsLine{got.Domain, got.Signed, x.Host, x.Preference, x.Signed, string(p.Mode), p.Source, p.Testing, p.Refused, p.Deferred, why}); err != nil {
				return usable, err
			}
			continue
		}
		state := string(p.Mode)
		switch {
		case p.Refused != "":
			state = "refused"
		case p.Deferred != "":
			state = "waits"
		case p.Testing:
			state += " (testing)"
		}
		_, _ = fmt.Fprintf(w, "  %d %s\t%s\tby %s\t%s\n", x.Preference, clean(x.Host), state, p.Source, clean(strings.Join(reasons(p.Why(), p.Deferred, p.Refused), "; ")))
	}
	return usable, w.Flush()
}

// reasons are all that there is to say about a policy.
func reasons(why []string, more ...string) []string {
	out := append([]string{}, why...)
	for _, m := range more {
		if m != "" {
			out = append(out, m)
		}
	}
	return out
}
