package learn

import "strings"

const (
	sqlCorpus = `SELECT spam, ham FROM learn_scope WHERE scope = ?`
	sqlCounts = `SELECT token, scope, spam, ham FROM learn_token WHERE token IN (`

	sqlLearned = `SELECT class FROM learn_message WHERE scope = ? AND message = ?`
	sqlNote    = `INSERT INTO learn_message (scope, message, class, at) VALUES (?, ?, ?, ?)
 ON CONFLICT (scope, message) DO UPDATE SET class = excluded.class, at = excluded.at`
	sqlUnnote = `DELETE FROM learn_message WHERE scope = ? AND message = ?`
	sqlTotal  = `INSERT INTO learn_scope (scope, spam, ham) VALUES (?, ?, ?)
 ON CONFLICT (scope) DO UPDATE SET spam = learn_scope.spam + excluded.spam, ham = learn_scope.ham + excluded.ham`
	sqlFloor = `UPDATE learn_scope SET spam = CASE WHEN spam < 0 THEN 0 ELSE spam END, ham = CASE WHEN ham < 0 THEN 0 ELSE ham END
 WHERE scope = ? AND (spam < 0 OR ham < 0)`

	sqlCountRow  = `(?, ?, ?, ?, ?)`
	sqlCountHead = `INSERT INTO learn_token (token, scope, spam, ham, seen) VALUES `
	sqlCountTail = ` ON CONFLICT (token, scope) DO UPDATE SET spam = learn_token.spam + excluded.spam, ham = learn_token.ham + excluded.ham,
 seen = excluded.seen`
	sqlFloorTokens = `UPDATE learn_token SET spam = CASE WHEN spam < 0 THEN 0 ELSE spam END, ham = CASE WHEN ham < 0 THEN 0 ELSE ham END
 WHERE token IN (`
	sqlEmptyTokens = `DELETE FROM learn_token WHERE token IN (`

	sqlSender = `SELECT mean, count FROM learn_sender WHERE sender = ?`
	// What was counts as Dilution times the messages so far, but never as more than Memory of them.
	sqlPast   = `(? * CASE WHEN learn_sender.count < ? THEN learn_sender.count ELSE ? END)`
	sqlScored = `INSERT INTO learn_sender (sender, scope, mean, count, seen) VALUES (?, ?, ?, 1, ?)
 ON CONFLICT (sender) DO UPDATE SET mean = (excluded.mean + ` + sqlPast + ` * learn_sender.mean) / (` + sqlPast + ` + 1),
 count = learn_sender.count + 1, seen = excluded.seen`

	sqlTouch      = `UPDATE learn_token SET seen = ? WHERE token IN (`
	sqlOldTokens  = `SELECT token, scope FROM learn_token WHERE seen < ? ORDER BY scope LIMIT ?`
	sqlSizes      = `SELECT scope, count(*) FROM learn_token GROUP BY scope HAVING count(*) > ?`
	sqlLeastUsed  = `SELECT token FROM learn_token WHERE scope = ? ORDER BY seen, spam + ham, token LIMIT ?`
	sqlDropTokens = `DELETE FROM learn_token WHERE token IN (`
	sqlOldNotes   = `DELETE FROM learn_message WHERE (scope, message) IN (SELECT scope, message FROM learn_message WHERE at < ? ORDER BY at LIMIT ?)`
	sqlOldSenders = `SELECT sender FROM learn_sender WHERE seen < ? LIMIT ?`
	sqlDropSender = `DELETE FROM learn_sender WHERE sender = ? AND seen < ?`

	sqlScopeTokens   = `SELECT token FROM learn_token WHERE scope = ? LIMIT ?`
	sqlEraseMessages = `DELETE FROM learn_message WHERE scope = ?`
	sqlEraseScope    = `DELETE FROM learn_scope WHERE scope = ?`
	sqlEraseSenders  = `DELETE FROM learn_sender WHERE scope = ?`
)

// pieceSizes are the lengths of lists in statements: few, so that prepared statements are found again.
var pieceSizes = []int{1000, 200, 40, 8}

// inPieces calls f with lists of "?" for all ids; a list that is not filled repeats its last one.
func inPieces(ids []int64, f func(list string, args []any) error) error {
	for len(ids) > 0 {
		n := pieceSizes[len(pieceSizes)-1]
		for _, size := range pieceSizes {
			if size <= len(ids) {
				n = size
				break
			}
		}
		take := min(n, len(ids))
		args := make([]any, 0, n+4)
		for i := range n {
			args = append(args, ids[min(i, take-1)])
		}
		if err := f("?"+strings.Repeat(",?", n-1), args); err != nil {
			return err
		}
		ids = ids[take:]
	}
	return nil
}

// rowSizes are the numbers of rows in one INSERT.
var rowSizes = []int{200, 50, 10, 1}
