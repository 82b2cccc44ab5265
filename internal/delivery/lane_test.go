package delivery_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// TestConnectionsAreUsedAgain: a burst to one destination needs few connections, within PerLane, PerConn and the total.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	t.Run("per lane and per connection", func(t *testing.T) {
		t.Parallel()
		w := idle(t, one, func(o *delivery.Options) { o.PerLane, o.PerConn = 3, 10 })
		m := newMX(t)
		w.at("192.0.2.1", m.addr)
		const n = 60
		for range n {
			w.send("you@there.test")
		}
		w.run()
		w.await("delivered", n)
		conns, _ := m.connections()
		if most := w.mostOpen(); conns < n/10 || conns > n/10+3 || most > 3 {
			t.Errorf("%d connections, %d at a time; expected about %d, at most 3 at a time", conns, most, n/10)
		}
	})
	t.Run("in all", func(t *testing.T) {
		t.Parallel()
		zone := ""
		for i := range 8 {
			zone += fmt.Sprintf("$ORIGIN d%d.test.\n@ 300 IN MX 10 mx.there.test.\n", i)
		}
		w := idle(t, one+zone, func(o *delivery.Options) { o.Connections = 2 })
		m := newMX(t)
		w.at("192.0.2.1", m.addr)
		for i := range 40 {
			w.send(fmt.Sprintf("you@d%d.test", i%8))
		}
		w.run()
		w.await("delivered", 40)
		if most := w.mostOpen(); most > 2 {
			t.Errorf("%d connections at a time; expected at most 2", most)
		}
	})
	t.Run("per transaction", func(t *testing.T) {
		t.Parallel()
		w, m := simple(t, func(o *delivery.Options) { o.PerMessage = 7 })
		to := make([]string, 20)
		for i := range to {
			to[i] = fmt.Sprintf("you%d@there.test", i)
		}
		w.send(to...)
		w.await("delivered", 20)
		sum := 0
		for _, g := range m.all() {
			sum += len(g.env.Recipients)
			if len(g.env.Recipients) > 7 {
				t.Errorf("%d recipients in one transaction", len(g.env.Recipients))
			}
		}
		if sum != 20 || len(m.all()) != 3 {
			t.Errorf("%d recipients in %d transactions", sum, len(m.all()))
		}
	})
	t.Run("not across pools", func(t *testing.T) {
		t.Parallel()
		w := idle(t, one, func(o *delivery.Options) { o.PerLane, o.LinkIdle = 1, time.Second })
		m := newMX(t)
		w.at("192.0.2.1", m.addr)
		for i := range 4 {
			x := w.compose("you@there.test")
			if i%2 == 1 {
				x.Pool = "other"
			}
			w.put(x)
		}
		w.run()
		w.await("delivered", 4)
		hellos := map[string]int{}
		for _, g := range m.all() {
			hellos[g.hello]++
		}
		if hellos["out.gate.test"] != 2 || hellos["other.gate.test"] != 2 {
			t.Errorf("names used: %v", hellos)
		}
	})
	t.Run("small window", func(t *testing.T) {
		t.Parallel()
		w := idle(t, one, func(o *delivery.Options) { o.Window = 2 })
		m := newMX(t)
		w.at("192.0.2.1", m.addr)
		for range 30 {
			w.send("you@there.test")
		}
		w.run()
		w.await("delivered", 30)
	})
}

// TestIdleConnectionLost: what ends while nobody speaks is no answer to the next message, which leaves at once on a fresh one.
func TestIdleConnectionLost(t *testing.T) {
	t.Parallel()
	first := "S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nD: *\nS: 250 one\n"
	second := "S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nD: *\nS: 250 two\nC: *\nS: 221 bye"
	for name, end := range map[string]string{"closed": "", "421 unasked": "S: 421 too long idle\nS: EOF", "421 to the next MAIL": "C: MAIL *\nS: 421 enough\nS: EOF"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, one, func(o *delivery.Options) { o.LinkIdle = 5 * time.Second })
			w.at("192.0.2.1", script(t, first+end, second))
			w.send("you@there.test")
			w.await("delivered", 1)
			id := w.send("you@there.test")
			w.await("delivered", 2)
			w.expect(id, "you@there.test", journal.Delivered, 250, "two")
			if w.counted("deferred") != 0 {
				t.Error("an attempt was lost")
			}
		})
	}
}

// TestLaneLeftAlone: an unreachable destination is asked once, the mail behind it waits without attempts, others are untouched (I8).
func TestLaneLeftAlone(t *testing.T) {
	t.Parallel()
	w := idle(t, one+"$ORIGIN dead.test.\n@ 300 IN MX 10 mx\nmx 300 IN A 192.0.2.66\n", func(o *delivery.Options) { o.PerLane = 1 })
	m := newMX(t)
	w.at("192.0.2.1", m.addr)
	var dead []mail.QueueID
	for range 20 {
		dead = append(dead, w.send("you@dead.test"))
		w.send("you@there.test")
	}
	w.run()
	w.await("delivered", 20)
	w.await("deferred", 1)
	w.await("parked", 19)
	calls := 0
	for _, d := range w.dials() {
		if strings.HasPrefix(d, "192.0.2.66") {
			calls++
		}
	}
	if calls != 1 {
		t.Errorf("a dead destination was called %d times", calls)
	}
	attempts := 0
	for _, id := range dead {
		_, standings, err := w.Explain(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		r := standings[0]
		attempts += r.Attempts
		switch {
		case r.Attempts == 1 && r.Stage == delivery.StageScheduled && strings.Contains(r.Text, "192.0.2.66") && r.Until.After(w.now()):
		case r.Attempts == 0 && r.Stage == delivery.StageParked && r.Lane == "mx:mx.dead.test" && r.Why[0].Code == "unreachable" && r.Until.After(w.now()):
		default:
			t.Errorf("%+v", r)
		}
	}
	if attempts != 1 {
		t.Errorf("%d attempts were counted; expected only the one that was made", attempts)
	}
	if all := w.InForce(); len(all) != 1 || all[0].Kind != shaping.Unreachable || !all[0].Ends.After(w.now()) || all[0].Lane.Provider != "mx:mx.dead.test" {
		t.Errorf("in force: %+v", all)
	}
	// When it answers again, the backlog leaves without help (I9).
	again := newMX(t)
	w.at("192.0.2.66", again.addr)
	w.ahead.Store(int64(10 * time.Minute))
	if _, err := w.spool.RetryAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.await("delivered", 40)
	if all := w.InForce(); len(all) != 0 {
		t.Errorf("still in force: %+v", all)
	}
}

// TestDrain: attempts under way finish, what has not begun goes back, nothing is lost.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := idle(t, one, func(o *delivery.Options) { o.PerLane = 1 })
	m := newMX(t)
	w.at("192.0.2.1", m.addr)
	begun, goOn := m.hold(t)
	var ids []mail.QueueID
	for range 5 {
		ids = append(ids, w.send("you@there.test"))
	}
	w.run()
	wait(t, begun)
	ended := make(chan struct{})
	go func() { w.stop(); close(ended) }()
	// The queue behind the attempt is given back while the attempt goes on.
	for {
		if s, err := w.spool.Stats(t.Context()); err != nil || s.Claimed <= 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	goOn()
	<-ended
	if n := len(m.all()); n != 1 {
		t.Errorf("%d messages left", n)
	}
	works, err := w.spool.Claim(t.Context(), 10)
	if err != nil || len(works) != 4 {
		t.Fatalf("%d messages are due for the next life, %v; expected 4", len(works), err)
	}
	for _, x := range works {
		if len(w.facts(x.ID)) != 0 || x.Recipients[0].Attempts != 0 {
			t.Errorf("a message that did not begin has a past: %+v", w.facts(x.ID))
		}
	}
	if w.last(ids[0], "you@there.test").Kind != journal.Delivered && len(works) == 4 {
		found := 0
		for _, id := range ids {
			if len(w.facts(id)) > 0 {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d messages have facts", found)
		}
	}
}

// TestDrainWhileWaitingForASlot: a job that waits for one of the connections has not begun.
func TestDrainWhileWaitingForASlot(t *testing.T) {
	t.Parallel()
	w := idle(t, one+"$ORIGIN two.test.\n@ 300 IN MX 10 mx.there.test.\n", func(o *delivery.Options) { o.Connections = 1 })
	m := newMX(t)
	w.at("192.0.2.1", m.addr)
	begun, goOn := m.hold(t)
	w.send("you@there.test")
	w.send("you@two.test")
	w.run()
	wait(t, begun)
	ended := make(chan struct{})
	go func() { w.stop(); close(ended) }()
	for {
		if s, err := w.spool.Stats(t.Context()); err != nil || s.Claimed <= 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	goOn()
	<-ended
	works, err := w.spool.Claim(t.Context(), 10)
	if err != nil || len(works) != 1 || works[0].Recipients[0].Attempts != 0 || len(w.facts(works[0].ID)) != 0 {
		t.Errorf("%+v %v", works, err)
	}
	if n := len(m.all()); n != 1 {
		t.Errorf("%d messages left", n)
	}
}

// TestDroppedWhileUnderWay: what a person dropped meanwhile does not stop the others of its commit.
func TestDroppedWhileUnderWay(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	begun, goOn := m.hold(t)
	gone, kept := w.send("a@there.test"), w.send("b@there.test")
	wait(t, begun)
	wait(t, begun)
	if err := w.spool.Drop(t.Context(), gone, "operator"); err != nil {
		t.Fatal(err)
	}
	goOn()
	w.await("delivered", 2)
	w.expect(kept, "b@there.test", journal.Delivered, 250, "")
	if s, err := w.spool.Stats(t.Context()); err != nil || s.Queued+s.Claimed != 0 {
		t.Errorf("%+v %v", s, err)
	}
	w.send("c@there.test")
	w.await("delivered", 3)
}

// TestDroppedBeforeItsTurn: a body that is gone ends the job, not the lane.
func TestDroppedBeforeItsTurn(t *testing.T) {
	t.Parallel()
	w := idle(t, one, func(o *delivery.Options) { o.PerLane = 1 })
	m := newMX(t)
	w.at("192.0.2.1", m.addr)
	begun, goOn := m.hold(t)
	var ids []mail.QueueID
	for range 3 {
		ids = append(ids, w.send("you@there.test"))
		time.Sleep(2 * time.Millisecond)
	}
	w.run()
	wait(t, begun)
	if err := w.spool.Drop(t.Context(), ids[1], "operator"); err != nil {
		t.Fatal(err)
	}
	goOn()
	w.await("delivered", 2)
	if n := len(m.all()); n != 2 {
		t.Errorf("%d messages left", n)
	}
}

// TestBrokenJournal: outcomes wait for the store; meanwhile nothing is delivered twice.
func TestBrokenJournal(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	begun, goOn := m.hold(t)
	id := w.send("you@there.test")
	wait(t, begun)
	if err := w.mainDB.Close(); err != nil {
		t.Fatal(err)
	}
	goOn()
	m.next()
	time.Sleep(200 * time.Millisecond) // several tries to write it down
	if work, err := w.spool.Get(t.Context(), id); err != nil || work.Recipients[0].State != spool.Queued {
		t.Errorf("settled although the fact was not written: %+v %v", work, err)
	}
	if n := len(m.all()); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// hold lets the server stop before it answers the data of a message, until goOn, which the end of the test calls too.
func (m *mx) hold(t *testing.T) (begun <-chan struct{}, goOn func()) {
	at, finish, goOn := gateAt(t)
	m.data.set(func(*smtp.Transaction, []byte) (smtp.Reply, error) {
		at <- struct{}{}
		<-finish
		return smtp.Reply{}, nil
	})
	return at, goOn
}

// gateAt is a place where a server stops until goOn, which the end of the test calls too.
func gateAt(t *testing.T) (begun chan struct{}, finish <-chan struct{}, goOn func()) {
	c := make(chan struct{})
	goOn = sync.OnceFunc(func() { close(c) })
	t.Cleanup(goOn)
	return make(chan struct{}, 10), c, goOn
}

// wait waits for something that must come.
func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatal("it never came")
	}
}

// TestSlowMessageHoldsNobodyUp: a message does not wait for another one to the same destination that takes long.
func TestSlowMessageHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	begun, finish, _ := gateAt(t)
	m.data.set(func(_ *smtp.Transaction, data []byte) (smtp.Reply, error) {
		if strings.Contains(string(data), "slow") {
			begun <- struct{}{}
			<-finish
		}
		return smtp.Reply{}, nil
	})
	slow := w.compose("you@there.test")
	slow.Body = append(slow.Body, "slow\r\n"...)
	w.put(slow)
	wait(t, begun)
	w.send("you@there.test")
	m.next()
}
