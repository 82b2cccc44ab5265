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

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"postern/internal/filter"
	"postern/internal/spool"
)

// browser is a headless Chromium without JavaScript for the pages, whose complaints fail the test.
type browser struct {
	ctx context.Context

	mu     sync.Mutex
	faults []string
	asked  []string // every address it asked for
}

func browse(t *testing.T) *browser {
	t.Helper()
	var binary string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		if os.Getenv("POSTERN_CI") != "" {
			t.Fatal("no Chromium is installed, and POSTERN_CI asks for it")
		}
		t.Skip("NOT TESTED: no Chromium is installed, so the pages were not looked at in a browser")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(binary), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(60*time.Second))
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(alloc)
	ctx, end := context.WithTimeout(ctx, 3*time.Minute)
	b := &browser{ctx: ctx}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process, so that its folder can go
		end()
		stop()
		stopAlloc()
	})
	chromedp.ListenTarget(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			b.faults = append(b.faults, string(ev.Entry.Level)+": "+ev.Entry.Text+" "+ev.Entry.URL)
		case *runtime.EventExceptionThrown:
			b.faults = append(b.faults, ev.ExceptionDetails.Error())
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, ev.Request.URL)
		}
	})
	if err := chromedp.Run(ctx, log.Enable(), network.Enable(), runtime.Enable(), emulation.SetScriptExecutionDisabled(true)); err != nil {
		t.Fatal(err)
	}
	return b
}

// do runs actions of the browser.
func (b *browser) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// see reads the whole page as text.
func (b *browser) see(t *testing.T, want ...string) {
	t.Helper()
	var html string
	b.do(t, chromedp.OuterHTML("html", &html, chromedp.ByQuery))
	expect(t, html, want...)
}

// press submits the form whose address ends in act, and waits for the page after it.
func (b *browser) press(t *testing.T, act string) {
	t.Helper()
	button := `form[action*="/` + act + `"] button`
	_, err := chromedp.RunResponse(b.ctx, chromedp.Click(button, chromedp.ByQuery))
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.WaitReady("h1", chromedp.ByQuery))
}

func (b *browser) size(width, height int64) chromedp.Action {
	return emulation.SetDeviceMetricsOverride(width, height, 1, width < 500)
}

func scheme(name string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}})
}

// shoot keeps a picture when POSTERN_SHOTS names a folder.
func (b *browser) shoot(t *testing.T, name string, whole bool) {
	t.Helper()
	dir := os.Getenv("POSTERN_SHOTS")
	if dir == "" {
		return
	}
	var picture []byte
	if whole {
		b.do(t, chromedp.FullScreenshot(&picture, 100))
	} else {
		b.do(t, chromedp.ActionFunc(func(ctx context.Context) (err error) {
			picture, err = page.CaptureScreenshot().Do(ctx)
			return err
		}))
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
	b := browse(t)
	g := start(t)
	at := g.base + g.link(g.hold(t, "Your order 4711 has been sent"))
	b.do(t, b.size(1200, 900), scheme("light"), chromedp.Navigate(at))
	b.see(t, ">Held<", "SPF_FAIL")
	b.shoot(t, "held-en", true)
	b.do(t, chromedp.Click(".lang", chromedp.ByQuery), chromedp.WaitReady(`html[lang="fr"]`, chromedp.ByQuery))
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
	b.do(t, chromedp.Click(".acts details:nth-of-type(1) summary", chromedp.ByQuery), chromedp.SendKeys("#question", "Why, please?", chromedp.ByQuery))
	b.press(t, "ask")
	b.see(t, "Your question was sent")
	b.do(t, chromedp.Click(".acts details summary", chromedp.ByQuery))
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
		if !strings.HasPrefix(a, base+"/") {
			t.Errorf("a page asked for %s", a)
		}
	}
}

// rich is a held message with everything a page can show.
func rich(g *gateway, t *testing.T, customer string) string {
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
	id := g.put(t, spool.Message{Subject: "Votre commande n° 4711 a été expédiée – suivez-la en ligne", HeaderFrom: "news@shop.example.test", MessageID: "<" + strings.Repeat("long", 20) + "@shop.example.test>", Customer: customer}, v)
	return g.link(id)
}

// TestLooks: nothing is wider than the screen, in both languages, both schemes, on desk and phone, in every kind of page.
func TestLooks(t *testing.T) {
	t.Parallel()
	b := browse(t)
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
					b.do(t, b.size(width, 800), scheme(colours), chromedp.Navigate(at))
					label := fmt.Sprintf("%s-%s-%s-%d", name, lang, colours, width)
					b.fits(t, label)
					b.shoot(t, label, true)
				}
			}
		}
	}
	b.quiet(t, g.base)
}

// fits measures the page's layout through the debugger, for pages run no script.
func (b *browser) fits(t *testing.T, label string) {
	t.Helper()
	b.do(t, chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, view, _, content, err := page.GetLayoutMetrics().Do(ctx)
		if err != nil {
			return err
		}
		if content.Width > float64(view.ClientWidth) {
			t.Errorf("%s: content of %.0f px on a screen of %d px", label, content.Width, view.ClientWidth)
		}
		return nil
	}))
}
