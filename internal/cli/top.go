package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"postern/internal/api"
)

func (c *command) queueTop() *cobra.Command {
	var every time.Duration
	var once bool
	cmd := &cobra.Command{Use: "top", Short: "Watch lanes and customers with mail waiting", Args: exactly(),
		Long: "Watch lanes and customers with mail waiting, those with the most first, until it is interrupted (Ctrl-C). A lane is the queue towards one\n" +
			"receiver from one of our addresses: what is in memory (WAITING) and what waits in the spool for its turn (PARKED). Below a lane stands what\n" +
			"slows or stops it. Without a terminal it prints once.",
		Example: "  postern queue top\n  postern queue top --once --json"}
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "a new picture each so often")
	cmd.Flags().BoolVar(&once, "once", false, "print once")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if every < 200*time.Millisecond {
			return usagef("--every %s: at least 200ms", every)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		f, screen := terminal(c.Stdout)
		if !screen || once || c.json {
			top, err := server.Top(cmd.Context())
			switch {
			case err != nil:
				return err
			case c.json:
				return c.object(top)
			}
			_, err = io.WriteString(c.Stdout, c.picture(top, 1000))
			return err
		}
		// The other screen of the terminal, so that what was there comes back.
		_, _ = io.WriteString(c.Stdout, "\x1b[?1049h\x1b[?25l")
		defer func() { _, _ = io.WriteString(c.Stdout, "\x1b[?25h\x1b[?1049l") }()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			top, err := server.Top(cmd.Context())
			if err != nil && cmd.Context().Err() == nil {
				return err
			}
			lines := 24
			if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 5 {
				lines = int(size.Row)
				c.columns = int(size.Col)
			}
			text := c.picture(top, lines)
			_, _ = io.WriteString(c.Stdout, "\x1b[H"+strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[J")
			select {
			case <-cmd.Context().Done():
				return nil
			case <-tick.C:
			}
		}
	}
	return c.jsonFlag(cmd)
}

// picture is the queue on so many lines.
func (c *command) picture(top api.Top, lines int) string {
	var b strings.Builder
	q := top.Queue
	oldest := ""
	if !top.Oldest.IsZero() {
		oldest = ", the oldest " + short(top.At.Sub(top.Oldest))
	}
	fmt.Fprintf(&b, "%s   %s waiting%s   %d held   %s\n", c.paint(bold, top.At.Local().Format("2006-01-02 15:04:05")), c.paint(bold, grouped(q.Queued)), oldest, q.Held, size(q.Bytes))
	m := top.LastMinute
	fmt.Fprintf(&b, "last minute   %d accepted   %s   %s   %s", m["accepted"]+m["held"], c.counted(green, m["delivered"], "delivered"), c.counted(yellow, m["deferred"], "deferred"),
		c.counted(red, m["bounced"]+m["expired"], "bounced"))
	if top.Alarms > 0 {
		b.WriteString("   " + c.paint(red, count(top.Alarms, "alarm")) + " (postern alarm list)")
	}
	if q.Silent > 0 {
		b.WriteString("   " + c.paint(red, fmt.Sprintf("%d without a next event", q.Silent)))
	}
	b.WriteString("\n\n")
	room := max(lines-6, 6)
	forCustomers := min(len(top.Customers)+1, max(room/3, 3))
	c.topLanes(&b, top, room-forCustomers)
	b.WriteString("\n")
	t := c.table("CUSTOMER", "QUEUED", "PARKED", "LANES", "OLDEST")
	for i, x := range top.Customers {
		if i >= forCustomers-1 {
			break
		}
		t.row(x.Name, number(x.Queued), number(x.Parked), number(x.Lanes), cell{text: age(top.At, x.Oldest), right: true})
	}
	_ = t.print(&b)
	return b.String()
}

// topLanes draws lanes on at most so many lines.
func (c *command) topLanes(b *strings.Builder, top api.Top, lines int) {
	t := c.table("LANE", "WAITING", "PARKED", "SENDING", "CONNECTIONS", "A MINUTE", "TODAY", "OLDEST", "STATE")
	used := 1
	for _, l := range top.Lanes {
		if used++; used > lines {
			break
		}
		state := cell{text: "working", style: green}
		switch {
		case l.Stands:
			state = cell{text: "stands still for " + short(l.Until.Sub(top.At)), style: red}
		case l.Because != "":
			state = cell{text: "slower for " + short(l.Until.Sub(top.At)), style: yellow}
		case l.Limit > 0 && l.Connections >= l.Limit && l.Waiting > 0:
			state = cell{text: "all connections busy", style: yellow}
		case l.Waiting+l.Busy == 0 && l.Parked > 0:
			state = cell{text: "next " + relative(l.NextAt, top.At), style: dim}
		case l.Waiting+l.Busy == 0:
			state = cell{text: "idle", style: dim}
		}
		rate := fmt.Sprint(l.Sent)
		if l.Rate > 0 {
			rate += fmt.Sprintf(" of %.0f", l.Rate)
		}
		name := l.Provider
		if name == "" {
			name = strings.TrimPrefix(l.Lane.Lane, "mx:")
		} else if l.Egress != "" {
			name += " " + l.Egress
		}
		t.row(name, number(l.Waiting), number(l.Parked), number(l.Busy), cell{text: gauge(l.Connections, l.Limit), right: true}, cell{text: rate, right: true}, number(l.Today),
			cell{text: age(top.At, l.OldestAt), right: true}, state)
		if l.Because != "" && used < lines {
			used++
			t.note(dim, l.Because)
		}
	}
	if len(top.Lanes) == 0 {
		b.WriteString("No lane has work, and nothing is in force.\n")
		return
	}
	_ = t.print(b)
}

func number(n int) cell { return cell{text: grouped(n), right: true} }

// grouped writes a number with its thousands apart.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// gauge is how much of something is used: "▮▮▯▯ 2/4", the bar only while it is short.
func gauge(used, of int) string {
	text := fmt.Sprintf("%d/%d", used, of)
	if of <= 0 || of > 10 {
		return text
	}
	return strings.Repeat("▮", min(used, of)) + strings.Repeat("▯", max(of-used, 0)) + " " + text
}

func age(now, since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return short(now.Sub(since))
}

// counted is a number with its word, coloured when it is not 0.
func (c *command) counted(s style, n int64, word string) string {
	text := fmt.Sprintf("%d %s", n, word)
	if n == 0 {
		return text
	}
	return c.paint(s, text)
}
