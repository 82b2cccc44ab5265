package checkup

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Generic is why a reverse name says nothing about who uses the address: it was made for the whole range.
type Generic struct {
	Mark   Phrase // "generic-address", "generic-word" or "generic-provider": texts checkup.word.*
	Detail string // the address as it stands there, the word, or the end of the name
}

// Words of names that were made for a whole range. A strong word tells by itself; a weak one only with a number beside it, because single servers
// bear it too. After the names that receivers refuse (Spamhaus PBL, SpamRATS dyna, Orange and La Poste postmaster pages, read 2026-11).
var (
	strongWords = strings.Fields(`dyn dynamic dynamique dynip dynamicip dialup dialin dhcp ppp pppoe dsl adsl vdsl sdsl xdsl unassigned unallocated unused noptr nordns
		norevdns inaddr revip rdns cgn cgnat`)
	weakWords = strings.Fields(`pool pools customer customers cust client clients clt cpe cable catv static statip fixed ftth fttx fttb fiber fibre broadband bband abo abonne residential
		res user users subs subscriber hotspot wifi wlan lte gprs umts mobile nat ip ipv host unknown vps vmi vserver dedicated dedi kvm cloud instance reverse rev`)
	// mailWords in the first label say that somebody gave the name to a mail server.
	mailWords = strings.Fields(`mail mailer mailers email mx smtp smtps mta mtaout relay relais out outbound outgoing sortant mout bounce bounces news newsletter sender send
		sendmail gateway passerelle mailout mailgate postern messagerie courriel courrier zimbra exchange imap`)
	// providerNames end the names that hosts and access lines have before anybody gives them one.
	providerNames = strings.Fields(`.vps.ovh.net .vps.ovh.ca .vps.ovh.us .ovh.net .dedibox.fr .poneytelecom.eu .rev.poneytelecom.eu .instances.scw.cloud .pub.instances.scw.cloud
		.compute.amazonaws.com .compute-1.amazonaws.com .bc.googleusercontent.com .cloudapp.azure.com .clients.your-server.de .linodeusercontent.com
		.members.linode.com .vultrusercontent.com .contaboserver.net .stratoserver.net .onlinehome-server.info .startdedicated.com .ip.secureserver.net .fbx.proxad.net
		.abo.wanadoo.fr .rev.sfr.net .abo.bbox.fr .abo.nordnet.fr .members.dyndns.org .hosted-by-vdsina.com .deploy.static.akamaitechnologies.com`)
)

// maxLooked bounds a name that is judged; longer ones are no names of DNS.
const maxLooked = 255

// GenericName judges whether the reverse name of an address was made for the whole range, as dial-up lines and servers that nobody has set up have it.
func GenericName(name string, ip netip.Addr) (Generic, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > maxLooked {
		return Generic{}, false
	}
	own := name // what stands before the registered domain
	if zone, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		own = strings.TrimSuffix(strings.TrimSuffix(name, zone), ".")
	}
	if suffix, public := publicsuffix.PublicSuffix(name); own == "" && !public && strings.Contains(suffix, ".") {
		own, _, _ = strings.Cut(name, ".") // below a name that a host lends to its customers
	}
	if detail, ok := holdsAddress(own, ip.Unmap()); ok {
		return Generic{"generic-address", detail}, true
	}
	first, _, _ := strings.Cut(own, ".")
	firstWords, numbered := tokens(first)
	if slices.ContainsFunc(firstWords, func(w string) bool { return slices.Contains(mailWords, w) }) {
		return Generic{}, false
	}
	for _, end := range providerNames {
		if label, ok := strings.CutSuffix(name, end); ok && numbered && !strings.Contains(label, ".") {
			return Generic{"generic-provider", end[1:]}, true
		}
	}
	for label := range strings.SplitSeq(own, ".") {
		words, digits := tokens(label)
		for _, w := range words {
			if slices.Contains(strongWords, w) || slices.Contains(weakWords, w) && (digits || numbered) {
				return Generic{"generic-word", w}, true
			}
		}
	}
	return Generic{}, false
}

// tokens are the runs of letters of a label, and whether it holds a digit.
func tokens(label string) (words []string, digits bool) {
	words = strings.FieldsFunc(label, func(r rune) bool {
		digits = digits || r >= '0' && r <= '9'
		return r < 'a' || r > 'z'
	})
	return words, digits
}

// holdsAddress looks for the address in a name: its octets or groups in either order, three of them next to each other at least; all of it as one number,
// decimal, padded or hexadecimal.
func holdsAddress(name string, ip netip.Addr) (string, bool) {
	if ip.Is4() {
		return holdsIPv4(name, ip.As4())
	}
	if !ip.Is6() {
		return "", false
	}
	return holdsIPv6(name, ip.As16())
}

func holdsIPv4(name string, b [4]byte) (string, bool) {
	var runs []string // of digits
	at := strings.FieldsFunc(name, func(r rune) bool { return r < '0' || r > '9' })
	for _, run := range at {
		runs = append(runs, strings.TrimLeft(run, "0"))
	}
	want := make([]string, 4)
	for i, o := range b {
		want[i] = strings.TrimLeft(strconv.Itoa(int(o)), "0")
	}
	back := slices.Clone(want)
	slices.Reverse(back)
	for _, w := range [][]string{want, back} {
		for n := 4; n >= 3; n-- {
			for from := 0; from+n <= 4; from++ {
				if i := index(runs, w[from:from+n]); i >= 0 && strings.Join(w[from:from+n], "") != "" {
					return strings.Join(at[i:i+n], "-"), true
				}
			}
		}
	}
	padded := func(o ...byte) string {
		s := ""
		for _, x := range o {
			s += strings.Repeat("0", 3-len(strconv.Itoa(int(x)))) + strconv.Itoa(int(x))
		}
		return s
	}
	number := strconv.FormatUint(uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]), 10)
	for _, whole := range []string{padded(b[:]...), padded(b[3], b[2], b[1], b[0]), number} {
		if len(whole) >= 8 && slices.Contains(at, whole) {
			return whole, true
		}
	}
	if code := hex.EncodeToString(b[:]); slices.ContainsFunc(hexRuns(name), func(run string) bool { return run == code }) {
		return code, true
	}
	return "", false
}

// hexRuns are the parts of a name between dots and hyphens that are hexadecimal numbers, also behind a word of one or two letters: "xc0000201".
func hexRuns(name string) []string {
	isHex := func(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
	var out []string
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		for cut := 0; cut <= 2 && cut < len(part); cut++ {
			if isHex(part[cut:]) {
				out = append(out, part[cut:])
			}
		}
	}
	return out
}

// holdsIPv6 looks for four groups of the address next to each other, or for its digits without separators: all, or the last sixteen.
func holdsIPv6(name string, b [16]byte) (string, bool) {
	digits := hex.EncodeToString(b[:])
	runs := hexRuns(name)
	for _, run := range runs {
		if run == digits || len(strings.TrimLeft(digits[16:], "0")) >= 8 && run == digits[16:] {
			return run, true
		}
	}
	var want []string
	for i := 0; i < 32; i += 4 {
		want = append(want, strings.TrimLeft(digits[i:i+4], "0"))
	}
	var parts []string
	at := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' || r == '_' || r == 'x' })
	for _, p := range at {
		parts = append(parts, strings.TrimLeft(p, "0"))
	}
	back := slices.Clone(want)
	slices.Reverse(back)
	for _, w := range [][]string{want, back} {
		for from := 0; from+4 <= 8; from++ {
			some := w[from : from+4]
			if distinct(some) < 2 {
				continue // zeros stand in many names
			}
			if i := index(parts, some); i >= 0 {
				return strings.Join(at[i:i+4], "-"), true
			}
		}
	}
	// Each digit a label, as in ip6.arpa.
	nibbles := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' })
	single := ""
	for _, n := range nibbles {
		if len(n) != 1 {
			if len(single) >= 16 {
				break
			}
			single = ""
			continue
		}
		single += n
	}
	reversed := []byte(digits)
	slices.Reverse(reversed)
	if len(single) >= 16 && (strings.Contains(digits, single) || strings.Contains(string(reversed), single)) {
		return single, true
	}
	return "", false
}

// distinct is how many different values that are not empty a list has.
func distinct(all []string) int {
	seen := map[string]bool{}
	for _, s := range all {
		if s != "" {
			seen[s] = true
		}
	}
	return len(seen)
}

// index is where some begins in all, -1 nowhere.
func index(all, some []string) int {
	for i := 0; i+len(some) <= len(all); i++ {
		if slices.Equal(all[i:i+len(some)], some) {
			return i
		}
	}
	return -1
}
