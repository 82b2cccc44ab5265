package account_test

import (
	"testing"

	"postern/internal/account"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	l := open(t, storetest.SQLite(t, store.MainSchema()))
	heard, stop := l.Watch()
	other, stopOther := l.Watch()
	stopOther()
	for _, id := range []string{"one", "two"} { // two signals may be one
		if err := l.PutCustomer(t.Context(), account.Customer{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	<-heard
	if _, known := l.Customer("two"); !known {
		t.Error("heard of before it is known")
	}
	select {
	case <-heard:
		t.Error("heard of twice, and nothing has changed")
	case <-other:
		t.Error("heard of after the end")
	default:
	}
	stop()
}
