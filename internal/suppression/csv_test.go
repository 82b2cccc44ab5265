package suppression_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
)

func TestCSVRoundTrip(t *testing.T) {
	t.Parallel()
	c := startClock()
	l := open(t, storetest.SQLite(t, store.MainSchema()), c)
	all := []suppression.Entry{
		{Customer: "bakery", Address: address("=cmd|'/c'!a0@b.example"), Reason: suppression.UnknownUser, By: "rule", Evidence: suppression.Evidence{QueueID: mail.NewQueueID(c.now()),
			At: c.now(), Code: 550, Enhanced: "5.1.1", Text: "=HYPERLINK(\"http://x\") no, such \"user\"", Host: "mx[192.0.2.1]", Provider: "orange", Rule: "orange/416", Phase: "rcpt"}, Hits: 3},
		{Address: address("@gone.example"), Reason: suppression.NoMail, By: "rule", Note: "+33 1 23"},
		{Customer: "bakery", Address: address("'quote@b.example"), Reason: suppression.BySender, By: "sender:ann", Note: "'-x"},
		{Customer: "bakery", Address: mail.Address{Local: "a b,c", Domain: "b.example"}, Reason: suppression.Complaint, By: "recipient"},
		{Customer: "garage", Address: address("-x@b.example"), Reason: suppression.ByOperator, By: "operator:eve", Until: c.now().AddDate(1, 0, 0)},
	}
	if n, err := l.AddAll(t.Context(), all); err != nil || n != len(all) {
		t.Fatal(n, err)
	}
	list := func(l *suppression.Ledger) []suppression.Entry {
		got, _, err := l.List(t.Context(), suppression.Query{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := list(l)
	var b bytes.Buffer
	if err := suppression.WriteCSV(&b, want, true); err != nil {
		t.Fatal(err)
	}
	for _, row := range strings.Split(b.String(), "\n") {
		for _, cell := range strings.Split(row, ",") {
			if strings.IndexByte("=+-@", (strings.TrimPrefix(cell, `"`) + " ")[0]) >= 0 {
				t.Errorf("a spreadsheet computes %q", cell)
			}
		}
	}
	read, err := suppression.ReadCSV(&b, suppression.Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, storetest.SQLite(t, store.MainSchema()), c)
	if _, err := other.AddAll(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	if got := list(other); !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestReadCSV(t *testing.T) {
	t.Parallel()
	d := suppression.Defaults{Customer: "bakery", Reason: suppression.ByOperator, By: "operator:eve"}
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"one column without a name", "a@b.example\nc@d.example\n", ""},
		{"email", "\ufeffEmail\na@b.example\n", ""},
		{"semicolons", "address;reason\na@b.example;operator\n", "is no column"},
		{"unknown column", "address,colour\n", "is no column"},
		{"twice", "address,email\n", "twice"},
		{"no address", "reason\noperator\n", "no column address"},
		{"bad address", "address\nnobody at all\n", "line 2"},
		{"bad reason", "address,reason\na@b.example,because\n", "is no reason"},
		{"bad time", "address,until\na@b.example,tomorrow\n", "is no time"},
		{"bad by", "address,by\na@b.example,root\n", "by"},
		{"bad code", "address,code\na@b.example,99\n", "code"},
		{"quotes", "address\n\"a@b.example\n", "quote"},
		{"too many cells", "address\na@b.example,x\n", "cells"},
		{"day", "address,until,note\na@b.example,2027-01-31,why\n", ""},
		{"a whole domain", "address\n@b.example\n'@c.example\nd.example\n", ""},
	} {
		got, err := suppression.ReadCSV(strings.NewReader(tc.text), d)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (!errors.Is(err, suppression.ErrInvalid) && tc.name != "quotes" || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		case tc.want == "" && len(got) == 0:
			t.Errorf("%s: nothing read", tc.name)
		}
		for _, e := range got {
			if e.Customer != "bakery" || e.By != "operator:eve" {
				t.Errorf("%s: %+v", tc.name, e)
			}
		}
	}
	fixed := d
	fixed.Fixed = true
	if _, err := suppression.ReadCSV(strings.NewReader("address,customer\na@b.example,garage\n"), fixed); err == nil {
		t.Error("another customer's row was taken")
	}
	d.Line = 100
	if _, err := suppression.ReadCSV(strings.NewReader("address\nno\n"), d); err == nil || !strings.Contains(err.Error(), "line 101") {
		t.Errorf("%v", err)
	}
	if _, err := suppression.ReadCSV(strings.NewReader("address,note\na@b.example,"+strings.Repeat("x", suppression.MaxCSV)), d); err == nil {
		t.Error("more than the bound was read")
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("address,customer,reason,since,until,by,queue_id,heard,code,enhanced,answer,host,provider,rule,phase,note,hits\n'=a@b.example,c,unknown-user,2026-11-21T09:00:00Z,,rule,,,550,5.1.1,\"no, user\",mx,orange,orange/1,rcpt,'+1,2\n")
	f.Add("a@b.example\n@c.example\n")
	f.Add("email\n\"a b\"@c.example\n")
	f.Add("\ufeffaddress\n''x@b.example")
	f.Fuzz(func(t *testing.T, text string) {
		d := suppression.Defaults{Customer: "c", Reason: suppression.ByOperator, By: "operator:eve"}
		all, err := suppression.ReadCSV(strings.NewReader(text), d)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := suppression.WriteCSV(&b, all, true); err != nil {
			t.Fatal(err)
		}
		if b.Len() > suppression.MaxCSV/2 {
			return
		}
		again, err := suppression.ReadCSV(&b, suppression.Defaults{})
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		for i := range all {
			all[i].Since, all[i].Until, all[i].Evidence.At = all[i].Since.Truncate(time.Second), all[i].Until.Truncate(time.Second), all[i].Evidence.At.Truncate(time.Second)
		}
		if len(all) != len(again) || len(all) > 0 && !reflect.DeepEqual(all, again) {
			t.Fatalf("\n%+v\n%+v", all, again)
		}
	})
}
