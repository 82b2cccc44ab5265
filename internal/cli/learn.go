package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

// learnBatch is how many messages go into one request: one transaction each.
const learnBatch = 50

func (c *command) learn() *cobra.Command {
	cmd := branch("learn", "Teach the gateway what wanted and unwanted mail is",
		c.learnClass("spam", "Learn messages as unwanted"), c.learnClass("ham", "Learn messages as wanted"),
		c.learnClass("forget", "Take back what was learned of messages"))
	cmd.Long = "Teach the gateway what wanted and unwanted mail is (tests BAYES_00 to BAYES_999). Without --customer it counts for everybody, with it for\n" +
		"one customer's mail only. The tests answer when enough messages of each kind are learned. A message counts once, however often it\n" +
		"is given; one that is learned as the other kind moves there. Messages that an operator releases or drops are learned by themselves."
	return cmd
}

func (c *command) learnClass(class, short string) *cobra.Command {
	var customer string
	cmd := &cobra.Command{Use: class + " FILE...|FOLDER...|-", Short: short, Args: several("files with a message each, folders of them, or - for standard input"),
		Example: "  postern learn " + class + " Junk/*.eml\n  postern learn " + class + " --customer shop /var/mail/samples"}
	cmd.Flags().StringVar(&customer, "customer", "", "`id` of the customer it counts for (default: everybody)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		server, err := c.server()
		if err != nil {
			return err
		}
		files, err := messageFiles(args)
		if err != nil {
			return err
		}
		sum := api.Learned{}
		flush := func(r *api.LearnRequest) error {
			if len(r.Messages) == 0 {
				return nil
			}
			got, err := server.Learn(cmd.Context(), *r)
			if err != nil {
				return fmt.Errorf("%w%s", err, soFar(sum))
			}
			got.Changed, got.Known = got.Changed+sum.Changed, got.Known+sum.Known
			sum, r.Messages = got, nil
			return nil
		}
		r, size := &api.LearnRequest{Class: class, Customer: customer}, 0
		for _, name := range files {
			raw, err := c.lesson(name)
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

// lesson reads one message; the line that mailbox files put before each is left out.
func (c *command) lesson(name string) ([]byte, error) {
	in := c.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, api.MaxLesson))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, fmt.Errorf("%s: the message is empty", name)
	}
	return raw, nil
}
