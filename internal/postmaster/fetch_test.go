package postmaster_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/postmaster"
	"postern/internal/report"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// imitation answers over HTTPS, under its own authority, as Microsoft and Google do.
type imitation struct {
	t   *testing.T
	url string
	srv *httptest.Server

	mu      sync.Mutex
	answers map[string]reply // by path
	count   map[string]int

	// Microsoft's sign-in.
	challenge string            // of PKCE, from the page of the sign-in
	refresh   string            // the refresh token that counts now; "": none does
	access    string            // the access token that counts now
	serial    int               // of tokens
	data      map[string]string // report/data by day
	states    reply

	// Google.
	key     *rsa.PublicKey
	domains []string
	stats   func(domain string, ask map[string]any) reply
	demands map[string]reply
}

type reply struct {
	status int
	kind   string
	body   string
}

func newImitation(t *testing.T) *imitation {
	s := &imitation{t: t, answers: map[string]reply{}, count: map[string]int{}, data: map[string]string{}, demands: map[string]reply{}, states: reply{200, "application/json", "[]"}}
	s.srv = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	s.url = s.srv.URL
	t.Cleanup(s.srv.Close)
	return s
}

// client trusts the imitation's authority and follows no redirect, as the gateway's does.
func (s *imitation) client() *http.Client {
	c := *s.srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func (s *imitation) link(path string, status int, kind, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = reply{status, kind, body}
}

func (s *imitation) asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[path]
}

func (s *imitation) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[r.URL.Path]++
	a, ok := s.answers[r.URL.Path]
	switch {
	case ok:
	case r.URL.Path == "/consumers/oauth2/v2.0/token":
		a = s.microsoftToken(r)
	case strings.HasPrefix(r.URL.Path, "/snds/api/report/"):
		a = s.microsoft(r)
	case r.URL.Path == "/google/token":
		a = s.googleToken(r)
	case strings.HasPrefix(r.URL.Path, "/google/v2/"):
		a = s.google(r)
	default:
		a = reply{404, "text/plain", "no such thing"}
	}
	w.Header().Set("Content-Type", a.kind)
	if a.status == http.StatusFound {
		w.Header().Set("Location", "https://login.example.org/?key=secret")
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (s *imitation) issue() string {
	s.serial++
	s.access, s.refresh = fmt.Sprintf("ACCESS-%d-secret", s.serial), fmt.Sprintf("REFRESH-%d-secret", s.serial)
	return fmt.Sprintf(`{"token_type":"Bearer","access_token":%q,"refresh_token":%q,"expires_in":3600}`, s.access, s.refresh)
}

func (s *imitation) microsoftToken(r *http.Request) reply {
	refused := reply{400, "application/json", `{"error":"invalid_grant","error_description":"AADSTS70000: secret words of the provider"}`}
	if r.FormValue("client_id") != "portal-client" {
		return reply{400, "application/json", `{"error":"unauthorized_client"}`}
	}
	switch r.FormValue("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("code") != "CODE-secret" || base64.RawURLEncoding.EncodeToString(sum[:]) != s.challenge || r.FormValue("redirect_uri") != "http://localhost" {
			return refused
		}
	case "refresh_token":
		if s.refresh == "" || r.FormValue("refresh_token") != s.refresh {
			return refused
		}
	default:
		return refused
	}
	return reply{200, "application/json", s.issue()}
}

func (s *imitation) microsoft(r *http.Request) reply {
	if s.access == "" || r.Header.Get("Authorization") != "Bearer "+s.access {
		return reply{401, "application/json", `{}`}
	}
	path := strings.TrimPrefix(r.URL.Path, "/snds/api/report/")
	if path == "status/ip" {
		return s.states
	}
	at := strings.TrimPrefix(path, "data/")
	if _, err := time.Parse(time.DateOnly, at); err != nil {
		return reply{400, "text/plain", "malformed"}
	}
	if body, ok := s.data[at]; ok {
		return reply{200, "application/json", body}
	}
	return reply{404, "text/plain", ""}
}

func (r *room) source(name string) postmaster.Source {
	r.t.Helper()
	all, err := r.Sources(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	r.t.Fatalf("no source %q in %+v", name, all)
	return postmaster.Source{}
}

// silent fails when a secret is in the log.
func (r *room) silent() {
	r.t.Helper()
	for _, word := range []string{"secret", "CODE-", "ACCESS-", "REFRESH-", "key=", "AADSTS"} {
		if strings.Contains(strings.ReplaceAll(r.log.String(), "another secret", ""), word) {
			r.t.Errorf("the log holds %q:\n%s", word, r.log)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	s := newImitation(t)
	r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{HTTP: s.client(),
		Links: []postmaster.Link{{Name: "main", URL: s.url + "/snds/data.aspx?key=secret"}, {Name: "state", URL: s.url + "/snds/ipStatus.aspx?key=secret"}}})
	s.link("/snds/data.aspx", 200, "text/csv", row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	s.link("/snds/ipStatus.aspx", 200, "text/csv", "192.0.2.1,192.0.2.2,Yes,Blocked\r\n")
	r.Turn(t.Context())
	if x := r.source("link main"); x.Fault != "" || x.Rows != 1 || !x.Worked.Equal(r.clock.Now()) || !x.Expires.IsZero() {
		t.Errorf("got %+v", x)
	}
	if all, _ := r.States(t.Context()); len(all) != 1 {
		t.Errorf("states %+v", all)
	}
	r.Turn(t.Context())
	if n := s.asked("/snds/data.aspx"); n != 1 {
		t.Errorf("asked %d times within the time", n)
	}

	// Whatever goes wrong, what is known stays, and the pause grows.
	for _, tc := range []struct {
		reply
		want postmaster.Fault
	}{
		{reply{200, "text/html; charset=utf-8", "<!DOCTYPE html><title>Sign in</title>"}, postmaster.FaultSignedOut},
		{reply{200, "text/csv", "\r\n <html>Sign in"}, postmaster.FaultSignedOut},
		{reply{302, "text/plain", ""}, postmaster.FaultSignedOut},
		{reply{401, "text/plain", ""}, postmaster.FaultSignedOut},
		{reply{403, "text/plain", ""}, postmaster.FaultForbidden},
		{reply{404, "text/plain", ""}, postmaster.FaultNothing},
		{reply{400, "text/plain", "key=secret is malformed"}, postmaster.FaultMalformed},
		{reply{429, "text/plain", ""}, postmaster.FaultBusy},
		{reply{503, "text/plain", ""}, postmaster.FaultBusy},
		{reply{200, "text/plain", "hello\n"}, postmaster.FaultUnreadable},
		{reply{200, "application/json", `{"error":"x"}`}, postmaster.FaultUnreadable},
		{reply{200, "text/csv", "999.0.2.1,9/28/2026 12:00 AM,9/29/2026 12:00 AM,1,1,1,GREEN,,,,,,,\n"}, postmaster.FaultUnreadable},
		{reply{200, "text/csv", strings.Repeat("x", report.MaxSNDS+1)}, postmaster.FaultLarge},
		{reply{418, "text/plain", ""}, postmaster.FaultUnexpected},
	} {
		s.link("/snds/data.aspx", tc.status, tc.kind, tc.body)
		r.clock.Add(24 * time.Hour)
		r.Turn(t.Context())
		if x := r.source("link main"); x.Fault != tc.want || x.Failing.IsZero() || x.Next.Sub(r.clock.Now()) > 12*time.Hour || x.Next.Sub(r.clock.Now()) < 15*time.Minute {
			t.Errorf("%d %s: got %+v", tc.status, tc.kind, x)
		}
		if rows, _ := r.Rows(t.Context(), day("2026-09-28"), day("2026-09-28"), 10); len(rows) != 1 {
			t.Fatalf("%d: what was known is gone", tc.status)
		}
	}
	if !slices.Contains(r.raised(), "snds.fetch link main") {
		t.Errorf("raised %q", r.raised())
	}
	s.link("/snds/data.aspx", 200, "text/csv", "")
	s.link("/snds/ipStatus.aspx", 200, "text/csv", "")
	r.clock.Add(24 * time.Hour)
	r.Turn(t.Context())
	if x := r.source("link main"); x.Fault != "" || !x.Failing.IsZero() {
		t.Errorf("an empty answer is one: %+v", x)
	}
	if all, _ := r.States(t.Context()); len(all) != 0 {
		t.Errorf("an empty report of states ends them: %+v", all)
	}
	if slices.Contains(r.raised(), "snds.fetch link main") {
		t.Errorf("raised %q", r.raised())
	}
	s.srv.Close()
	r.clock.Add(24 * time.Hour)
	r.Turn(t.Context())
	if x := r.source("link main"); x.Fault != postmaster.FaultUnreachable {
		t.Errorf("got %+v", x)
	}
	r.silent()
}

// An access link ends after 30 days: the operator hears of it before. A new link begins anew.
func TestLinkExpires(t *testing.T) {
	t.Parallel()
	s := newImitation(t)
	s.link("/snds/SNDS/DataKey", 200, "application/json", "[]")
	db := storetest.SQLite(t, store.MainSchema())
	o := postmaster.Options{HTTP: s.client(), Node: "n", Links: []postmaster.Link{{Name: "main", URL: s.url + "/snds/SNDS/DataKey?Key=secret-1"}}}
	r := open(t, db, o)
	r.Turn(t.Context())
	if x := r.source("link main"); !x.Expires.Equal(r.clock.Now().Add(30 * 24 * time.Hour)) {
		t.Errorf("got %+v", x)
	}
	r.clock.Add(22 * 24 * time.Hour)
	r.Turn(t.Context())
	if len(r.raised()) != 0 {
		t.Errorf("raised %q eight days before", r.raised())
	}
	r.clock.Add(2 * 24 * time.Hour)
	r.Turn(t.Context())
	if a := r.alarms["snds.access link main"]; a.Code != "snds-access" || a.Critical || a.Args["Until"] != "30 October 2026" {
		t.Errorf("got %+v", a)
	}
	o.Links[0].URL = s.url + "/snds/SNDS/DataKey?Key=secret-2"
	next := open(t, db, o)
	next.clock.Add(24 * 24 * time.Hour)
	next.Turn(t.Context())
	if x := next.source("link main"); !x.Expires.Equal(next.clock.Now().Add(30 * 24 * time.Hour)) {
		t.Errorf("a new link: %+v", x)
	}
	r.silent()
}

func microsoft(s *imitation) postmaster.Microsoft {
	return postmaster.Microsoft{Base: s.url + "/snds", Authority: s.url + "/consumers", ClientID: "portal-client", Redirect: "http://localhost"}
}

// connect signs in as a person does.
func (r *room) connect(s *imitation, by string) {
	r.t.Helper()
	page, state, err := r.Connect(r.t.Context(), by)
	if err != nil {
		r.t.Fatal(err)
	}
	s.visit(page, state)
	if err := r.Finish(r.t.Context(), state, "CODE-secret", by); err != nil {
		r.t.Fatal(err)
	}
}

// visit looks at the page of the sign-in.
func (s *imitation) visit(page, state string) {
	s.t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		s.t.Fatal(err)
	}
	q := u.Query()
	if q.Get("state") != state || q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != "http://localhost" || q.Get("response_type") != "code" ||
		!strings.Contains(q.Get("scope"), "offline_access") || !strings.HasPrefix(page, s.url+"/consumers/oauth2/v2.0/authorize?") {
		s.t.Errorf("page of the sign-in: %s", page)
	}
	s.mu.Lock()
	s.challenge = q.Get("code_challenge")
	s.mu.Unlock()
}

func TestMicrosoft(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		s := newImitation(t)
		r := open(t, db, postmaster.Options{HTTP: s.client(), Microsoft: microsoft(s)})
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceSNDS); !x.Waiting || !x.Tried.IsZero() {
			t.Fatalf("not connected: %+v", x)
		}
		s.data["2026-09-28"] = `{"value":[{"ipAddress":"192.0.2.1","activityPeriod":"9/28/2026 12:00 AM - 9/28/2026 11:59 PM","rcptCommands":10,"dataCommands":10,"messageRecipients":9,"filterResult":"GREEN","complaintRate":"<0.1%"}]}`
		s.states = reply{200, "application/json", `[{"beginningIpAddress":"192.0.2.1","endingIpAddress":"192.0.2.1","blocked":"true","reason":"Blocked due to complaints"}]`}
		r.connect(s, "operator:anna")
		c, err := r.Connection(t.Context())
		if err != nil || !c.Possible || !c.There || c.By != "operator:anna" || !c.Local || !c.Expires.Equal(r.clock.Now().Add(90*24*time.Hour)) {
			t.Fatalf("connection %+v, %v", c, err)
		}
		r.Turn(t.Context())
		x := r.source(postmaster.SourceSNDS)
		if x.Waiting || x.Fault != "" || x.Rows != 2 {
			t.Fatalf("got %+v\n%s", x, r.log)
		}
		for _, d := range []string{"2026-09-29", "2026-09-28", "2026-09-27"} {
			if s.asked("/snds/api/report/data/"+d) != 1 {
				t.Errorf("%s was asked %d times", d, s.asked("/snds/api/report/data/"+d))
			}
		}
		if st, _ := r.States(t.Context()); len(st) != 1 || st[0].Scope != "snds" {
			t.Errorf("states %+v", st)
		}

		// 401 in between: one fresh token, once.
		s.mu.Lock()
		s.access = "another"
		s.mu.Unlock()
		before := s.asked("/consumers/oauth2/v2.0/token")
		_ = r.Again(postmaster.SourceSNDS)
		r.Turn(t.Context())
		if n := s.asked("/consumers/oauth2/v2.0/token") - before; n != 1 || r.source(postmaster.SourceSNDS).Fault != "" {
			t.Errorf("%d tokens asked for, %+v", n, r.source(postmaster.SourceSNDS))
		}

		// 404 for everything says nothing of what is known, nor do sign-in pages.
		s.mu.Lock()
		s.data, s.states = map[string]string{}, reply{404, "text/plain", ""}
		s.mu.Unlock()
		_ = r.Again(postmaster.SourceSNDS)
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceSNDS); x.Fault != postmaster.FaultNothing {
			t.Errorf("got %+v", x)
		}
		s.mu.Lock()
		s.states = reply{200, "text/html", "<html>sign in</html>"}
		s.mu.Unlock()
		_ = r.Again(postmaster.SourceSNDS)
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceSNDS); x.Fault != postmaster.FaultSignedOut {
			t.Errorf("got %+v", x)
		}
		if st, _ := r.States(t.Context()); len(st) != 1 {
			t.Errorf("what was known is gone: %+v", st)
		}
		if !slices.Contains(r.raised(), "snds.fetch snds") {
			t.Errorf("raised %q", r.raised())
		}

		// A permission that Microsoft took back.
		s.mu.Lock()
		s.refresh, s.access = "", ""
		s.mu.Unlock()
		_ = r.Again(postmaster.SourceSNDS)
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceSNDS); x.Fault != postmaster.FaultSignedOut {
			t.Errorf("got %+v", x)
		}
		r.silent()

		// Nothing of it stands in the database.
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			rows := tx.Query(`SELECT sealed FROM postmaster_grant`)
			n := 0
			for rows.Next() {
				var sealed []byte
				if err := rows.Scan(&sealed); err != nil {
					return err
				}
				n++
				if bytes.Contains(sealed, []byte("secret")) || bytes.Contains(sealed, []byte("REFRESH")) {
					t.Error("a token stands in the database as it is")
				}
			}
			if n != 1 {
				t.Errorf("%d permissions", n)
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Disconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c, _ := r.Connection(t.Context()); c.There || slices.Contains(r.raised(), "snds.fetch snds") {
			t.Errorf("still there: %+v, %q", c, r.raised())
		}
		if rows, _ := r.Rows(t.Context(), day("2026-09-01"), day("2026-09-30"), 10); len(rows) != 1 {
			t.Error("the figures went with the account")
		}
	})
}

func TestSignInIsGuarded(t *testing.T) {
	t.Parallel()
	s := newImitation(t)
	r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{HTTP: s.client(), Microsoft: microsoft(s)})
	begin := func() string {
		page, state, err := r.Connect(t.Context(), "operator:anna")
		if err != nil {
			t.Fatal(err)
		}
		s.visit(page, state)
		return state
	}
	state := begin()
	for _, tc := range []struct{ name, state, code, by string }{
		{"another state", "nonsense", "CODE-secret", "operator:anna"},
		{"no code", begin(), "", "operator:anna"},
		{"another person", begin(), "CODE-secret", "operator:bob"},
		{"another code", begin(), "nonsense", "operator:anna"},
		{"a former verifier", state, "CODE-secret", "operator:anna"},
	} {
		if err := r.Finish(t.Context(), tc.state, tc.code, tc.by); err == nil {
			t.Errorf("%s was accepted", tc.name)
		}
	}
	state = begin()
	r.clock.Add(31 * time.Minute)
	if err := r.Finish(t.Context(), state, "CODE-secret", "operator:anna"); err == nil {
		t.Error("a late one was accepted")
	}
	state = begin()
	if err := r.Finish(t.Context(), state, "CODE-secret", "operator:anna"); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(t.Context(), state, "CODE-secret", "operator:anna"); err == nil {
		t.Error("a state counted twice")
	}
	r.silent()
	off := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{})
	if _, _, err := off.Connect(t.Context(), "x"); err != postmaster.ErrOff {
		t.Errorf("not configured: %v", err)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{Folder: dir})
	put := func(name, data string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, r.clock.Now(), r.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	turn := func() { r.clock.Add(10 * time.Second); r.Turn(t.Context()) }
	has := func(name string) bool { _, err := os.Lstat(filepath.Join(dir, name)); return err == nil }
	outside := filepath.Join(t.TempDir(), "outside.csv")
	if err := os.WriteFile(outside, []byte(row("192.0.2.66", "9/28/2026", "9/29/2026", "RED", "", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.csv")); err != nil {
		t.Fatal(err)
	}
	put("a.csv", row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	put("growing.csv", row("192.0.2.2", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	put("b.csv.part", row("192.0.2.3", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	put("bad.csv", "hello\n")
	put("mixed.csv", row("192.0.2.4", "9/28/2026", "9/29/2026", "GREEN", "", "")+"999.1.1.1,9/28/2026 12:00 AM,9/29/2026 12:00 AM,1,1,1,GREEN,,,,,,,\n")
	turn()
	if has("done") {
		t.Error("a file was taken at first sight")
	}
	put("growing.csv", row("192.0.2.2", "9/28/2026", "9/29/2026", "GREEN", "", "")+row("192.0.2.5", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	turn()
	for name, want := range map[string]bool{"a.csv": false, "done/a.csv": true, "done/a.csv.why": false, "growing.csv": true, "b.csv.part": true, "failed/bad.csv": true, "failed/bad.csv.why": true,
		"done/mixed.csv": true, "done/mixed.csv.why": true, "link.csv": true} {
		if has(name) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
	if why, _ := os.ReadFile(filepath.Join(dir, "done/mixed.csv.why")); !strings.Contains(string(why), `line 2: ip: "999.1.1.1" is no address`) {
		t.Errorf("why: %s", why)
	}
	if why, _ := os.ReadFile(filepath.Join(dir, "failed/bad.csv.why")); !strings.Contains(string(why), "no SNDS figures") {
		t.Errorf("why: %s", why)
	}
	put("a.csv", row("192.0.2.1", "9/28/2026", "9/29/2026", "RED", "", ""))
	turn()
	turn()
	done, _ := filepath.Glob(filepath.Join(dir, "done", "a*.csv"))
	if len(done) != 2 || has("growing.csv") {
		t.Errorf("done: %v", done)
	}
	h := r.heat("2026-09-28", "2026-09-28")
	if len(h.Lines) != 4 || h.Red != 1 {
		t.Errorf("%d lines, %d red", len(h.Lines), h.Red)
	}
	if x := r.source(postmaster.SourceFolder); x.Fault != "" || x.Worked.IsZero() {
		t.Errorf("got %+v", x)
	}
	gone := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{Folder: filepath.Join(dir, "nowhere")})
	gone.Turn(t.Context())
	if x := gone.source(postmaster.SourceFolder); x.Fault != postmaster.FaultFolder {
		t.Errorf("got %+v", x)
	}
	if !slices.Contains(gone.raised(), "snds.fetch folder") {
		t.Errorf("raised %q", gone.raised())
	}
}

// googleToken gives a token for an assertion that is signed by the service account (RFC 7523), or for a person's refresh token.
func (s *imitation) googleToken(r *http.Request) reply {
	refused := reply{400, "application/json", `{"error":"invalid_grant"}`}
	if r.FormValue("grant_type") == "refresh_token" {
		if r.FormValue("refresh_token") != "REFRESH-person-secret" || r.FormValue("client_id") != "me" || r.FormValue("client_secret") != "secret-of-me" {
			return refused
		}
		s.access = "ACCESS-person-secret"
		return reply{200, "application/json", `{"access_token":"ACCESS-person-secret","expires_in":3600,"token_type":"Bearer"}`}
	}
	parts := strings.Split(r.FormValue("assertion"), ".")
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 || s.key == nil {
		return refused
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(s.key, crypto.SHA256, sum[:], signature) != nil {
		return refused
	}
	var claims struct{ Iss, Scope, Aud string }
	data, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if json.Unmarshal(data, &claims) != nil || claims.Iss != "gate@project.example" || !strings.Contains(claims.Scope, "postmaster.traffic.readonly") {
		return refused
	}
	s.serial++
	s.access = fmt.Sprintf("ACCESS-google-%d-secret", s.serial)
	return reply{200, "application/json", fmt.Sprintf(`{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, s.access)}
}

func (s *imitation) google(r *http.Request) reply {
	if s.access == "" || r.Header.Get("Authorization") != "Bearer "+s.access {
		return reply{401, "application/json", `{"error":{"status":"UNAUTHENTICATED"}}`}
	}
	path := strings.TrimPrefix(r.URL.Path, "/google/v2/domains")
	if path == "" { // one domain on each page
		i := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("pageToken"), &i)
		if i >= len(s.domains) {
			return reply{200, "application/json", `{}`}
		}
		next := ""
		if i+1 < len(s.domains) {
			next = fmt.Sprintf(`,"nextPageToken":"%d"`, i+1)
		}
		return reply{200, "application/json", fmt.Sprintf(`{"domains":[{"name":"domains/%s","permission":"OWNER","verificationState":"VERIFIED"}]%s}`, s.domains[i], next)}
	}
	domain, act, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case act == "complianceStatus":
		if a, ok := s.demands[domain]; ok {
			return a
		}
		return reply{404, "application/json", `{}`}
	case act == "domainStats:query" && r.Method == http.MethodPost:
		var ask map[string]any
		if json.NewDecoder(r.Body).Decode(&ask) != nil {
			return reply{400, "application/json", `{}`}
		}
		return s.stats(domain, ask)
	}
	return reply{404, "application/json", `{}`}
}

func serviceKey(t *testing.T, s *imitation) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.key = &key.PublicKey
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "gate@project.example", "private_key_id": "k1", "token_uri": s.url + "/google/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	return file
}

// stats answers as Google does: one entry for each metric and day of which something is known, in pages.
func stats(values map[string]float64, loops []string, refuse string) func(string, map[string]any) reply {
	return func(_ string, ask map[string]any) reply {
		var entries []string
		for _, x := range ask["metricDefinitions"].([]any) {
			m := x.(map[string]any)
			standard := m["baseMetric"].(map[string]any)["standardMetric"].(string)
			filter, _ := m["filter"].(string)
			if standard == refuse {
				return reply{400, "application/json", `{"error":{"status":"INVALID_ARGUMENT"}}`}
			}
			entry := func(day int, value string) {
				entries = append(entries, fmt.Sprintf(`{"name":"x","metric":%q,"date":{"year":2026,"month":9,"day":%d}%s}`, m["name"], day, value))
			}
			if standard == "FEEDBACK_LOOP_ID" && len(loops) > 0 {
				list, _ := json.Marshal(loops)
				entry(28, `,"value":{"stringList":{"values":`+string(list)+`}}`)
			}
			if v, ok := values[standard+" "+filter]; ok {
				entry(28, fmt.Sprintf(`,"value":{"floatValue":%g}`, v))
				entry(27, ``) // nothing is known of that day
				entry(26, `,"value":{"doubleValue":0}`)
			}
		}
		i := 0
		token, _ := ask["pageToken"].(string)
		_, _ = fmt.Sscan(token, &i)
		end, next := min(i+4, len(entries)), ""
		if end < len(entries) {
			next = fmt.Sprintf(`,"nextPageToken":"%d"`, end)
		}
		return reply{200, "application/json", `{"domainStats":[` + strings.Join(entries[min(i, len(entries)):end], ",") + `]` + next + `}`}
	}
}

func TestGoogle(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		s := newImitation(t)
		s.domains = []string{"bakery.example", "other.example"}
		s.demands["bakery.example"] = reply{200, "application/json", `{"name":"domains/bakery.example/complianceStatus","complianceData":{"domainId":"bakery.example","rowData":[
			{"requirement":"SPF","status":{"status":"COMPLIANT"}},{"requirement":"DMARC_ALIGNMENT","status":{"status":"NEEDS_WORK"}},{"requirement":"ENCRYPTION","status":{"status":"STATE_UNSPECIFIED"}}],
			"oneClickUnsubscribeVerdict":{"status":{"status":"NEEDS_WORK"},"reason":"NO_UNSUB_GENERAL"}}}`}
		s.stats = stats(map[string]float64{"SPAM_RATE ": .0041, `AUTH_SUCCESS_RATE auth_type = "dkim"`: .997, `DELIVERY_ERROR_RATE error_type = "reject"`: .01,
			`FEEDBACK_LOOP_SPAM_RATE feedback_loop_id = "42_7"`: .009}, []string{"42_7", `bad" OR 1`}, "")
		r := open(t, db, postmaster.Options{HTTP: s.client(), Google: postmaster.Google{Base: s.url + "/google", Key: serviceKey(t, s)}})
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceGoogle); x.Fault != "" || x.Rows == 0 {
			t.Fatalf("got %+v\n%s", x, r.log)
		}
		got := map[string]float64{}
		figures, err := r.Figures(t.Context(), "bakery.example", day("2026-09-01"), day("2026-09-30"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range figures {
			got[f.Day.Format("02 ")+string(f.Metric)] = f.Value
		}
		for key, want := range map[string]float64{"28 spam": .0041, "26 spam": 0, "28 dkim": .997, "28 errors": .01, "28 loop 42_7": .009} {
			if v, ok := got[key]; !ok || v != want {
				t.Errorf("%s is %v (%v)", key, v, ok)
			}
		}
		if _, known := got["27 spam"]; known || len(got) != 8 {
			t.Errorf("figures %v", got)
		}
		said, err := r.Latest(t.Context(), []string{"bakery.example", "unknown.example"}, day("2026-09-01"), day("2026-09-30"))
		if x := said["bakery.example"]; err != nil || len(said["unknown.example"].Last)+len(said["unknown.example"].Demands) != 0 || len(x.Last) != 3 || len(x.Demands) != 4 || x.Last[postmaster.Spam].Value != .0041 ||
			!x.Last[postmaster.Spam].Day.Equal(day("2026-09-28")) {
			t.Errorf("said %+v, %v", said, err)
		}
		if said, err := r.Latest(t.Context(), []string{"bakery.example"}, day("2026-09-01"), day("2026-09-27")); err != nil || said["bakery.example"].Last[postmaster.Spam].Value != 0 ||
			!said["bakery.example"].Last[postmaster.Spam].Day.Equal(day("2026-09-26")) {
			t.Errorf("said before %+v, %v", said, err)
		}
		demands, err := r.Demands(t.Context(), "bakery.example")
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]postmaster.DemandState{}
		for _, d := range demands {
			states[d.Name] = d.State
		}
		if len(states) != 4 || states["spf"] != postmaster.Compliant || states["dmarc_alignment"] != postmaster.NeedsWork || states["encryption"] != postmaster.DemandSilent || states["one_click_unsubscribe"] != postmaster.NeedsWork {
			t.Errorf("demands %v", states)
		}
		want := []string{"gmail.demands bakery.example", "gmail.spam bakery.example", "gmail.spam other.example"}
		if got := r.raised(); !slices.Equal(got, want) || !r.alarms["gmail.spam bakery.example"].Critical || r.alarms["gmail.spam bakery.example"].Args["Rate"] != "0.41" {
			t.Errorf("raised %q, %+v", got, r.alarms["gmail.spam bakery.example"])
		}

		if args := r.alarms["gmail.demands bakery.example"].Args; args["Demands"] != "en:dmarc_alignment, one click unsubscribe" || args["Demands.fr"] != "fr:dmarc_alignment, one click unsubscribe" {
			t.Errorf("demands are told as %q", args)
		}

		// A permission that ended in between is renewed once; a domain that is another's does not keep the rest; a metric that is gone neither.
		s.mu.Lock()
		s.access = "another"
		s.stats = stats(map[string]float64{"SPAM_RATE ": .0012}, nil, "TLS_ENCRYPTION_RATE")
		s.demands["other.example"] = reply{403, "application/json", `{"error":{"status":"PERMISSION_DENIED"}}`}
		s.mu.Unlock()
		_ = r.Again("")
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceGoogle); x.Fault != "" {
			t.Errorf("got %+v", x)
		}
		if a := r.alarms["gmail.spam bakery.example"]; a.Critical || a.Args["Rate"] != "0.12" {
			t.Errorf("got %+v", a)
		}
		s.link("/google/v2/domains", 500, "text/plain", "secret")
		_ = r.Again("")
		r.Turn(t.Context())
		if x := r.source(postmaster.SourceGoogle); x.Fault != postmaster.FaultBusy {
			t.Errorf("got %+v", x)
		}
		if figures, _ := r.Figures(t.Context(), "bakery.example", day("2026-09-01"), day("2026-09-30")); len(figures) != 8 {
			t.Errorf("a failure took figures away: %d", len(figures))
		}
		r.silent()
	})
}

func TestGoogleKeys(t *testing.T) {
	t.Parallel()
	s := newImitation(t)
	s.stats = stats(map[string]float64{"SPAM_RATE ": .0001}, nil, "")
	for _, tc := range []struct {
		name string
		g    postmaster.Google
		want postmaster.Fault
	}{
		{"refresh token", postmaster.Google{ClientID: "me", ClientSecret: "secret-of-me", Refresh: "REFRESH-person-secret", Token: s.url + "/google/token"}, ""},
		{"refresh token taken back", postmaster.Google{ClientID: "me", ClientSecret: "secret-of-me", Refresh: "REFRESH-old-secret", Token: s.url + "/google/token"}, postmaster.FaultSignedOut},
		{"broken key", postmaster.Google{Key: []byte(`{"type":"service_account","client_email":"a@b","private_key":"secret"}`), Token: s.url + "/google/token"}, postmaster.FaultKey},
		{"no key", postmaster.Google{Key: []byte(`{"secret":1}`)}, postmaster.FaultKey},
		{"nobody there", postmaster.Google{ClientID: "me", Refresh: "x", Token: "https://127.0.0.1:1/token"}, postmaster.FaultUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.g.Base, tc.g.Domains = s.url+"/google", []string{"bakery.example"}
			r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{HTTP: s.client(), Google: tc.g})
			r.Turn(t.Context())
			if x := r.source(postmaster.SourceGoogle); x.Fault != tc.want {
				t.Errorf("got %q\n%s", x.Fault, r.log)
			}
			r.silent()
		})
	}
	if postmaster.CheckKey([]byte(`{}`)) == nil || postmaster.CheckKey(serviceKey(t, s)) != nil {
		t.Error("keys are not told apart")
	}
}
