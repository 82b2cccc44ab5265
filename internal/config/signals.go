package config

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/tree"
)

// SNDS says how Microsoft's figures about our addresses come in; see package postmaster.
type SNDS struct {
	Folder     string        `key:"folder"` // "" = none is watched
	URLs       []SNDSURL     `key:"urls"`
	Every      time.Duration `key:"every"`
	Keep       time.Duration `key:"keep"`
	Complaints float64       `key:"complaints"` // percent
	API        string        `key:"api"`        // "" = off
	Authority  string        `key:"authority"`
	ClientID   string        `key:"client_id"`
	Redirect   string        `key:"redirect_url"`
}

// SNDSURL is a link from which figures or states are fetched; the key is in it.
type SNDSURL struct {
	Name string `key:"name"`
	URL  Secret `key:"url_file"`
}

// PostmasterTools says how Gmail's figures about domains come in.
type PostmasterTools struct {
	AccountFile  string        `key:"account_file"` // key of a service account, JSON; "" = the refresh token below, or off
	ClientID     string        `key:"client_id"`
	ClientSecret Secret        `key:"client_secret_file"`
	RefreshToken Secret        `key:"refresh_token_file"`
	Domains      []mail.Domain `key:"domains"`
	Every        time.Duration `key:"every"`
	API          string        `key:"api"`
	TokenURL     string        `key:"token_url"`
}

// On reports whether there is anything to ask with.
func (p PostmasterTools) On() bool { return p.AccountFile != "" || p.RefreshToken != "" }

func signalKeys() []Key {
	return []Key{
		{Path: "snds", Doc: "What Microsoft says of the addresses that mail leaves from (Smart Network Data Services); see snds.md in the manual."},
		{Path: "snds.folder", Unit: "folder", Sample: "/var/lib/postern/snds", Restart: true, Doc: "A folder into which SNDS files are put. A file that is complete is read and moved to done or failed below it, with the rows that were left out in a file beside it that ends in .why."},
		{Path: "snds.urls", Default: "[]", Unit: "list", Restart: true, Doc: "Links that are fetched: those of automated data access, or an access link of the portal."},
		{Path: "snds.urls[].name", Required: true, Unit: "name", Sample: "main", Restart: true, Doc: "For the log and the pages, which never show the link."},
		{Path: "snds.urls[].url_file", Required: true, Unit: "file", Sample: "/etc/postern/snds-link", Restart: true, Doc: "File with the link. It holds the key, so it is a secret."},
		{Path: "snds.every", Default: "6h", Unit: timeUnit, Min: "15m", Max: "7d", Restart: true, Doc: "Time between two fetches. Figures of a day come once, after it is over."},
		{Path: "snds.keep", Default: "400d", Unit: timeUnit, Min: "30d", Max: "3650d", Restart: true, Doc: "How long figures are kept, Gmail's too."},
		{Path: "snds.complaints", Default: "0.3", Unit: "percent", Min: "0.01", Max: "100", Restart: true, Doc: "Complaint rate of an address from which the operator is told."},
		{Path: "snds.api", Default: "https://substrate.office.com/ip-domain-management-snds", Unit: "web address", Restart: true, Doc: "Where the interface of 2026 is. It is asked once an account is connected on the page SNDS. Empty: off."},
		{Path: "snds.authority", Default: "https://login.microsoftonline.com/consumers", Unit: "web address", Restart: true, Doc: "Where that account signs in."},
		{Path: "snds.client_id", Default: "a53a6cc1-a1cd-46f7-a4aa-281cdabec33c", Unit: "id", Restart: true, Doc: "What the sign-in knows Postern by: the public client of the SNDS portal."},
		{Path: "snds.redirect_url", Default: "http://localhost", Unit: "web address", Restart: true, Doc: "Where the sign-in leads back to. The portal's client allows http://localhost only: the browser then shows an error, and its address is pasted into the page SNDS. With a client of your own: the address of the page, which ends in /o/snds/callback."},
		{Path: "postmaster_tools", Doc: "What Gmail says of domains (Google Postmaster Tools); see postmaster-tools.md in the manual. Off without account_file or refresh_token_file."},
		{Path: "postmaster_tools.account_file", Unit: "file", Sample: "/etc/postern/google-key.json", Restart: true, Doc: "The key of a service account, as Google gives it (JSON). The account must be a reader of the domains in Postmaster Tools."},
		{Path: "postmaster_tools.client_id", Unit: "id", Restart: true, Doc: "Instead of a service account: an OAuth client of your own, with a person's refresh token."},
		{Path: "postmaster_tools.client_secret_file", Unit: "file", Sample: "/etc/postern/google-client", Restart: true, Doc: "File with that client's secret."},
		{Path: "postmaster_tools.refresh_token_file", Unit: "file", Sample: "/etc/postern/google-refresh", Restart: true, Doc: "File with the refresh token, for the scopes postmaster.traffic.readonly and postmaster.domain."},
		{Path: "postmaster_tools.domains", Default: "[]", Unit: "list of domains", Sample: "[example.org]", Restart: true, Doc: "Domains that are asked for. Empty: all that the account may see."},
		{Path: "postmaster_tools.every", Default: "12h", Unit: timeUnit, Min: "1h", Max: "7d", Restart: true, Doc: "Time between two fetches. Figures of a day come a day or two later."},
		{Path: "postmaster_tools.api", Default: "https://gmailpostmastertools.googleapis.com", Unit: "web address", Restart: true, Doc: "Where the interface is."},
		{Path: "postmaster_tools.token_url", Unit: "web address", Sample: "https://oauth2.googleapis.com/token", Restart: true, Doc: "Where permissions are given. Empty: where the key says, else Google's."},
	}
}

// maxAccountFile bounds the key of a service account, in bytes.
const maxAccountFile = 64 << 10

// AccountKey reads the key of the service account; nil without one.
func (p PostmasterTools) AccountKey() ([]byte, error) {
	if p.AccountFile == "" {
		return nil, nil
	}
	info, err := os.Stat(p.AccountFile)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxAccountFile {
		return nil, fmt.Errorf("%s has more than %d KB: it is no key", p.AccountFile, maxAccountFile>>10)
	}
	return os.ReadFile(p.AccountFile)
}

// signals looks whether what providers publish can be fetched.
func (v *validation) signals() {
	if f := v.SNDS.Folder; f != "" && !filepath.IsAbs(f) {
		v.bad("snds.folder", "%q is no whole path of a folder", tree.Clip(f))
	}
	names := map[string]bool{}
	for i, u := range v.SNDS.URLs {
		at := fmt.Sprintf("snds.urls[%d]", i)
		if names[u.Name] {
			v.bad(at+".name", "%q stands there twice", tree.Clip(u.Name))
		}
		names[u.Name] = true
		if x, err := url.Parse(string(u.URL)); u.URL != "" && (err != nil || x.Scheme != "https" || x.Host == "" || x.User != nil) {
			v.bad(at+".url_file", "the file holds no link; expected one that begins with https://") // the link itself is a secret
		}
	}
	web := func(path, text string, local bool) {
		x, err := url.Parse(text)
		if text == "" || err == nil && x.Host != "" && x.User == nil && x.RawQuery == "" && x.Fragment == "" &&
			(x.Scheme == "https" || local && x.Scheme == "http" && (x.Hostname() == "localhost" || strings.HasPrefix(x.Hostname(), "127."))) {
			return
		}
		v.bad(path, "%q is no web address; expected one like https://example.org/path", tree.Clip(text))
	}
	web("snds.api", v.SNDS.API, false)
	web("snds.authority", v.SNDS.Authority, false)
	web("snds.redirect_url", v.SNDS.Redirect, true)
	web("postmaster_tools.api", v.PostmasterTools.API, false)
	web("postmaster_tools.token_url", v.PostmasterTools.TokenURL, false)
	if v.SNDS.API != "" && (v.SNDS.Authority == "" || v.SNDS.ClientID == "" || v.SNDS.Redirect == "") {
		v.bad("snds.api", "the interface needs snds.authority, snds.client_id and snds.redirect_url")
	}
	p := v.PostmasterTools
	switch {
	case p.AccountFile != "" && p.RefreshToken != "":
		v.bad("postmaster_tools.refresh_token_file", "there is postmaster_tools.account_file, too; expected one of the two")
	case p.RefreshToken != "" && p.ClientID == "":
		v.bad("postmaster_tools.client_id", "a refresh token belongs to a client; expected its id")
	case p.AccountFile != "":
		if _, err := p.AccountKey(); err != nil {
			v.bad("postmaster_tools.account_file", "%v", err)
		}
	case len(p.Domains) > 0 && !p.On():
		v.doubt("postmaster_tools.domains", "nothing is asked without postmaster_tools.account_file or refresh_token_file")
	}
}
