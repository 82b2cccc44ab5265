package user_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/internal/user"
)

const right = "a green horse on the moon"

// registered makes a user with a password.
func (r *room) registered(t testing.TB, address string, role user.Role, customer string) user.User {
	t.Helper()
	u := r.add(t, address, role, customer)
	if err := r.SetPassword(t.Context(), u.ID, right, ""); err != nil {
		t.Fatal(err)
	}
	r.mails()
	return u
}

// sign is a sign-in with a password.
func (r *room) sign(t testing.TB, address, typed string, from netip.Addr) (user.SignedIn, error) {
	t.Helper()
	return r.SignIn(t.Context(), user.Attempt{Address: address, Password: typed, IP: from, Agent: "Firefox"})
}

// codes turns one-time codes on and returns how to make them, and the recovery codes.
func (r *room) codes(t testing.TB, u user.User) (code func() string, recovery []string) {
	t.Helper()
	e, err := r.StartTOTP(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	code = func() string {
		s, err := totp.GenerateCode(e.Key, r.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if recovery, err = r.ConfirmTOTP(t.Context(), u.ID, e.State, code()); err != nil {
		t.Fatal(err)
	}
	r.mails()
	return code, recovery
}

func TestSignIn(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@shop.example", user.CustomerAdmin, "shop")
		in, err := r.sign(t, " ANNA@Shop.Example ", right, home)
		if err != nil || in.Pending != "" || in.User.ID != u.ID || in.Session.Agent != "Firefox" {
			t.Fatalf("got %+v %v", in, err)
		}
		if p, _, err := r.Resume(t.Context(), in.Secret, home); err != nil || p.ID != u.ID {
			t.Errorf("resume: %+v %v", p, err)
		}
		_, err = r.sign(t, "anna@shop.example", right+" ", home)
		want(t, "another password", err, user.ErrDenied)
		_, err = r.sign(t, "bob@shop.example", right, home)
		want(t, "nobody", err, user.ErrDenied)
		want(t, "disable", r.SetDisabled(t.Context(), u.ID, true), nil)
		_, err = r.sign(t, "anna@shop.example", right, home)
		want(t, "disabled", err, user.ErrDenied)
		want(t, "enable", r.SetDisabled(t.Context(), u.ID, false), nil)
		_, _, err = r.Resume(t.Context(), in.Secret, home)
		want(t, "session of a user who was disabled", err, user.ErrDenied)
		r.absent["shop"] = true
		_, err = r.sign(t, "anna@shop.example", right, home)
		want(t, "customer is gone", err, user.ErrDenied)
	})
}

// TestEveryRefusalCostsTheSame counts hash computations instead of time.
func TestEveryRefusalCostsTheSame(t *testing.T) {
	t.Parallel()
	r := once(t)
	r.registered(t, "anna@shop.example", user.CustomerAdmin, "shop")
	r.add(t, "invited@shop.example", user.CustomerReader, "shop")
	off := r.registered(t, "off@shop.example", user.CustomerReader, "shop")
	want(t, "disable", r.SetDisabled(t.Context(), off.ID, true), nil)
	for i, tc := range []struct{ name, address, password string }{
		{"wrong password", "anna@shop.example", "wrong"},
		{"nobody", "nobody@shop.example", right},
		{"no address at all", "", ""},
		{"no password yet", "invited@shop.example", ""},
		{"disabled", "off@shop.example", right},
		{"endless password", "anna@shop.example", strings.Repeat("x", 1<<16)},
		{"endless address", strings.Repeat("x", 1<<16), right},
		{"not text", "anna@shop.example", "\xff\xfe"},
	} {
		before := r.Computed()
		_, err := r.sign(t, tc.address, tc.password, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		want(t, tc.name, err, user.ErrDenied)
		if n := r.Computed() - before; n != 1 {
			t.Errorf("%s: %d hashes computed, want 1", tc.name, n)
		}
	}
	before := r.Computed()
	if _, err := r.sign(t, "anna@shop.example", right, home); err != nil || r.Computed()-before != 1 {
		t.Errorf("right password: %v, %d hashes", err, r.Computed()-before)
	}
}

func TestGuessersAreThrottled(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.registered(t, "anna@shop.example", user.CustomerAdmin, "shop")
	if _, err := r.sign(t, "anna@shop.example", right, home); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err := r.sign(t, "anna@shop.example", "guess", away)
		want(t, "guess", err, user.ErrDenied)
	}
	_, err := r.sign(t, "Anna@shop.example", right, away)
	want(t, "after five guesses", err, user.ErrThrottled)
	before := r.Computed()
	_, err = r.sign(t, "anna@shop.example", right, netip.MustParseAddr("198.51.100.1"))
	want(t, "from elsewhere", err, user.ErrThrottled)
	if r.Computed() != before {
		t.Error("a throttled attempt was looked at")
	}
	if _, err := r.sign(t, "anna@shop.example", right, home); err != nil {
		t.Errorf("the owner is locked out of his own network: %v", err)
	}
	for range 5 {
		_, err := r.sign(t, "anna@shop.example", "guess", away)
		want(t, "guess again", err, user.ErrDenied)
	}
	r.clock.Add(61 * time.Second)
	if _, err := r.sign(t, "anna@shop.example", right, away); err != nil {
		t.Errorf("after a minute: %v", err)
	}
	// A network that tries many users is shut out as a whole.
	from := netip.MustParseAddr("2001:db8::1")
	for i := range 20 {
		_, err := r.sign(t, fmt.Sprintf("user%d@shop.example", i), "guess", from)
		want(t, "spray", err, user.ErrDenied)
	}
	_, err = r.sign(t, u.Address.String(), right, netip.MustParseAddr("2001:db8::2"))
	want(t, "the same network", err, user.ErrThrottled)
}

func TestSecondStep(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@example.org", user.Operator, "")
		code, recovery := r.codes(t, u)
		if len(recovery) != 10 {
			t.Fatalf("%d recovery codes", len(recovery))
		}
		begin := func() string {
			in, err := r.sign(t, "anna@example.org", right, home)
			if err != nil || in.Secret != "" || in.Pending == "" {
				t.Fatalf("first step: %+v %v", in, err)
			}
			return in.Pending
		}
		pending := begin()
		_, err := r.Second(t.Context(), pending, code())
		want(t, "the code that confirmed the key", err, user.ErrDenied)
		r.clock.Add(30 * time.Second)
		now := code()
		in, err := r.Second(t.Context(), pending, " "+now[:3]+" "+now[3:])
		if err != nil || in.Secret == "" || in.Session.Agent != "Firefox" || in.Session.IP != home {
			t.Fatalf("second step: %+v %v", in, err)
		}
		_, err = r.Second(t.Context(), pending, now)
		want(t, "the same step again", err, user.ErrDenied)
		_, err = r.Second(t.Context(), begin(), now)
		want(t, "the same code again", err, user.ErrDenied)
		// Clocks differ by one step to either side, no more.
		for _, tc := range []struct {
			off time.Duration
			ok  bool
		}{{-60 * time.Second, false}, {-30 * time.Second, true}, {60 * time.Second, false}, {30 * time.Second, true}} {
			r.clock.Add(5 * time.Minute)
			r.clock.Add(tc.off)
			late := code()
			r.clock.Add(-tc.off)
			if _, err := r.Second(t.Context(), begin(), late); (err == nil) != tc.ok {
				t.Errorf("clock off by %v: %v", tc.off, err)
			}
		}
		r.clock.Add(5 * time.Minute)
		if _, err := r.Second(t.Context(), begin(), strings.ToUpper(strings.ReplaceAll(recovery[3], "-", " "))); err != nil {
			t.Errorf("recovery code: %v", err)
		}
		_, err = r.Second(t.Context(), begin(), recovery[3])
		want(t, "recovery code twice", err, user.ErrDenied)
		if n, err := r.RecoveryLeft(t.Context(), u.ID); n != 9 || err != nil {
			t.Errorf("%d recovery codes left, %v", n, err)
		}
		again, err := r.NewRecovery(t.Context(), u.ID)
		if err != nil || len(again) != 10 {
			t.Fatal(err)
		}
		r.clock.Add(time.Minute)
		_, err = r.Second(t.Context(), begin(), recovery[4])
		want(t, "replaced recovery code", err, user.ErrDenied)
		// What the first step opened ends with time, and with the password.
		pending = begin()
		r.clock.Add(10 * time.Minute)
		_, err = r.Second(t.Context(), pending, code())
		want(t, "too late", err, user.ErrDenied)
		pending = begin()
		want(t, "password", r.SetPassword(t.Context(), u.ID, "another horse entirely", ""), nil)
		_, err = r.Second(t.Context(), pending, code())
		want(t, "after a new password", err, user.ErrDenied)
		want(t, "off", r.RemoveTOTP(t.Context(), u.ID), nil)
		in, err = r.sign(t, "anna@example.org", "another horse entirely", home)
		if err != nil || in.Secret == "" {
			t.Errorf("without codes: %+v %v", in, err)
		}
	})
}

// TestCodesAreNotGuessed: five tries for one password, few for many, also when they come at once.
func TestCodesAreNotGuessed(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.registered(t, "anna@example.org", user.Operator, "")
	code, _ := r.codes(t, u)
	r.clock.Add(time.Hour)
	in, err := r.sign(t, "anna@example.org", right, home)
	if err != nil {
		t.Fatal(err)
	}
	var denied atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if _, err := r.Second(t.Context(), in.Pending, "not a code"); err != nil {
				denied.Add(1)
			}
		})
	}
	wg.Wait()
	if denied.Load() != 40 {
		t.Fatalf("%d of 40 guesses denied", denied.Load())
	}
	_, err = r.Second(t.Context(), in.Pending, code())
	if err == nil {
		t.Error("the right code after too many wrong ones")
	}
	// A right password does not clear wrong codes.
	for range 3 {
		in, err := r.sign(t, "anna@example.org", right, away)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Second(t.Context(), in.Pending, code())
		want(t, "after many wrong codes", err, user.ErrThrottled)
	}
	r.clock.Add(5 * time.Hour)
	in, err = r.sign(t, "anna@example.org", right, away)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Second(t.Context(), in.Pending, code()); err != nil {
		t.Errorf("hours later: %v", err)
	}
}

// TestOneCodeOneSession: of two who use the same code at once, one gets in.
func TestOneCodeOneSession(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@example.org", user.Operator, "")
		code, _ := r.codes(t, u)
		r.clock.Add(time.Hour)
		var pending []string
		for range 4 {
			in, err := r.sign(t, "anna@example.org", right, home)
			if err != nil {
				t.Fatal(err)
			}
			pending = append(pending, in.Pending)
		}
		now := code()
		var in atomic.Int64
		var wg sync.WaitGroup
		for _, p := range pending {
			wg.Go(func() {
				if _, err := r.Second(t.Context(), p, now); err == nil {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("%d sessions for one code", in.Load())
		}
	})
}

func TestEnrolment(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.registered(t, "anna@example.org", user.Operator, "")
	other := r.registered(t, "bob@example.org", user.Operator, "")
	e, err := r.StartTOTP(t.Context(), u.ID)
	if err != nil || !strings.HasPrefix(e.URL, "otpauth://totp/gate.example.test:anna@example.org?") || !strings.HasPrefix(string(e.PNG), "\x89PNG") || len(e.Key) != 32 {
		t.Fatalf("%+v %v", e.URL, err)
	}
	_, err = r.ConfirmTOTP(t.Context(), u.ID, e.State, "000000")
	want(t, "wrong first code", err, user.ErrDenied)
	if x, err := r.User(t.Context(), u.ID); err != nil || x.TOTP {
		t.Error("codes are asked before the key was confirmed")
	}
	again, err := r.PendingTOTP(t.Context(), u.ID, e.State)
	if err != nil || again.Key != e.Key {
		t.Errorf("shown again: %v", err)
	}
	_, err = r.PendingTOTP(t.Context(), other.ID, e.State)
	want(t, "another's enrolment", err, user.ErrDenied)
	code, err := totp.GenerateCode(e.Key, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.ConfirmTOTP(t.Context(), other.ID, e.State, code)
	want(t, "another confirms", err, user.ErrDenied)
	if _, err := r.ConfirmTOTP(t.Context(), u.ID, e.State, code); err != nil {
		t.Fatal(err)
	}
	_, err = r.ConfirmTOTP(t.Context(), u.ID, e.State, code)
	want(t, "twice", err, user.ErrDenied)
	if told := r.mails(); len(told) != 1 || told[0].Kind != user.TellSecond {
		t.Errorf("told %+v", told)
	}
	_, err = r.NewRecovery(t.Context(), other.ID)
	want(t, "recovery codes without codes", err, user.ErrInvalid)
}

func TestProofGrowsOld(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@example.org", user.Operator, "")
		other := r.registered(t, "bob@example.org", user.Operator, "")
		secret, s := r.enter(t, u)
		fresh := func() bool {
			_, s, err := r.Resume(t.Context(), secret, home)
			if err != nil {
				t.Fatal(err)
			}
			return r.Fresh(s, user.FreshFor)
		}
		if !fresh() {
			t.Error("not fresh after signing in")
		}
		r.clock.Add(user.FreshFor)
		if fresh() {
			t.Error("fresh for ever")
		}
		want(t, "wrong password", r.Prove(t.Context(), u.ID, s.ID, "guess", home), user.ErrDenied)
		want(t, "another's session", r.Prove(t.Context(), other.ID, s.ID, right, home), user.ErrDenied)
		if fresh() {
			t.Error("fresh by a wrong proof")
		}
		want(t, "right password", r.Prove(t.Context(), u.ID, s.ID, right, home), nil)
		if !fresh() {
			t.Error("not fresh after the proof")
		}
		code, _ := r.codes(t, u)
		r.clock.Add(time.Hour)
		want(t, "wrong code", r.ProveCode(t.Context(), u.ID, s.ID, "000000"), user.ErrDenied)
		want(t, "code", r.ProveCode(t.Context(), u.ID, s.ID, code()), nil)
		if !fresh() {
			t.Error("not fresh after the code")
		}
		want(t, "without codes", r.ProveCode(t.Context(), other.ID, s.ID, "000000"), user.ErrDenied)
		for range 5 {
			_ = r.ProveCode(t.Context(), u.ID, s.ID, "000000")
		}
		want(t, "guessing codes", r.ProveCode(t.Context(), u.ID, s.ID, code()), user.ErrThrottled)
	})
}

func TestStrangeNetworksAreTold(t *testing.T) {
	t.Parallel()
	r := once(t)
	r.registered(t, "anna@example.org", user.Operator, "")
	for _, tc := range []struct {
		from string
		told bool
	}{{"192.0.2.10", false}, {"192.0.2.200", false}, {"203.0.113.7", true}, {"203.0.113.9", false}, {"2001:db8:1::1", true}, {"2001:db8:1:2::1", false}, {"192.0.2.10", false}} {
		if _, err := r.sign(t, "anna@example.org", right, netip.MustParseAddr(tc.from)); err != nil {
			t.Fatal(err)
		}
		told := r.mails()
		if (len(told) == 1) != tc.told || tc.told && (told[0].Kind != user.TellNetwork || told[0].IP.String() != tc.from || told[0].Agent != "Firefox") {
			t.Errorf("from %s: told %+v", tc.from, told)
		}
	}
}
