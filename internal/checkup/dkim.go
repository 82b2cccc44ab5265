package checkup

import (
	"crypto/rsa"
	"strings"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dns"
	"postern/internal/mail"
)

// dkim looks at the published half of each key of the domain, or of the parent whose keys sign for it.
func (l *look) dkim() []Finding {
	if !l.o.Signs {
		return []Finding{{Group: DKIM, Code: "dkim.off", State: Advice, Operator: true}}
	}
	keys := l.keys()
	if len(keys) == 0 {
		return []Finding{{Group: DKIM, Code: "dkim.none", State: Problem, Args: map[string]any{"Domain": string(l.domain)}}}
	}
	looks := make([]keyLook, len(keys))
	for i, k := range keys {
		looks[i] = l.lookAt(k)
	}
	out := make([]Finding, len(keys))
	for i := range looks {
		out[i] = looks[i].judge(looks)
	}
	return out
}

// keys are those of the domain or of its closest parent that has any and is the customer's, newest first.
func (l *look) keys() []account.KeyRecord {
	all := l.o.Accounts.Keys()
	for name := string(l.domain); name != ""; _, name, _ = strings.Cut(name, ".") {
		d := mail.Domain(name)
		if !l.o.Accounts.OwnsDomain(l.customer, d) {
			return nil
		}
		var own []account.KeyRecord
		for _, k := range all {
			if k.Domain == d {
				own = append(own, k)
			}
		}
		if len(own) > 0 {
			for i, j := 0, len(own)-1; i < j; i, j = i+1, j-1 { // Keys sorts by selector, which mostly is a date
				own[i], own[j] = own[j], own[i]
			}
			return own
		}
	}
	return nil
}

// keyLook is one key with what is published for it.
type keyLook struct {
	record account.KeyRecord
	key    dkim.Key
	broken bool // our own key cannot be read
	answer dns.Answer
	state  string // dkim.PublishedMatch ...
	found  string
	w      *witness
}

func (l *look) lookAt(k account.KeyRecord) keyLook {
	x := keyLook{record: k, w: l.witness()}
	key, err := dkim.ParseKey(k.PEM, k.Domain, k.Selector)
	if err != nil {
		x.broken = true
		return x
	}
	x.key = key
	x.answer = dns.TXT(l.ctx, x.w, key.RecordName())
	x.state, x.found = dkim.CheckPublished(l.ctx, x.w, key)
	return x
}

// live reports whether receivers can check signatures of the key, and it signs.
func (x keyLook) live() bool { return !x.broken && x.record.Active && x.state == dkim.PublishedMatch }

// judge says what is to be done about one key, knowing the others.
func (x keyLook) judge(all []keyLook) Finding {
	f := Finding{Group: DKIM, Subject: x.record.Selector, Args: map[string]any{"Selector": x.record.Selector, "Domain": string(x.record.Domain)}, Evidence: x.w.evidence()}
	if x.broken {
		f.Code, f.State, f.Operator = "dkim.unreadable", Problem, true
		return f
	}
	covered, newer := false, false // another key signs and is published; ... and was made after this one
	for _, o := range all {
		if o.record.Selector != x.record.Selector && o.live() {
			covered = true
			newer = newer || !o.record.Created.Before(x.record.Created)
		}
	}
	publish := []Record{{Name: x.key.RecordName(), Type: "TXT", Value: x.key.Record(), TTL: TTL}}
	missing := Problem
	if covered {
		missing = Advice
	}
	values := texts(x.answer, func(string) bool { return true })
	switch {
	case x.state == dkim.PublishedUnknown:
		f.Code, f.State = "dkim.unknown", Unknown
		f.Args["Why"] = reason(x.answer.Err)
	case !x.record.Active && newer:
		f.Code, f.State = "dkim.retired", Fine
	case x.state == dkim.PublishedMissing && x.record.Active:
		f.Code, f.State, f.Records = "dkim.absent", missing, publish
	case x.state == dkim.PublishedMissing:
		f.Code, f.State, f.Records = "dkim.waiting", missing, publish
	case x.state == dkim.PublishedMismatch && revoked(x.found):
		f.Code, f.State, f.Records = "dkim.revoked", missing, publish
		f.Records[0].Replace = values
	case x.state == dkim.PublishedMismatch:
		f.Code, f.State, f.Records = "dkim.differs", missing, publish
		f.Records[0].Replace = values
	case len(values) > 1:
		f.Code, f.State, f.Records = "dkim.several", missing, publish
		f.Records[0].Replace = values
		f.Args["Number"] = len(values)
	case !x.record.Active:
		f.Code, f.State = "dkim.ready", missing
	case testing(x.found):
		f.Code, f.State, f.Records = "dkim.testing", Advice, publish
		f.Records[0].Replace = values
	case short(x.key):
		f.Code, f.State = "dkim.short", Advice
	default:
		f.Code, f.State = "dkim.fine", Fine
	}
	return f
}

// tags reads a list of name=value, loosely: the first of a name counts.
func tags(text string) map[string]string {
	out := map[string]string{}
	for _, spec := range strings.SplitN(text, ";", 64) {
		name, value, ok := strings.Cut(spec, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := out[name]; ok && !twice {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// revoked reports whether a key record says that its key is no longer in use: p= is empty (RFC 6376 3.6.1).
func revoked(text string) bool {
	p, ok := tags(text)["p"]
	return ok && p == ""
}

// testing reports whether a key record has t=y: receivers then treat the signature as if there were none (RFC 6376 3.6.1).
func testing(text string) bool {
	for _, flag := range strings.Split(tags(text)["t"], ":") {
		if strings.EqualFold(strings.TrimSpace(flag), "y") {
			return true
		}
	}
	return false
}

// short reports whether a key is below what RFC 8301 3.2 asks of signers: RSA of 2048 bits.
func short(k dkim.Key) bool {
	public, ok := k.Private.Public().(*rsa.PublicKey)
	return ok && public.N.BitLen() < 2048
}

// signed reports whether what leaves here carries a signature of the domain that receivers can check; known is false while DNS does not say.
func (l *look) signed() (d mail.Domain, ok, known bool) {
	if !l.o.Signs {
		return "", false, true
	}
	known = true
	for _, k := range l.o.Accounts.SigningKeysFor(l.customer.ID, l.domain) {
		key, err := dkim.ParseKey(k.PEM, k.Domain, k.Selector)
		if err != nil {
			continue
		}
		switch state, found := dkim.CheckPublished(l.ctx, l.known, key); {
		case state == dkim.PublishedMatch && !testing(found):
			return k.Domain, true, true
		case state == dkim.PublishedUnknown:
			known = false
		}
	}
	return "", false, known
}
