package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// link is an open connection to a mail exchanger.
type link struct {
	*smtp.Client
	host   string     // "mx.example.net[192.0.2.1]", for people
	egress netip.Addr // where we speak from; invalid: the system chose
	key    shaping.Key
	route  string
	sent   int
	to     []mail.Recipient // space for the envelope
}

func (d *Delivery) hangUp(ctx context.Context, c *link) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Timeouts.Quit)
	defer cancel()
	_ = c.Quit(ctx) // courtesy: everything is already decided
	_ = c.Close()
	d.slots.release(c.key)
}

func (d *Delivery) drop(c *link) {
	_ = c.Close()
	d.slots.release(c.key)
}

// attempt carries one message over a connection, a new one where needed, and reports what became of each recipient. It
// returns the connection if it can be used again.
func (d *Delivery) attempt(ctx context.Context, c *link, j *job) *link {
	data, err := d.data(ctx, j.letter)
	if err != nil {
		d.unreadable(j, err)
		return c
	}
	if c != nil && c.route != j.route {
		d.hangUp(ctx, c)
		c = nil
	}
	reused := c != nil
	for {
		if c == nil {
			if c = d.connect(ctx, j); c == nil {
				return nil
			}
		}
		env := j.Envelope
		env.ReversePath = j.from
		c.to = c.to[:0]
		for i := range j.to {
			c.to = append(c.to, j.to[i].Recipient)
		}
		env.Recipients = c.to
		res, err := c.Send(ctx, env, data)
		if errors.Is(err, smtp.ErrNeeds8BitMIME) { // nothing was sent yet
			seven, ok, trouble := d.sevenBit(j.letter)
			if trouble != nil {
				d.unreadable(j, trouble)
				return c
			}
			if ok {
				res, err = c.Send(ctx, env, seven)
			}
		}
		if reused && !c.Usable() && unused(res) {
			// The server ended the connection while it was idle, by closing it or with 421; the message has not been spoken of.
			d.drop(c)
			c, reused = nil, false
			continue
		}
		c.sent++
		again := d.outcomesOf(c, j, res, err)
		switch {
		case !c.Usable():
			d.drop(c)
			return nil
		case !again || c.sent >= fewer(d.o.PerConn, j.dst.provider.Limits.PerConnection):
			d.hangUp(ctx, c)
			return nil
		}
		return c
	}
}

// isBroken reports whether the connection is finished: every error of Send but those of the message itself.
func isBroken(err error) bool {
	var ce *smtp.ClientError
	return errors.As(err, &ce)
}

// unused reports whether the server said nothing about the message: no answer to MAIL, or 421, which speaks of the connection.
func unused(r smtp.Result) bool {
	return (r.Mail.Code == 0 || r.Mail.Code == 421) && r.Data.Code == 0 && !r.AfterDot
}

// unreadable deals with a message whose bytes cannot be had or signed: nothing leaves. Damaged ones are held by the spool for an
// operator to see; for the rest our storage is at fault, not the recipient.
func (d *Delivery) unreadable(j *job, err error) {
	d.o.Logger.Error("message cannot be read or signed", "queue_id", j.ID, "account", j.Customer, "error", err)
	if errors.Is(err, spool.ErrDamaged) || errors.Is(err, spool.ErrLost) || errors.Is(err, spool.ErrNotFound) {
		d.unclaim(j)
		return
	}
	d.failAll(j, trouble{451, "4.3.0", "local trouble: " + err.Error(), meansOurs}, true)
}

// standing are the reasons for which a lane stands still for a message, beyond its pace; reached leaves out what an open connection disproves.
var (
	standing = map[string]bool{"pause": true, "pause_sender": true, "pause_stream": true, "governor": true, "operator": true, "unreachable": true, "unreachable_route": true}
	reached  = map[string]bool{"pause": true, "pause_sender": true, "pause_stream": true, "governor": true, "operator": true}
)

// outdated parks a job whose lane was made to stand still while it waited for a connection.
func (d *Delivery) outdated(j *job, reasons map[string]bool) bool {
	w, held := d.shaper.Stopped(j.key, j.item())
	if !held || !reasons[w.Why.Code] {
		return false
	}
	d.park(j.key, j, w)
	return true
}

// connect opens a connection for a job. It returns nil when it cannot; the job has been dealt with then.
func (d *Delivery) connect(ctx context.Context, j *job) *link {
	if !d.slots.acquire(j.key, d.ending) {
		d.unclaim(j) // the end came before the attempt began
		return nil
	}
	if d.outdated(j, standing) {
		d.slots.release(j.key)
		return nil
	}
	c := d.reach(ctx, j)
	if c == nil {
		d.slots.release(j.key)
		return nil
	}
	c.key, c.route = j.key, j.route
	d.o.Count("connected", string(j.dst.domain), j.dst.known)
	if d.outdated(j, reached) {
		d.hangUp(ctx, c)
		return nil
	}
	return c
}

// reach tries the destination's addresses. When none takes us it says so to the lane, and deals with the job.
func (d *Delivery) reach(ctx context.Context, j *job) *link {
	port := uint16(d.o.Port)
	if d.o.Smarthost != nil {
		port = d.o.Smarthost.port()
	}
	var said *smtp.Error // by the last server that answered
	var failed error     // the last one
	var at target
	sessions := 0
	for _, t := range j.dst.targets(j.egress.IP, port) {
		var c *link
		var err error
		if d.o.Smarthost != nil {
			c, err = d.openSmarthost(ctx, t, j.egress)
		} else {
			c, err = d.secure(ctx, t, j.egress, j.dst, j.letter)
		}
		if err == nil {
			return c
		}
		if errors.Is(err, smtp.ErrLocalAddr) {
			d.addressLost(j, err)
			return nil
		}
		if failed == nil || !forGood(err) {
			failed, at = err, t // one exchanger that may do later is enough to try again
		}
		if ctx.Err() != nil {
			d.failAll(j, trouble{451, "4.3.2", "shutting down", meansOurs}, true)
			return nil
		}
		var refusal *smtp.Error
		if errors.As(err, &refusal) {
			said = refusal
			if sessions++; sessions >= maxSessions {
				break
			}
		}
	}
	d.unreached(j, at, said, failed)
	return nil
}

// unreached deals with a job that no exchanger took a connection for. It is always temporary, also when the server greets with 5xx or refuses our
// login: that speaks of us, not of the recipient, and must not end his mail. A policy of the domain that forbids what there is says nothing about the
// lane.
func (d *Delivery) unreached(j *job, at target, said *smtp.Error, failed error) {
	d.where.drop(j.dst.domain)
	var policy *trouble
	switch {
	case said != nil:
		text := strings.ReplaceAll(said.Text, "\n", " ")
		m := d.meaning(j.dst, phaseOf(failed), said.Code, dotted(said.Enhanced), said.Text)
		d.shaper.Observe(j.key, d.event(j, said.Code, text, m, true))
		m.Fate, m.Permanent = provider.Later, false
		d.failAll(j, trouble{451, "4.4.2", fmt.Sprintf("%s said before any mail: %d %s", at, said.Code, text), m}, true)
	case errors.As(failed, &policy):
		d.failAll(j, *policy, true)
	case failed != nil:
		text := "connect to " + at.String() + " port " + strconv.Itoa(int(at.addr.Port())) + ": " + failed.Error()
		d.o.Count("unreachable", string(j.dst.domain), j.dst.known)
		d.shaper.Observe(j.key, d.event(j, 0, text, meansNetwork, true))
		d.failAll(j, trouble{451, "4.4.1", text, meansNetwork}, true)
	default:
		d.failAll(j, trouble{451, "4.4.1", "no address to connect to", meansNowhere}, true)
	}
}

// lostAddresses remembers which egress addresses were logged as gone, and when.
type lostAddresses struct {
	mu   sync.Mutex
	told map[netip.Addr]time.Time
}

// addressLost deals with a job whose egress address is not on this machine any more: nobody was asked, so that nothing is anybody's fault. The lane
// rests; the operator is told.
func (d *Delivery) addressLost(j *job, err error) {
	now := d.o.Now()
	l := &d.lost
	l.mu.Lock()
	if l.told == nil {
		l.told = map[netip.Addr]time.Time{}
	}
	if now.Sub(l.told[j.egress.IP]) >= 5*time.Minute {
		l.told[j.egress.IP] = now
		d.o.Logger.Error("egress address cannot be used: put it back on the machine or take it out of delivery.pools", "egress_ip", j.egress.IP, "error", err)
	}
	l.mu.Unlock()
	e := d.event(j, 0, err.Error(), meansOurs, true)
	e.Route = "" // whatever the route, it begins here
	d.shaper.Observe(j.key, e)
	w, held := d.shaper.Held(j.key)
	if !held {
		w = shaping.Wait{Until: now.Add(time.Minute), Why: shaping.Why{Code: "unreachable", Args: []string{err.Error()}}}
	}
	d.park(j.key, j, w)
}
