package journal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestReadClues(t *testing.T) {
	id := mail.NewQueueID(noon.Add(-time.Hour))
	for _, tc := range []struct {
		name, text string
		want       journal.Clues
	}{
		{"a pasted answer", `<jean@orange.example>: host smtp-in.orange.example[192.0.2.1] said: 550 5.1.1 Adresse d'au moins un destinataire invalide. Invalid recipient. OFR_416 [416] (in reply to RCPT TO command)`,
			journal.Clues{Addresses: []string{"jean@orange.example"}, Code: 550, Enhanced: "5.1.1"}},
		{"a queue ID in any case", "ref " + strings.ToUpper(string(id)), journal.Clues{IDs: []mail.QueueID{id}}},
		{"a word as long as a queue ID", "zzzzzzzzzzzzzzzzzzzzzzzzzz", journal.Clues{}},
		{"a Message-ID", "Message-ID: <20261121.7@acme.example>", journal.Clues{MessageIDs: []string{"20261121.7@acme.example"}, Addresses: []string{"20261121.7@acme.example"}}},
		{"French date", "envoyé le 21/11/2026 à 10:40 à jean@orange.example", journal.Clues{Addresses: []string{"jean@orange.example"},
			Spans: []journal.Span{{time.Date(2026, 11, 21, 10, 40, 0, 0, time.UTC), time.Date(2026, 11, 21, 10, 41, 0, 0, time.UTC)}}}},
		{"header date", "Date: Sat, 21 Nov 2026 10:40:05 +0100", journal.Clues{
			Spans: []journal.Span{{time.Date(2026, 11, 21, 9, 40, 5, 0, time.UTC), time.Date(2026, 11, 21, 9, 40, 6, 0, time.UTC)}}}},
		{"nothing", "", journal.Clues{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := journal.ReadClues(tc.text, noon)
			if !slices.Equal(got.IDs, tc.want.IDs) || !slices.Equal(got.MessageIDs, tc.want.MessageIDs) || !slices.Equal(got.Addresses, tc.want.Addresses) ||
				got.Code != tc.want.Code || got.Enhanced != tc.want.Enhanced ||
				!slices.EqualFunc(got.Spans, tc.want.Spans, func(a, b journal.Span) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) }) {
				t.Errorf("got %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

// TestFind: three messages that resemble each other; each is found by what is told about it.
func TestFind(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		var ids []mail.QueueID
		put := func(customer, to, subject string, sent time.Time, answer journal.Fact) {
			id := mail.NewQueueID(sent)
			ids = append(ids, id)
			m := journal.Fact{At: sent, Kind: journal.Accepted, QueueID: id, Customer: customer, ReversePath: "news@" + customer + ".example", Recipient: to,
				HeaderFrom: "News <news@" + customer + ".example>", Subject: subject, MessageID: "<" + string(id) + ".1@" + customer + ".example>"}
			end := m
			end.At, end.Kind, end.Host, end.Code, end.Enhanced, end.Text = sent.Add(time.Minute), answer.Kind, answer.Host, answer.Code, answer.Enhanced, answer.Text
			must(t, j.Append(t.Context(), m, end))
		}
		put("acme", "jean@orange.example", "Votre facture de novembre", noon.Add(-26*time.Hour), journal.Fact{Kind: journal.Bounced, Host: "smtp-in.orange.example[192.0.2.1]", Code: 550,
			Enhanced: "5.1.1", Text: "Adresse d'au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"})
		put("acme", "jean@free.example", "Votre facture de novembre", noon.Add(-25*time.Hour), journal.Fact{Kind: journal.Deferred, Host: "mx1.free.example[192.0.2.2]", Code: 421,
			Text: "Too many spams from your IP (192.0.2.9), please visit the postmaster page"})
		put("other", "lea@free.example", "Hello", noon.Add(-2*time.Hour), journal.Fact{Kind: journal.Delivered, Host: "mx1.free.example[192.0.2.2]", Code: 250, Text: "OK"})
		for _, tc := range []struct {
			name, text, customer string
			want                 int // index; -1 none
			by                   string
		}{
			{"queue ID", "what of " + string(ids[2]) + " please", "", 2, "id"},
			{"Message-ID", "In-Reply-To: <" + string(ids[1]) + ".1@acme.example>", "", 1, ""},
			{"whole answer", "550-5.1.1 Adresse d'au moins un destinataire invalide.\n550 5.1.1 Invalid recipient. OFR_416 [416]", "", 0, "phrase"},
			{"answer with another address", "421 Too many spams from your IP (198.51.100.7), please visit", "", 1, "phrase"},
			{"recipient", "jean@FREE.example says that nothing came", "", 1, "address"},
			{"sender and time", "le 21/11/2026 à 10h00, other a écrit: news@other.example", "", 2, "time"},
			{"subject", "Objet : Votre facture de novembre, envoyée à jean@orange.example", "", 0, "words"},
			{"another customer's", "jean@free.example", "other", -1, ""},
			{"nothing of ours", "what is the weather like", "", -1, ""},
		} {
			t.Run(tc.name, func(t *testing.T) {
				got, _, err := j.Find(t.Context(), journal.Problem{Text: tc.text, Customer: tc.customer})
				must(t, err)
				switch {
				case tc.want < 0 && len(got) > 0:
					t.Errorf("found %+v", got)
				case tc.want >= 0 && (len(got) == 0 || got[0].ID != ids[tc.want]):
					t.Errorf("found %+v; expected %s", got, ids[tc.want])
				case tc.by != "" && !slices.Contains(got[0].By, tc.by):
					t.Errorf("found by %v; expected %s", got[0].By, tc.by)
				}
			})
		}
		got, _, err := j.Find(t.Context(), journal.Problem{Text: "b-token", Reference: func([]byte) (mail.QueueID, bool) { return ids[0], true }})
		must(t, err)
		if len(got) != 1 || got[0].ID != ids[0] || got[0].Weight != 100 {
			t.Errorf("by reference: %+v", got)
		}
	})
}

func FuzzReadClues(f *testing.F) {
	f.Add("550 5.1.1 <a@b.example> user unknown 2026-11-21T10:40:00Z 21/11/2026 à 10h40")
	f.Add("<1@b> 01jd\x00é@é.fr ''' a'b")
	f.Fuzz(func(t *testing.T, text string) {
		c := journal.ReadClues(text, noon)
		if len(c.IDs) > 10 || len(c.Addresses) > 10 || len(c.Spans) > 10 || len(c.Words) > 60 || len(c.Phrases) > 10 {
			t.Errorf("too many clues: %+v", c)
		}
	})
}
