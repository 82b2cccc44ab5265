package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/mail"
)

func (c *command) keys() *cobra.Command {
	return branch("dkim", "Keys that sign mail", c.keyNew(), c.keyList(),
		c.keyAct("activate", "Sign with a key, once its record is published", (*api.Client).ActivateKey),
		c.keyAct("retire", "Sign with a key no more", (*api.Client).RetireKey))
}

func (c *command) keyNew() *cobra.Command {
	r := api.KeyRequest{}
	var out string
	cmd := &cobra.Command{Use: "new DOMAIN", Short: "Make a signing key and print the DNS record to publish", Args: exactly("a domain"),
		Long: "Make a signing key and print the DNS record to publish. The key is kept by the running server and never shown; with --out it is\n" +
			"written to a file instead, and no server is needed. A domain that is signed already gets the new key inactive:\n" +
			"publish its record, then `postern dkim activate DOMAIN SELECTOR`, then retire the old one.",
		Example: "  postern dkim new example.com\n  postern dkim new example.com --selector s2026 --algorithm both\n  postern dkim new example.com --out /etc/postern/keys"}
	cmd.Flags().StringVar(&r.Selector, "selector", "", "`name` of the key in DNS (default: p and the date)")
	cmd.Flags().StringVar(&r.Algorithm, "algorithm", "rsa", "`rsa` (2048 bits), ed25519, or both: two keys, the selector with r and e at its end")
	cmd.Flags().BoolVar(&r.Inactive, "inactive", false, "do not sign with it before it is activated")
	cmd.Flags().StringVar(&out, "out", "", "write the private key into this `folder` instead of the running server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := mail.ParseDomain(args[0])
		if err != nil {
			return usagef("%v", err)
		}
		if r.Algorithm != "rsa" && r.Algorithm != "ed25519" && r.Algorithm != "both" {
			return usagef("--algorithm %s is not known; expected rsa, ed25519 or both", r.Algorithm)
		}
		r.Domain = string(d)
		if out != "" {
			return c.keyFiles(d, r, out)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		made, err := server.AddKeys(cmd.Context(), r)
		if errors.Is(err, api.ErrNoServer) {
			return fmt.Errorf("%w. Or write the key to a file with --out FOLDER", err)
		}
		if err != nil {
			return err
		}
		return c.printNewKeys(made, "")
	}
	return c.jsonFlag(cmd)
}

// keyFiles makes keys without a server.
func (c *command) keyFiles(d mail.Domain, r api.KeyRequest, folder string) error {
	if r.Selector == "" {
		r.Selector = api.DefaultSelector(c.now())
	}
	keys, err := api.NewKeys(d, r.Selector, r.Algorithm)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	var made []api.SigningKey
	for _, k := range keys {
		name := filepath.Join(folder, fmt.Sprintf("%s.%s.pem", k.Selector, d))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("--out: %s is there already and is not overwritten; choose another --selector", name)
		}
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		_, err = f.Write(k.PEM())
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		c.warn("private key written to %s", name)
		made = append(made, api.SigningKey{Domain: string(d), Selector: k.Selector, Algorithm: k.Algorithm, Created: c.now(), Name: k.RecordName(),
			Record: k.Record(), Zone: k.RecordZone()})
	}
	return c.printNewKeys(made, folder)
}

// printNewKeys prints records in the two forms that people paste: a line of a zone file, and name and value for a form on a page.
// They are not cut: half a key is worth nothing.
func (c *command) printNewKeys(keys []api.SigningKey, folder string) error {
	for _, k := range keys {
		if c.json {
			if err := c.object(k); err != nil {
				return err
			}
			continue
		}
		state := "The server has it, and signs mail of " + k.Domain + " with it from now on: publish the record at once."
		switch {
		case folder != "":
			state = "Publish the record, then give the key to the program that signs."
		case !k.Active:
			state = "The server has it, but does not sign with it yet: publish the record, then run `postern dkim activate " + k.Domain + " " + k.Selector + "`."
		}
		_, err := fmt.Fprintf(c.Stdout, "%s\n%s\n\n%s\n%s\n\n%s\nName:  %s\nType:  TXT\nValue: %s\n\n",
			c.paint(bold, clean("New key "+k.Selector+" of "+k.Domain+" ("+k.Algorithm+")")), clean(state), c.paint(dim, "For a zone file:"), clean(k.Zone),
			c.paint(dim, "For a form:"), clean(k.Name), clean(k.Record))
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *command) keyList() *cobra.Command {
	cmd := &cobra.Command{Use: "list [DOMAIN]", Aliases: []string{"ls"}, Short: "List signing keys with the records to publish", Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s takes one domain or none", cmd.CommandPath())
		}
		return nil
	}}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		domain := ""
		if len(args) == 1 {
			d, err := mail.ParseDomain(args[0])
			if err != nil {
				return usagef("%v", err)
			}
			domain = string(d)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		keys, err := server.Keys(cmd.Context(), domain)
		if err != nil {
			return err
		}
		t := c.table("DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "CREATED")
		return printList(c, keys, "There is no signing key. Make one: postern dkim new DOMAIN", t, func(k api.SigningKey) {
			state := cell{text: "signs", style: green}
			if !k.Active {
				state = cell{text: "inactive", style: dim}
			}
			t.row(k.Domain, k.Selector, k.Algorithm, state, clock(k.Created))
			if domain != "" {
				t.notes[len(t.rows)-1] = append(t.notes[len(t.rows)-1], "    "+clean(k.Zone))
			}
		})
	}
	return c.jsonFlag(cmd)
}

func (c *command) keyAct(name, text string, act func(*api.Client, context.Context, string, string) (api.Done, error)) *cobra.Command {
	return &cobra.Command{Use: name + " DOMAIN SELECTOR", Short: text, Args: exactly("a domain", "a selector"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		d, err := act(server, ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return c.say("%s", d.Text)
	})}
}
