package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/account"
)

// TestTuningIsHot: lists and points of the file count after a reload, those of the database at once, from one message of a running gateway to
// the next; a file with a test that is none changes nothing.
func TestTuningIsHot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "conf.d", "10-tuning.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, mx, _, _ := gatewayIn(t, dir, customer)
	held := func() bool {
		t.Helper()
		r := submit(t, a.Addresses("relay"), "news@customer.test", "bob@receiver.test", letter("Tuned"))
		if r.Data.Code != 250 {
			t.Fatalf("%+v", r)
		}
		held := strings.Contains(r.Data.String(), "(held: score")
		if !held {
			mx.next(t)
		}
		return held
	}
	reload := func(text, fault string) {
		t.Helper()
		file(text)
		if err := a.Reload(t.Context()); fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Fatalf("reload: %v", err)
		}
	}
	if held() {
		t.Fatal("held before anything was changed")
	}
	reload(`filter: {deny: ["to-domain:receiver.test -- letter"]}`, "")
	if !held() {
		t.Error("the file's deny does not count")
	}
	reload(`customers: [{id: shop, networks: [127.0.0.1/32], domains: [customer.test], scores: {SPF_FIAL: 1}}]`, "customer shop: scores.SPF_FIAL: no test of that name")
	if !held() {
		t.Error("a file that was refused changed the lists")
	}
	reload(`filter: {deny: []}`, "")
	if held() {
		t.Error("the deny counts after it is gone")
	}
	if err := a.Accounts().SetPoints(t.Context(), "shop", map[string]float64{"SPF_PASS": 4}, "operator:x"); err != nil {
		t.Fatal(err)
	}
	if !held() {
		t.Error("points of the database do not count at once")
	}
	if _, err := a.Accounts().AddEntry(t.Context(), account.Entry{Kind: account.Allow, What: account.WhatFrom, Value: "news@customer.test"}); err != nil {
		t.Fatal(err)
	}
	if held() {
		t.Error("an allow of the database does not count at once")
	}
}
