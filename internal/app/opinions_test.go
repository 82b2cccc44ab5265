package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/filter"
	"postern/internal/mail"
	"postern/internal/opinion/opiniontest"
)

// configure writes a part of the configuration.
func configure(t *testing.T, dir, format string, args ...any) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "conf.d", "50-scanners.yaml"), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func figures(t *testing.T, a *app.App) string {
	t.Helper()
	resp, err := http.Get("http://" + a.Addresses("metrics") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestScannersThroughTheGateway: the real clamd and rspamd behind a whole gateway. A virus is held, suspect mail gets points, a scanner that
// must answer and does not makes mail wait with its sender, and a reload changes that at once.
func TestScannersThroughTheGateway(t *testing.T) {
	t.Parallel()
	clamd := opiniontest.StartClamd(t)
	rspamd, stopRspamd := opiniontest.StartRspamd(t)
	dir := t.TempDir()
	configure(t, dir, "filter:\n  clamd: {address: %q, timeout: 30s, max_size: 64KiB}\n  rspamd: {url: %q, timeout: 30s, on_error: pass}\n", clamd.Socket, rspamd)
	a, r, _, _ := gatewayIn(t, dir, customer)
	send := func(text string) (int, filter.Verdict) {
		t.Helper()
		res := submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", letter("Your order")+text+"\n")
		said := strings.Join(res.Data.Lines, " ")
		var v filter.Verdict
		if res.Data.Code == 250 {
			view, err := a.Desk().View(t.Context(), mail.QueueID(strings.Fields(said)[3]))
			if err != nil {
				t.Fatal(err)
			}
			v = view.Verdict
		}
		t.Log(res.Data.Code, said)
		return res.Data.Code, v
	}
	if code, _ := send("see you on Tuesday"); code != 250 {
		t.Fatalf("a clean message: %d", code)
	}
	r.next(t)
	code, v := send(opiniontest.VirusText)
	if h, _ := v.Hit("VIRUS_FOUND"); code != 250 || !v.Held || !v.Locked || h.Args["What"] != opiniontest.Signature {
		t.Errorf("a virus: %d, %+v", code, v)
	}
	code, v = send(opiniontest.SpamText)
	if h, _ := v.Hit("RSPAMD_SUSPECT"); code != 250 || !v.Held || v.Locked || h.Points < 3.2 || h.Args["What"] != "MADE_UP_TEXT, ENVELOPE" {
		t.Errorf("suspect mail: %d, %+v", code, v)
	}
	if code, _ := send(strings.Repeat("see you on Tuesday\n", 5000)); code != 552 {
		t.Errorf("larger than max_size: %d", code)
	}
	clamd.Stop()
	stopRspamd()
	if code, _ := send("see you on Tuesday"); code != 451 {
		t.Errorf("without clamd: %d", code)
	}
	configure(t, dir, "filter:\n  clamd: {address: %q, on_error: pass}\n  rspamd: {url: %q}\n", clamd.Socket, rspamd)
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, _ := send("see you on Tuesday"); code != 250 {
		t.Errorf("without clamd, and mail need not wait for it: %d", code)
	}
	r.next(t)
	text := figures(t, a)
	for _, want := range []string{`postern_opinion_questions_total{result="answered",scanner="clamd"} 3`, `postern_opinion_questions_total{result="too_large",scanner="clamd"} 1`,
		`postern_opinion_questions_total{result="unavailable",scanner="clamd"} 2`, `postern_opinion_questions_total{result="unavailable",scanner="rspamd"} 2`,
		`postern_intake_messages_total{result="refused:scanner"} 1`, `postern_opinion_duration_seconds_count{scanner="rspamd"} 6`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("figures lack %s", want)
		}
	}
	configure(t, dir, "filter: {clamd: {address: 'clamd'}}\n")
	if err := a.Reload(t.Context()); err == nil {
		t.Error("a faulty address was taken")
	}
	configure(t, dir, "filter: {scores: {VIRUS_FOUND: 1}, clamd: {address: %q}}\n", clamd.Socket)
	if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "VIRUS_FOUND") {
		t.Errorf("points of a virus were taken: %v", err)
	}
}

// TestScanAsksScanners: `postern scan` asks them unless it is local.
func TestScanAsksScanners(t *testing.T) {
	t.Parallel()
	clamd := opiniontest.StartClamd(t)
	dir := t.TempDir()
	configure(t, dir, "filter: {clamd: {address: %q}}\n", clamd.TCP)
	if err := os.WriteFile(filepath.Join(dir, "postern.yaml"), []byte("dns: {servers: ['127.0.0.1:9'], timeout: 100ms, attempts: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, local := range []bool{true, false} {
		s, err := app.NewScanner(c, local, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		raw := bytes.ReplaceAll([]byte(letter("x")+opiniontest.VirusText+"\n"), []byte("\n"), []byte("\r\n"))
		v, err := s.Scan(t.Context(), app.ScanInput{Message: mail.Parse(raw, mail.DefaultLimits())})
		if _, found := v.Hit("VIRUS_FOUND"); err != nil || found == local {
			text, _ := json.Marshal(v)
			t.Errorf("local %v: %v %s", local, err, text)
		}
	}
}
