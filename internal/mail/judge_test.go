package mail_test

import (
	"testing"

	"postern/internal/mail"
)

func TestImitation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		label, plain string
		deceives     bool
	}{
		{"раураl", "paypal", true},
		{"аррӏе", "apple", true},
		{"gòogle", "google", true},
		{"ąmeli-carte", "ameli-carte", true},
		{"micrоsoft", "microsoft", true},
		{"bücher", "bucher", false},
		{"société", "societe", false},
		{"пример", "", false},
		{"ελλάδα", "", false},
		{"paypal", "", false},
		{"日本", "", false},
		{"pâtisserie-orange", "", false},
		{"crédit-agricole", "credit-agricole", true},
		{"", "", false},
	} {
		plain, deceives := mail.Imitation(tc.label)
		if deceives != tc.deceives || deceives && plain != tc.plain {
			t.Errorf("%q: got %q, %t; want %q, %t", tc.label, plain, deceives, tc.plain, tc.deceives)
		}
	}
}

func FuzzImitation(f *testing.F) {
	for _, s := range []string{"раураl", "pâtisserie-orange", "\xff", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, label string) { mail.Imitation(label) })
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		local string
		want  mail.Role
	}{
		{"postmaster", mail.DutyRole}, {"Abuse", mail.DutyRole}, {"ABUSE+x", mail.DutyRole}, {"admin", mail.AdminRole}, {"www-data", mail.ProgramRole},
		{"bounces+12=a.example", mail.ReturnRole}, {"No-Reply", mail.SilentRole}, {"ne-pas-repondre", mail.SilentRole},
		{"anna", mail.NoRole}, {"abuses", mail.NoRole}, {"", mail.NoRole}, {"+noreply", mail.NoRole}, {"postmaster.anna", mail.NoRole},
	} {
		if got := mail.RoleOf(tc.local); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.local, got, tc.want)
		}
	}
}

func TestMailboxesOfAnybody(t *testing.T) {
	t.Parallel()
	for d, want := range map[mail.Domain][2]bool{
		"gmail.com": {true, false}, "orange.fr": {true, false}, "mail.orange.fr": {false, false}, "yopmail.com": {false, true},
		"x.yopmail.com": {false, true}, "notyopmail.com": {false, false}, "example.org": {false, false}, "": {false, false}, "[192.0.2.1]": {false, false},
	} {
		if got := [2]bool{mail.FreeMail(d), mail.Disposable(d)}; got != want {
			t.Errorf("%s: %v, want %v", d, got, want)
		}
	}
}
