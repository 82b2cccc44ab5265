package portal_test

import (
	"fmt"
	"html"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/user"
)

// records are the names and values that a page shows to be copied, in the form of a zone file.
func records(page string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?s)<details><summary>As a line of a zone file</summary><pre class="copy" tabindex="0"><code>(.*?)</code>`).FindAllStringSubmatch(page, -1) {
		out = append(out, html.UnescapeString(m[1]))
	}
	return out
}

// newShop is a customer of the database, whose domain does not exist yet, and his administrator.
func newShop(t *testing.T, g *gateway, id string) *client {
	t.Helper()
	if err := g.Accounts().PutCustomer(t.Context(), account.Customer{ID: id, Name: "New Shop", Language: "en", Contact: address(t, "owner@"+id+".example.test")}); err != nil {
		t.Fatal(err)
	}
	return g.as(t, user.CustomerAdmin, id)
}

// publishOver puts lines of a zone into the test's DNS, each in the place of those of the same name and type.
func (g *gateway) publishOver(t *testing.T, zones map[string]string, lines []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, line := range lines {
		f := strings.Fields(line)
		at := f[0] + " " + f[3]
		if !seen[at] {
			zones[at], seen[at] = "", true
		}
		zones[at] += line + "\n"
	}
	text := zone(broken)
	for _, x := range zones {
		text += x
	}
	if err := g.dns.Set(text); err != nil {
		t.Fatal(err)
	}
}

// TestDomainFromNothingToGreen goes the whole way with what the pages show and nothing else: prove, add, publish, sign, green, and mail leaves
// with nothing against it.
func TestDomainFromNothingToGreen(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := newShop(t, g, "newshop")
	const here = "/c/newshop/domains"
	if page := c.get(t, here); !strings.Contains(page, "There is no domain here") {
		t.Errorf("list: %s", page)
	}
	for _, bad := range []string{"co.uk", "github.io", "not a domain", "192.0.2.1", "", "x", strings.Repeat("a", 300) + ".example"} {
		if a := c.ask(t, "GET", here+"/add?domain="+url.QueryEscape(bad), nil); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "no domain that can be added") {
			t.Errorf("%q: %d", bad, a.status)
		}
	}
	const domain = "new.example.test"
	page := c.get(t, here+"/add?domain=https://New.Example.test/")
	proof := records(page)
	if len(proof) != 1 || !strings.HasPrefix(proof[0], "_postern-challenge."+domain+". ") {
		t.Fatalf("to publish: %q", proof)
	}
	add := url.Values{"domain": {domain}}
	if a := c.ask(t, "POST", here, add); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "not there yet") {
		t.Fatalf("unproved: %d", a.status)
	}
	zones := map[string]string{"mx": domain + ". 300 IN MX 10 mx.example.test.\n"}
	g.publishOver(t, zones, proof)
	// The proof is this customer's alone.
	rival := newShop(t, g, "rival")
	if a := rival.ask(t, "POST", "/c/rival/domains", add); a.status != http.StatusUnprocessableEntity {
		t.Fatalf("another customer adds the domain with this proof: %d", a.status)
	}
	page = c.must(t, here, add)
	if !strings.Contains(page, domain+" is added") || !strings.Contains(page, "There is no SPF record") {
		t.Fatalf("added: %s", page)
	}
	// Proved as well, by the other: it stays where it is, and nobody is told whose it is.
	g.publishOver(t, zones, records(rival.get(t, "/c/rival/domains/add?domain="+domain)))
	if a := rival.ask(t, "POST", "/c/rival/domains", add); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "another sender") || strings.Contains(a.body, "newshop") {
		t.Errorf("taken: %d", a.status)
	}
	one := here + "/" + domain
	page = c.must(t, one+"/keys", url.Values{"algorithm": {"ed25519"}})
	selector := regexp.MustCompile(`(p\d{8})\._domainkey\.new\.example\.test`).FindStringSubmatch(page)
	if selector == nil {
		t.Fatalf("no key: %s", page)
	}
	if a := c.ask(t, "POST", one+"/keys/"+selector[1]+"/activate", url.Values{}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("an unpublished key signs: %d", a.status)
	}
	for round := 0; ; round++ {
		g.publishOver(t, zones, records(page))
		page = c.must(t, one+"/check", nil)
		if strings.Contains(page, "does not sign yet") && strings.Contains(page, "/activate") {
			page = c.must(t, one+"/keys/"+selector[1]+"/activate", nil)
		}
		if strings.Contains(page, "All is in place") {
			break
		}
		if round == 5 {
			t.Fatalf("not green: %s", page)
		}
	}
	if list := c.get(t, here); !strings.Contains(list, `<span class="badge ready">fine</span>`) {
		t.Errorf("list: %s", list)
	}
	if got := g.Accounts().SigningKeysFor("newshop", domain); len(got) != 1 {
		t.Errorf("keys that sign: %v", got)
	}
	if page = c.must(t, one+"/remove", nil); !strings.Contains(page, domain+" is removed") {
		t.Errorf("removed: %s", page)
	}
	if a := c.ask(t, "GET", one, nil); a.status != http.StatusNotFound {
		t.Errorf("still there: %d", a.status)
	}
}

// TestDomainsOfOthers: nobody sees or changes another customer's domains, keys and logins, or what is not there.
func TestDomainsOfOthers(t *testing.T) {
	t.Parallel()
	g := start(t)
	reader, admin := g.as(t, user.CustomerReader, "shop"), g.as(t, user.CustomerAdmin, "shop")
	other, _, err := g.Accounts().AddCredential(t.Context(), "boutique", "theirs")
	if err != nil {
		t.Fatal(err)
	}
	mine, _, err := g.Accounts().AddCredential(t.Context(), "shop", "mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/c/boutique/domains", "/c/boutique/domains/boutique.example.test", "/c/shop/domains/boutique.example.test", "/c/shop/domains/gone.example",
		"/c/shop/domains/SHOP.example.test", "/c/shop/domains/boutique.example.test/zone.txt", "/c/boutique/credentials", "/c/shop/credentials/" + other, "/c/boutique/credentials/" + other, "/c/shop/credentials/nobody"} {
		if a := admin.ask(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	for _, path := range []string{"/c/shop/domains/boutique.example.test/keys", "/c/shop/domains/boutique.example.test/check", "/c/shop/domains/boutique.example.test/remove",
		"/c/shop/domains/shop.example.test/keys/none/activate", "/c/shop/domains/shop.example.test/keys/none/retire", "/c/shop/credentials/" + other, "/c/shop/credentials/" + other + "/revoke"} {
		if a := admin.ask(t, "POST", path, url.Values{"algorithm": {"rsa"}}); a.status != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, a.status)
		}
	}
	for _, path := range []string{"/c/shop/domains", "/c/shop/domains/shop.example.test/keys", "/c/shop/credentials", "/c/shop/credentials/" + mine, "/c/shop/credentials/" + mine + "/revoke"} {
		if a := reader.ask(t, "POST", path, url.Values{}); a.status != http.StatusNotFound {
			t.Errorf("a reader may POST %s: %d", path, a.status)
		}
	}
	if page := admin.get(t, "/c/shop/domains"); !strings.Contains(page, "configuration file") || strings.Contains(page, `name="domain"`) {
		t.Error("a customer of the file may add domains")
	}
	if a := admin.ask(t, "POST", "/c/shop/domains", url.Values{"domain": {"free.example"}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a customer of the file adds a domain: %d", a.status)
	}
	if page := reader.get(t, "/c/shop/credentials"); strings.Contains(page, "Make it") || !strings.Contains(page, mine) || strings.Contains(page, other) {
		t.Error("the reader's page")
	}
}

// TestHostileRecords: what strangers publish is text on our pages.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.CustomerAdmin, "shop")
	evil := `<script>alert(1)</script><img src=x onerror=alert(2)>`
	if err := g.dns.Set(zone(`
shop 300 IN TXT "v=spf1 include:` + evil + ` \226\128\174 -all"
shop 300 IN TXT "v=spf1 \010\013 javascript:x ~all"
shop 300 IN MX 10 mx.example.test.
_dmarc.shop 300 IN TXT "v=DMARC1; p=` + evil + `; rua=mailto:x@shop.example.test"
_mta-sts.shop 300 IN TXT "v=STSv1; id=` + evil + `"
`)); err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"en", "fr"} {
		page := c.get(t, "/c/shop/domains/shop.example.test?lang="+lang)
		if strings.Contains(page, "<script") || strings.Contains(page, "<img") || strings.Contains(page, "\u202e") {
			t.Errorf("markup from DNS in %s", lang)
		}
		if !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("what was found is not shown in %s", lang)
		}
	}
	a := c.ask(t, "GET", "/c/shop/domains/shop.example.test/zone.txt", nil)
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || !strings.Contains(a.header.Get("Content-Disposition"), `filename="shop.example.test.zone.txt"`) {
		t.Errorf("file: %d %v", a.status, a.header)
	}
	for _, line := range strings.Split(strings.TrimSpace(a.body), "\n") {
		if !strings.HasPrefix(line, ";") && !strings.Contains(line, " IN ") || strings.ContainsAny(line, "\r") {
			t.Errorf("line %q", line)
		}
	}
}

// TestCredentialPages: a login is made, shown once, limited, seen at work, revoked.
func TestCredentialPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.CustomerAdmin, "shop")
	const here = "/c/shop/credentials"
	bad := url.Values{"label": {"<b>web</b>"}, "messages_hour": {"many"}, "networks": {"192.0.2.0/24 here"}}
	if a := c.ask(t, "POST", here, bad); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Expected a whole number") || !strings.Contains(a.body, "This is no network: here") || strings.Contains(a.body, "<b>web") {
		t.Errorf("faults: %d %s", a.status, a.body)
	}
	a := c.ask(t, "POST", here, url.Values{"label": {"<b>web</b>"}, "messages_hour": {"1"}, "networks": {"127.0.0.1"}})
	m := regexp.MustCompile(`(?s)<code>(shop-[a-z2-7]{8})</code>.*<code>([a-z2-7]{32})</code>`).FindStringSubmatch(a.body)
	if a.status != http.StatusOK || m == nil {
		t.Fatalf("made: %d %s", a.status, a.body)
	}
	name, password := m[1], m[2]
	one := here + "/" + name
	if page := c.get(t, one) + c.get(t, here); strings.Contains(page, password) || strings.Contains(page, "<b>web") || !strings.Contains(page, "0 of 1 messages in the last hour") {
		t.Error("the password is shown again, or the limit is not")
	}
	if err := g.Accounts().Spend(name, 3, netip.MustParseAddr("192.0.2.77"), time.Now()); err != nil {
		t.Fatal(err)
	}
	page := c.get(t, one)
	for _, want := range []string{"1 of 1 messages in the last hour", "192.0.2.77", "127.0.0.1/32", `<td class="num" data-label="Recipients">3</td>`, "smtplib", name} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not shown", want)
		}
	}
	if page := c.get(t, here); !strings.Contains(page, "<rect") || !strings.Contains(page, "ip4:127.0.0.1") {
		t.Error("no picture, or no SPF term")
	}
	if page := c.must(t, one, url.Values{"label": {"shop"}, "messages_hour": {""}}); !strings.Contains(page, "Limits count at once") || strings.Contains(page, "of 1 messages") {
		t.Error("not changed")
	}
	if page := c.must(t, one+"/revoke", nil); !strings.Contains(page, name+" is revoked") || strings.Contains(page, `href="`+one) {
		t.Error("not revoked")
	}
	if page := c.get(t, here+"?revoked=yes"); !strings.Contains(page, one) {
		t.Error("revoked ones cannot be shown")
	}
	if a := c.ask(t, "POST", one, url.Values{}); a.status != http.StatusNotFound {
		t.Errorf("a revoked one is changed: %d", a.status)
	}
}

// TestSnippets runs what the page shows, where the language's runtime is installed, against this gateway.
func TestSnippets(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.CustomerAdmin, "shop")
	name, password, err := g.Accounts().AddCredential(t.Context(), "shop", "snippets")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.dns.Set(zone(mended)); err != nil {
		t.Fatal(err)
	}
	page := c.get(t, "/c/shop/credentials/"+name)
	snippet := func(t *testing.T, which string) string {
		t.Helper()
		m := regexp.MustCompile(`(?s)id="way-` + which + `">.*?<code>(.*?)</code>`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("no snippet %s", which)
		}
		return html.UnescapeString(m[1])
	}
	for _, which := range []string{"postfix", "exim", "sendmail", "phpmailer", "wordpress", "node", "dotnet", "java"} {
		if s := snippet(t, which); !strings.Contains(s, name) || !strings.Contains(s, "gate.example.test") || strings.Contains(s, password) {
			t.Errorf("%s: %s", which, s)
		}
	}
	// The gateway's own certificate is for its name, which is this machine for the length of the test.
	certificate := filepath.Join(g.dir, "self-signed.crt")
	modules, err := filepath.Abs("../../test/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	sent := func(t *testing.T, what string, args ...string) {
		t.Helper()
		path := demanded(t, args[0])
		cmd := exec.CommandContext(t.Context(), path, args[1:]...)
		cmd.Env = append(os.Environ(), "SMTP_PASSWORD="+password, "SSL_CERT_FILE="+certificate, "CURL_CA_BUNDLE="+certificate, "NODE_EXTRA_CA_CERTS="+certificate, "NODE_PATH="+modules)
		before := g.Accounts().Spent(name, time.Now()).MessagesDay
		out, err := cmd.CombinedOutput()
		if err != nil || g.Accounts().Spent(name, time.Now()).MessagesDay != before+1 {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	port := strings.TrimPrefix(g.Addresses("submission"), "127.0.0.1:")
	t.Run("python", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "send.py")
		// The name is resolved by the test's word alone.
		text := "import socket\nold = socket.getaddrinfo\nsocket.getaddrinfo = lambda host, *a, **k: old('127.0.0.1' if host == 'gate.example.test' else host, *a, **k)\n" + snippet(t, "python")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sent(t, "python", "python3", file)
	})
	t.Run("curl", func(t *testing.T) {
		demanded(t, "curl")
		text := strings.Replace(snippet(t, "curl"), "curl ", "curl --silent --show-error --resolve gate.example.test:"+port+":127.0.0.1 ", 1)
		sent(t, "curl", "sh", "-c", text)
	})
	t.Run("swaks", func(t *testing.T) {
		demanded(t, "swaks")
		text := strings.Replace(snippet(t, "swaks"), "--server gate.example.test", "--server 127.0.0.1", 1)
		text = strings.Replace(text, "--tls-verify", fmt.Sprintf("--tls-verify --tls-ca-path %s", certificate), 1)
		sent(t, "swaks", "sh", "-c", text)
	})
	t.Run("node", func(t *testing.T) {
		if _, err := os.Stat(filepath.Join(modules, "nodemailer")); err != nil {
			missing(t, "nodemailer (npm ci --ignore-scripts --prefix test/npm)")
		}
		dir := t.TempDir()
		here, send := filepath.Join(dir, "here.js"), filepath.Join(dir, "send.js")
		for file, text := range map[string]string{here: nodeHere, send: snippet(t, "node")} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sent(t, "node", "node", "-r", here, send)
	})
	t.Run("php", func(t *testing.T) {
		path := demanded(t, "php")
		for _, which := range []string{"phpmailer", "wordpress"} {
			cmd := exec.CommandContext(t.Context(), path, "-l")
			cmd.Stdin = strings.NewReader(snippet(t, which))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s", which, out)
			}
		}
	})
}

// nodeHere makes the gateway's name lead to this machine, for a program of Node.
const nodeHere = `const dns = require('dns');
const lookup = dns.lookup;
dns.lookup = (host, ...rest) => lookup(host === 'gate.example.test' ? '127.0.0.1' : host, ...rest);
dns.Resolver.prototype.resolve4 = dns.resolve4 = (host, done) => done(null, ['127.0.0.1']);
dns.Resolver.prototype.resolve6 = dns.resolve6 = (host, done) => done(null, []);
`

// TestManyDomains: a list of ten thousand is shown in pages, at once.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	g := start(t)
	x := account.Customer{ID: "many", Name: "Many", Language: "en"}
	for i := range 10_000 {
		x.Domains = append(x.Domains, mail.Domain(fmt.Sprintf("d%05d.example", i)))
	}
	if err := g.Accounts().PutCustomer(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	c := g.as(t, user.CustomerReader, "many")
	began := time.Now()
	page := c.get(t, "/c/many/domains")
	t.Logf("%s", time.Since(began))
	if strings.Count(page, "not checked yet") != 50 || !strings.Contains(page, "after=d00049.example") {
		t.Error("the first page")
	}
	if page = c.get(t, "/c/many/domains?after=d00049.example"); !strings.Contains(page, "d00050.example") || strings.Contains(page, "d00049.example<") {
		t.Error("the second page")
	}
	if page = c.get(t, "/c/many/domains?find=d0777"); strings.Count(page, "not checked yet") != 10 {
		t.Error("found")
	}
}

// TestAMendedDomainIsSeenAtOnce: once the check of a domain has seen a mended record, mail is judged by it, whatever was remembered of the old one.
func TestAMendedDomainIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin := g.as(t, user.CustomerAdmin, "shop")
	g.hold(t, "Your order 1 has left") // the broken record is remembered now
	if err := g.dns.Set(zone(mended)); err != nil {
		t.Fatal(err)
	}
	g.hold(t, "Your order 2 has left")
	admin.must(t, "/c/shop/domains/shop.example.test/check", nil)
	c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(g.Addresses("relay")), smtp.ClientOptions{Hostname: "web1.shop.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := "From: The Shop <news@shop.example.test>\r\nTo: someone@receiver.example.test\r\nSubject: Your order 3 has left\r\nDate: " + time.Now().Format(time.RFC1123Z) + "\r\nMessage-ID: <3@shop.example.test>\r\n\r\nA text.\r\n"
	res, err := c.Send(t.Context(), mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@receiver.example.test")}}}, []byte(text))
	if err != nil || res.Data.Code != 250 || strings.Contains(strings.Join(res.Data.Lines, " "), "held") {
		t.Errorf("after the check: %+v %v", res.Data, err)
	}
}
