package journal

import (
	"net/netip"
	"strings"

	"postern/internal/mail"
	"postern/internal/store"
)

const (
	insertColumns = `at, kind, queue_id, customer, recipient_key, reverse_key, header_key, message_key, credential, client_ip,
 reverse_path, recipient, header_from, subject, message_id, size, score, host, egress_ip, code, enhanced, text, next_at,
 attempt, actor, fold, detail, category, party, rule, provider, lane`
	columnCount = 32
	readColumns = `id, at, kind, queue_id, customer, credential, client_ip, reverse_path, recipient, header_from, subject,
 message_id, size, score, host, egress_ip, code, enhanced, text, next_at, attempt, actor, detail, category, party, rule, provider, lane`

	sqlTrace    = `SELECT ` + readColumns + ` FROM journal_fact WHERE queue_id = ? ORDER BY id LIMIT ?`
	sqlPrune    = `DELETE FROM journal_fact WHERE id IN (SELECT id FROM journal_fact WHERE at < ? ORDER BY at, id LIMIT ?)`
	sqlCounts   = `SELECT kind, count(*) FROM journal_fact WHERE at >= ? GROUP BY kind`
	sqlAccepted = `SELECT DISTINCT queue_id FROM journal_fact WHERE kind = ? AND queue_id IN `
)

// rowSizes are the numbers of rows in one INSERT: few, so that prepared statements are found again.
var rowSizes = []int{64, 16, 4, 1}

// insert writes the facts of a batch in order.
func insert(tx *store.Tx, batch []item, count int) error {
	facts := make([]*Fact, 0, count)
	for i := range batch {
		for k := range batch[i].facts {
			facts = append(facts, &batch[i].facts[k])
		}
	}
	for len(facts) > 0 {
		n := 1
		for _, size := range rowSizes {
			if size <= len(facts) {
				n = size
				break
			}
		}
		args := make([]any, 0, n*columnCount)
		for _, f := range facts[:n] {
			args = appendValues(args, f)
		}
		if _, err := tx.Exec(insertStatement(n), args...); err != nil {
			return err
		}
		facts = facts[n:]
	}
	return nil
}

func insertStatement(rows int) string {
	row := "(?" + strings.Repeat(", ?", columnCount-1) + ")"
	return "INSERT INTO journal_fact (" + insertColumns + ") VALUES " + row + strings.Repeat(", "+row, rows-1)
}

// appendValues adds the arguments of one row, in the order of insertColumns.
func appendValues(args []any, f *Fact) []any {
	subject, text, from := cut(f.Subject, 500), cut(f.Text, 2000), cut(f.HeaderFrom, 500)
	fold := strings.ToLower(strings.TrimSpace(strings.Join([]string{subject, from, cut(f.Host, 300), text}, "\n")))
	var detail any
	if f.Detail != nil {
		detail = f.Detail
	}
	return append(args,
		f.At, string(f.Kind), text0(string(f.QueueID)), text0(cut(f.Customer, 200)), text0(foldKey(f.Recipient)),
		text0(foldKey(f.ReversePath)), text0(foldKey(headerAddress(from))), text0(foldKey(f.MessageID)), text0(f.Credential),
		text0(address(f.ClientIP)), text0(cut(f.ReversePath, 500)), text0(cut(f.Recipient, 500)), text0(from), text0(subject),
		text0(cut(f.MessageID, 1000)), f.Size, f.Score, text0(cut(f.Host, 300)), text0(address(f.EgressIP)), f.Code,
		text0(cut(f.Enhanced, 20)), text0(text), f.NextAt, f.Attempt, text0(cut(f.Actor, 200)), text0(fold), detail,
		text0(cut(f.Category, 40)), text0(cut(f.Party, 40)), text0(cut(f.Rule, 200)), text0(cut(f.Provider, 100)), text0(cut(f.Lane, 300)))
}

// text0 is NULL for the empty string: the partial indexes then leave it out.
func text0(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

// headerAddress is the address in a header From: "Name <a@b>" or "a@b".
func headerAddress(from string) string {
	if i := strings.LastIndexByte(from, '<'); i >= 0 {
		if k := strings.IndexByte(from[i:], '>'); k > 0 {
			return from[i+1 : i+k]
		}
	}
	return from
}

// readFacts collects rows of readColumns.
func readFacts(rows *store.Rows) ([]Fact, error) {
	var facts []Fact
	for rows.Next() {
		var f Fact
		var id, client, egress string
		if err := rows.Scan(&f.ID, &f.At, (*string)(&f.Kind), &id, &f.Customer, &f.Credential, &client, &f.ReversePath,
			&f.Recipient, &f.HeaderFrom, &f.Subject, &f.MessageID, &f.Size, &f.Score, &f.Host, &egress, &f.Code, &f.Enhanced,
			&f.Text, &f.NextAt, &f.Attempt, &f.Actor, &f.Detail, &f.Category, &f.Party, &f.Rule, &f.Provider, &f.Lane); err != nil {
			return nil, err
		}
		f.QueueID = mail.QueueID(id)
		f.ClientIP, _ = netip.ParseAddr(client)
		f.EgressIP, _ = netip.ParseAddr(egress)
		facts = append(facts, f)
	}
	return facts, rows.Err()
}
