package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) returnPath() *cobra.Command {
	show := &cobra.Command{Use: "show ADDRESS|MESSAGE-ID", Short: "Say which message and recipient a return address refers to",
		Long: "Say which message and recipient a return address refers to. It may also be a Message-ID that this gateway added, the value of the field\n" +
			"X-Postern-Ref, or a text that holds one. Exit code 1 when it is forged or none of ours.",
		Example: "  postern return-path show b-aeaztrybzv…@bounce.example.org\n  postern return-path show '<m-aeaztrybzv…@gate.example.org>'",
		Args:    exactly("a return address, a Message-ID or a reference")}
	show.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		x, err := server.ReturnAddress(ctx, args[0])
		if err != nil {
			return err
		}
		if c.json {
			return c.object(x)
		}
		recipient, what := x.Recipient, "return address"
		switch {
		case x.Index >= 0 && recipient == "":
			recipient = fmt.Sprintf("number %d of the envelope", x.Index+1)
		case recipient == "":
			recipient = "any of the message"
		}
		if x.Public {
			what = "reference (takes no mail)"
		}
		customer := x.Customer
		if !x.Known {
			customer = "not known: the journal has no message of that name"
		}
		return c.pairs(c.Stdout, "It is a", what, "Message", cell{text: string(x.QueueID), style: bold}, "Accepted", both(x.Made, c.now()), "Recipient", recipient, "Customer", customer,
			"Sender", x.Sender, "From", x.From, "Subject", x.Subject)
	})
	return branch("return-path", "Return addresses of our own", c.jsonFlag(show))
}
