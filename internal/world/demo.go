package world

import (
	"context"
	"errors"
	"io"
)

// DemoOptions says how the demonstration runs.
type DemoOptions struct {
	// Once ends the demonstration after its story; otherwise traffic goes on
	// until the context ends.
	Once bool
	// Out receives the story.
	Out io.Writer
	// Color allows ANSI colours on Out.
	Color bool
	// Language is "fr" or "en"; anything else is English.
	Language string
	// Dir is where the temporary folder is made; "" is the system's.
	Dir string
}

// Demo plays the whole story of a gateway between senders and providers.
func Demo(ctx context.Context, o DemoOptions) error {
	return errors.New("world: the demonstration is not built yet")
}
