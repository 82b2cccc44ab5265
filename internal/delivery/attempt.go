package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// link is an open connection to a mail exchanger.
type link struct {
	*smtp.Client
	host   string     // "mx.example.net[192.0.2.1]", for people
	egress netip.Addr // where we speak from; invalid: the system chose
	pool   string
	sent   int
}

// serve is one worker of a lane: it opens a connection when a message needs one and keeps it while there is work.
func (d *Delivery) serve(l *lane) {
	defer d.workers.Done()
	var c *link
	for {
		j, ok := d.take(l, c != nil)
		if !ok {
			d.hangUp(l.ctx, c)
			return
		}
		if until, why, down := d.isDown(l); down && c == nil {
			d.leaveAlone(j, until, why)
		} else {
			c = d.attempt(l, c, j)
		}
		d.leftWindow()
	}
}

// leftWindow counts a job out of the window.
func (d *Delivery) leftWindow() {
	d.mu.Lock()
	d.jobs--
	d.mu.Unlock()
	select {
	case d.freed <- struct{}{}:
	default:
	}
}

func (d *Delivery) hangUp(ctx context.Context, c *link) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Timeouts.Quit)
	defer cancel()
	_ = c.Quit(ctx) // courtesy: everything is already decided
	<-d.slots
}

// leaveAlone puts a job off without an attempt, because its destination could not be reached a moment ago. What waits for it does
// not come back all at once.
func (d *Delivery) leaveAlone(j job, until time.Time, why string) {
	for _, r := range j.to {
		d.report(outcome{letter: j.letter, to: r, code: 451, enhanced: "4.4.1", text: why, retryAt: until.Add(rand.N(30 * time.Second))})
	}
}

// attempt carries one message over a connection, a new one where needed, and reports what became of each recipient. It
// returns the connection if it can be used again.
func (d *Delivery) attempt(l *lane, c *link, j job) *link {
	data, err := d.data(l.ctx, j.letter)
	if err != nil {
		d.unreadable(j, err)
		return c
	}
	if c != nil && (c.sent >= d.o.PerConn || c.pool != j.Pool) {
		d.hangUp(l.ctx, c)
		c = nil
	}
	reused := c != nil
	for {
		if c == nil {
			var why *trouble
			switch c, why = d.connect(l, j); {
			case c == nil && why == nil:
				d.unclaim(j) // the end came before the attempt began
				return nil
			case c == nil:
				d.failAll(j, *why)
				return nil
			}
		}
		env := j.Envelope
		env.Recipients = make([]mail.Recipient, len(j.to))
		for i, r := range j.to {
			env.Recipients[i] = r.Recipient
		}
		res, err := c.Send(l.ctx, env, data)
		if errors.Is(err, smtp.ErrNeeds8BitMIME) { // nothing was sent yet
			seven, ok, trouble := d.sevenBit(j.letter)
			if trouble != nil {
				d.unreadable(j, trouble)
				return c
			}
			if ok {
				res, err = c.Send(l.ctx, env, seven)
			}
		}
		if reused && !c.Usable() && unused(res) {
			// The server ended the connection while it was idle, by closing it or with 421; the message has not been spoken of.
			d.drop(c)
			c, reused = nil, false
			continue
		}
		c.sent++
		d.outcomesOf(c, j, res, err)
		if !c.Usable() {
			d.drop(c)
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

func (d *Delivery) drop(c *link) {
	_ = c.Close()
	<-d.slots
}

// outcomesOf turns the server's replies into fates.
func (d *Delivery) outcomesOf(c *link, j job, res smtp.Result, err error) {
	talk := conversation(c.Transcript())
	for i, r := range j.to {
		o := outcome{letter: j.letter, to: r, host: c.host, egress: c.egress, attempted: true, conversation: talk}
		var reply smtp.Reply
		switch {
		case res.Mail.Code != 0 && !res.Mail.OK():
			reply = res.Mail
		case i < len(res.Recipients) && res.Recipients[i].Code != 0 && !res.Recipients[i].OK():
			reply = res.Recipients[i]
		case res.Data.Code != 0:
			reply = res.Data
		}
		switch refused := new(smtp.Error); {
		case reply.Code != 0:
			o.code, o.enhanced, o.text = reply.Code, enhanced(reply), strings.Join(reply.Lines, " ")
		case res.AfterDot:
			o.code, o.enhanced = 451, "4.4.2"
			o.text = "connection lost after the whole message was sent: the server may have it, and it may arrive twice"
		case errors.As(err, &refused) && !isBroken(err):
			o.code, o.enhanced, o.text = refused.Code, dotted(refused.Enhanced), refused.Text
		case err != nil:
			o.code, o.enhanced, o.text = 451, "4.4.2", err.Error()
		default:
			o.code, o.enhanced, o.text = 451, "4.5.0", "the server did not answer for this recipient"
		}
		d.report(o)
	}
}

func enhanced(r smtp.Reply) string { return dotted(r.Enhanced) }

func dotted(e smtp.Enhanced) string {
	if e == (smtp.Enhanced{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

func conversation(ex []smtp.Exchange) []string {
	var out []string
	for _, e := range ex {
		if e.Sent != "" {
			out = append(out, "> "+e.Sent)
		}
		for _, line := range e.Received {
			out = append(out, "< "+line)
		}
	}
	return out
}

// failAll gives every recipient of a job the same trouble.
func (d *Delivery) failAll(j job, t trouble) {
	for _, r := range j.to {
		d.report(outcome{letter: j.letter, to: r, code: t.code, enhanced: t.enhanced, text: t.text, attempted: true})
	}
}

// unreadable deals with a message whose bytes cannot be had or signed: nothing leaves. Damaged ones are held by the spool for an
// operator to see; for the rest our storage is at fault, not the recipient.
func (d *Delivery) unreadable(j job, err error) {
	d.o.Logger.Error("message cannot be read or signed", "queue_id", j.ID, "account", j.Customer, "error", err)
	if errors.Is(err, spool.ErrDamaged) || errors.Is(err, spool.ErrLost) || errors.Is(err, spool.ErrNotFound) {
		d.unclaim(j)
		return
	}
	d.failAll(j, trouble{451, "4.3.0", "local trouble: " + err.Error()})
}

// connect opens a connection for a job. When it cannot, it says why, and leaves the lane alone if nobody answered at all. It
// returns neither when delivery ends while all connections are in use.
func (d *Delivery) connect(l *lane, j job) (*link, *trouble) {
	select {
	case d.slots <- struct{}{}:
	default:
		select {
		case d.slots <- struct{}{}:
		case <-d.ending:
			return nil, nil
		}
	}
	c, why := d.reach(l, j)
	if c == nil {
		<-d.slots
		return nil, why
	}
	d.o.Count("connected", l.name)
	return c, nil
}

func (d *Delivery) reach(l *lane, j job) (*link, *trouble) {
	var list []target
	var why *trouble
	if d.o.Smarthost != nil {
		list, why = d.smarthostTargets(l.ctx)
	} else {
		list, why = d.targets(l.ctx, j.to[0].Address.Domain)
	}
	if why != nil {
		return nil, why
	}
	sessions := 0
	for _, t := range list {
		egress, ok := d.egress(j, t)
		if !ok {
			if why == nil {
				why = &trouble{451, "4.4.1", t.host + "[" + t.addr.Addr().String() + "] cannot be reached: the pool has no egress address of its family (delivery.pools)"}
			}
			continue
		}
		e := shaping.Egress{IP: egress.IP, HELO: egress.HELO}
		var c *link
		var err error
		if d.o.Smarthost != nil {
			c, err = d.openSmarthost(l.ctx, t, e)
		} else {
			c, err = d.secure(l.ctx, t, e, &destination{domain: j.to[0].Address.Domain}, j.letter)
		}
		if err == nil {
			c.pool = j.Pool
			return c, nil
		}
		why = reasonOf(err, t)
		var said *smtp.Error
		if errors.As(err, &said) {
			if sessions++; sessions >= maxSessions {
				break
			}
		}
		if l.ctx.Err() != nil {
			return nil, &trouble{451, "4.3.2", "shutting down"}
		}
	}
	if why == nil {
		why = &trouble{451, "4.4.1", "no address to connect to"}
	}
	if sessions == 0 {
		d.o.Count("unreachable", l.name)
	}
	if !why.permanent() {
		d.shut(l, why.text)
	}
	return nil, why
}

// egress picks the address a job leaves from towards a target: those of its pool and of the target's family take turns. ok is false
// when the pool names addresses and none is of that family: from an address outside the pool SPF would not hold, and one
// customer's mail would leave from another's reputation.
func (d *Delivery) egress(j job, t target) (e account.Egress, ok bool) {
	pool := d.o.Accounts.Pool(j.Pool).Egress
	if len(pool) == 0 {
		return account.Egress{HELO: d.o.Hostname}, true
	}
	var fit []account.Egress
	for _, e := range pool {
		if !e.IP.IsValid() || e.IP.Unmap().Is4() == t.addr.Addr().Unmap().Is4() {
			fit = append(fit, e)
		}
	}
	if len(fit) == 0 {
		return e, false
	}
	e = fit[int(j.Received.UnixMicro()%int64(len(fit)))]
	if e.HELO == "" {
		e.HELO = d.o.Hostname
	}
	return e, true
}

// openSmarthost connects to the smarthost, greets and logs in.
func (d *Delivery) openSmarthost(ctx context.Context, t target, e shaping.Egress) (*link, error) {
	s := d.o.Smarthost
	o := smtp.ClientOptions{Hostname: e.HELO, LocalAddr: e.IP, Dial: d.o.Dial, Timeouts: d.o.Timeouts}
	if s.TLS == "implicit" {
		o.Dial = d.dialTLS(s)
	}
	c, err := smtp.Dial(ctx, t.addr, o)
	if err != nil {
		return nil, err
	}
	l := &link{Client: c, host: t.String(), egress: e.IP}
	if err := d.login(ctx, l, s); err != nil {
		_ = c.Close()
		return nil, err
	}
	return l, nil
}

// login secures the connection to the smarthost and logs in. Its certificate is checked: it sees all our mail.
func (d *Delivery) login(ctx context.Context, l *link, s *Smarthost) error {
	_, offered := l.Extension("STARTTLS")
	switch {
	case s.TLS == "opportunistic" && offered:
		if err := l.StartTLS(ctx, opportunistic(s.Host)); err != nil {
			return err
		}
	case s.TLS == "" || s.TLS == "required":
		if err := l.StartTLS(ctx, &tls.Config{ServerName: s.Host, RootCAs: d.o.RootCAs, MinVersion: tls.VersionTLS12}); err != nil {
			return err
		}
	}
	if s.User == "" {
		return nil
	}
	return l.Auth(ctx, s.User, s.Password)
}

func (d *Delivery) dialTLS(s *Smarthost) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		dial := d.o.Dial
		if dial == nil {
			dial = (&net.Dialer{}).DialContext
		}
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := tls.Client(raw, &tls.Config{ServerName: s.Host, RootCAs: d.o.RootCAs, MinVersion: tls.VersionTLS12})
		if err := c.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return c, nil
	}
}

func (d *Delivery) smarthostTargets(ctx context.Context) ([]target, *trouble) {
	s := d.o.Smarthost
	port := s.Port
	if port == 0 {
		port = 587
		if s.TLS == "implicit" {
			port = 465
		}
	}
	if ip, err := netip.ParseAddr(s.Host); err == nil {
		return []target{{host: s.Host, addr: netip.AddrPortFrom(ip, uint16(port))}}, nil
	}
	list, why := d.addresses(ctx, s.Host)
	if len(list) == 0 && why == nil {
		why = &trouble{451, "4.4.4", "The smarthost " + s.Host + " has no address"} // ours to mend, never the recipient's fault
	}
	for i := range list {
		list[i].addr = netip.AddrPortFrom(list[i].addr.Addr(), uint16(port))
	}
	return list, why
}

// reasonOf puts a failed connection into the words of a reply. It is always temporary, also when the server greets with 5xx or refuses
// our login: that speaks of us, not of the recipient, and must not end his mail.
func reasonOf(err error, t target) *trouble {
	var policy *trouble
	if errors.As(err, &policy) {
		return policy
	}
	where := t.String()
	var said *smtp.Error
	if errors.As(err, &said) {
		return &trouble{451, "4.4.2", fmt.Sprintf("%s said before any mail: %d %s", where, said.Code, strings.ReplaceAll(said.Text, "\n", " "))}
	}
	return &trouble{451, "4.4.1", "connect to " + where + " port " + strconv.Itoa(int(t.addr.Port())) + ": " + err.Error()}
}
