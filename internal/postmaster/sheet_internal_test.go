package postmaster

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"postern/internal/report"
)

func someRows() []heatRow {
	number := func(n int64) report.SNDSNumber { return report.SNDSNumber{Value: n, Known: true} }
	return []heatRow{
		{ip: netip.MustParseAddr("0.0.0.1"), day: 7},
		{ip: netip.MustParseAddr("192.0.2.1"), day: 7, colour: report.SNDSRed, recipients: number(0), traps: number(0), complaint: report.SNDSRate{Known: true}},
		{ip: netip.MustParseAddr("192.0.2.1"), day: 7, colour: report.SNDSGreen, recipients: number(math.MaxInt64), traps: number(1), complaint: report.SNDSRate{Percent: .1, Below: true, Known: true}},
		{ip: netip.MustParseAddr("255.255.255.255"), day: 7, colour: report.SNDSYellow, traps: number(26)},
		{ip: netip.MustParseAddr("::ffff:1.2.3.4"), day: 7, recipients: number(3)},
		{ip: netip.MustParseAddr("2001:db8::25"), day: 7, complaint: report.SNDSRate{Percent: 33.333333, Known: true}},
	}
}

func TestPackRows(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]heatRow{nil, someRows(), someRows()[:1], someRows()[4:]} {
		data := packRows(rows)
		got, err := unpackRows(7, data, nil)
		if err != nil || !slices.Equal(got, rows) {
			t.Errorf("%v: %+v, want %+v", err, got, rows)
		}
	}
	whole := packRows(someRows())
	for n := range whole {
		if rows, err := unpackRows(7, whole[:n], nil); err == nil && len(rows) >= len(someRows()) {
			t.Errorf("%d bytes of %d are a whole sheet", n, len(whole))
		}
	}
}

// Whatever the bytes: no panic, and rows that are read are written and read again as they are.
func FuzzUnpackRows(f *testing.F) {
	f.Add(packRows(nil))
	f.Add(packRows(someRows()))
	f.Add([]byte{})
	f.Add([]byte{sheetForm, bitSame})
	f.Add([]byte{sheetForm, 0xbf, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := unpackRows(7, data, nil)
		if err != nil {
			return
		}
		again, err := unpackRows(7, packRows(rows), nil)
		if err != nil || !slices.Equal(again, rows) {
			t.Fatalf("%v: %+v, want %+v", err, again, rows)
		}
	})
}
