package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
)

// DemoOptions says how the demonstration runs.
type DemoOptions struct {
	// Once ends the demonstration after its story; otherwise mail goes on being sent until the context ends.
	Once bool
	// Out receives the story.
	Out io.Writer
	// Color allows ANSI colours on Out.
	Color bool
	// Language is "fr" or "en"; anything else is English.
	Language string
	// Columns is the width of the terminal, in characters; 0 means 100. It is written for 80 to 140.
	Columns int
	// Dir is where the temporary folder of the gateway is made; "" is the system's. The folder is removed at the end.
	Dir string
}

// ErrNotAsTold is what Demo's error wraps when a step of the story did not happen as told: the gateway works, but not as it should.
var ErrNotAsTold = errors.New("not as told")

// Demo plays the story of a gateway between senders and providers, each step checked. The first step that does not happen as told
// ends it with an error. Without Once it then keeps everything running, with senders that go on sending, until ctx ends, and returns nil.
func Demo(ctx context.Context, o DemoOptions) (err error) {
	texts, err := locale.New()
	if err != nil {
		return err
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	reading, closeOut, err := own(o.Out)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer closeOut()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	out := &teller{out: reading, stop: stop, color: o.Color, width: widthOf(o.Columns), lang: locale.Parse(o.Language), texts: texts}
	dir, err := os.MkdirTemp(o.Dir, "postern-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := Start(context.WithoutCancel(ctx), Options{}) // it outlives the gateway, whose last deliveries go there
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer w.Close()
	g, err := startGateway(ctx, w, dir)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s := &story{w: w, g: g, out: out, reader: newReader(), shown: map[mail.QueueID]int{}}
	err = s.tell(ctx)
	if err == nil && !o.Once {
		s.live(ctx)
	}
	if ctx.Err() != nil && !o.Once {
		err = nil // Ctrl-C is how it ends
	}
	if end := g.close(); end != nil {
		err = errors.Join(err, fmt.Errorf("demo: the gateway did not end cleanly: %w", end))
	}
	if broken := out.failed(); broken != nil {
		return fmt.Errorf("demo: the story could not be written: %w", broken)
	}
	return err
}

// own returns a writer that fails when the reader of a pipe is gone. Standard output itself would end the process (os/signal, SIGPIPE), and
// the gateway's folder would stay behind.
func own(w io.Writer) (own io.Writer, done func(), err error) {
	f, ok := w.(*os.File)
	if !ok {
		return w, func() {}, nil
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, nil, err
	}
	syscall.CloseOnExec(fd)
	mine := os.NewFile(uintptr(fd), f.Name())
	return mine, func() { _ = mine.Close() }, nil
}

// stepTime bounds one wait of the story.
const stepTime = 20 * time.Second

// story is one run of the demonstration.
type story struct {
	w      *World
	g      *gateway
	out    *teller
	reader reader
	shop   Sender
	sent   []accepted           // every message the gateway took from a sender
	shown  map[mail.QueueID]int // how many facts of a message are written
	mended string               // subject of the newsletter that was held and left

	sender, operator *person // who signs in
}

// accepted is a message that the gateway took, and for how many recipients.
type accepted struct {
	id         mail.QueueID
	recipients int
}

// tell plays the steps in order.
func (s *story) tell(ctx context.Context) error {
	began := time.Now()
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.introduce()
	for i, step := range []struct {
		key  string
		play func(context.Context) error
	}{
		{"clean", s.cleanNewsletter}, {"broken", s.brokenNewsletter}, {"spoof", s.spoofs}, {"unknown", s.unknownUser}, {"routes", s.strangeRoutes},
		{"people", s.people}, {"end", s.ending},
	} {
		s.out.heading(i+1, s.out.text("step."+step.key))
		if err := step.play(ctx); err != nil {
			if !errors.Is(err, ErrNotAsTold) && ctx.Err() == nil {
				s.out.mark(false, err.Error())
				err = fmt.Errorf("%w: %w", ErrNotAsTold, err)
			}
			return fmt.Errorf("demo: step %d: %w", i+1, err)
		}
	}
	s.out.line("")
	s.out.line(" " + s.out.paint(bold+";"+green, "✔ "+s.out.text("done", "Took", locale.Duration(s.out.lang, time.Since(began).Round(time.Second)))))
	return nil
}

// prepare makes what the senders need: keys and a login.
func (s *story) prepare(ctx context.Context) error {
	for _, d := range []string{shopDomain, "postern.example"} {
		if err := s.g.signs(ctx, s.w.Names, d); err != nil {
			return err
		}
	}
	user, password, err := s.g.Accounts().AddCredential(ctx, "boutique", "demo")
	if err != nil {
		return err
	}
	s.shop = Sender{Hello: "shop." + shopDomain, User: user, Password: password}
	return nil
}

// introduce shows who takes part.
func (s *story) introduce() {
	t := s.out
	t.line("")
	t.line(" " + t.paint(bold, t.text("title")))
	t.say(t.text("intro"))
	t.line("")
	t.row(cell{t.text("head.provider"), 21, bold}, cell{t.text("head.address"), 16, bold}, cell{t.text("head.manner"), 0, bold})
	for _, p := range s.w.Providers {
		manner := t.text("manner." + p.Manner.Key)
		if p.Manner.Model != "" {
			manner += " " + t.text("modelled", "Model", p.Manner.Model)
		}
		t.full(cell{p.Domain, 21, plain}, cell{fmt.Sprintf("%s:%d", p.IP, s.w.Port), 16, faint}, cell{manner, 0, plain})
	}
	t.full(cell{GatewayHost, 21, bold}, cell{Egress.String(), 16, faint}, cell{t.text("manner.gateway"), 0, plain})
}
