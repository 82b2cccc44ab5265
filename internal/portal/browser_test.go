package portal_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"postern/internal/filter"
	"postern/internal/mail"
	"postern/internal/spool"
)

// browser is a headless Chromium whose complaints fail the test.
type browser struct {
	ctx context.Context

	mu     sync.Mutex
	faults []string
	asked  []string // every address it asked for
}

// browse starts one; without scripts the pages run no JavaScript.
func browse(t *testing.T, scripts bool) *browser {
	t.Helper()
	var binary string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		missing(t, "Chromium, in which the pages are looked at,")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(60*time.Second))
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		_ = chromedp.Cancel(end) // waits for the process, so that its folder can go
		stop()
		stopAlloc()
	})
	b := &browser{ctx: ctx}
	err := chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			b.faults = append(b.faults, string(ev.Entry.Level)+": "+ev.Entry.Text+" "+ev.Entry.URL)
		case *runtime.EventConsoleAPICalled:
			b.faults = append(b.faults, "a script wrote to the console")
		case *runtime.EventExceptionThrown:
			b.faults = append(b.faults, "a script failed: "+ev.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, ev.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}), call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}))
	return b
}

// call makes an action of a command of the protocol.
func call[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// do runs actions of the browser.
func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	get(t, b, chromedp.Steps(actions...))
}

// get runs an action that has a value.
func get[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	// The first action starts the browser, which lives as long as the context of that call.
	ctx := b.ctx
	if chromedp.FromContext(ctx).Target != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
	}
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// see reads the whole page as text.
func (b *browser) see(t *testing.T, want ...string) {
	t.Helper()
	expect(t, get(t, b, chromedp.OuterHTML(chromedp.CSS("html"))), want...)
}

// press submits the form whose address ends in act, and waits for the page after it.
func (b *browser) press(t *testing.T, act string) {
	t.Helper()
	button := `form[action*="/` + act + `"] button`
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(button))); err != nil {
		t.Fatal(err)
	}
}

func size(width, height int64) chromedp.Action[chromedp.Void] {
	if width < 500 {
		return chromedp.EmulateViewport(width, height, chromedp.EmulateMobile)
	}
	return chromedp.EmulateViewport(width, height)
}

func scheme(name string) chromedp.Action[chromedp.Void] {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// shoot keeps a picture when POSTERN_SHOTS names a folder.
func (b *browser) shoot(t *testing.T, name string, whole bool) {
	t.Helper()
	dir := os.Getenv("POSTERN_SHOTS")
	if dir == "" {
		return
	}
	picture := get(t, b, chromedp.CaptureScreenshot())
	if whole {
		picture = get(t, b, chromedp.FullScreenshot(100))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBrowser goes the way of TestHeldToDelivered in a real browser without JavaScript.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := browse(t, false)
	g := start(t)
	at := g.base + g.link(g.hold(t, "Your order 4711 has been sent"))
	b.do(t, size(1200, 900), scheme("light"), chromedp.Navigate(at))
	b.see(t, ">Held<", "SPF_FAIL")
	b.shoot(t, "held-en", true)
	b.do(t, chromedp.Click(chromedp.CSS(".lang")), chromedp.WaitReady(chromedp.CSS(`html[lang="fr"]`)))
	b.see(t, ">Retenu<")
	b.shoot(t, "held-fr", true)

	if err := g.dns.Set(zone(mended)); err != nil {
		t.Fatal(err)
	}
	b.press(t, "retest")
	b.see(t, "Le message est libéré", `lang="fr"`)
	b.shoot(t, "released-fr", true)
	<-g.mx.come
	waitFor(t, "delivery", func() bool { return strings.Contains(g.get(t, strings.TrimPrefix(at, g.base)), ">Delivered<") })
	b.do(t, chromedp.Navigate(at))
	b.see(t, ">Delivered<", "accepted by the recipient")
	b.shoot(t, "delivered-en", true)

	// The forms that are folded open without a script.
	if err := g.dns.Set(zone(broken)); err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.Navigate(g.base+g.link(g.put(t, spool.Message{Subject: "to ask about"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})))))
	b.do(t, chromedp.Click(chromedp.CSS(".acts details:nth-of-type(1) summary")), chromedp.SendKeys(chromedp.CSS("#question"), "Why, please?"))
	b.press(t, "ask")
	b.see(t, "Your question was sent")
	b.do(t, chromedp.Click(chromedp.CSS(".acts details summary")))
	b.shoot(t, "drop-en", true)
	b.press(t, "drop")
	b.see(t, "The message was deleted", ">Deleted<")
	b.quiet(t, g.base)
}

// quiet holds that the pages gave the browser nothing to complain of and led it nowhere else.
func (b *browser) quiet(t *testing.T, base string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		t.Errorf("the browser says: %s", f)
	}
	for _, a := range b.asked {
		if !strings.HasPrefix(a, base+"/") && !strings.HasPrefix(a, "data:") { // with its own data the browser draws fields for dates
			t.Errorf("a page asked for %s", a)
		}
	}
}

// rich is the link of a held message with everything a page can show.
func rich(g *gateway, t *testing.T, customer string) string {
	t.Helper()
	return g.link(g.putRich(t, customer))
}

// putRich stores a held message with everything a page can show.
func (g *gateway) putRich(t *testing.T, customer string) mail.QueueID {
	t.Helper()
	long := "v=spf1 ip4:192.0.2.7 include:_spf.a-very-long-name-of-a-provider.example.test ip4:127.0.0.1 ~all"
	v := verdict(
		filter.Hit{Test: "SPF_FAIL", Points: 3.5, Evidence: []string{"shop.example.test TXT \"v=spf1 ip4:192.0.2.7 -all\"", "127.0.0.1 is not in it"},
			Args: map[string]string{"Domain": "shop.example.test", "IP": "127.0.0.1", "Record": "v=spf1 ip4:192.0.2.7 -all", "Suggested": long}},
		filter.Hit{Test: "RDNS_NONE", Points: 2.4, Evidence: []string{"1.0.0.127.in-addr.arpa: no PTR record"}, Args: map[string]string{"IP": "127.0.0.1", "Hello": "gate.example.test"}},
		filter.Hit{Test: "HTML_TITLE_SUBJ_DIFF", Points: 2.171, Evidence: []string{"title: Untitled document", "subject: Your order"}, Args: map[string]string{"Title": "Untitled document", "Subject": "Your order"}},
		filter.Hit{Test: "MISSING_MID", Points: 0.5, Evidence: []string{"no Message-ID field"}},
		filter.Hit{Test: "URI_LISTED", Points: 0.4, Evidence: []string{strings.Repeat("averylongtokenwithoutanybreak", 12)}, Args: map[string]string{"Target": "shop.example.test", "List": "A list", "URL": "https://list.example.test/?q=shop.example.test"}},
		filter.Hit{Test: "HTML_MESSAGE", Points: 0.001},
		filter.Hit{Test: "URIBL_BLOCKED", Points: 0, Evidence: []string{"multi.uribl.com answers 127.0.0.1"}, Args: map[string]string{"Zone": "multi.uribl.com"}},
		filter.Hit{Test: "DKIM_VALID", Points: -0.1, Evidence: []string{"d=shop.example.test s=2026 rsa-sha256 2048 bits"}},
	)
	v.Unknown = []filter.Unknown{{Test: "DOMAIN_LISTED", Why: "dbl.example.test: timeout"}}
	return g.put(t, spool.Message{Subject: "Votre commande n° 4711 a été expédiée – suivez-la en ligne", HeaderFrom: "news@shop.example.test", MessageID: "<" + strings.Repeat("long", 20) + "@shop.example.test>", Customer: customer}, v)
}

// TestLooks: nothing is wider than the screen, in both languages, both schemes, on desk and phone, in every kind of page.
func TestLooks(t *testing.T) {
	t.Parallel()
	b := browse(t, false)
	g := start(t)
	pages := map[string]string{"rich": rich(g, t, "shop"), "policy": rich(g, t, "boutique"), "start": "/"}
	for name, path := range pages {
		for _, width := range []int64{1200, 375, 320} {
			for _, lang := range []string{"en", "fr"} {
				for _, colours := range []string{"light", "dark"} {
					if width == 320 && colours == "dark" || name == "start" && lang == "fr" {
						continue
					}
					at := g.base + path + "?" + url.Values{"lang": {lang}}.Encode()
					b.do(t, size(width, 800), scheme(colours), chromedp.Navigate(at))
					label := fmt.Sprintf("%s-%s-%s-%d", name, lang, colours, width)
					b.fits(t, label)
					b.shoot(t, label, true)
				}
			}
		}
	}
	for lang, subject := range map[string]string{"en": "Your order 4711 is on its way", "fr": "Votre commande 4711 est en route"} {
		at := g.link(g.put(t, spool.Message{Subject: subject, HeaderFrom: "news@shop.example.test"}, verdict(
			filter.Hit{Test: "SPF_FAIL", Points: 3.5, Evidence: []string{"shop.example.test from 198.51.100.25: fail (-all), record: v=spf1 ip4:192.0.2.7 -all"},
				Args: map[string]string{"Domain": "shop.example.test", "IP": "198.51.100.25", "Record": "v=spf1 ip4:192.0.2.7 -all", "Suggested": "v=spf1 ip4:198.51.100.25 ip4:192.0.2.7 -all"}},
			filter.Hit{Test: "HTML_TITLE_SUBJ_DIFF", Points: 2.171, Args: map[string]string{"Title": "Untitled", "Subject": subject}},
			filter.Hit{Test: "DKIM_NONE", Points: 0.5, Args: map[string]string{"Domain": "shop.example.test"}})))
		b.do(t, size(960, 1420), scheme("light"), chromedp.Navigate(g.base+at+"?lang="+lang))
		b.shoot(t, "portal-"+lang, false)
	}
	b.quiet(t, g.base)
}

// fits measures the page's layout through the debugger, for pages run no script.
func (b *browser) fits(t *testing.T, label string) {
	t.Helper()
	m := get(t, b, func(ctx context.Context, target *chromedp.Target) (page.GetLayoutMetricsResult, error) {
		return cdp.Call(ctx, target, page.GetLayoutMetrics, cdp.Empty{})
	})
	if m.CSSContentSize.Width > float64(m.CSSLayoutViewport.ClientWidth) {
		t.Errorf("%s: content of %.0f px on a screen of %d px", label, m.CSSContentSize.Width, m.CSSLayoutViewport.ClientWidth)
	}
	out := get(t, b, chromedp.Evaluate[string](`[...document.querySelectorAll(".card *, .top *")].filter(e => {
		const box = e.getBoundingClientRect(), around = e.closest(".card, .top").getBoundingClientRect()
		return box.width > 0 && box.right > around.right + 1 && !e.closest("svg")
	}).map(e => e.outerHTML.slice(0, 120)).join("\n")`))
	if out != "" {
		t.Errorf("%s: wider than what it stands in:\n%s", label, out)
	}
	small := get(t, b, chromedp.Evaluate[string](`[...document.querySelectorAll("button, summary, a.button, a.lang")].filter(e => {
		const box = e.getBoundingClientRect()
		return box.width > 0 && (box.height < 24 || box.width < 24)
	}).map(e => e.outerHTML.slice(0, 120)).join("\n")`))
	if small != "" {
		t.Errorf("%s: smaller than 24 px (WCAG 2.2, 2.5.8):\n%s", label, small)
	}
}
