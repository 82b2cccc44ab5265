package config

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/alarm"
	"postern/internal/mail"
	"postern/internal/opinion"
	"postern/internal/tree"
)

// validation looks at what single keys cannot tell: whether the values fit one another and the world.
type validation struct {
	*Config
	source   Source
	faults   Problems
	warnings Problems
}

func (v *validation) bad(path, format string, args ...any) {
	v.faults = append(v.faults, Problem{v.place(path), tree.Clip(path), fmt.Sprintf(format, args...)})
}

func (v *validation) doubt(path, format string, args ...any) {
	v.warnings = append(v.warnings, Problem{v.place(path), tree.Clip(path), fmt.Sprintf(format, args...)})
}

// place returns where the key stands, or the closest key above it that stands anywhere.
func (v *validation) place(path string) Origin {
	for path != "" {
		if at := v.origins[path]; at != (Origin{}) {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return Origin{}
}

func (v *validation) run() {
	v.general()
	v.listeners()
	v.certificate()
	v.portal()
	v.limits()
	v.customers()
	v.filter()
	v.delivery()
	v.returnPath()
	v.services()
	v.alarms()
	v.networks("webhooks.private_destinations", v.Webhooks.Private, "whoever may make a webhook can make Postern post to programs of this machine, which may trust it")
	v.domains()
	v.signals()
	v.reports()
	v.reputation()
}

// networks checks a list of networks that are not the internet; own is said of those that hold this machine.
func (v *validation) networks(key string, list []netip.Prefix, own string) {
	for i, n := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case !n.IsValid():
			continue // told already
		case n != n.Masked():
			v.bad(at, "%s has address bits beyond its length; did you mean %s or %s?", n, n.Masked(), netip.PrefixFrom(n.Addr(), n.Addr().BitLen()))
		case n.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || n.Overlaps(netip.MustParsePrefix("::1/128")):
			v.doubt(at, "%s", own)
		}
	}
}

// alarms asks the room that posts whether it can.
func (v *validation) alarms() {
	names := map[string]bool{}
	for i, h := range v.Alarm.Webhooks {
		path := fmt.Sprintf("alarm.webhooks[%d]", i)
		if h.URL != "" {
			if err := alarm.CheckURL(h.URL); err != nil {
				v.bad(path+".url", "%s; expected https://hooks.example.org/postern", err) // the address may hold a token
			}
		}
		if len(h.Secret) < 16 && !v.told(path+".secret_file") {
			v.bad(path+".secret_file", "the secret has %d bytes; expected a file with at least 16", len(h.Secret))
		}
		if names[h.Name] && h.Name != "" {
			v.bad(path+".name", "%q stands in the list already", tree.Clip(h.Name))
		}
		names[h.Name] = true
	}
}

func (v *validation) general() {
	if v.Hostname != "" {
		if _, literal := v.Hostname.Literal(); literal {
			v.bad("hostname", "%s is an address; expected a name that resolves to it", v.Hostname)
		} else if !strings.Contains(string(v.Hostname), ".") {
			v.doubt("hostname", "%s is no full host name; receivers refuse mail from servers whose name does not resolve", v.Hostname)
		}
	}
	if v.Storage.URL == "" {
		if v.Storage.Password != "" {
			v.bad("storage.password_file", "there is no database server to log in to; expected storage.url, or no password")
		}
		return
	}
	u, err := url.Parse(v.Storage.URL)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		v.bad("storage.url", "this is no PostgreSQL URL; expected postgres://USER@HOST/DATABASE, or no key for SQLite in data_dir")
	case u.Host == "" && u.Query().Get("host") == "" || strings.Trim(u.Path, "/") == "":
		v.bad("storage.url", "host or database is missing; expected postgres://USER@HOST/DATABASE")
	default:
		if _, has := u.User.Password(); has || u.Query().Has("password") {
			v.bad("storage.url", "a password may not stand in the configuration; put it into a file and name that with storage.password_file")
		}
	}
}

// bound is an address some service listens on.
type bound struct {
	path string
	addr netip.AddrPort
}

func (v *validation) bounds() []bound {
	var all []bound
	add := func(path string, addrs []netip.AddrPort) {
		for i, a := range addrs {
			if !a.IsValid() {
				continue // told already
			}
			all = append(all, bound{fmt.Sprintf("%s[%d]", path, i), a})
		}
	}
	add("listen.relay.address", v.Listen.Relay.Address)
	add("listen.submission.address", v.Listen.Submission.Address)
	add("listen.submissions.address", v.Listen.Submissions.Address)
	add("listen.bounces", v.Listen.Bounces)
	add("listen.web", v.Listen.Web)
	add("listen.metrics", v.Listen.Metrics)
	for _, s := range []struct {
		path string
		at   []Endpoint
	}{{"listen.milter", v.Listen.Milter}, {"listen.spamd", v.Listen.Spamd}} {
		for i, e := range s.at {
			if e.Addr.IsValid() {
				all = append(all, bound{fmt.Sprintf("%s[%d]", s.path, i), e.Addr})
			}
		}
	}
	return all
}

// local reports whether only this machine can reach the address.
func local(a netip.AddrPort) bool { return a.Addr().IsLoopback() }

func (v *validation) listeners() {
	all := v.bounds()
	for i, b := range all {
		for _, other := range all[:i] {
			same := b.addr.Addr() == other.addr.Addr() || b.addr.Addr().IsUnspecified() || other.addr.Addr().IsUnspecified()
			if b.addr.Port() == other.addr.Port() && same {
				v.bad(b.path, "%s is taken by %s; expected another port", b.addr, strings.TrimSuffix(other.path, "[0]"))
			}
		}
		switch {
		case local(b.addr):
		case strings.HasPrefix(b.path, "listen.submission") && v.TLS.SelfSigned():
			v.bad(b.path, "%s is reached from outside and passwords need TLS that clients can check; expected tls.cert_file and tls.key_file, or a loopback address", b.addr)
		case strings.HasPrefix(b.path, "listen.metrics"):
			v.doubt(b.path, "%s is reached from outside without a password; metrics tell who sends how much", b.addr)
		}
	}
	if len(v.Listen.Relay.Address)+len(v.Listen.Submission.Address)+len(v.Listen.Submissions.Address) == 0 {
		v.doubt("listen", "no SMTP service is on: mail comes in through `postern sendmail` only")
	}
	if !slices.ContainsFunc(v.Listen.Relay.Address, func(a netip.AddrPort) bool { return !local(a) }) {
		return
	}
	known := false
	for i, c := range v.Customers {
		for j, n := range c.Networks {
			known = known || !n.Addr().IsLoopback()
			for _, g := range containerNetworks {
				if n.Overlaps(netip.MustParsePrefix(g)) {
					v.doubt(fmt.Sprintf("customers[%d].networks[%d]", i, j), "%s may hold a container gateway, which stands for every client when the relay's port is published through NAT or a proxy: then everybody can send as %s. Check that the journal shows the true client addresses", n, c.ID)
					break
				}
			}
		}
	}
	if !known {
		v.doubt("listen.relay.address", "the relay is reached from outside, but no customer has a network there: it refuses everybody but this machine")
	}
}

// containerNetworks are where Docker, Podman, slirp4netns and Docker Desktop put containers and their gateways unless told otherwise.
var containerNetworks = []string{"172.16.0.0/12", "10.88.0.0/16", "10.0.2.0/24", "192.168.65.0/24", "fd00:dead:beef::/48"}

func (v *validation) certificate() {
	t := v.TLS
	switch {
	case t.CertFile == "" && t.KeyFile == "":
		return
	case t.KeyFile == "":
		v.bad("tls.cert_file", "a certificate without its key; expected tls.key_file too")
		return
	case t.CertFile == "":
		v.bad("tls.key_file", "a key without its certificate; expected tls.cert_file too")
		return
	}
	cert, err := v.source.ReadFile(t.CertFile)
	if err != nil {
		v.bad("tls.cert_file", "cannot be read (%s); expected a file Postern's user may read", tree.Clip(err.Error()))
	}
	key, keyErr := v.source.ReadFile(t.KeyFile)
	if keyErr != nil {
		v.bad("tls.key_file", "cannot be read (%s); expected a file Postern's user may read", tree.Clip(keyErr.Error()))
	}
	if err == nil && keyErr == nil {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			v.bad("tls.cert_file", "certificate and key do not work (%s); expected PEM files that belong together", tree.Clip(err.Error()))
		}
	}
}

// minSecret is the least length of the link secret in bytes.
const minSecret = 32

func (v *validation) portal() {
	if v.Web.Secret != "" && len(v.Web.Secret) < minSecret {
		v.bad("web.secret_file", "the secret has %d characters; expected at least %d random ones", len(v.Web.Secret), minSecret)
	}
	v.identity()
	if v.Web.BaseURL == "" {
		outside := func(a netip.AddrPort) bool { return a.IsValid() && !local(a) }
		if slices.ContainsFunc(v.Listen.Web, outside) && !v.told("web.base_url") {
			v.bad("listen.web", "the portal is reached from outside, and links in notices open messages; expected web.base_url with https://NAME of the web server before it (or http://localhost:PORT for a try)")
		}
		return
	}
	u, err := url.Parse(v.Web.BaseURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		v.bad("web.base_url", "%q is no address of a web site; expected https://mail.example.org, with a path if need be", tree.Clip(v.Web.BaseURL))
		return
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && !(err == nil && ip.IsLoopback()) {
		v.bad("web.base_url", "links in notices open messages and must not travel in the clear; expected https://")
	}
}

// identity checks web.session and web.oidc.
func (v *validation) identity() {
	s, o := v.Web.Session, v.Web.OIDC
	if longest := max(s.IdleOperator, s.IdleCustomer); longest > s.Absolute {
		v.doubt("web.session.absolute", "shorter than an idle time (%s), which then has no effect", formatDuration(longest))
	}
	if o.Issuer == "" {
		if o.ClientID != "" || o.ClientSecret != "" || o.OperatorGroup != "" || o.AbuseGroup != "" || len(o.AllowAddresses) > 0 {
			v.bad("web.oidc.issuer", "missing, while other keys of web.oidc are set; expected the provider's address")
		}
		return
	}
	u, err := url.Parse(o.Issuer)
	ip, ipErr := netip.ParseAddr(hostOf(u, err))
	loopback := ipErr == nil && ip.IsLoopback() || hostOf(u, err) == "localhost"
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		v.bad("web.oidc.issuer", "%q is no address of an identity provider; expected https://NAME, as its tokens say it", tree.Clip(o.Issuer))
	}
	if o.ClientID == "" {
		v.bad("web.oidc.client_id", "missing; expected the name that the provider gave this gateway")
	}
	if o.OperatorGroup == "" && o.AbuseGroup == "" && len(o.AllowAddresses) == 0 {
		v.bad("web.oidc.operator_group", "nobody could sign in; expected operator_group, abuse_group or allow_addresses")
	}
	for _, a := range o.AllowAddresses {
		if _, err := mail.ParseAddress(a); err != nil {
			v.bad("web.oidc.allow_addresses", "%q is no address (%s)", tree.Clip(a), tree.Clip(err.Error()))
		}
	}
}

// hostOf is the host of an address that may not have parsed.
func hostOf(u *url.URL, err error) string {
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (v *validation) limits() {
	l := v.Limits
	if l.ConnectionsPerIP > l.Connections {
		v.doubt("limits.connections_per_ip", "%d is more than limits.connections (%d): one client can take them all", l.ConnectionsPerIP, l.Connections)
	}
	if l.SoftErrors > l.Errors {
		v.doubt("limits.soft_errors", "%d is more than limits.errors (%d): answers are never delayed", l.SoftErrors, l.Errors)
	}
	if l.MessageSize > l.InFlight {
		v.bad("limits.in_flight", "smaller than limits.message_size; expected room for at least one message (%s)", formatSize(l.MessageSize))
	}
	if l.DataTimeout > l.SessionTimeout {
		v.bad("limits.session_timeout", "shorter than limits.data_timeout; expected at least %s", formatDuration(l.DataTimeout))
	}
}

func (v *validation) customers() {
	if len(v.Config.Customers) == 0 {
		v.doubt("customers", "nobody may send but the customers in the database")
	}
	ids, networks, domains := map[string]int{}, map[netip.Prefix]string{}, map[mail.Domain]string{}
	for i, c := range v.Config.Customers {
		path := fmt.Sprintf("customers[%d]", i)
		if first, twice := ids[c.ID]; twice {
			v.bad(path+".id", "%q is the id of customers[%d] already; expected one id each", c.ID, first)
		}
		ids[c.ID] = i
		if _, defined := v.Delivery.Pools[c.Pool]; c.Pool != "" && c.Pool != account.DefaultPool && !defined {
			hint := ""
			if near := nearest(c.Pool, sortedKeys(v.Delivery.Pools)); near != "" {
				hint = "; did you mean " + near + "?"
			}
			v.bad(path+".pool", "%q is not defined; expected a name of delivery.pools%s", tree.Clip(c.Pool), hint)
		}
		for j, n := range c.Networks {
			at := fmt.Sprintf("%s.networks[%d]", path, j)
			if !n.IsValid() {
				continue // told already
			}
			if err := account.CheckNetwork(n); err != nil {
				v.bad(at, "%s", err)
			} else if owner, taken := networks[n]; taken && owner != c.ID {
				v.bad(at, "%s belongs to customer %s already; expected one customer per network", n, owner)
			}
			networks[n] = c.ID
		}
		for j, d := range c.Domains {
			at := fmt.Sprintf("%s.domains[%d]", path, j)
			if d == "" {
				continue // told already
			}
			if err := account.CheckDomain(d); err != nil {
				v.bad(at, "%s", err)
			} else if owner, taken := domains[d]; taken && owner != c.ID {
				v.bad(at, "%s belongs to customer %s already; expected one customer per domain", d, owner)
			}
			domains[d] = c.ID
		}
		v.customer(path, c)
		v.tuning(path, c.Scores, c.Allow, c.Deny)
	}
}

// tuning looks at points and lists of a customer, or of everybody.
func (v *validation) tuning(path string, scores map[string]float64, allow, deny []string) {
	for _, name := range sortedKeys(scores) {
		if !testName.MatchString(name) {
			v.bad(path+".scores."+name, "this is no test's name; expected capitals like MIME_HTML_ONLY")
		}
	}
	most := account.MaxEntries
	if path == "filter" {
		most = account.MaxAllEntries
	}
	for i, list := range [][]string{allow, deny} {
		kind := []string{"allow", "deny"}[i]
		if len(list) > most {
			v.bad(path+"."+kind, "more than %d entries", most)
		}
		for i, text := range list {
			e, err := account.ParseEntry(text)
			if e.What == account.WhatFromDomain && kind == "allow" && !strings.Contains(e.Value, ".") {
				err = fmt.Errorf("%w: %s is a whole top-level domain", account.ErrInvalid, e.Value)
			}
			if kind == "allow" && err == nil && (e.What == account.WhatFrom || e.What == account.WhatFromDomain) {
				for j, c := range v.Config.Customers {
					if c.AnyFrom && (path == "filter" || path == fmt.Sprintf("customers[%d]", j)) {
						v.doubt(fmt.Sprintf("%s.%s[%d]", path, kind, i), "whoever sends through customer %s may write this into From and is let through; a client or credential cannot be written", c.ID)
						break
					}
				}
			}
			if err != nil && text != "" {
				v.bad(fmt.Sprintf("%s.%s[%d]", path, kind, i), "%s", strings.TrimPrefix(err.Error(), account.ErrInvalid.Error()+": "))
			}
		}
	}
}

// customer asks the ledger's own rules for what is not yet told.
func (v *validation) customer(path string, c Customer) {
	a := v.account(c)
	a.Domains = nil
	a.Networks = slices.DeleteFunc(slices.Clone(a.Networks), func(n netip.Prefix) bool { return account.CheckNetwork(n) != nil })
	err := a.Validate()
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		key, text, _ := strings.Cut(line, ": ")
		at := path + "." + key
		if slices.ContainsFunc(v.faults, func(p Problem) bool { return p.Key == at || strings.HasPrefix(p.Key, at+"[") }) {
			continue
		}
		if key == "any_from" && len(c.Networks) > 0 {
			continue // its networks are wrong, which is told
		}
		v.bad(at, "%s", text)
	}
}

var testName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,63}$`)

func (v *validation) filter() {
	f := v.Filter
	if !f.Enabled {
		v.doubt("filter.enabled", "mail leaves untested")
	}
	v.tuning("filter", f.Scores, f.Allow, f.Deny)
	zones := map[mail.Domain]bool{}
	for i, x := range f.DNSBL.Extra {
		if x.Zone != "" && zones[x.Zone] {
			v.bad(fmt.Sprintf("filter.dnsbl.extra[%d].zone", i), "%s stands in the list already", x.Zone)
		}
		zones[x.Zone] = true
	}
	v.blocklists()
	v.scanners()
	if v.Held.LinkTTL < v.Held.Keep {
		v.doubt("held.link_ttl", "the link in a notice stops working before the message expires (held.keep: %s)", formatDuration(v.Held.Keep))
	}
}

// scanners asks the trade that speaks to them whether it can.
func (v *validation) scanners() {
	c, r := v.Filter.Clamd, v.Filter.Rspamd
	if c.Address != "" {
		if err := opinion.CheckClamdAddress(c.Address); err != nil {
			v.bad("filter.clamd.address", "%q: %s; expected unix:/run/clamav/clamd.ctl or 127.0.0.1:3310", tree.Clip(c.Address), err)
		}
	}
	if r.URL != "" {
		if err := opinion.CheckRspamdURL(r.URL); err != nil {
			v.bad("filter.rspamd.url", "%s; expected http://127.0.0.1:11333, or https:// to a server elsewhere", err) // may hold a password
		}
	} else if r.Password != "" && !v.told("filter.rspamd.url") {
		v.bad("filter.rspamd.password_file", "there is no rspamd to show it to; expected filter.rspamd.url too, or no password")
	}
	for _, x := range []struct {
		key, onError string
		on           bool
		size         Size
	}{{"filter.clamd", c.OnError, c.Address != "", c.MaxSize}, {"filter.rspamd", r.OnError, r.URL != "", r.MaxSize}} {
		switch {
		case !x.on:
		case !v.Filter.Enabled:
			v.doubt(x.key, "is not asked while filter.enabled is false")
		case x.onError == "defer" && x.size < v.Limits.MessageSize:
			v.doubt(x.key+".max_size", "smaller than limits.message_size (%s): messages between are refused", formatSize(v.Limits.MessageSize))
		case x.onError == "pass" && x.size < v.Limits.MessageSize && x.key == "filter.clamd":
			v.doubt(x.key+".max_size", "smaller than limits.message_size (%s): larger messages leave without a look for viruses", formatSize(v.Limits.MessageSize))
		}
	}
}

var poolName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (v *validation) delivery() {
	d := v.Delivery
	v.smarthost(d.Smarthost)
	if d.Concurrency.PerDomain > d.Concurrency.Total {
		v.bad("delivery.concurrency.per_domain", "more than delivery.concurrency.total (%d); expected at most that", d.Concurrency.Total)
	}
	if len(d.Retry) == 0 {
		if v.Origin("delivery.retry") != (Origin{}) && !v.told("delivery.retry") {
			v.bad("delivery.retry", "the list is empty; expected at least one wait like 5m")
		}
	} else if d.Retry[0] > d.Expire {
		v.bad("delivery.expire", "shorter than the first wait of delivery.retry (%s); expected more, or mail is tried once only", formatDuration(d.Retry[0]))
	}
	if d.DelayNotice > d.Expire {
		v.doubt("delivery.delay_notice", "later than delivery.expire (%s): nobody is told of a delay", formatDuration(d.Expire))
	}
	v.networks("delivery.private_destinations", d.Private, "whoever may send can make Postern speak to mail servers of this machine, which may trust it")
	for i, r := range d.TLSRules {
		at := fmt.Sprintf("delivery.tls_rules[%d]", i)
		if (r.Domain == "") == (r.Exchanger == "") && !v.told(at) {
			v.bad(at, "expected either domain or exchanger")
		}
		if d.Smarthost.Host != "" && i == 0 {
			v.doubt("delivery.tls_rules", "all mail leaves through the smarthost (delivery.smarthost.tls); rules for others mean nothing")
		}
	}
	if d.TLS == "none" {
		v.doubt("delivery.tls", "mail travels in the clear, and several receivers refuse it")
	}
	if d.Port != 25 && d.Port != 0 && d.Smarthost.Host == "" {
		v.doubt("delivery.port", "mail servers listen on port 25; %d is for tests", d.Port)
	}
	for _, name := range sortedKeys(d.Pools) {
		path := "delivery.pools." + name
		if !poolName.MatchString(name) {
			v.bad(path, "%q cannot be a pool's name; expected a-z, 0-9 and -", tree.Clip(name))
		}
		if len(d.Pools[name]) == 0 && !v.told(path) {
			v.bad(path, "the pool has no address; expected at least one ip, or no pool of that name")
		}
		seen := map[netip.Addr]bool{}
		for i, e := range d.Pools[name] {
			if e.IP.IsValid() && (seen[e.IP] || e.IP.IsUnspecified() || e.IP.IsMulticast()) {
				v.bad(fmt.Sprintf("%s[%d].ip", path, i), "%s cannot stand here; expected an address of this machine, once per pool", e.IP)
			}
			seen[e.IP] = true
			if e.WarmSince != "" && e.Warm().IsZero() {
				v.bad(fmt.Sprintf("%s[%d].warm_since", path, i), "%q is no date; expected one like 2026-11-20", tree.Clip(e.WarmSince))
			}
		}
	}
	v.poolOptions(d)
}

func (v *validation) poolOptions(d Delivery) {
	for _, name := range sortedKeys(d.PoolOptions) {
		path := "delivery.pool_options." + name
		if _, ok := d.Pools[name]; !ok {
			v.doubt(path, "has no effect: delivery.pools has no pool of that name")
		}
		o := d.PoolOptions[name].Overflow
		if _, ok := d.Pools[o]; o != "" && (!ok && o != account.DefaultPool || o == name) {
			v.bad(path+".overflow", "%q cannot stand here; expected the name of another pool of delivery.pools", tree.Clip(o))
		}
	}
	for i, n := range d.WarmUp {
		if i > 0 && n < d.WarmUp[i-1] {
			v.doubt("delivery.warm_up", "day %d allows less than the day before", i+1)
			break
		}
	}
}

// told reports whether the key has a fault already, so that a value missing for that reason is not complained about twice.
func (v *validation) told(path string) bool {
	return slices.ContainsFunc(v.faults, func(p Problem) bool { return strings.HasPrefix(p.Key, path) })
}

func (v *validation) smarthost(s Smarthost) {
	const at = "delivery.smarthost."
	if s.Host == "" {
		if (s.User != "" || s.Password != "") && !v.told(at+"host") {
			v.doubt(at+"user", "has no effect without delivery.smarthost.host")
		}
		return
	}
	ip, err := netip.ParseAddr(s.Host)
	isAddress := err == nil
	if _, err := mail.ParseDomain(s.Host); err != nil && !isAddress {
		v.bad(at+"host", "%q is no host name or address; expected smtp.example.org (the port has its own key)", tree.Clip(s.Host))
	}
	here := s.Host == "localhost" || isAddress && ip.IsLoopback()
	switch {
	case s.User != "" && s.Password == "" && !v.told(at+"password"):
		v.bad(at+"user", "a user name without password; expected delivery.smarthost.password_file too")
	case s.User == "" && s.Password != "":
		v.bad(at+"password_file", "a password without user name; expected delivery.smarthost.user too")
	case s.User != "" && !here && (s.TLS == "none" || s.TLS == "opportunistic"):
		v.bad(at+"tls", "%q would send the password in the clear; expected required or implicit", s.TLS)
	}
}
