package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"postern/internal/api"
	"postern/internal/user"
)

// TestProblemsInTheReadersLanguage: the same request is refused, or done, in the language that it asks for. What programs read is the same.
func TestProblemsInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin, operator := x.token(t, user.CustomerAdmin, "shop"), x.token(t, user.Operator, "")
	for _, tc := range []struct {
		name, method, path, token, content string
		status                             int
		en, fr                             string
	}{
		{"before a token", "GET", "/v1/trace", "", "", 401, "send the field Authorization: Bearer pst_…, with a token of the page Tokens; cookies count for nothing here",
			"envoyez le champ `Authorization: Bearer pst_…`, avec un jeton de la page des jetons\u00a0; les cookies ne comptent pas ici"},
		{"a right", "GET", "/v1/customers", admin, "", 403, "this concerns the whole gateway: it needs a token of an operator, with the right gateway:read",
			"cela concerne toute la passerelle\u00a0: il faut le jeton d'un opérateur, avec le droit gateway:read"},
		{"no endpoint", "GET", "/v1/none", operator, "", 404, "nothing answers GET /v1/none; /openapi.json lists the endpoints",
			"rien ne répond à GET /v1/none\u00a0; /openapi.json donne la liste de ce qui répond"},
		{"a name", "GET", "/v1/customers/none", operator, "", 404, `there is no customer "none"; customer list shows all`, "il n'y a pas de client \"none\"\u00a0; `customer list` les montre tous"},
		{"an error of a room", "GET", "/v1/check?target=a..b", operator, "", 422, `target: "a..b": neither a domain, nor an IP, nor a mail address: invalid domain: empty label`,
			"target\u00a0: \"a..b\"\u00a0: ni un domaine, ni une IP, ni une adresse de messagerie\u00a0: domaine non valable\u00a0: étiquette vide"},
		{"several faults", "POST", "/v1/customers", operator, `{"id":"new","contact":"none","domains":["-x.example"]}`, 422,
			"contact: invalid address: \"none\" has no domain\ndomains: invalid domain: label \"-x\" begins or ends with a hyphen",
			"contact\u00a0: adresse non valable\u00a0: \"none\" n'a pas de domaine\ndomains\u00a0: domaine non valable\u00a0: l'étiquette \"-x\" commence ou finit par un tiret"},
		{"the library", "POST", "/v1/suppression", admin, `{"adress":"x@remote.example"}`, 422, "validation failed", "la requête ne correspond pas à ce qui est attendu"},
		{"no body", "POST", "/v1/suppression", admin, "", 400, "request body is required", "la requête doit avoir un corps"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			type problem struct {
				Type, Title, Detail string
				Errors              []struct{ Message string }
			}
			ask := func(language string) (p problem, a said) {
				t.Helper()
				a = x.over(t, tc.method, tc.path, tc.token, tc.content, "Accept-Language", language)
				if err := json.Unmarshal([]byte(a.text), &p); err != nil || a.status != tc.status {
					t.Fatalf("%d %s %v", a.status, a.text, err)
				}
				if a.header.Get("Content-Language") == "" || a.header.Get("Vary") != "Accept-Language" {
					t.Errorf("%v", a.header)
				}
				return p, a
			}
			en, _ := ask("en")
			if other, a := ask("de"); other.Detail != en.Detail || a.header.Get("Content-Language") != "en" {
				t.Errorf("German is not answered in English: %q", other.Detail)
			}
			fr, a := ask("fr-CA,fr;q=0.8,en;q=0.5")
			if a.header.Get("Content-Language") != "fr" || en.Type != fr.Type || en.Title != fr.Title || len(en.Errors) != len(fr.Errors) {
				t.Errorf("%+v, %+v", en, fr)
			}
			if en.Detail != tc.en || fr.Detail != tc.fr {
				t.Errorf("%q\n%q", en.Detail, fr.Detail)
			}
			for i := range fr.Errors {
				if fr.Errors[i].Message == en.Errors[i].Message || strings.Contains(fr.Errors[i].Message, "en anglais") {
					t.Errorf("%q is left in English", fr.Errors[i].Message)
				}
			}
		})
	}
}

// TestActsInTheReadersLanguage: what was done is told in the language that was asked for, and a repetition tells what the first answer told.
func TestActsInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin := x.token(t, user.CustomerAdmin, "shop")
	add := func(address, language string, more ...string) (api.Done, said) {
		t.Helper()
		a := x.over(t, "POST", "/v1/suppression", admin, `{"address":"`+address+`"}`, append([]string{"Accept-Language", language}, more...)...)
		var d api.Done
		if err := json.Unmarshal([]byte(a.text), &d); err != nil || a.status != 200 {
			t.Fatalf("%d %s %v", a.status, a.text, err)
		}
		return d, a
	}
	if d, a := add("one@remote.example", "en"); d.Text != "for customer shop: one@remote.example is not written to from now on" || a.header.Get("Content-Language") != "en" {
		t.Errorf("%q %v", d.Text, a.header)
	}
	d, a := add("two@remote.example", "fr", "Idempotency-Key", "k")
	if d.Text != "pour le client shop\u00a0: on n'écrit plus à two@remote.example désormais" || a.header.Get("Content-Language") != "fr" || d.Count != 1 {
		t.Errorf("%q %v", d.Text, a.header)
	}
	if again, a := add("two@remote.example", "en", "Idempotency-Key", "k"); again.Text != d.Text || a.header.Get("Idempotent-Replayed") == "" {
		t.Errorf("%q %v", again.Text, a.header)
	}
}

// TestForeignWords: what no pair says is told to be English, and quoted.
func TestForeignWords(t *testing.T) {
	t.Parallel()
	g := start(t)
	for english, french := range map[string]string{
		"database is locked": "(message interne de la passerelle, en anglais\u00a0: «\u00a0database is locked\u00a0»)",
		"line 3: pool: \"x\" is not defined; expected one of a, b": "(message interne de la passerelle, en anglais\u00a0: «\u00a0line 3: pool: \"x\" is not defined; expected one of a, b\u00a0»)",
		"pool: \"x\" is not defined; expected one of a, b":         "pool\u00a0: \"x\" n'est pas défini\u00a0; attendu\u00a0: l'un de a, b",
		"not found: customer shop":                                 "introuvable\u00a0: client shop",
		"taken: network 192.0.2.0/24 belongs to customer bakery":   "déjà pris\u00a0: réseau 192.0.2.0/24 appartient au client bakery",
	} {
		if got := g.api.Foreign(english); got != french {
			t.Errorf("%q: %q", english, got)
		}
	}
}

// TestClientSpeaks: the client of the socket hears problems and acts in the language that it was made for.
func TestClientSpeaks(t *testing.T) {
	t.Parallel()
	g := start(t)
	french := g.client.In("fr")
	if _, err := french.Customer(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), "il n'y a pas de client") {
		t.Error(err)
	}
	if d, err := french.Suspend(t.Context(), "shop", ""); err != nil || d.Text != "le client shop est suspendu\u00a0: aucun courrier n'est pris de lui" {
		t.Errorf("%q %v", d.Text, err)
	}
	if d, err := g.client.Resume(t.Context(), "shop"); err != nil || d.Text != "customer shop may send again" {
		t.Errorf("%q %v", d.Text, err)
	}
}
