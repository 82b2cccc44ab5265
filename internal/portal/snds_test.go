package portal_test

import (
	"bytes"
	"fmt"
	"html"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/postmaster"
	"postern/internal/user"
)

// signals gives the room of providers' figures something to show: one address in red with traps, one with a day that is not known, and a domain at Gmail.
func signals(t testing.TB, p *postmaster.Postmaster, domain, text string) {
	t.Helper()
	text = strings.NewReplacer(`"`, `""`, "\r", " ", "\n", " ").Replace(text)
	var file strings.Builder
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range 20 {
		from := today.AddDate(0, 0, -i-1)
		at := func(t time.Time) string { return t.Format("1/2/2006 3:04 PM") }
		fmt.Fprintf(&file, "192.0.2.1,%s,%s,1%d00,990,900,%s,%s,%s,%s,%s,\"%s\",\"%s\",\"%s\"\n", at(from), at(from.AddDate(0, 0, 1)), i%7, []string{"RED", "YELLOW", "GREEN"}[i%3], []string{"< 0.1%", "0.5%", ""}[i%3],
			map[bool]string{true: at(from.Add(time.Hour))}[i == 0], map[bool]string{true: at(from.Add(2 * time.Hour))}[i == 0], []string{"26", "0", ""}[min(i, 2)], "mail.example.net "+text, "news@example.net "+text, text)
		if i%2 == 0 {
			fmt.Fprintf(&file, "2001:db8::25,%s,%s,500,490,480,GREEN,< 0.1%%,,,0,,,\n", at(from), at(from.AddDate(0, 0, 1)))
		}
	}
	for _, data := range []string{file.String(), "192.0.2.1,192.0.2.4,Yes,\"Blocked due to user complaints " + text + "\"\n192.0.2.9,192.0.2.9,No,Junked\n", "192.0.2.1,192.0.2.4,Yes,\"Blocked due to user complaints " + text + "\"\n"} {
		if _, err := p.Import(t.Context(), []byte(data), "upload by "+text); err != nil {
			t.Fatal(err)
		}
	}
	var figures []postmaster.Figure
	for i := range 20 {
		at := today.AddDate(0, 0, -i-2)
		figures = append(figures, postmaster.Figure{Day: at, Metric: postmaster.Spam, Value: .0005 * float64(i%8)}, postmaster.Figure{Day: at, Metric: postmaster.DKIMPassed, Value: .99},
			postmaster.Figure{Day: at, Metric: postmaster.Refused, Value: .01}, postmaster.Figure{Day: at, Metric: "loop 42_7", Value: .002})
	}
	if err := p.PutGmail(t.Context(), domain, figures, []postmaster.Demand{{Name: "spf", State: postmaster.Compliant}, {Name: "one_click_unsubscribe", State: postmaster.NeedsWork, Reason: "no_unsub_general"},
		{Name: "encryption", State: postmaster.DemandSilent}}); err != nil {
		t.Fatal(err)
	}
}

// uploadSNDS posts a file to the page.
func (c *client) uploadSNDS(t *testing.T, data string) answer {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	w, err := form.CreateFormFile("file", "data.csv")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(data))
	_ = form.Close()
	return c.send(t, "POST", "/o/snds/import", form.FormDataContentType(), b.Bytes())
}

func TestSNDSPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	if page := c.get(t, "/o/snds"); !strings.Contains(page, "Nothing is known yet") || !strings.Contains(page, "Connect an account") {
		t.Error("an empty page does not say so")
	}
	now := time.Now().UTC()
	line := func(ip string, back int, colour, traps string) string {
		d := now.AddDate(0, 0, -back)
		return fmt.Sprintf("%s,%s 12:00 AM,%s 12:00 AM,10,9,8,%s,,,,%s,=cmd()|x,,\r\n", ip, d.Format("1/2/2006"), d.AddDate(0, 0, 1).Format("1/2/2006"), colour, traps)
	}
	a := c.uploadSNDS(t, line("192.0.2.1", 3, "RED", "26")+"nonsense\r\n"+line("192.0.2.1", 5, "GREEN", "0")+line("999.0.2.1", 5, "GREEN", "0"))
	if a.status != http.StatusOK || !strings.Contains(a.body, "2 rows were read: 2 new") || !strings.Contains(a.body, "Line 2: another number of columns") || !strings.Contains(a.body, "Line 4: address: “999.0.2.1” is no IP address") {
		t.Errorf("a file with bad rows: %d %s", a.status, a.body)
	}
	c.noted(t, "snds.import", "file data.csv", false)
	page := c.get(t, "/o/snds")
	for _, want := range []string{`class="h-red h-trap"`, `>R!</td>`, `class="h-green"`, `>G</td>`, `class="h-none"`, "nothing is known", "messages to traps 26", "127.0.0.1"} {
		if !strings.Contains(page, want) {
			t.Errorf("the map lacks %s", want)
		}
	}
	if n := strings.Count(page, `class="h-none" title`); n != 28 {
		t.Errorf("%d days are not known; of 30 two are", n)
	}
	one := c.get(t, "/o/snds/192.0.2.1")
	expect(t, one, "192.0.2.1", "not known", "red", "26", "=cmd()|x")
	expect(t, one, now.AddDate(0, 0, -3).Format("2006-01-02 00:00"))
	expect(t, c.get(t, "/o/snds/192.0.2.1?lang=fr"), now.AddDate(0, 0, -3).Format("02/01/2006 00:00"))
	if a := c.ask(t, "GET", "/o/snds/nonsense", nil); a.status != http.StatusNotFound {
		t.Errorf("no address: %d", a.status)
	}
	if a := c.ask(t, "GET", "/o/snds/export.csv", nil); a.status != http.StatusOK || !strings.Contains(a.body, "'=cmd()|x") || strings.Contains(a.body, ",=cmd") {
		t.Errorf("export: %d %s", a.status, a.body)
	}
	if file := c.get(t, "/o/snds/export.csv?days=7"); strings.Count(file, "\n") != 3 || strings.Index(file, ",GREEN,") > strings.Index(file, ",RED,") {
		t.Errorf("the days of the file, oldest first: %s", file)
	}
	if file := c.get(t, "/o/snds/export.csv?days=90"); strings.Count(file, "\n") != 3 {
		t.Errorf("the days of the file: %s", file)
	}
	for data, want := range map[string]string{"<html>": "This is a web page", "hello\n": "This is no file of SNDS", "x,1,2,3,4,5,6,7,8,9,10\n": "Not one row could be read", strings.Repeat("x", 9<<20): ""} {
		if a := c.uploadSNDS(t, data); a.status != http.StatusUnprocessableEntity && a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.body, want) {
			t.Errorf("%.10q: %d", data, a.status)
		}
	}
	french := c.get(t, "/o/snds?lang=fr")
	expect(t, french, ">V</td>", ">R!</td>", "rien n&#39;est connu"[:5])
	abuse := g.as(t, user.AbuseDesk, "")
	if page := abuse.get(t, "/o/snds"); strings.Contains(page, "Connect an account") || !strings.Contains(page, "Take a file") {
		t.Error("the abuse desk takes files and connects no account")
	}
	for _, path := range []string{"/o/snds/connect", "/o/snds/finish", "/o/snds/disconnect"} {
		if a := abuse.ask(t, "POST", path, url.Values{}); a.status != http.StatusNotFound {
			t.Errorf("%s by the abuse desk: %d", path, a.status)
		}
	}
}

// The sign-in with Microsoft: a state for one person, a code from the address that the browser was led to, nothing kept on the way.
func TestSNDSConnect(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	a := c.ask(t, "POST", "/o/snds/connect", url.Values{})
	link := regexp.MustCompile(`href="(https://login\.microsoftonline\.com/consumers/oauth2/v2\.0/authorize\?[^"]+)"`).FindStringSubmatch(a.body)
	if a.status != http.StatusOK || link == nil {
		t.Fatalf("the sign-in: %d %s", a.status, a.body)
	}
	u, err := url.Parse(html.UnescapeString(link[1]))
	if err != nil || u.Query().Get("code_challenge_method") != "S256" || u.Query().Get("redirect_uri") != "http://localhost" || u.Query().Get("state") == "" {
		t.Fatalf("the link: %v %s", err, link[1])
	}
	if c := g.as(t, user.Operator, ""); c.ask(t, "POST", "/o/snds/finish", url.Values{"address": {"http://localhost/?code=abcdef&state=" + u.Query().Get("state")}}).status != http.StatusUnprocessableEntity {
		t.Error("another operator finished the sign-in")
	}
	page := c.get(t, "/o/snds/callback?code=CODE123456&state=abc")
	expect(t, page, "Nearly done", `name="code" value="CODE123456"`)
	if strings.Count(page, "CODE123456") != 1 {
		t.Error("the code stands in links")
	}
	for _, path := range []string{"/o/snds/callback", "/o/snds/callback?error=access_denied&error_description=" + url.QueryEscape("<b>x</b>")} {
		if a := c.ask(t, "GET", path, nil); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, "<b>x") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := c.ask(t, "POST", "/o/snds/finish", url.Values{"address": {"nonsense"}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("nonsense pasted: %d", a.status)
	}
	c.noted(t, "snds.connect", "snds", true)
	if strings.Contains(g.logs.String(), "CODE123456") || strings.Contains(g.logs.String(), u.Query().Get("state")) {
		t.Error("the log holds a code or state")
	}
	off := start(t, func(c *config.Config) { c.SNDS.API = "" })
	if a := off.as(t, user.Operator, "").ask(t, "POST", "/o/snds/connect", url.Values{}); a.status != http.StatusConflict {
		t.Errorf("switched off: %d", a.status)
	}
}

// A customer sees what Gmail says of his own domains, and of nobody else's.
func TestGmailPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, d := range []string{"shop.example.test", "boutique.example.test"} {
		signals(t, g.Postmaster(), d, "x")
	}
	operator, owner := g.as(t, user.Operator, ""), g.as(t, user.CustomerReader, "shop")
	expect(t, operator.get(t, "/o/postmaster-tools"), "shop.example.test", "boutique.example.test", "Unsubscribing with one click")
	page := owner.get(t, "/c/shop/gmail")
	if !strings.Contains(page, "shop.example.test") || strings.Contains(page, "boutique.example.test") {
		t.Error("a customer sees another's domains")
	}
	expect(t, owner.get(t, "/c/shop/gmail/shop.example.test"), "Marked as spam, per 1,000", "to mend", "42_7", "unknown")
	for _, path := range []string{"/c/shop/gmail/boutique.example.test", "/c/boutique/gmail", "/o/postmaster-tools", "/o/snds"} {
		if a := owner.ask(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	expect(t, owner.get(t, "/c/shop/gmail/shop.example.test?lang=fr"), "Signalés comme spam")
	if a := operator.ask(t, "GET", "/o/postmaster-tools/nobody.example.test", nil); a.status != http.StatusNotFound {
		t.Errorf("a domain of which nothing is known: %d", a.status)
	}
}

// sndsPast imports 256 addresses and 90 days.
func sndsPast(t testing.TB, p *postmaster.Postmaster) {
	t.Helper()
	var file strings.Builder
	for d := range 90 {
		at := time.Now().UTC().AddDate(0, 0, -d-1)
		for i := range 256 {
			ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			fmt.Fprintf(&file, "%s,%s 12:00 AM,%s 12:00 AM,1000,990,900,%s,0.1%%,,,0,,,\n", ip, at.Format("1/2/2006"), at.AddDate(0, 0, 1).Format("1/2/2006"), []string{"GREEN", "YELLOW", "RED"}[(i+d)%3])
		}
	}
	if _, err := p.Import(t.Context(), []byte(file.String()), "test"); err != nil {
		t.Fatal(err)
	}
}
