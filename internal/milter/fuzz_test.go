package milter_test

import (
	"io"
	"log/slog"
	"net"
	"testing"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/milter"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// FuzzConversation feeds whole conversations: nothing may panic, hang or keep memory.
func FuzzConversation(f *testing.F) {
	accounts, err := account.New(account.Options{DB: storetest.SQLite(f, store.MainSchema())})
	if err != nil {
		f.Fatal(err)
	}
	tests, err := filter.New(filter.Options{Disabled: true})
	if err != nil {
		f.Fatal(err)
	}
	packets := func(all ...string) (b []byte) {
		for _, p := range all {
			b = append(b, frame(p[0], p[1:])...)
		}
		return b
	}
	offer := "O\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"
	f.Add(packets(offer, "DCj\x00mta\x00{client_addr}\x00192.0.2.1\x00", "Cweb\x004\x00\x19192.0.2.1\x00", "Hweb\x00", "DMi\x00a\x00", "M<a@b.c>\x00SIZE=1\x00",
		"R<d@e.f>\x00", "LSubject\x00 x\n y\x00", "LX-Postern-Score\x00 1\x00", "Bbody\r\n", "E", "A", "M<>\x00", "E", "K", "Q"))
	f.Add(packets(offer, "Cx\x006\x00\x00IPv6:2001:db8::1\x00", "Cx\x00L\x00\x00/s\x00", "M\x00", "R\x00", "L:\x00\x00", "T", "U", "N", "Ex"))
	f.Add(packets("O\x00\x00\x00\x02\x00\x00\x00\x3f\x00\x00\x00\x3f", "Cx\x00U", "H", "M", "R", "Lx\x00\x00", "E"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := milter.New(milter.Options{Hostname: "gate.test", Accounts: accounts, Filter: tests, Logger: slog.New(slog.DiscardHandler), Limits: milter.Limits{MessageBytes: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, there)
		}()
		go func() {
			_, _ = there.Write(b)
			_ = there.Close()
		}()
		kept := s.Converse(t.Context(), here)
		_ = here.Close()
		<-done
		if kept != 0 {
			t.Errorf("%d bytes kept", kept)
		}
	})
}
