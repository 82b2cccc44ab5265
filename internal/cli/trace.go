package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/mail"
)

// fullStories is how many messages a trace tells from beginning to end; more are listed, the newest first.
const fullStories = 5

func (c *command) trace() *cobra.Command {
	var since string
	var q api.SearchQuery
	cmd := &cobra.Command{Use: "trace ADDRESS|MESSAGE-ID|QUEUE-ID|TEXT|-", Short: "Say what became of mail",
		Long: "Say what became of mail: search the journal by an address (sender or recipient), a Message-ID, a queue ID, or part of a subject or answer.\n" +
			"Anything else is read as the report of a problem: paste the whole error text, with addresses, times and ids as they stand; - reads it\n" +
			"from standard input. A few messages are told from beginning to end, many are listed. Exit code 1 when nothing is found.",
		Args: several("an address, a Message-ID, a queue ID or some text"),
		Example: "  postern trace anna@example.com\n  postern trace '<20261121.1@shop.example>'\n  postern trace --since 48h invoice 2026\n" +
			"  postern trace '<jean@example.com>: host mx.example.com said: 550 5.7.1 rejected (in reply to end of DATA)'\n  postern trace - < returned-message.eml"}
	cmd.Flags().StringVar(&since, "since", "", "only facts since a `moment`: 48h, 7d, 2026-11-21 or 2026-11-21T18:40")
	cmd.Flags().StringVar(&q.Customer, "customer", "", "only this customer's, by `id`")
	cmd.Flags().IntVar(&q.Limit, "limit", 500, "at most so many facts, 1 to 1000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if q.Since, err = moment(since, c.now()); err != nil {
			return err
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		what := strings.Join(args, " ")
		if what == "-" {
			pasted, err := io.ReadAll(io.LimitReader(c.Stdin, maxPasted))
			if err != nil {
				return err
			}
			return c.traceProblem(cmd, server, string(pasted), q)
		}
		return c.runTrace(cmd, server, what, q)
	}
	return c.jsonFlag(cmd)
}

// moment reads a length of time before now, a day, or a minute.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && n > 0 && fmt.Sprint(n) == days {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--since %s is no moment; expected 48h, 7d, 2026-11-21 or 2026-11-21T18:40", text)
}

// find asks the journal in the way that what is looked for suggests.
func find(cmd *cobra.Command, server *api.Client, what string, q api.SearchQuery) (api.Facts, error) {
	ctx := cmd.Context()
	if id, err := mail.ParseQueueID(strings.ToLower(what)); err == nil {
		facts, err := server.Trace(ctx, id)
		return api.Facts{Facts: facts}, err
	}
	bare := strings.Trim(what, "<>")
	tries := []api.SearchQuery{{Text: what}}
	if _, err := mail.ParseAddress(bare); err == nil {
		// A Message-ID looks like an address.
		tries = []api.SearchQuery{{Address: bare}, {MessageID: what}, {Text: what}}
	}
	if strings.HasPrefix(what, "<") {
		tries = []api.SearchQuery{{MessageID: what}, {Address: bare}}
	}
	var found api.Facts
	for _, try := range tries {
		try.Since, try.Customer, try.Limit = q.Since, q.Customer, q.Limit
		var err error
		if found, err = server.Search(ctx, try); err != nil || len(found.Facts) > 0 {
			return found, err
		}
	}
	return found, nil
}

func (c *command) runTrace(cmd *cobra.Command, server *api.Client, what string, q api.SearchQuery) error {
	found, err := find(cmd, server, what, q)
	if err != nil {
		return err
	}
	if len(found.Facts) == 0 {
		return c.traceProblem(cmd, server, what, q)
	}
	if c.json {
		for _, f := range found.Facts {
			if err := c.object(f); err != nil {
				return err
			}
		}
		return nil
	}
	var order []mail.QueueID
	newest := map[mail.QueueID]api.Fact{}
	var settings []api.Fact
	for _, f := range found.Facts {
		if f.QueueID == "" {
			settings = append(settings, f)
			continue
		}
		if _, known := newest[f.QueueID]; !known {
			newest[f.QueueID] = f
			order = append(order, f.QueueID)
		}
	}
	if err := c.printSettings(settings, len(order) > 0); err != nil {
		return err
	}
	if len(order) > fullStories {
		return c.listStories(order, newest, found.Next != "")
	}
	for i, id := range order {
		if i > 0 {
			_, _ = fmt.Fprintln(c.Stdout)
		}
		facts, err := server.Trace(cmd.Context(), id)
		if err != nil {
			return err
		}
		if err := c.story(id, facts); err != nil {
			return err
		}
	}
	return nil
}

// maxPasted bounds the report of a problem, in bytes.
const maxPasted = 60_000

// ledBy says what led to a message, in words.
var ledBy = map[string]string{"id": "its queue ID", "message-id": "its Message-ID", "reference": "our reference", "address": "the address", "time": "the time",
	"code": "the reply code", "status": "the status code", "words": "the words", "phrase": "the words of the answer"}

// traceProblem finds the messages that a report may be about and tells the surest ones.
func (c *command) traceProblem(cmd *cobra.Command, server *api.Client, text string, q api.SearchQuery) error {
	if text = strings.TrimSpace(strings.ToValidUTF8(text, " ")); text == "" {
		return usagef("there is nothing to look for")
	}
	matches, err := server.Problem(cmd.Context(), api.ProblemReport{Text: text, Customer: q.Customer, Since: q.Since})
	if err != nil {
		return err
	}
	if len(matches) == 0 {
		c.warn("nothing is known about %q", cut(strings.Join(strings.Fields(text), " "), 120))
		return errBad
	}
	if c.json {
		for _, m := range matches {
			if err := c.object(m); err != nil {
				return err
			}
		}
		return nil
	}
	told := 1
	for told < min(len(matches), fullStories) && matches[told].Weight >= matches[0].Weight-10 {
		told++
	}
	for i, m := range matches[:told] {
		var by []string
		for _, word := range m.By {
			by = append(by, ledBy[word])
		}
		head := fmt.Sprintf("Found by %s (%.0f %% sure)", strings.Join(by, ", "), m.Weight)
		if i > 0 {
			head = "\n" + head
		}
		_, _ = fmt.Fprintln(c.Stdout, c.paint(dim, head))
		facts, err := server.Trace(cmd.Context(), m.ID)
		if err != nil {
			return err
		}
		if err := c.story(m.ID, facts); err != nil {
			return err
		}
	}
	if len(matches) == told {
		return nil
	}
	_, _ = fmt.Fprintln(c.Stdout, "\n"+c.paint(dim, "Perhaps also:"))
	var order []mail.QueueID
	newest := map[mail.QueueID]api.Fact{}
	for _, m := range matches[told:] {
		order = append(order, m.ID)
		newest[m.ID] = m.Fact
	}
	return c.listStories(order, newest, false)
}

// listStories prints one line for each message: the newest fact found about it.
func (c *command) listStories(order []mail.QueueID, newest map[mail.QueueID]api.Fact, more bool) error {
	t := c.table("ID", "TIME", "STATE", "RECIPIENT", "SUBJECT OR ANSWER")
	for _, id := range order {
		f := newest[id]
		text := f.Subject
		if f.Code != 0 || text == "" {
			text = happened(f)
		}
		t.row(id, clock(f.At), cell{text: word(f), style: stateStyle(f.State)}, f.Recipient, text)
	}
	if err := t.print(c.Stdout); err != nil {
		return err
	}
	text := count(len(order), "message") + "; `postern trace ID` tells one from beginning to end"
	if more {
		text += ". There are more: --limit 1000, or a shorter --since"
	}
	return c.say("%s", text)
}

// story prints the life of one message.
func (c *command) story(id mail.QueueID, facts []api.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	first := facts[0]
	from := first.ReversePath
	if from == "" {
		from = "<>"
	}
	if err := c.pairs(c.Stdout, "Message", cell{text: string(id), style: bold}, "Envelope from", from, "From", first.HeaderFrom, "Subject", first.Subject,
		"Message-ID", first.MessageID, "Customer", first.Customer); err != nil {
		return err
	}
	heads := []string{"TIME", "WHAT", "RECIPIENT", "DETAIL"}
	if c.columns > 0 {
		heads = heads[:3] // on a terminal the details stand below, whole: an answer that is cut is no answer
	}
	t := c.table(heads...)
	for _, f := range facts {
		var details []string
		if f.Kind == "accepted" || f.Kind == "held" || f.Kind == "rejected" || f.Kind == "retested" {
			details = append(details, points(f.Score)+" points")
		}
		if text := happened(f); text != "" {
			details = append(details, text)
		}
		if f.ClientIP != "" && (f.Kind == "accepted" || f.Kind == "rejected" || f.Kind == "recovered") {
			details = append(details, "from "+f.ClientIP)
		}
		if f.Actor != "" && f.Actor != "rule" && f.Actor != "notice" {
			details = append(details, "by "+f.Actor)
		}
		if !f.NextAt.IsZero() && f.Kind != "listed" {
			what := "next attempt "
			if f.Kind == "held" {
				what = "until "
			}
			details = append(details, what+clock(f.NextAt))
		}
		row := []any{f.At.Local().Format("2006-01-02 15:04:05"), cell{text: word(f), style: stateStyle(f.State)}, f.Recipient}
		text := strings.Join(details, "; ")
		if c.columns == 0 {
			t.row(append(row, text)...)
			continue
		}
		t.row(row...)
		if text != "" {
			t.lines(dim, text)
		}
	}
	return t.print(c.Stdout)
}
