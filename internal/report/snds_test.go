package report_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"postern/internal/report"
)

func sndsFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "snds", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readSNDS(t *testing.T, name string) report.SNDS {
	t.Helper()
	s, err := report.ReadSNDS(sndsFile(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func known(n int64) report.SNDSNumber { return report.SNDSNumber{Value: n, Known: true} }

func TestSNDSLegacy(t *testing.T) {
	t.Parallel()
	s := readSNDS(t, "legacy.csv")
	want := []report.SNDSRow{
		{Line: 1, IP: netip.MustParseAddr("1.1.1.2"), Start: at("2019-12-31 21:00"), End: at("2020-09-29 21:00"), RCPT: known(14121), DATA: known(14121), Recipients: known(12960),
			Filter: report.SNDSRed, Complaint: report.SNDSRate{Percent: .1, Below: true, Known: true}, TrapStart: at("2020-09-29 08:07"), TrapEnd: at("2020-09-29 11:53"), TrapHits: known(26)},
		{Line: 2, IP: netip.MustParseAddr("192.0.2.10"), Start: at("2026-09-28 00:00"), End: at("2026-09-29 00:00"), RCPT: known(812), DATA: known(790), Recipients: known(780),
			Filter: report.SNDSGreen, Complaint: report.SNDSRate{Percent: .3, Known: true}, HELO: "mail.example.net", Sender: "news@example.net", Comments: "a, b"},
		{Line: 3, IP: netip.MustParseAddr("192.0.2.11"), Start: at("2026-09-28 00:00"), End: at("2026-09-29 00:00"), RCPT: known(501), DATA: known(500),
			Filter: report.SNDSYellow, TrapHits: known(0), HELO: "gate.example.net"},
	}
	if s.Shape != report.SNDSLegacyCSV || !slices.Equal(s.Rows, want) || len(s.Bad) > 0 {
		t.Fatalf("got %+v", s)
	}
	for i, day := range []string{"2020-09-29 00:00", "2026-09-28 00:00", "2026-09-28 00:00"} {
		if got := s.Rows[i].Day(); !got.Equal(at(day)) {
			t.Errorf("row %d counts for %v", i, got)
		}
	}
}

func TestSNDSNew(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"new-header.csv", "new-plain.csv"} {
		s := readSNDS(t, name)
		if s.Shape != report.SNDSCSV || len(s.Rows) != 2 || len(s.Bad) > 0 {
			t.Fatalf("%s: %+v", name, s)
		}
	}
	s := readSNDS(t, "new-header.csv")
	want := report.SNDSRow{Line: 2, IP: netip.MustParseAddr("192.0.2.10"), Start: at("2026-06-01 01:00"), RCPT: known(10), DATA: known(8), Recipients: known(7), Filter: report.SNDSGreen,
		Complaint: report.SNDSRate{Percent: .1, Below: true, Known: true}, TrapStart: at("2026-06-01 02:00"), TrapHits: known(0), Sender: "yes", Comments: "ok"}
	if s.Rows[0] != want {
		t.Errorf("got %+v", s.Rows[0])
	}
	six := s.Rows[1]
	if six.IP != netip.MustParseAddr("2001:db8::25") || !six.End.Equal(at("2026-06-01 23:59")) || six.TrapHits.Known || !six.Day().Equal(at("2026-06-01 00:00")) {
		t.Errorf("got %+v", six)
	}
	s = readSNDS(t, "new-plain.csv")
	if iso := s.Rows[1]; !iso.Start.Equal(at("2026-06-01 00:00")) || !iso.End.Equal(at("2026-06-02 00:00")) || iso.Complaint.Known {
		t.Errorf("got %+v", iso)
	}
	if x := s.Rows[0]; x.RCPT != known(111) || x.DATA != known(222) || x.Recipients != known(333) || x.TrapHits != known(4) || x.Comments != "note" {
		t.Errorf("got %+v", x)
	}
}

func TestSNDSJSON(t *testing.T) {
	t.Parallel()
	plain := readSNDS(t, "list.json")
	if plain.Shape != report.SNDSJSON || len(plain.Rows) != 2 || len(plain.Bad) != 1 || plain.Bad[0].Line != 3 || plain.Bad[0].Code != "ip" {
		t.Fatalf("got %+v", plain)
	}
	a, b := plain.Rows[0], plain.Rows[1]
	if a.DATA != known(118) || a.TrapHits.Known || a.Filter != report.SNDSGreen || !a.Complaint.Below || !a.End.Equal(at("2026-06-01 23:59")) {
		t.Errorf("got %+v", a)
	}
	if b.Complaint != (report.SNDSRate{Percent: .4, Known: true}) || b.TrapHits != known(3) || !b.End.Equal(at("2026-06-01 23:59")) {
		t.Errorf("got %+v", b)
	}
	for _, w := range []string{"value", "items", "data", "results"} {
		if s := readSNDS(t, "wrapped-"+w+".json"); !slices.Equal(s.Rows, plain.Rows) || !slices.Equal(s.Bad, plain.Bad) {
			t.Errorf("%s: got %+v", w, s)
		}
	}
}

func TestSNDSStatus(t *testing.T) {
	t.Parallel()
	s := readSNDS(t, "status-legacy.csv")
	var states []report.SNDSState
	for _, x := range s.Status {
		states = append(states, x.State)
	}
	if s.Shape != report.SNDSStatusCSV || !slices.Equal(states, []report.SNDSState{report.SNDSBlocked, report.SNDSJunked, report.SNDSBot, report.SNDSAbnormal}) {
		t.Fatalf("got %+v", s)
	}
	if len(s.Bad) != 1 || s.Bad[0].Code != "range" || s.Bad[0].Line != 5 {
		t.Errorf("bad rows: %v", s.Bad)
	}
	for ip, in := range map[string]bool{"1.1.1.253": false, "1.1.1.254": true, "1.1.2.0": true, "1.1.2.1": true, "1.1.2.2": false, "::ffff:1.1.2.0": true, "::1": false} {
		if s.Status[0].Has(netip.MustParseAddr(ip)) != in {
			t.Errorf("%s in the range: %v", ip, !in)
		}
	}
	if got := s.Status[1].Reason; got != "Junked due to user complaints, or other evidence of spamming" {
		t.Errorf("reason %q", got)
	}
	if s := readSNDS(t, "status-new.csv"); len(s.Status) != 1 || s.Status[0].State != report.SNDSBlocked {
		t.Errorf("got %+v", s)
	}
	if s := readSNDS(t, "status.json"); s.Shape != report.SNDSStatusJSON || len(s.Status) != 2 || s.Status[0].State != report.SNDSBlocked || s.Status[1].State != report.SNDSBot {
		t.Errorf("got %+v", s)
	}
}

// A bad row is told with its line, its field and why; the others count.
func TestSNDSBadRows(t *testing.T) {
	t.Parallel()
	s := readSNDS(t, "bad-rows.csv")
	var good, bad []string
	for _, r := range s.Rows {
		good = append(good, r.IP.String())
	}
	for _, f := range s.Bad {
		bad = append(bad, f.Error())
	}
	if !slices.Equal(good, []string{"192.0.2.12", "192.0.2.18"}) {
		t.Errorf("good rows %v", good)
	}
	if s.Rows[0].HELO != `he said "=1+1", twice` || s.Rows[0].Sender != `x"y` {
		t.Errorf("got %+v", s.Rows[0])
	}
	want := []string{
		"line 1: the row has a quotation mark that is not closed, or text behind a closed one",
		"line 2: the row has a quotation mark that is not closed, or text behind a closed one",
		`line 4: ip: "999.0.2.1" is no address of a machine`,
		`line 5: activity: "13/28/2026 12:00 AM" is no time; expected like 9/29/2026 8:07 AM or 2026-09-29T08:07:00Z`,
		`line 6: rcpt: "-1" is no number from 0 to 1000000000000`,
		`line 7: filter: "purple" is no colour; expected GREEN, YELLOW or RED`,
		`line 8: complaint: "400%" is no rate; expected like 0.3% or < 0.1%`,
		`line 9: activity: "9/29/2026 12:00 AM 9/28/2026 12:00 AM" ends before it begins`,
		"line 10: the row has another number of columns than this form of SNDS file",
	}
	if !slices.Equal(bad, want) {
		t.Errorf("bad rows:\n%s", strings.Join(bad, "\n"))
	}
}

func TestSNDSForms(t *testing.T) {
	t.Parallel()
	one := func(row string) (report.SNDSRow, error) {
		s, err := report.ReadSNDS([]byte(row))
		if err != nil || len(s.Rows) != 1 {
			return report.SNDSRow{}, errors.Join(err, errors.New("not one row"))
		}
		return s.Rows[0], nil
	}
	t.Run("line ends", func(t *testing.T) {
		crlf := sndsFile(t, "legacy.csv")
		a, _ := report.ReadSNDS(crlf)
		b, err := report.ReadSNDS(bytes.ReplaceAll(crlf, []byte("\r\n"), []byte("\n")))
		if err != nil || !slices.Equal(a.Rows, b.Rows) {
			t.Errorf("got %+v, %v", b, err)
		}
	})
	t.Run("empty lines keep the count", func(t *testing.T) {
		s, _ := report.ReadSNDS(append([]byte("\r\n\r\n"), sndsFile(t, "legacy.csv")...))
		if len(s.Rows) != 3 || s.Rows[0].Line != 3 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("utf-16 with semicolons", func(t *testing.T) {
		text := strings.ReplaceAll(string(sndsFile(t, "new-plain.csv")), ",", ";")
		data := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(text)) {
			data = append(data, byte(u), byte(u>>8))
		}
		if s, err := report.ReadSNDS(data); err != nil || len(s.Rows) != 2 {
			t.Errorf("got %+v, %v", s, err)
		}
	})
	t.Run("narrow space before PM", func(t *testing.T) {
		r, err := one("192.0.2.1,6/1/2026 1:00\u202fPM,1,1,1,GREEN,0.1%,,,,")
		if err != nil || !r.Start.Equal(at("2026-06-01 13:00")) {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("blank is not zero", func(t *testing.T) {
		r, err := one("192.0.2.1,6/1/2026 1:00 AM,,,,,,,,,")
		if err != nil || r.RCPT.Known || r.DATA.Known || r.Recipients.Known || r.Complaint.Known || r.TrapHits.Known || r.Filter != "" {
			t.Errorf("got %+v, %v", r, err)
		}
		if r, err = one("192.0.2.1,6/1/2026 1:00 AM,0,0,0,GREEN,0%,,0,,"); err != nil || r.RCPT != known(0) || r.Complaint != (report.SNDSRate{Known: true}) || r.TrapHits != known(0) {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("thousands", func(t *testing.T) {
		if r, err := one(`192.0.2.1,6/1/2026 1:00 AM,"1,234,567",1,1,GREEN,,,,,`); err != nil || r.RCPT != known(1234567) {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("one object", func(t *testing.T) {
		if r, err := one(`{"ipAddress":"192.0.2.1","activityPeriod":"2026-06-01"}`); err != nil || !r.Start.Equal(at("2026-06-01 00:00")) {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("header in another order", func(t *testing.T) {
		s, err := report.ReadSNDS([]byte("Comments,Filter result,IP,unknown column,Activity period\nhello,red,192.0.2.1,x,6/1/2026 1:00 AM\n"))
		if err != nil || len(s.Rows) != 1 || s.Rows[0].Filter != report.SNDSRed || s.Rows[0].Comments != "hello" || s.Rows[0].RCPT.Known {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}

func TestSNDSIsNot(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, data string
		want       error
		shape      report.SNDSShape
	}{
		{"page", string(sndsFile(t, "page.html")), report.ErrSNDSPage, ""},
		{"empty", "", nil, report.SNDSNothing},
		{"spaces", " \r\n\t", nil, report.SNDSNothing},
		{"empty list", " [] ", nil, report.SNDSNothing},
		{"wrapped empty list", `{"value":[]}`, nil, report.SNDSNothing},
		{"header alone", "Ip Address,Activity period,RCPT commands\n", nil, report.SNDSCSV},
		{"text", "Dear sir,\nhello\n", report.ErrNoSNDS, ""},
		{"broken json", `[{"ipAddress":`, report.ErrNoSNDS, ""},
		{"other json", `{"error":{"code":"x"}}`, report.ErrNoSNDS, ""},
		{"other list", `[1,2,3]`, report.ErrNoSNDS, ""},
		{"objects of something else", `[{"domain":"example.org"}]`, report.ErrNoSNDS, ""},
		{"too large", strings.Repeat("x", report.MaxSNDS+1), report.ErrSNDSLarge, ""},
		{"too many rows", strings.Repeat("a,b,c\n", 200_001), report.ErrSNDSLarge, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := report.ReadSNDS([]byte(tc.data))
			if !errors.Is(err, tc.want) || s.Shape != tc.shape {
				t.Errorf("got %q, %v", s.Shape, err)
			}
			if report.LooksLikeSNDS([]byte(tc.data)) {
				t.Error("taken for SNDS")
			}
		})
	}
	for _, name := range []string{"legacy.csv", "new-header.csv", "list.json", "status.json", "status-legacy.csv"} {
		if !report.LooksLikeSNDS(sndsFile(t, name)) {
			t.Errorf("%s is not recognised", name)
		}
	}
}

// What cannot be read is bounded, whatever there is of it.
func TestSNDSManyFaults(t *testing.T) {
	t.Parallel()
	data := string(sndsFile(t, "new-plain.csv")) + strings.Repeat("192.0.2.1,never,1,1,1,GREEN,,,,,\n", 5000) + strings.Repeat("x", 9000) + "\n"
	s, err := report.ReadSNDS([]byte(data))
	if err != nil || len(s.Rows) != 2 || len(s.Bad) != 1000 || s.BadMore != 4001 {
		t.Errorf("%d rows, %d and %d faults, %v", len(s.Rows), len(s.Bad), s.BadMore, err)
	}
}

func FuzzSNDS(f *testing.F) {
	files, err := filepath.Glob("testdata/snds/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := report.ReadSNDS(data)
		if err != nil {
			return
		}
		for _, r := range s.Rows {
			if !r.IP.IsValid() || r.Start.IsZero() || !r.End.IsZero() && r.End.Before(r.Start) || r.Line < 1 || len(r.HELO) > 400 || strings.ContainsAny(r.HELO+r.Sender+r.Comments, "\r\n\x00") {
				t.Errorf("impossible row %+v", r)
			}
			if !(r.Complaint.Percent >= 0 && r.Complaint.Percent <= 100) || r.RCPT.Value < 0 || !r.RCPT.Known && r.RCPT.Value != 0 {
				t.Errorf("impossible figures %+v", r)
			}
			_ = r.Day()
		}
		for _, x := range s.Status {
			if x.State == "" || !x.Has(x.First) || !x.Has(x.Last) {
				t.Errorf("impossible state %+v", x)
			}
		}
		for _, b := range s.Bad {
			if b.Code == "" || b.Error() == "" {
				t.Errorf("a fault that says nothing: %+v", b)
			}
		}
	})
}

func BenchmarkSNDS(b *testing.B) {
	data := []byte(strings.Repeat(string(sndsFile(b, "legacy.csv")), 2000))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if s, err := report.ReadSNDS(data); err != nil || len(s.Rows) != 6000 {
			b.Fatal(err, len(s.Rows))
		}
	}
}
