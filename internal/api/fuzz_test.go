package api

import (
	"strings"
	"testing"
)

func FuzzBearer(f *testing.F) {
	for _, x := range []string{"", "Bearer pst_a_b", "bearer  pst_x", "Bearer", "Basic x", "Bearer pst_\r\nX: y", "Bearer pst_\x00", "Bearer pst_é"} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, field string) {
		secret, err := bearer([]string{field})
		if err == nil && (len(secret) > mostToken || !strings.HasPrefix(secret, "pst_") || strings.ContainsAny(secret, " \r\n\x00")) {
			t.Errorf("%q", secret)
		}
		if err != nil && secret != "" {
			t.Errorf("%q and %v", secret, err)
		}
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, x := range []string{"", `"a"`, `"a`, `a"b`, "k1", " k ", `"a\"b"`, "a,b", "é", strings.Repeat("k", 256)} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, field string) {
		key, err := idempotencyKey([]string{field})
		if err == nil && (key == "" || len(key) > mostKey || strings.ContainsAny(key, " \"\\,;\r\n\x00")) {
			t.Errorf("%q", key)
		}
		if again, err2 := idempotencyKey([]string{`"` + key + `"`}); err == nil && (err2 != nil || again != key) {
			t.Errorf("%q, with quotes %q, %v", key, again, err2)
		}
	})
}

func FuzzCursor(f *testing.F) {
	for _, x := range []string{"", "AAAA", writeCursor("a"), writeCursor("a\x00b"), "====", "k"} {
		f.Add(x)
	}
	all := []string{"a", "a\x00b", "b", "c"}
	f.Fuzz(func(t *testing.T, cursor string) {
		page, next, err := pageOf(Paging{Limit: 2, Cursor: cursor}, all, func(s string) string { return s })
		if err == nil && len(page) > 2 || err != nil && next != "" {
			t.Errorf("%q: %v, %q, %v", cursor, page, next, err)
		}
		if key, err := readCursor(cursor); err == nil && writeCursor(key) != cursor {
			if again, _ := readCursor(writeCursor(key)); again != key {
				t.Errorf("%q is read as %q, then as %q", cursor, key, again)
			}
		}
	})
}
