package account_test

import (
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestReturnPath: what a customer has chosen is kept, and a domain that is not his is refused.
func TestReturnPath(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l, err := account.New(account.Options{DB: db})
		if err != nil {
			t.Fatal(err)
		}
		c := account.Customer{ID: "acme", Domains: []mail.Domain{"acme.example"}}
		for _, tc := range []struct {
			path, fault string
			domain      mail.Domain
		}{
			{"", "", ""}, {account.ReturnPathKept, "", ""}, {account.ReturnPathOurs, "", ""}, {"acme.example", "", "acme.example"},
			{"bounce.acme.example", "", "bounce.acme.example"}, {"other.example", "none of the customer's domains", ""}, {"Bounce.acme.example", "canonical", ""},
			{"own", "return_path", ""}, {"192.0.2.1", "return_path", ""},
		} {
			c.ReturnPath, c.DropAutoReplies = tc.path, tc.path == ""
			err := l.PutCustomer(t.Context(), c)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) {
					t.Errorf("%q: %v", tc.path, err)
				}
				continue
			}
			got, ok := l.Customer("acme")
			if err != nil || !ok || got.ReturnPath != tc.path || got.ReturnDomain() != tc.domain || got.DropAutoReplies != (tc.path == "") {
				t.Errorf("%q: %+v %v", tc.path, got, err)
			}
		}
	})
}
