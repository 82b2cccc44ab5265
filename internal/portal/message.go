package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
)

// messagePage is the page of one message.
type messagePage struct {
	page
	Subject  string
	State    state
	Gauge    *gauge // nil: not tested
	Tested   string // when the tests ran
	Bad      []hit  // tests with points against the message
	Good     []hit  // tests without
	Unknown  []unknown
	Plan     string // what to mend first
	Facts    []fact
	Asks     *providers // what the recipients' providers ask; nil: not tested for it
	Life     []event
	LeftOut  int // events that Life leaves out
	Acts     acts
	Held     bool
	Reload   bool // the state will change by itself
	MaxChars int
	Waits    []wait   // what its recipients wait for; only in the portal
	GivesUp  string   // when delivery gives up; "" when nothing is tried any more
	Text     string   // address of the page with the message's own text; "" where it is not shown
	List     []option // ways back: lists with their addresses
}

// seat is from where somebody looks at a message: the page's address, in whose name he acts, and what he may. The holder of a link, a user of the
// customer and an operator have one each.
type seat struct {
	path   string // of the page; acts are posted below it
	actor  string // as the journal writes him
	sender bool   // bound to the customer's policy; false: an operator, who may release anything
	acts   bool   // may act
}

// linkSeat is that of whoever holds a message's link.
func linkSeat(token string) seat {
	return seat{path: "/m/" + token, actor: "sender", sender: true, acts: true}
}

// banner is the answer to an act.
type banner struct {
	Kind string // good, bad
	Text string
}

// state is the first thing to read: a word, a sentence, and the questions everybody has.
type state struct {
	Word     string
	Class    string // the Status: colours the word
	Sentence string
	Answers  []fact
}

// fact is a label and a value; values from outside are set in monospace.
type fact struct {
	Label string
	Value string
	Code  bool
}

// acts are the forms.
type acts struct {
	Any                        bool   // some act is offered
	NoActs                     string // why none is
	Retest, Release, Ask, Drop string // addresses; empty: not offered
	NoRelease                  string // why releasing is not offered
	Allow, Withdraw            string // addresses: let mail of this sender pass from now on, or no longer
	AllowText, AllowHint       string // what the address before does, or what was done
	NoAsk                      string
	Question                   string // typed before, given back when it was refused
	QuestionError              string
}

// open checks the token of a request and returns what is known of its message. When ok is false the answer is written.
func (s *site) open(w http.ResponseWriter, r *http.Request) (v intake.View, ok bool) {
	id, err := s.o.Links.Check(r.PathValue("token"), s.o.Now())
	switch {
	case errors.Is(err, notice.ErrLinkExpired):
		s.fail(w, r, http.StatusGone, "expired")
		return v, false
	case err != nil:
		s.fail(w, r, http.StatusNotFound, "link")
		return v, false
	}
	return s.view(w, r, id)
}

func (s *site) view(w http.ResponseWriter, r *http.Request, id mail.QueueID) (intake.View, bool) {
	v, err := s.o.Desk.View(r.Context(), id)
	switch {
	case errors.Is(err, intake.ErrNotFound):
		s.fail(w, r, http.StatusGone, "forgotten")
		return v, false
	case err != nil:
		s.o.Logger.Error("message not shown", "queue_id", id, "error", err)
		s.fail(w, r, http.StatusInternalServerError, "internal")
		return v, false
	}
	return v, true
}

// message shows the page.
func (s *site) message(w http.ResponseWriter, r *http.Request) {
	v, ok := s.open(w, r)
	if !ok {
		return
	}
	m := s.describe(s.page(r, locale.Parse(v.Customer.Language)), linkSeat(r.PathValue("token")), v)
	m.Banner = m.result(r.URL.Query().Get("done"), v)
	s.render(w, http.StatusOK, "message.html", m)
}

// result is the banner after a redirect. It says only what the message's state confirms: the address may come from anywhere.
func (m *messagePage) result(done string, v intake.View) *banner {
	released := v.Status == intake.Leaving || v.Status == intake.Delivered
	key := ""
	switch {
	case done == "retest" && v.Retests > 0 && released:
		key = "done.retest_released"
	case done == "retest" && v.Retests > 0 && v.Status == intake.Waiting:
		key = "done.retest_held"
	case done == "release" && released:
		key = "done.release"
	case done == "drop" && v.Status == intake.Dropped:
		key = "done.drop"
	case done == "ask" && v.Asked:
		key = "done.ask"
	case done == "allow" && v.Allowed.Value != "":
		key = "done.allow"
	case done == "withdraw" && v.Allowed.Value == "" && v.CanAllow:
		key = "done.withdraw"
	default:
		return nil
	}
	kind := "good"
	if key == "done.retest_held" {
		kind = "bad"
	}
	return &banner{kind, m.T(key, "Score", m.number(v.Verdict.Score, v.Verdict.Threshold), "Threshold", v.Verdict.Threshold)}
}

// describe turns a view into a page.
func (s *site) describe(p page, st seat, v intake.View) *messagePage {
	p.Path = st.path
	m := &messagePage{page: p, Subject: clean(v.Subject, 200), Held: v.Status == intake.Waiting, MaxChars: maxQuestion}
	if m.Subject == "" {
		m.Subject = p.T("facts.no_subject")
	}
	m.State = m.state(v)
	m.Title = p.T("message.title", "State", m.State.Word, "Subject", m.Subject)
	m.Reload = v.Status == intake.Leaving
	if !v.Verdict.At.IsZero() {
		m.Gauge = m.gauge(v)
		m.Tested = p.date(v.Verdict.At)
		m.hits(v)
		m.Asks = m.providers(v.Verdict)
	}
	m.Facts = m.facts(v)
	m.Life, m.LeftOut = m.life(v)
	m.Acts = m.forms(st, v)
	return m
}

// state words the first screen: what, why, who can release, what happens when nobody acts, and when.
func (m *messagePage) state(v intake.View) state {
	class := string(v.Status)
	sentence := "state." + class + ".sentence"
	if v.Status == intake.Expired && tooOld(v.Facts) {
		sentence = "state.expired.undelivered"
	}
	st := state{Word: m.T("state." + class + ".word"), Class: class, Sentence: m.T(sentence)}
	if accepted, failed := tally(v.Facts); accepted > 0 && failed > 0 && v.Status != intake.Leaving {
		st = state{Word: m.T("state.partly.word"), Class: "partly", Sentence: m.T("state.partly.sentence", "Accepted", accepted, "Failed", failed, "All", accepted+failed)}
		st.Answers = []fact{{Label: m.T("ask.next"), Value: m.T("next.bounced")}}
		return st
	}
	answer := func(label, text string) {
		st.Answers = append(st.Answers, fact{Label: m.T("ask." + label), Value: text})
	}
	score, threshold, ceiling := m.number(v.Verdict.Score, v.Verdict.Threshold), v.Verdict.Threshold, v.Ceiling
	switch v.Status {
	case intake.Waiting:
		switch {
		case v.Verdict.At.IsZero():
			answer("why", m.T("why.untested"))
		case v.Verdict.Score <= threshold:
			answer("why", m.T("why.person", "Score", score, "Threshold", threshold))
		default:
			answer("why", m.T("why.score", "Score", score, "Threshold", threshold))
		}
		who := m.T("who.operator")
		switch {
		case v.CanRelease:
			who = m.T("who.sender")
		case v.WhyNot == "ceiling":
			who = m.T("who.ceiling", "Score", m.number(v.Verdict.Score, ceiling), "Ceiling", ceiling)
		}
		if v.CanRetest && m.site.retestHelps(v.Verdict) {
			answer("who", who+" "+m.T("who.retest", "Threshold", threshold))
		} else {
			answer("who", who+" "+m.T("who.resend"))
		}
		if left := v.HoldUntil.Sub(m.site.o.Now()); v.HoldUntil.IsZero() {
			answer("expiry", m.T("expiry.never"))
		} else if left > 0 {
			answer("expiry", m.T("expiry.when", "When", m.date(v.HoldUntil), "Left", left))
		} else {
			answer("expiry", m.T("expiry.now"))
		}
	case intake.Refused:
		answer("why", m.T("why.score", "Score", score, "Threshold", threshold))
		answer("next", m.T("next.rejected"))
	case intake.Leaving:
		if at := nextAttempt(v.Facts); !at.IsZero() {
			answer("next", m.T("next.attempt", "When", m.date(at)))
		} else {
			answer("next", m.T("next.queued"))
		}
	case intake.Failed:
		answer("next", m.T("next.bounced"))
	case intake.Expired, intake.Dropped:
		answer("next", m.T("next.gone"))
	}
	return st
}

// tooOld tells an expired delivery from an expired hold: only the first had attempts.
func tooOld(facts []journal.Fact) bool {
	for i := len(facts) - 1; i >= 0; i-- {
		if facts[i].Kind == journal.Expired {
			return facts[i].Attempt > 0
		}
	}
	return false
}

// nextAttempt is when delivery goes on, if the last thing that happened was a deferral.
func nextAttempt(facts []journal.Fact) time.Time {
	for i := len(facts) - 1; i >= 0; i-- {
		switch facts[i].Kind {
		case journal.Deferred:
			return facts[i].NextAt
		case journal.Released, journal.Accepted, journal.Delivered, journal.Bounced:
			return time.Time{}
		}
	}
	return time.Time{}
}

// facts lists what identifies the message.
func (m *messagePage) facts(v intake.View) []fact {
	var out []fact
	add := func(key, value string, code bool) {
		if value != "" {
			out = append(out, fact{Label: m.T("facts." + key), Value: value, Code: code})
		}
	}
	add("from", clean(v.From, 300), false)
	to := clean(v.To, 300)
	if v.Recipients > 1 {
		to = m.T("facts.to_more", "First", to, "Count", v.Recipients-1)
	}
	add("to", to, false)
	add("subject", m.Subject, false)
	if !v.Received.IsZero() {
		add("received", m.date(v.Received), false)
	}
	if v.Size > 0 {
		add("size", locale.Bytes(m.Lang, v.Size), false)
	}
	add("client", clean(v.ClientIP, 60), true)
	add("message_ref", clean(v.MessageID, 300), true)
	add("queue_ref", string(v.ID), true)
	return out
}

// forms offers the acts that the message's state and the customer's policy allow.
func (m *messagePage) forms(st seat, v intake.View) acts {
	var a acts
	if v.Status != intake.Waiting {
		return a
	}
	if !st.acts {
		a.NoActs = m.T("act.reader")
		return a
	}
	a.Any = true
	if v.CanRetest || !st.sender {
		a.Retest = m.URL(m.Path + "/retest")
	}
	a.Drop = m.URL(m.Path + "/drop")
	switch {
	case v.CanRelease || !st.sender:
		a.Release = m.URL(m.Path + "/release")
	case v.WhyNot == "ceiling":
		a.NoRelease = m.T("act.release.ceiling", "Ceiling", v.Ceiling)
	case v.WhyNot == "locked":
		a.NoRelease = m.T("act.release.locked")
	case v.WhyNot == "denied":
		a.NoRelease = m.T("act.release.denied")
	default:
		a.NoRelease = m.T("act.release.policy")
	}
	from := clean(v.From, 200)
	switch {
	case v.Allowed.Value != "":
		a.Withdraw = m.URL(m.Path + "/withdraw")
		a.AllowText = m.T("act.withdraw.text", "From", from, "Until", m.date(v.Allowed.Until), "Ceiling", v.Ceiling)
	case v.CanAllow:
		a.Allow = m.URL(m.Path + "/allow")
		a.AllowText, a.AllowHint = m.T("act.allow.summary", "From", from), m.T("act.allow.hint", "Ceiling", v.Ceiling)
	}
	switch {
	case !st.sender: // he is the one who would be asked
	case v.Asked:
		a.NoAsk = m.T("act.ask.done")
	default:
		a.Ask = m.URL(m.Path + "/ask")
	}
	return a
}

// back leads whoever reloads or opens the address of an act to the page; it does nothing else.
func (s *site) back(w http.ResponseWriter, r *http.Request) {
	if _, err := s.o.Links.Check(r.PathValue("token"), s.o.Now()); err != nil && !errors.Is(err, notice.ErrLinkExpired) {
		s.fail(w, r, http.StatusNotFound, "link")
		return
	}
	http.Redirect(w, r, s.page(r, "").URL("/m/"+r.PathValue("token")), http.StatusSeeOther)
}

// act does what a form asks for.
func (s *site) act(w http.ResponseWriter, r *http.Request) {
	v, ok := s.open(w, r)
	if !ok {
		return
	}
	p := s.page(r, locale.Parse(v.Customer.Language))
	if status := s.readForm(w, r); status != 0 {
		return
	}
	act, st := r.PathValue("act"), linkSeat(r.PathValue("token"))
	err := s.perform(r, st, v.ID, act)
	switch {
	case errors.Is(err, errNoAct):
		s.fail(w, r, http.StatusNotFound, "page")
	case err == nil:
		http.Redirect(w, r, p.site.prefix+st.path+p.ask("done", act), http.StatusSeeOther)
	default:
		s.refused(w, r, p, st, act, v.ID, err)
	}
}

// readForm reads a form. What it cannot read it answers, and returns the answer's status; 0: the form is read.
func (s *site) readForm(w http.ResponseWriter, r *http.Request) (status int) {
	err := r.ParseForm()
	if err == nil {
		return 0
	}
	status, kind := http.StatusBadRequest, "form"
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		status, kind = http.StatusRequestEntityTooLarge, "large"
		w.Header().Set("Connection", "close")
	}
	s.fail(w, r, status, kind)
	return status
}

// errNoAct: there is no such act.
var errNoAct = errors.New("portal: no such act")

// perform does an act on a held message.
func (s *site) perform(r *http.Request, st seat, id mail.QueueID, act string) error {
	// An act that has begun is finished, whether the visitor waits for it or not: a release is written down, then done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actTime)
	defer cancel()
	var err error
	switch act {
	case "retest":
		_, err = s.o.Desk.RetestFor(ctx, id, st.actor, st.sender)
	case "release":
		_, err = s.o.Desk.Release(ctx, id, st.actor, st.sender)
	case "drop":
		_, err = s.o.Desk.Drop(ctx, id, st.actor)
	case "allow":
		_, err = s.o.Desk.AllowAs(ctx, id, st.actor)
	case "withdraw":
		_, err = s.o.Desk.WithdrawAs(ctx, id, st.actor)
	case "ask":
		question := questionOf(r)
		if err = checkQuestion(question); err == nil {
			_, err = s.o.Desk.AskAs(ctx, id, question, st.actor)
		}
	default:
		err = errNoAct
	}
	return err
}

// questionOf is the question of a form that was read.
func questionOf(r *http.Request) string {
	return strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("question"), "\r\n", "\n"))
}

// Faults of a question.
var (
	errNoQuestion   = errors.New("portal: the question is empty")
	errLongQuestion = errors.New("portal: the question is too long")
)

func checkQuestion(q string) error {
	switch n := len([]rune(q)); {
	case n == 0:
		return errNoQuestion
	case n > maxQuestion:
		return errLongQuestion
	}
	return nil
}

// refusals are the answers to acts that were not done.
var refusals = []struct {
	err    error
	status int
	key    string
}{
	{intake.ErrTooSoon, http.StatusTooManyRequests, "too_soon"},
	{intake.ErrNotHeld, http.StatusConflict, "not_held"},
	{intake.ErrNotKept, http.StatusConflict, "not_kept"},
	{intake.ErrNotAllowed, http.StatusForbidden, "not_allowed"},
	{intake.ErrAlreadyDone, http.StatusConflict, "already_asked"},
	{intake.ErrNotFound, http.StatusGone, "not_held"},
	{filter.ErrUnscanned, http.StatusServiceUnavailable, "not_scanned"},
	{filter.ErrUnscannable, http.StatusServiceUnavailable, "not_scanned"},
	{errNoQuestion, http.StatusUnprocessableEntity, "no_question"},
	{errLongQuestion, http.StatusUnprocessableEntity, "long_question"},
}

// refusal is the status and the text portal.refused.KEY for an act that was not done.
func refusal(err error) (status int, key string) {
	status, key = http.StatusInternalServerError, "internal"
	for _, x := range refusals {
		if errors.Is(err, x.err) {
			status, key = x.status, x.key
		}
	}
	return status, key
}

// refused shows the page as it is now, with the reason why the act was not done.
func (s *site) refused(w http.ResponseWriter, r *http.Request, p page, st seat, act string, id mail.QueueID, err error) {
	status, key := refusal(err)
	if status == http.StatusInternalServerError {
		s.o.Logger.Error("act not done", "queue_id", id, "act", act, "error", err)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	v, ok := s.view(w, r, id)
	if !ok {
		return
	}
	m := s.describe(p, st, v)
	m.refuse(key, questionOf(r))
	s.render(w, status, "message.html", m)
}

// refuse says on the page why an act was not done, and gives the question back.
func (m *messagePage) refuse(key, question string) {
	text := m.T("refused." + key)
	m.Banner, m.Title = &banner{"bad", text}, m.T("error.title", "Heading", m.Title)
	if key == "no_question" || key == "long_question" {
		m.Acts.QuestionError = text
	}
	m.Acts.Question, _ = cleanLines(question)
}

// retestHelps reports whether a stored message can come out at or under the threshold when all is mended that can be.
func (s *site) retestHelps(v filter.Verdict) bool {
	sum := 0.0
	for _, h := range v.Hits {
		if t, known := s.tests[h.Test]; h.Points > 0 && (!known || retestable(t)) {
			sum += h.Points
		}
	}
	return after(v, sum) <= v.Threshold
}

// retestable reports whether a stored message can come out better in this test: what others publish can change, its own text
// cannot.
func retestable(t filter.Test) bool {
	return t.Group == filter.GroupIdentity || t.Group == filter.GroupLists
}
