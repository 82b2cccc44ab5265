package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"

	"postern/internal/account"
	"postern/internal/tree"
)

// Endpoint is where a service for other programs listens: an address and port, or a unix socket.
type Endpoint struct {
	Addr netip.AddrPort // invalid for a socket
	Path string         // of the socket; "" for an address
}

// String is the form in the configuration.
func (e Endpoint) String() string {
	if e.Path != "" {
		return "unix:" + e.Path
	}
	return e.Addr.String()
}

// Local reports whether only this machine can reach it.
func (e Endpoint) Local() bool { return e.Path != "" || e.Addr.Addr().IsLoopback() }

// Milter says how mail of other mail servers is judged over the milter protocol; see package milter.
type Milter struct {
	Customer    string         `key:"customer"`
	Action      string         `key:"action"`    // quarantine, reject, tag
	OnError     string         `key:"on_error"`  // tempfail, accept
	TooLarge    string         `key:"too_large"` // accept, tempfail
	Networks    []netip.Prefix `key:"networks"`
	Connections int            `key:"connections"`
}

// Spamd says how programs that speak SpamAssassin's protocol are served; see package spamd.
type Spamd struct {
	Customer    string         `key:"customer"`
	Language    string         `key:"language"`
	Learn       bool           `key:"learn"`
	Networks    []netip.Prefix `key:"networks"`
	Connections int            `key:"connections"`
}

// SpamdLearnRemote reports whether clients on other machines may teach: only where spamd.learn is written down.
func (c *Config) SpamdLearnRemote() bool {
	return c.Spamd.Learn && c.Origin("spamd.learn") != (Origin{})
}

const endpointUnit = "address:port or unix:FILE, or a list of them; [] = off"

func serviceListenKeys() []Key {
	return []Key{
		{Path: "listen.milter", Default: "[]", Unit: endpointUnit, Sample: "127.0.0.1:11332", Restart: true, Doc: "The filter for Postfix and Sendmail (milter protocol). No password: keep it on this machine, or name the mail servers in milter.networks."},
		{Path: "listen.spamd", Default: "[]", Unit: endpointUnit, Sample: "127.0.0.1:783", Restart: true, Doc: "The filter for spamc, Exim, procmail and others that ask SpamAssassin's spamd. No password: keep it on this machine, or name the clients in spamd.networks."},
	}
}

func serviceKeys() []Key {
	return []Key{
		{Path: "milter", Doc: "How mail of other mail servers is judged (listen.milter)."},
		{Path: "milter.customer", Unit: "customer's id", Sample: "acme", Doc: "Whose mail it is when neither the login at the mail server nor the client's address tells. Empty: nobody's, with filter.threshold."},
		{Path: "milter.action", Default: "quarantine", Enum: []string{"quarantine", "reject", "tag"}, Doc: "What happens above the threshold: the mail server keeps the message until a person decides (Postfix: the hold queue), it refuses it, or it sends it with header fields only."},
		{Path: "milter.on_error", Default: "tempfail", Enum: []string{"tempfail", "accept"}, Doc: "A message that cannot be tested: the client is asked to come back, or it passes, marked as not tested."},
		{Path: "milter.too_large", Default: "accept", Enum: []string{"accept", "tempfail"}, Doc: "A message above limits.message_size: as in milter.on_error."},
		{Path: "milter.networks", Default: "[]", Unit: "list of networks", Sample: "[192.0.2.0/28]", Doc: "Mail servers that may connect besides this machine. They are believed whatever they say of their clients."},
		{Path: "milter.connections", Default: "500", Min: "1", Max: "100000", Restart: true, Doc: "Open connections. A mail server keeps one for each of its clients."},
		{Path: "spamd", Doc: "How programs that speak SpamAssassin's protocol are served (listen.spamd)."},
		{Path: "spamd.customer", Unit: "customer's id", Sample: "acme", Doc: "Whose messages they are when the user named by the client is no customer's id. Empty: nobody's, with filter.threshold."},
		{Path: "spamd.language", Default: "en", Enum: []string{"en", "fr"}, Doc: "Language of reports about nobody's messages."},
		{Path: "spamd.learn", Default: "true", Doc: "Clients may teach (spamc -L). Without this key only those on this machine; true written down: those of spamd.networks too."},
		{Path: "spamd.networks", Default: "[]", Unit: "list of networks", Sample: "[192.0.2.0/28]", Doc: "Clients that may connect besides this machine."},
		{Path: "spamd.connections", Default: "100", Min: "1", Max: "100000", Restart: true, Doc: "Open connections, and so messages tested at one time."},
	}
}

// serviceKinds are the plain values of services.
func serviceKinds() map[reflect.Type]kind {
	return map[reflect.Type]kind{
		reflect.TypeFor[Endpoint](): {
			expected: "address:port like 127.0.0.1:783, or unix:/run/postern/name.sock", schema: map[string]any{"type": "string"}, write: asText,
			parse: func(s string, _ bool) (any, error) { return parseEndpoint(s) },
		},
	}
}

// maxSocketPath is the longest name of a unix socket on Linux (unix(7): 108 bytes with the NUL).
const maxSocketPath = 107

func parseEndpoint(s string) (Endpoint, error) {
	path, socket := strings.CutPrefix(s, "unix:")
	switch {
	case !socket && strings.HasPrefix(s, "/"):
		return Endpoint{}, fmt.Errorf("%q is a file; did you mean unix:%s?", tree.Clip(s), tree.Clip(s))
	case !socket:
		a, err := parseAddrPort(s)
		return Endpoint{Addr: a}, err
	case !filepath.IsAbs(path) || path != filepath.Clean(path):
		return Endpoint{}, fmt.Errorf("%q is no whole path of a file", tree.Clip(s))
	case len(path) > maxSocketPath:
		return Endpoint{}, fmt.Errorf("the path of a socket may have %d characters, this one has %d", maxSocketPath, len(path))
	}
	return Endpoint{Path: path}, nil
}

// services checks what listens for other programs: it asks no password, so who may connect must be told.
func (v *validation) services() {
	used := map[string]string{}
	for _, s := range []struct {
		name, customer string
		at             []Endpoint
		networks       []netip.Prefix
	}{{"milter", v.Milter.Customer, v.Listen.Milter, v.Milter.Networks}, {"spamd", v.Spamd.Customer, v.Listen.Spamd, v.Spamd.Networks}} {
		for i, n := range s.networks {
			if n.IsValid() {
				if account.CheckNetwork(n) != nil { // as wide as a country, or bits beyond its length
					v.bad(fmt.Sprintf("%s.networks[%d]", s.name, i), "%s is no network of your own machines; expected one like 192.0.2.0/28", n)
				}
			}
		}
		local := true
		for i, e := range s.at {
			at := fmt.Sprintf("listen.%s[%d]", s.name, i)
			if other, taken := used[e.Path]; e.Path != "" && taken {
				v.bad(at, "%s is taken by %s; expected another file", e, other)
			}
			used[e.Path] = at
			if e == (Endpoint{}) || e.Local() {
				continue // told already, or fine
			}
			local = false
			if len(s.networks) == 0 && !v.told(s.name+".networks") {
				v.bad(at, "%s is reached from outside, and the protocol has no password; expected a loopback address, a unix socket, or %s.networks", e, s.name)
			}
		}
		if local && len(s.networks) > 0 && len(s.at) > 0 {
			v.doubt(s.name+".networks", "has no effect: listen.%s is reached from this machine only", s.name)
		}
		if len(s.at) == 0 && (s.customer != "" || len(s.networks) > 0) && !v.told("listen."+s.name) {
			v.doubt(s.name, "has no effect without listen.%s", s.name)
		}
	}
}
