package reputation

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/store"
)

// The columns of each table, in the order in which they are read.
const (
	targetColumns  = `target, kind, roles, customer, since, seen, checked, next, weight, lists, unknown`
	listingColumns = `id, target, zone, list, operator, weight, wide, own, customer, codes, names, reason, since, heard, answered, cleared, until, dossier`
	eventColumns   = `id, at, target, kind, zone, list, operator, weight, names, text, dossier`
	dossierColumns = `id, target, operator, kind, customer, list, weight, state, opened, changed, listed, clean, quiet, quiet_at, times, look, due, gathered, causes, former, later`
	actColumns     = `id, dossier, at, kind, actor, step, text`
)

// The bounds of what is stored.
const (
	maxReason = 400   // bytes of an operator's text
	maxText   = 4_000 // bytes of a note
	maxWord   = 200   // bytes of names
	pruneRows = 500   // rows that one transaction removes
)

// newID is a name that grows with time, for rows that are read in their order.
func newID(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%014x%08x", now.UnixMicro(), binary.BigEndian.Uint32(b[:]))
}

// nextID is the ID that follows one.
func nextID(id string) string {
	b := []byte(id)
	for i := len(b) - 1; i >= 0; i-- {
		switch b[i] {
		case 'f':
			b[i] = '0'
			continue
		case '9':
			b[i] = 'a'
		default:
			b[i]++
		}
		break
	}
	return string(b)
}

// firstID is below every ID of a time and later.
func firstID(at time.Time) string { return fmt.Sprintf("%014x", max(at.UnixMicro(), 0)) }

// newDossierID is a short name that people can say.
func newDossierID() string {
	const letters = "23456789abcdefghjkmnpqrstuvwxyz"
	b := make([]byte, 10)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}

// scanner is a row that is read.
type scanner interface{ Scan(...any) error }

func scanTarget(r scanner) (t Target, err error) {
	var roles string
	if err := r.Scan(&t.Name, (*string)(&t.Kind), &roles, &t.Customer, &t.Since, &t.Seen, &t.Checked, &t.Next, &t.Weight, &t.Lists, &t.Unknown); err != nil {
		return t, err
	}
	t.Roles = splitRoles(roles)
	return t, nil
}

func splitRoles(s string) (roles []Role) {
	for _, r := range strings.Fields(s) {
		roles = append(roles, Role(r))
	}
	return roles
}

func joinRoles(roles []Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, " ")
}

func scanListing(r scanner) (l Listing, err error) {
	var codes, names string
	err = r.Scan(&l.ID, &l.Target, &l.Zone, &l.List, &l.Operator, &l.Weight, &l.Wide, &l.Own, &l.Customer, &codes, &names, &l.Reason, &l.Since, &l.Heard, &l.Answered, &l.Cleared, &l.Until, &l.Dossier)
	l.Codes, l.Names = strings.Fields(codes), strings.Fields(names)
	return l, err
}

func insertListing(tx *store.Tx, l Listing) error {
	_, err := tx.Exec(`INSERT INTO reputation_listing (`+listingColumns+`, block) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		l.ID, l.Target, l.Zone, l.List, l.Operator, l.Weight, l.Wide, l.Own, l.Customer, strings.Join(l.Codes, " "), strings.Join(l.Names, " "), l.Reason,
		l.Since, l.Heard, l.Answered, l.Cleared, l.Until, l.Dossier, blockOf(l.Target))
	return err
}

func updateListing(tx *store.Tx, l Listing) error {
	_, err := tx.Exec(`UPDATE reputation_listing SET list = ?, weight = ?, own = ?, customer = ?, codes = ?, names = ?, reason = ?, heard = ?, answered = ?, cleared = ?, until = ?, dossier = ? WHERE id = ?`,
		l.List, l.Weight, l.Own, l.Customer, strings.Join(l.Codes, " "), strings.Join(l.Names, " "), l.Reason, l.Heard, l.Answered, l.Cleared, l.Until, l.Dossier, l.ID)
	return err
}

// query reads all rows of a question.
func query[T any](tx *store.Tx, scan func(scanner) (T, error), sql string, args ...any) (out []T, err error) {
	rows := tx.Query(sql, args...)
	for rows.Next() {
		x, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, rows.Err()
}

// queryListings reads listings that meet a condition; queryEvents, queryDossiers and queryActs do the same for theirs.
func queryListings(tx *store.Tx, where string, args ...any) ([]Listing, error) {
	return query(tx, scanListing, `SELECT `+listingColumns+` FROM reputation_listing WHERE `+where, args...)
}

func queryEvents(tx *store.Tx, where string, args ...any) ([]Event, error) {
	return query(tx, scanEvent, `SELECT `+eventColumns+` FROM reputation_event WHERE `+where, args...)
}

func queryDossiers(tx *store.Tx, where string, args ...any) ([]Dossier, error) {
	return query(tx, func(r scanner) (Dossier, error) { return scanDossier(r) }, `SELECT `+dossierColumns+` FROM reputation_dossier WHERE `+where, args...)
}

func queryActs(tx *store.Tx, where string, args ...any) ([]Act, error) {
	return query(tx, scanAct, `SELECT `+actColumns+` FROM reputation_act WHERE `+where, args...)
}

func insertEvent(tx *store.Tx, e Event) error {
	_, err := tx.Exec(`INSERT INTO reputation_event (`+eventColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.At, e.Target, string(e.Kind), e.Zone, e.List, e.Operator, e.Weight, strings.Join(e.Names, " "), e.Text, e.Dossier)
	return err
}

func scanEvent(r scanner) (e Event, err error) {
	var names string
	err = r.Scan(&e.ID, &e.At, &e.Target, (*string)(&e.Kind), &e.Zone, &e.List, &e.Operator, &e.Weight, &names, &e.Text, &e.Dossier)
	e.Names = strings.Fields(names)
	return e, err
}

// Of a target, what lists say is kept in one row as JSON: 60 lists say little of a clean one.
type zoneNote struct {
	Zone     string      `json:"z"`
	State    dnsbl.State `json:"s"`
	Since    int64       `json:"i"` // microseconds since 1970, as below
	Codes    []string    `json:"c,omitempty"`
	Names    []string    `json:"n,omitempty"`
	Reason   string      `json:"r,omitempty"`
	Why      string      `json:"w,omitempty"`
	Last     dnsbl.State `json:"l,omitempty"`
	Answered int64       `json:"a,omitempty"`
	Clean    int64       `json:"k,omitempty"`
}

func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func decodeNotes(b []byte) map[string]zoneNote {
	out := map[string]zoneNote{}
	var notes []zoneNote
	if len(b) == 0 || json.Unmarshal(b, &notes) != nil {
		return out
	}
	for _, n := range notes {
		out[n.Zone] = n
	}
	return out
}

func encodeNotes(notes map[string]zoneNote) []byte {
	all := make([]zoneNote, 0, len(notes))
	for _, n := range notes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b zoneNote) int { return strings.Compare(a.Zone, b.Zone) })
	b, _ := json.Marshal(all) // of strings and numbers
	return b
}

// readNotes reads what is known of each list about a target.
func readNotes(tx *store.Tx, target string) (map[string]zoneNote, error) {
	var b []byte
	rows := tx.Query(`SELECT zones FROM reputation_zone WHERE target = ?`, target)
	for rows.Next() {
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
	}
	return decodeNotes(b), rows.Err()
}

// blockOf is the /24 or /120 of an address; "" of a domain.
func blockOf(target string) string {
	ip, err := netip.ParseAddr(target)
	if err != nil {
		return ""
	}
	return blockPrefix(ip).String()
}

func blockPrefix(ip netip.Addr) netip.Prefix {
	bits := 24
	if ip.Is6() {
		bits = 120
	}
	p, _ := ip.Prefix(bits) // always within the address's bits
	return p
}

// bound bounds text that comes from outside.
func bound(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

// lease takes or renews what only one node does at a time.
func (w *Watch) lease(ctx context.Context, name string, ttl time.Duration) (mine bool, err error) {
	now := w.o.Now()
	err = w.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`INSERT INTO reputation_lease (name, node, until) VALUES (?, ?, ?)
 ON CONFLICT (name) DO UPDATE SET node = excluded.node, until = excluded.until WHERE reputation_lease.node = excluded.node OR reputation_lease.until < ?`,
			name, w.o.Node, now.Add(ttl), now)
		mine = n > 0
		return err
	})
	return mine, err
}
