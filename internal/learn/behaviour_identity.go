package learn

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"strings"
	"unicode"

	"postern/internal/mail"
)

// Kind says what an identity is known by, from the finest to the coarsest.
type Kind string

// The kinds. A login cannot be forged; a script and an author can, by whoever may send from that address at all, so that behaviour
// looks one step wider when an identity is new (Behaviour.Crowd).
const (
	ByLogin  Kind = "login"
	ByScript Kind = "script"
	ByFrom   Kind = "from"
	ByIP     Kind = "ip"
)

// Identity is who is behind a message, as fine as it is known. It always lies inside one customer: nothing that is written in a
// message of one customer counts for or against another.
type Identity struct {
	Customer   string
	Kind       Kind
	Credential string     // login: its user name; script: the login that it sends with, if any
	Script     string     // script: what its field says, shortened; with the author's domain where the field names no site
	From       string     // from: domain of the author
	ClientIP   netip.Addr // ip; script without a login. Of IPv6 the /64, within which a client may take any address
}

// Bounds of what an identity keeps of outside text.
const (
	maxScript = 160   // bytes of a script's name that are shown; longer ones are told apart by their digest
	scanHead  = 32768 // bytes of a header that are searched for a script
)

// IdentityOf is the finest identity of a message: the script that a field of the header names, within the login or the client's address that
// it came by; else the login; else the author's domain; else the client's address. head is the message or its header.
func IdentityOf(customer, credential string, client netip.Addr, from mail.Domain, head []byte) Identity {
	id := Identity{Customer: customer, Credential: credential, ClientIP: host(client)}
	script, site := scriptOf(head)
	switch {
	case script != "":
		id.Kind, id.Script = ByScript, script
		if !site && from != "" {
			id.Script += " of " + string(from)
		}
		if credential != "" {
			id.ClientIP = netip.Addr{}
		}
	case credential != "":
		id.Kind, id.ClientIP = ByLogin, netip.Addr{}
	case from != "":
		id.Kind, id.From = ByFrom, clip(string(from), 255)
	default:
		id.Kind = ByIP
	}
	return id
}

// host is the part of an address that its holder cannot change: all of an IPv4 address, the network of an IPv6 address.
func host(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// place names the client.
func (i Identity) place() string {
	switch {
	case !i.ClientIP.IsValid():
		return "unknown address"
	case i.ClientIP.Is6():
		return i.ClientIP.String() + "/64"
	}
	return i.ClientIP.String()
}

// String names the identity for the evidence: "login web12", "script 33:form.php of shop.example at 192.0.2.7".
func (i Identity) String() string {
	switch i.Kind {
	case ByLogin:
		return "login " + i.Credential
	case ByScript:
		name := i.Script
		if len(name) > maxScript {
			name = clip(name, maxScript) + "…"
		}
		if i.Credential != "" {
			return "script " + name + " of login " + i.Credential
		}
		return "script " + name + " at " + i.place()
	case ByFrom:
		return "author domain " + i.From
	}
	return "client " + i.place()
}

// wider is what a forger of the identity cannot change: the login, or the client's address. The others have none.
func (i Identity) wider() (Identity, bool) {
	w := Identity{Customer: i.Customer, Credential: i.Credential, ClientIP: i.ClientIP, Kind: ByIP}
	switch i.Kind {
	case ByScript:
		if i.Credential != "" {
			w.Kind = ByLogin
		}
		return w, true
	case ByFrom:
		return w, true
	}
	return Identity{}, false
}

// digest is the key of an identity.
type digest [16]byte

func (i Identity) key() digest {
	ip := ""
	if i.ClientIP.IsValid() && i.Kind != ByFrom {
		ip = i.ClientIP.String()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{"behaviour", i.Customer, string(i.Kind), strings.ToLower(i.Credential), i.Script, i.From, ip}, "\x00")))
	return digest(sum[:16])
}

// newAt is the key of the new identities of a place together; not that of who has no finer identity than the place.
func (i Identity) newAt() digest {
	i.Kind = "new at " + i.Kind
	return i.key()
}

// scriptFields are the fields in which web servers name the program that made a message, best first: with site and path, with the
// owner's number and the file, with the folder, with the command.
var scriptFields = []string{"x-php-script", "x-php-originating-script", "x-source-dir", "x-source-args", "x-mailer-script", "x-source"}

// scriptOf finds the program that made a message. site tells whether its name includes the site.
func scriptOf(head []byte) (name string, site bool) {
	var found [6]string
	any := false
	head = head[:min(len(head), scanHead)]
	for len(head) > 0 {
		line := head
		if n := bytes.IndexByte(head, '\n'); n >= 0 {
			line, head = head[:n], head[n+1:]
		} else {
			head = nil
		}
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
			break
		}
		// Cheap refusals first: this runs for each field of each message.
		if len(line) < 10 || line[0]|0x20 != 'x' || line[1] != '-' || line[2]|0x20 != 'p' && line[2]|0x20 != 's' && line[2]|0x20 != 'm' {
			continue
		}
		field, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(field) > 30 {
			continue
		}
		for k, want := range scriptFields {
			if found[k] != "" || !strings.EqualFold(string(bytes.TrimRight(field, " \t")), want) {
				continue
			}
			value := string(value)
			for len(head) > 0 && (head[0] == ' ' || head[0] == '\t') && len(value) < 2000 { // folded
				more := head
				if n := bytes.IndexByte(head, '\n'); n >= 0 {
					more, head = head[:n], head[n+1:]
				} else {
					head = nil
				}
				value += " " + string(more)
			}
			if found[k] = scriptValue(value); found[k] != "" {
				any = true
			}
		}
	}
	if !any {
		return "", false
	}
	if found[2] != "" && found[3] != "" { // cPanel: the site's folder and the command
		return found[2] + " " + found[3], true
	}
	for k, v := range found {
		if v != "" {
			return v, k == 0 || k == 2
		}
	}
	return "", false
}

// scriptValue is what stays the same from one message of a script to the next: without the visitor's address that PHP adds, without what
// a URL asks, bounded, printable.
func scriptValue(v string) string {
	v, _, _ = strings.Cut(v, " for ") // X-PHP-Script: site/path for 203.0.113.9, 10.0.0.1
	v, _, _ = strings.Cut(v, "?")
	v = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(v, "\uFFFD"))
	return clip(strings.Join(strings.Fields(v), " "), 1000)
}
