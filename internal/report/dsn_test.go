package report_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func parse(raw []byte) (report.DSN, error) {
	return report.ParseDSN(mail.Parse(raw, mail.DefaultLimits()))
}

func sample() report.DSN {
	at := time.Date(2026, 11, 21, 9, 30, 0, 0, time.FixedZone("", 3600))
	return report.DSN{
		ReportingMTA: "out1.postern.example", ArrivalDate: at.Add(-48 * time.Hour), EnvelopeID: "QQ314159",
		ReceivedFromMTA: "web7.customer.example",
		Recipients: []report.DSNRecipient{
			{Original: address("jean@orange.example"), OriginalText: "rfc822;jean@orange.example", Final: address("jean@orange.example"), Action: report.Failed, Status: "5.1.1",
				RemoteMTA: "smtp-in.orange.example", DiagnosticCode: "smtp; 550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_416", LastAttempt: at},
			{Final: address("marie@free.example"), Action: report.Delayed, Status: "4.4.1", LastAttempt: at, WillRetryUntil: at.Add(24 * time.Hour)},
		},
		From: address("mailer-daemon@postern.example"), FromName: "Passerelle d’envoi", To: address("contact@customer.example"),
		Subject: "Message non remis à jean@orange.example", Language: "fr",
		Text:      "Bonjour,\n\nVotre message n’a pas pu être remis.\n",
		MessageID: "dsn.1@postern.example", Date: at,
		Original: []byte("From: contact@customer.example\r\nTo: jean@orange.example\r\nSubject: Facture\r\n\r\nBonjour Jean\r\n"),
	}
}

func TestDSNGolden(t *testing.T) {
	t.Parallel()
	full := sample()
	full.ReturnFull, full.HTML = true, "<p>Votre message n’a pas pu être remis.</p>"
	global := sample()
	global.Recipients = global.Recipients[:1]
	global.Recipients[0].Final = mail.Address{Local: "élise", Domain: "xn--caf-dma.example"}
	global.Recipients[0].OriginalText = "utf-8;élise@xn--caf-dma.example"
	global.Original = []byte("From: contact@customer.example\r\nTo: élise@café.example\r\nSubject: é\r\n\r\nBonjour\r\n")
	for _, tc := range []struct {
		name string
		dsn  report.DSN
	}{{"01-headers", sample()}, {"02-full-html", full}, {"03-global", global}} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.dsn.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			again, _ := tc.dsn.Bytes()
			if !bytes.Equal(got, again) {
				t.Error("the same DSN gives different bytes")
			}
			checkWire(t, got)
			path := filepath.Join("testdata", "golden", tc.name+".eml")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s:\n%s", path, got)
			}
			back, err := parse(got)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, tc.dsn, back)
		})
	}
}

// compare checks that what was written was read back.
func compare(t *testing.T, want, got report.DSN) {
	t.Helper()
	for name, pair := range map[string][2]any{
		"ReportingMTA": {want.ReportingMTA, got.ReportingMTA}, "ArrivalDate": {want.ArrivalDate.Unix(), got.ArrivalDate.Unix()},
		"EnvelopeID": {want.EnvelopeID, got.EnvelopeID}, "ReceivedFromMTA": {want.ReceivedFromMTA, got.ReceivedFromMTA},
		"From": {want.From, got.From}, "To": {want.To, got.To}, "FromName": {want.FromName, got.FromName}, "Subject": {want.Subject, got.Subject},
		"Language": {want.Language, got.Language}, "Text": {strings.TrimSpace(want.Text), strings.TrimSpace(strings.ReplaceAll(got.Text, "\r\n", "\n"))},
		"HTML": {want.HTML, strings.TrimSpace(got.HTML)}, "MessageID": {want.MessageID, got.MessageID}, "Date": {want.Date.Unix(), got.Date.Unix()},
		"ReturnFull": {want.ReturnFull, got.ReturnFull}, "Recipients": {len(want.Recipients), len(got.Recipients)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: wrote %q, read %q", name, pair[0], pair[1])
		}
	}
	if want.ReturnFull && !bytes.Equal(bytes.TrimSpace(want.Original), bytes.TrimSpace(got.Original)) {
		t.Errorf("Original: %q", got.Original)
	}
	for i := range min(len(want.Recipients), len(got.Recipients)) {
		w, g := want.Recipients[i], got.Recipients[i]
		if w.Final != g.Final || w.Action != g.Action || w.Status != g.Status || w.RemoteMTA != g.RemoteMTA ||
			w.DiagnosticCode != g.DiagnosticCode || !w.LastAttempt.Equal(g.LastAttempt) || !w.WillRetryUntil.Equal(g.WillRetryUntil) {
			t.Errorf("recipient %d: wrote %+v, read %+v", i, w, g)
		}
	}
}

// checkWire checks what every notification must be.
func checkWire(t *testing.T, raw []byte) {
	t.Helper()
	for i, line := range bytes.SplitAfter(raw, []byte("\n")) {
		if len(line) > 0 && !bytes.HasSuffix(line, []byte("\r\n")) || bytes.Count(line, []byte("\r")) > 1 || len(line) > 1000 {
			t.Errorf("line %d is not sendable: %.80q", i+1, line)
		}
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' && r != '\t' }) {
			t.Errorf("line %d holds a control character: %.80q", i+1, line)
		}
	}
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for _, want := range []string{"\r\nAuto-Submitted: auto-replied", "\r\nMIME-Version: 1.0", "\r\nContent-Type: multipart/report; report-type=delivery-status;"} {
		if bytes.Count(header, []byte(want)) != 1 {
			t.Errorf("header lacks %q", want)
		}
	}
	if n := bytes.Count(header, []byte("\r\n")); n > 60 {
		t.Errorf("%d header lines", n)
	}
}

func TestDSNInjection(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nBcc: victim@example.org\r\n\r\nspam\x00\x1b[31m\u2028y"
	d := sample()
	d.ReportingMTA, d.EnvelopeID, d.ReceivedFromMTA = evil, evil, evil
	d.FromName, d.Subject, d.Language, d.MessageID, d.Text, d.HTML = evil, evil, evil, evil, evil, evil
	d.Recipients[0].OriginalText, d.Recipients[0].RemoteMTA, d.Recipients[0].DiagnosticCode = evil, evil, evil+strings.Repeat("é", 5000)
	d.Recipients[1].Final, d.Recipients[1].FinalText = mail.Address{}, evil
	d.Original = []byte("A: 1\rB: 2\nC: \x003\r\n\r\nbody\rmore\n" + strings.Repeat("z", 2000))
	for _, full := range []bool{false, true} {
		d.ReturnFull = full
		raw, err := d.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		checkWire(t, raw)
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if bytes.HasPrefix(line, []byte("Bcc:")) {
				// Only the quoted text of the human part may show it.
				if bytes.Count(raw, []byte("\r\nBcc:")) > 2 {
					t.Errorf("injected field in\n%s", raw)
				}
			}
		}
		m := mail.Parse(raw, mail.DefaultLimits())
		if m.Header.Has("Bcc") || len(m.Root.Children) != 3 {
			t.Errorf("header injected, or %d parts", len(m.Root.Children))
		}
	}
}

func TestDSNReturnedContent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, original string
		full           bool
		kind           string
		size           int // bytes of the returned part at most
	}{
		{"nothing", "", true, "", 0},
		{"header only", "A: b\r\n\r\nbody\r\n", false, "text/rfc822-headers", 10},
		{"no body", "A: b\r\n", true, "message/rfc822", 10},
		{"8-bit body", "A: b\r\n\r\n\xe9t\xe9\r\n", true, "message/rfc822", 20},
		{"8-bit header", "A: \xc3\xa9\r\n\r\nx\r\n", true, "message/global", 20},
		{"large body", "A: b\r\n\r\n" + strings.Repeat("0123456789\r\n", 100000), true, "message/rfc822", 51 << 10},
		{"large header", "A: b\r\n" + strings.Repeat("X: 0123456789\r\n", 100000) + "\r\nbody", true, "message/rfc822", 129 << 10},
		{"long body line", "A: b\r\n\r\n" + strings.Repeat("x", 999), true, "text/rfc822-headers", 10},
		{"long header line", "A: " + strings.Repeat("x", 2000) + "\r\n\r\nbody", true, "text/rfc822-headers", 2010},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := sample()
			d.Original, d.ReturnFull = []byte(tc.original), tc.full
			raw, err := d.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			checkWire(t, raw)
			m := mail.Parse(raw, mail.DefaultLimits())
			kind, size := "", 0
			if len(m.Root.Children) == 3 {
				kind, size = m.Root.Children[2].MediaType, len(m.Root.Children[2].Decoded())
			}
			if kind != tc.kind || size > tc.size {
				t.Errorf("%s of %d bytes, want %s of at most %d", kind, size, tc.kind, tc.size)
			}
		})
	}
}

func TestDSNIncomplete(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*report.DSN){
		"host": func(d *report.DSN) { d.ReportingMTA = "\r\n" }, "from": func(d *report.DSN) { d.From = mail.Address{} },
		"null reverse path": func(d *report.DSN) { d.To = mail.Address{} }, "message id": func(d *report.DSN) { d.MessageID = "" },
		"date": func(d *report.DSN) { d.Date = time.Time{} }, "recipients": func(d *report.DSN) { d.Recipients = nil },
		"action": func(d *report.DSN) { d.Recipients[0].Action = "lost" }, "status": func(d *report.DSN) { d.Recipients[0].Status = "550" },
		"final": func(d *report.DSN) { d.Recipients[0].Final = mail.Address{} },
	} {
		t.Run(name, func(t *testing.T) {
			d := sample()
			spoil(&d)
			if _, err := d.Bytes(); !errors.Is(err, report.ErrIncomplete) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestParseDSNBounces reads reports of many systems and compares with the lines
// of testdata/bounces.txt: file, then per recipient address action status.
func TestParseDSNBounces(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bounces/*.eml")
	if err != nil || len(files) < 25 {
		t.Fatal(len(files), err)
	}
	var got strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		d, err := parse(raw)
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		fmt.Fprintf(&got, "%s mta=%s original=%v full=%v\n", filepath.Base(f), d.ReportingMTA, len(d.Original) > 0, d.ReturnFull)
		for _, r := range d.Recipients {
			fmt.Fprintf(&got, "\t%s %s %s remote=%s %.60s\n", r.Final, r.Action, r.Status, r.RemoteMTA, r.DiagnosticCode)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/bounces.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/bounces.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("differs from testdata/bounces.txt:\n%s", got.String())
	}
}

func TestParseDSNForms(t *testing.T) {
	t.Parallel()
	wrap := func(status string) string {
		return "From: a@b.example\r\nContent-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n" + status + "\r\n--x--\r\n"
	}
	for _, tc := range []struct{ name, raw, want string }{
		{"no mime", "Subject: hi\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\n", "no delivery status in the message"},
		{"empty status", wrap(""), "no delivery status in the message"},
		{"no message group", wrap("Final-Recipient: rfc822;a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"), "a@b.example failed 5.1.1"},
		{"groups run together", wrap("Reporting-MTA: dns;x\r\nFinal-Recipient: rfc822;a@b.example\r\nAction: failed\r\nFinal-Recipient: rfc822;c@d.example\r\nAction: delayed\r\n"), "a@b.example failed |c@d.example delayed "},
		{"action first", wrap("Action: FAILED (gone)\r\nFinal-Recipient: <a@b.example>\r\nStatus: 5.2.2 (full)\r\n"), "a@b.example failed 5.2.2"},
		{"folded", wrap("Final-Recipient: rfc822;\r\n a@b.example\r\nStatus:\r\n\t4.4.7\r\n"), "a@b.example  4.4.7"},
		{"utf-8", wrap(`Final-Recipient: utf-8; \x{E9}lise@b.example` + "\r\nStatus: 5.6.7\r\n"), "élise@b.example  5.6.7"},
		{"bad status", wrap("Final-Recipient: rfc822;a@b.example\r\nStatus: 550\r\n"), "a@b.example  "},
		{"bare LF", strings.ReplaceAll(wrap("Final-Recipient: rfc822;a@b.example\r\nStatus: 5.0.0\r\n"), "\r\n", "\n"), "a@b.example  5.0.0"},
		{"unknown address", wrap("Final-Recipient: x400; /C=FR/\r\nStatus: 5.0.0\r\n"), "  5.0.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := parse([]byte(tc.raw))
			var got []string
			for _, r := range d.Recipients {
				got = append(got, fmt.Sprintf("%s %s %s", r.Final, r.Action, r.Status))
			}
			if err != nil {
				got = []string{err.Error()}
			}
			if s := strings.Join(got, "|"); s != tc.want {
				t.Errorf("got %q, want %q", s, tc.want)
			}
		})
	}
}

func TestParseDSNBounded(t *testing.T) {
	t.Parallel()
	head := "Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n"
	for name, status := range map[string]string{
		"recipients":    strings.Repeat("\r\nFinal-Recipient: rfc822;a@b.example\r\n", 20000),
		"continuations": "Diagnostic-Code: smtp;\r\n" + strings.Repeat(" x\r\n", 250000) + "\r\nStatus: 5.0.0\r\n",
		"one line":      "Status: " + strings.Repeat("5", 1<<20),
	} {
		start := time.Now()
		d, _ := parse([]byte(head + status + "\r\n--x--\r\n"))
		if len(d.Recipients) > 1000 {
			t.Errorf("%s: %d recipients", name, len(d.Recipients))
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func FuzzDSN(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.eml")
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parse(raw)
		if err != nil {
			return
		}
		if len(d.Recipients) > 1000 {
			t.Fatalf("%d recipients", len(d.Recipients))
		}
		// What was read can be written, and is read back alike.
		d.ReportingMTA, d.MessageID, d.Date = "out.example", "1@out.example", time.Unix(1e9, 0)
		d.From, d.To = address("d@out.example"), address("s@c.example")
		for i := range d.Recipients {
			r := &d.Recipients[i]
			r.Action, r.Status, r.OriginalText = report.Failed, "5.0.0", ""
			if r.Final.IsNull() {
				r.Final = address("x@y.example")
			}
		}
		out, err := d.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		checkWireFuzz(t, out)
		back, err := parse(out)
		if err != nil || len(back.Recipients) != len(d.Recipients) {
			t.Fatalf("%v: wrote %d recipients, read %d\n%q", err, len(d.Recipients), len(back.Recipients), out)
		}
		for i, r := range back.Recipients {
			if r.Final != d.Recipients[i].Final {
				t.Fatalf("recipient %d: wrote %q, read %q", i, d.Recipients[i].Final, r.Final)
			}
		}
	})
}

// checkWireFuzz checks line ends and lengths; returned content keeps its own
// control characters.
func checkWireFuzz(t *testing.T, raw []byte) {
	for line := range bytes.SplitAfterSeq(raw, []byte("\n")) {
		if len(line) > 1000 || len(line) > 0 && !bytes.HasSuffix(line, []byte("\r\n")) || bytes.Count(line, []byte("\r")) > 1 || bytes.IndexByte(line, 0) >= 0 {
			t.Fatalf("unsendable line %.100q", line)
		}
	}
}

func BenchmarkDSN(b *testing.B) {
	d := sample()
	d.ReturnFull = true
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}
