package notice_test

import (
	"testing"

	"postern/internal/notice"
	"postern/internal/spool"
)

// TestMeaningOfTheProvider: what package provider understood counts where a server answered; what it says more widely than a text does not.
func TestMeaningOfTheProvider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ category, host, text, want string }{
		{"blocked", "mx.there.test[192.0.2.1]", "550 refused, see our site", "reputation"},
		{"userunknown", "mx.there.test[192.0.2.1]", "550 refused", "user_unknown"},
		{"networkerror", "mx.there.test[192.0.2.1]", "451 4.4.2 connection lost", "connection_lost"},
		{"systemerror", "", "451 4.3.0 local trouble: disk", "our_trouble"},
		{"suppressed", "", "550 5.7.1 Not sent", "suppressed"},
		{"", "mx.there.test[192.0.2.1]", "550 5.1.1 no such user", "user_unknown"},
	} {
		t.Run(tc.category+" "+tc.host, func(t *testing.T) {
			t.Parallel()
			code, enhanced := 550, "5.0.0"
			if tc.text[0] == '4' {
				code, enhanced = 451, tc.text[4:9]
			}
			f := notice.Failure{Category: tc.category, Recipient: spool.Recipient{Code: code, Enhanced: enhanced, Text: tc.text, Host: tc.host}}
			if got := f.Why(); got != tc.want {
				t.Errorf("means %s, want %s", got, tc.want)
			}
		})
	}
}
