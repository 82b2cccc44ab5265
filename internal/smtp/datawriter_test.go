package smtp

import (
	"bytes"
	"strings"
	"testing"
)

// boundless is a message budget that never runs out.
type boundless struct{}

func (boundless) reserve(int64) bool { return true }
func (boundless) release(int64)      {}

// wire returns what the client sends for message.
func wire(t testing.TB, message []byte) []byte {
	var out bytes.Buffer
	shape, err := inspectData(message)
	if err != nil {
		t.Fatal(err)
	}
	w := dataWriter{flush: func(block []byte) error {
		if len(block) > dataBlock {
			t.Fatalf("block of %d bytes", len(block))
		}
		out.Write(block)
		return nil
	}}
	if err := w.write(message, shape.dots); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unstuff returns what the server of this package makes of it.
func unstuff(t testing.TB, sent []byte) []byte {
	l := NewLineReader(bytes.NewReader(append(sent, "QUIT\r\n"...)), nil)
	defer l.Release()
	c := collector{max: 1 << 30, budget: boundless{}}
	if err := readDotted(l, &c); err != nil {
		t.Fatal(err)
	}
	if line, err := l.ReadLine(512); err != nil || string(line) != "QUIT" {
		t.Fatalf("after the message: %q %v", line, err)
	}
	return c.msg
}

func TestDataWriter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, message, want string }{
		{"empty", "", ".\r\n"},
		{"plain", "a\r\n", "a\r\n.\r\n"},
		{"unfinished line", "a", "a\r\n.\r\n"},
		{"dot", ".", "..\r\n.\r\n"},
		{"dot line", ".\r\n", "..\r\n.\r\n"},
		{"dots", ".\r\n..\r\na.\r\n.b", "..\r\n...\r\na.\r\n..b\r\n.\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := wire(t, []byte(tc.message)); string(got) != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	// Every position of a dotted line against the block borders.
	for n := dataBlock - 8; n < dataBlock+8; n++ {
		message := []byte(strings.Repeat("x\r\n", n/3) + "yyy"[:n%3] + "\r\n.a\r\n..\r\n" + strings.Repeat(".\r\n", dataBlock))
		if got := unstuff(t, wire(t, message)); !bytes.Equal(got, message) {
			t.Fatalf("message of %d bytes came out as %d", len(message), len(got))
		}
	}
}

func FuzzDotStuff(f *testing.F) {
	for _, s := range []string{"", ".", ".\r\n", "a\r\n.b\r\n..\r\n", "\r\n.\r\n", "a\n.\nb", "a\r.\rb", "x\x00", ".\r\n.\r\n", "MAIL"} {
		f.Add([]byte(s), uint16(0))
	}
	f.Fuzz(func(t *testing.T, message []byte, fill uint16) {
		message = append(bytes.Repeat([]byte(".\r\n"), int(fill)), message...)
		if _, err := inspectData(message); err != nil {
			return
		}
		sent := wire(t, message)
		if bytes.Count(sent, []byte("\r\n.\r\n")) > 1 || bytes.Count(sent, []byte("\n")) != bytes.Count(sent, []byte("\r\n")) {
			t.Fatalf("the end is not the only end: %q", sent)
		}
		want := message
		if len(want) > 0 && want[len(want)-1] != '\n' {
			want = append(want, "\r\n"...)
		}
		if got := unstuff(t, sent); !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func BenchmarkInspectData(b *testing.B) {
	message := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 140))
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		if _, err := inspectData(message); err != nil {
			b.Fatal(err)
		}
	}
}
