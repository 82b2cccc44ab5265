package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/app"
)

// learnBatch is how many messages go into one request: one transaction each.
const learnBatch = 50

func (c *command) learn() *cobra.Command {
	cmd := branch("learn", "Teach the gateway what wanted and unwanted mail is",
		c.learnClass("spam", "Learn messages as unwanted"), c.learnClass("ham", "Learn messages as wanted"),
		c.learnClass("forget", "Take back what was learned of messages"))
	cmd.Long = "Teach the gateway what wanted and unwanted mail is (tests BAYES_00 to BAYES_999). Without --customer it counts for everybody, with it for\n" +
		"one customer's mail only. The tests answer when enough messages of each kind are learned. A message counts once, however often it\n" +
		"is given; one that is learned as the other kind moves there. Of a complaint (feedback report) the message it is about is learned. Messages that an operator releases or drops are learned by themselves."
	return cmd
}

func (c *command) learnClass(class, short string) *cobra.Command {
	var customer string
	var mbox bool
	cmd := &cobra.Command{Use: class + " FILE...|FOLDER...|-", Short: short, Args: several("files with a message each, folders of them, mailboxes, or - for standard input"),
		Example: "  postern learn " + class + " Junk/*.eml\n  postern learn " + class + " --customer shop /var/mail/samples"}
	cmd.Flags().StringVar(&customer, "customer", "", "`id` of the customer it counts for (default: everybody)")
	cmd.Flags().BoolVar(&mbox, "mbox", false, "the files are mailboxes with several messages")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		letters, err := c.letters(args, mbox)
		if err != nil {
			return err
		}
		teach, done, err := c.teacher(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		sum := api.Learned{}
		flush := func(r *api.LearnRequest) error {
			if len(r.Messages) == 0 {
				return nil
			}
			got, err := teach(cmd.Context(), *r)
			if err != nil {
				return fmt.Errorf("%w%s", err, soFar(sum))
			}
			got.Changed, got.Known = got.Changed+sum.Changed, got.Known+sum.Known
			sum, r.Messages = got, nil
			return nil
		}
		r, size := &api.LearnRequest{Class: class, Customer: customer}, 0
		for l := range letters {
			raw, err := lesson(l)
			if err != nil {
				return fmt.Errorf("%w%s", err, soFar(sum))
			}
			if len(r.Messages) == learnBatch || size+len(raw) > api.MaxLesson {
				if err := flush(r); err != nil {
					return err
				}
				size = 0
			}
			r.Messages, size = append(r.Messages, raw), size+len(raw)
		}
		if err := flush(r); err != nil {
			return err
		}
		return c.printLearned(class, sum)
	}
	return c.jsonFlag(cmd)
}

// teacher is who learns: the running gateway or, where none runs, its database.
func (c *command) teacher(ctx context.Context) (func(context.Context, api.LearnRequest) (api.Learned, error), func(), error) {
	server, err := c.server()
	if err != nil {
		return nil, nil, err
	}
	_, down := server.Status(ctx)
	if !errors.Is(down, api.ErrNoServer) {
		return server.Learn, func() {}, nil
	}
	conf, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	if c.socket != "" { // a gateway was named: another one's database is not meant
		return nil, nil, down
	}
	e, err := app.OpenExperience(ctx, conf, true, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, fmt.Errorf("%w\nIts database cannot be used either: %w", down, err)
	}
	c.warn("no gateway answers: its database in %s is used directly", conf.DataDir)
	return e.Teach, func() { _ = e.Close() }, nil
}

func (c *command) printLearned(class string, sum api.Learned) error {
	if c.json {
		return c.object(sum)
	}
	verb := "learned as " + class
	if class == "forget" {
		verb = "forgotten"
	}
	text := count(sum.Changed, "message") + " " + verb
	if sum.Known > 0 {
		text += fmt.Sprintf(", %d left as they were", sum.Known)
	}
	text += fmt.Sprintf("; %d spam and %d ham are known", sum.Spam, sum.Ham)
	if !sum.Enough {
		text += fmt.Sprintf(", and the tests answer from %d of each", sum.Need)
	}
	return c.say("%s.", text)
}

// soFar tells what stays done when a later message fails.
func soFar(sum api.Learned) string {
	if sum.Changed+sum.Known == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s before it: done)", count(sum.Changed+sum.Known, "message"))
}

// messageFiles are the files named and those in the folders named, in order; hidden ones and folders below are left out.
func messageFiles(args []string) ([]string, error) {
	var out []string
	for _, name := range args {
		info, err := os.Stat(name)
		if name == "-" || err == nil && !info.IsDir() {
			out = append(out, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && e.Name()[0] != '.' {
				out = append(out, filepath.Join(name, e.Name()))
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no message in %s", args[0])
	}
	return out, nil
}

// lesson is a message to learn; the line that mailbox files put before each is left out.
func lesson(l letter) ([]byte, error) {
	raw := l.raw
	switch {
	case l.err != nil:
		return nil, l.err
	case bytes.HasPrefix(raw, []byte("From ")):
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	if len(raw) > api.MaxLesson {
		raw = raw[:api.MaxLesson] // its end teaches nothing that its beginning does not
	}
	return raw, nil
}
