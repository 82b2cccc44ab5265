package aggregate

const (
	sqlPut = `INSERT INTO aggregate_inbox (id, received, state, claimed, how, client, hello, path, sender, customer, name, size, why, proof, author, signed, body)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	inboxColumns   = `id, received, how, client, hello, path, sender, customer, name, proof, author, signed, body`
	sqlClaim       = `UPDATE aggregate_inbox SET claimed = ? WHERE id = ?`
	sqlJudged      = `UPDATE aggregate_inbox SET state = ?, claimed = ?, proof = ?, author = ?, signed = ? WHERE id = ?`
	sqlNextWaiting = `SELECT ` + inboxColumns + ` FROM aggregate_inbox WHERE state = ? AND claimed < ? ORDER BY received, id LIMIT 1 FOR UPDATE SKIP LOCKED`
	sqlTakeAgain   = `UPDATE aggregate_inbox SET state = ?, claimed = ? WHERE state = ? AND length(body) > 0 AND (id = ? OR ? = '')`
	sqlWaiting     = `SELECT ` + inboxColumns + ` FROM aggregate_inbox WHERE id = ?`
	sqlUnread      = `SELECT id, received, state, how, client, sender, name, size, why, proof, length(body) FROM aggregate_inbox WHERE state > ? AND id < ? ORDER BY id DESC LIMIT ?`

	sqlAddReport = `INSERT INTO aggregate_report (id, kind, domain, reporter, report_id, email, begins, ends, received, how, sender, signed, messages, passed, warnings, policy, done, proof, author, content)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlDone     = `SELECT done, content FROM aggregate_report WHERE id = ?`
	sqlReplaced = `DELETE FROM aggregate_report WHERE id = ?`
	sqlGoOn     = `UPDATE aggregate_report SET done = ? WHERE id = ? AND done = ?`
	sqlDomain   = `INSERT INTO aggregate_domain (domain, reversed, first, last, reports, tls_last, failures, policy, policied) VALUES (?, ?, ?, ?, 0, 0, 0, '', 0)
 ON CONFLICT (domain) DO NOTHING`
	sqlDomainDMARC  = `UPDATE aggregate_domain SET last = CASE WHEN last < ? THEN ? ELSE last END, first = CASE WHEN first = 0 OR first > ? THEN ? ELSE first END, reports = reports + ?, unproven = unproven + ? WHERE domain = ?`
	sqlDomainPolicy = `UPDATE aggregate_domain SET policy = ?, policied = ?, policy_proven = 1 WHERE domain = ? AND (policied <= ? OR policy_proven = 0)`
	sqlDomainGuess  = `UPDATE aggregate_domain SET policy = ?, policied = ?, policy_proven = 0 WHERE domain = ? AND (policied = 0 OR policied <= ? AND policy_proven = 0)`
	sqlDomainTLS    = `UPDATE aggregate_domain SET tls_last = CASE WHEN tls_last < ? THEN ? ELSE tls_last END WHERE domain = ?`
	sqlDomainFailed = `UPDATE aggregate_domain SET failures = failures + 1 WHERE domain = ?`
	sqlReporter     = `INSERT INTO aggregate_reporter (reporter, email, first, last, reports, warned, unsigned, unproven) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (reporter) DO UPDATE SET email = CASE WHEN excluded.unproven > 0 THEN aggregate_reporter.email ELSE excluded.email END, last = CASE WHEN aggregate_reporter.last < excluded.last THEN excluded.last ELSE aggregate_reporter.last END,
 reports = aggregate_reporter.reports + excluded.reports, unproven = aggregate_reporter.unproven + excluded.unproven, warned = aggregate_reporter.warned + excluded.warned, unsigned = aggregate_reporter.unsigned + excluded.unsigned`

	sqlAddDay = `INSERT INTO aggregate_day (domain, day, reporter, messages, passed, dkim, spf, quarantined, rejected, unproven, unproven_passed, proven)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain, day, reporter) DO UPDATE SET messages = aggregate_day.messages + excluded.messages, passed = aggregate_day.passed + excluded.passed,
 dkim = aggregate_day.dkim + excluded.dkim, spf = aggregate_day.spf + excluded.spf, quarantined = aggregate_day.quarantined + excluded.quarantined,
 rejected = aggregate_day.rejected + excluded.rejected, unproven = aggregate_day.unproven + excluded.unproven, unproven_passed = aggregate_day.unproven_passed + excluded.unproven_passed,
 proven = CASE WHEN excluded.proven > 0 THEN 1 ELSE aggregate_day.proven END`
	sqlAddSource = `INSERT INTO aggregate_source (domain, day, source, messages, passed, dkim, spf, quarantined, rejected, forwarded, unproven, unproven_passed, unproven_forwarded)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain, day, source) DO UPDATE SET messages = aggregate_source.messages + excluded.messages, passed = aggregate_source.passed + excluded.passed,
 dkim = aggregate_source.dkim + excluded.dkim, spf = aggregate_source.spf + excluded.spf, quarantined = aggregate_source.quarantined + excluded.quarantined,
 rejected = aggregate_source.rejected + excluded.rejected, forwarded = aggregate_source.forwarded + excluded.forwarded,
 unproven = aggregate_source.unproven + excluded.unproven, unproven_passed = aggregate_source.unproven_passed + excluded.unproven_passed,
 unproven_forwarded = aggregate_source.unproven_forwarded + excluded.unproven_forwarded`
	sqlAddRow = `INSERT INTO aggregate_row (domain, source, day, disposition, dkim, spf, header_from, envelope_from, signer, selector, signature, path, path_result, reason, messages, unproven)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain, source, day, disposition, dkim, spf, header_from, envelope_from, signer, selector, signature, path, path_result, reason)
 DO UPDATE SET messages = aggregate_row.messages + excluded.messages, unproven = aggregate_row.unproven + excluded.unproven`
	sqlAddName = `INSERT INTO aggregate_name (source, name, state, asked) VALUES (?, '', 0, 0) ON CONFLICT (source) DO NOTHING`
	sqlAddTLS  = `INSERT INTO aggregate_tls (domain, day, reporter, policy, successful, failed, unproven_successful, unproven_failed, proven) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain, day, reporter, policy) DO UPDATE SET successful = aggregate_tls.successful + excluded.successful, failed = aggregate_tls.failed + excluded.failed,
 unproven_successful = aggregate_tls.unproven_successful + excluded.unproven_successful, unproven_failed = aggregate_tls.unproven_failed + excluded.unproven_failed,
 proven = CASE WHEN excluded.proven > 0 THEN 1 ELSE aggregate_tls.proven END`
	sqlAddTLSFailure = `INSERT INTO aggregate_tls_failure (domain, day, result, mx, ip, reason, sessions, unproven) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain, day, result, mx, ip, reason) DO UPDATE SET sessions = aggregate_tls_failure.sessions + excluded.sessions, unproven = aggregate_tls_failure.unproven + excluded.unproven`
	sqlAddFailure = `INSERT INTO aggregate_failure (id, domain, received, arrived, source, reporter, failure, delivery, path, author, signer, selector, results, header, proof)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlFailureProof    = `UPDATE aggregate_failure SET proof = ? WHERE id = ?`
	sqlTooManyFailures = `DELETE FROM aggregate_failure WHERE id IN (SELECT id FROM aggregate_failure WHERE domain = ? ORDER BY received DESC, id DESC LIMIT 1000 OFFSET ?)`

	sumColumns = `sum(messages), sum(passed), sum(dkim), sum(spf), sum(quarantined), sum(rejected), sum(unproven), sum(unproven_passed)`
	sqlDays    = `SELECT day, ` + sumColumns + `, max(proven) FROM aggregate_day WHERE domain = ? AND day >= ? AND day <= ? GROUP BY day ORDER BY day`
	sqlReports = `SELECT reporter, count(*), max(day), ` + sumColumns + ` FROM aggregate_day WHERE domain = ? AND day >= ? AND day <= ? GROUP BY reporter ORDER BY sum(messages - unproven * ?) DESC, sum(messages) DESC, reporter LIMIT ?`
	sqlSources = `SELECT s.source, s.days, s.newest, s.messages, s.passed, s.dkim, s.spf, s.quarantined, s.rejected, s.forwarded, s.unproven, s.unproven_passed, s.unproven_forwarded, n.name, n.state, m.mark FROM
 (SELECT source, count(*) AS days, max(day) AS newest, sum(messages) AS messages, sum(passed) AS passed, sum(dkim) AS dkim, sum(spf) AS spf, sum(quarantined) AS quarantined,
 sum(rejected) AS rejected, sum(forwarded) AS forwarded, sum(unproven) AS unproven, sum(unproven_passed) AS unproven_passed, sum(unproven_forwarded) AS unproven_forwarded,
 sum(messages - unproven * ?) AS counted FROM aggregate_source WHERE domain = ? AND day >= ? AND day <= ? GROUP BY source ORDER BY sum(messages - unproven * ?) DESC, sum(messages) DESC, source LIMIT ?) AS s
 LEFT JOIN aggregate_name AS n ON n.source = s.source LEFT JOIN aggregate_mark AS m ON m.domain = ? AND m.source = s.source
 ORDER BY s.counted DESC, s.messages DESC, s.source`
	sqlRows = `SELECT day, disposition, dkim, spf, header_from, envelope_from, signer, selector, signature, path, path_result, reason, messages, unproven FROM aggregate_row
 WHERE domain = ? AND source = ? AND day >= ? AND day <= ? ORDER BY day DESC, messages DESC LIMIT ?`
	sqlSelectors = `SELECT selector, sum(messages) FROM (SELECT selector, messages FROM aggregate_row WHERE domain = ? AND signer = ? AND signature = 'pass' AND selector <> '' AND messages > unproven ORDER BY source, day LIMIT 20000) AS r
 GROUP BY selector ORDER BY sum(messages) DESC, selector LIMIT ?`
	domainColumns = `domain, reversed, first, last, reports, tls_last, failures, policy, policied, policy_proven, unproven`
	sqlAllDomains = `SELECT ` + domainColumns + ` FROM aggregate_domain WHERE reversed > ? ORDER BY reversed LIMIT ?`
	sqlBelow      = `SELECT ` + domainColumns + ` FROM aggregate_domain WHERE (reversed = ? OR reversed >= ? AND reversed < ?) AND reversed > ? ORDER BY reversed LIMIT ?`
	sqlOneDomain  = `SELECT ` + domainColumns + ` FROM aggregate_domain WHERE domain = ?`

	reportColumns   = `id, kind, domain, reporter, report_id, email, begins, ends, received, how, sender, signed, messages, passed, warnings, proof, author`
	sqlListReports  = `SELECT ` + reportColumns + ` FROM aggregate_report WHERE (received < ? OR received = ? AND id < ?) ORDER BY received DESC, id DESC LIMIT ?`
	sqlReportsOf    = `SELECT ` + reportColumns + ` FROM aggregate_report WHERE domain = ? AND (received < ? OR received = ? AND id < ?) ORDER BY received DESC, id DESC LIMIT ?`
	sqlReporters    = `SELECT reporter, email, first, last, reports, warned, unsigned, unproven FROM aggregate_reporter ORDER BY last DESC, reporter LIMIT ?`
	sqlTLSDays      = `SELECT day, sum(successful), sum(failed), sum(unproven_successful), sum(unproven_failed) FROM aggregate_tls WHERE domain = ? AND day >= ? AND day <= ? GROUP BY day ORDER BY day`
	sqlTLSReporters = `SELECT reporter, policy, sum(successful), sum(failed), sum(unproven_successful + unproven_failed), max(day) FROM aggregate_tls WHERE domain = ? AND day >= ? AND day <= ? GROUP BY reporter, policy ORDER BY sum(failed - unproven_failed) DESC, sum(failed) DESC, sum(successful) DESC, reporter LIMIT ?`
	sqlTLSFailures  = `SELECT result, mx, ip, reason, sum(sessions), sum(unproven), max(day) FROM aggregate_tls_failure WHERE domain = ? AND day >= ? AND day <= ? GROUP BY result, mx, ip, reason ORDER BY sum(sessions - unproven * ?) DESC, sum(sessions) DESC, result, mx LIMIT ?`
	sqlFailures     = `SELECT id, received, arrived, source, reporter, failure, delivery, path, author, signer, selector, results, header, proof FROM aggregate_failure WHERE domain = ? ORDER BY received DESC, id DESC LIMIT ?`
	sqlMark         = `INSERT INTO aggregate_mark (domain, source, mark, actor, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (domain, source) DO UPDATE SET mark = excluded.mark, actor = excluded.actor, at = excluded.at`
	sqlHasSource    = `SELECT count(*) FROM (SELECT 1 FROM aggregate_row WHERE domain = ? AND source = ? LIMIT 1) AS r`
	sqlVersion      = `SELECT look, (SELECT count(*) FROM aggregate_mark WHERE domain = ?), (SELECT coalesce(max(at), 0) FROM aggregate_mark WHERE domain = ?) FROM aggregate_domain WHERE domain = ?`
	sqlUnmark       = `DELETE FROM aggregate_mark WHERE domain = ? AND source = ?`
	sqlNamesToAsk   = `SELECT source FROM aggregate_name WHERE state = 0 OR state = 4 AND asked < ? OR state > 0 AND state < 4 AND asked < ? ORDER BY state, asked LIMIT ?`
	sqlLooks        = `SELECT domain FROM aggregate_domain WHERE look > 0 AND look <= ? ORDER BY look LIMIT ? FOR UPDATE SKIP LOCKED`
	sqlLook         = `UPDATE aggregate_domain SET look = ? WHERE domain = ?`
	sqlLooked       = `UPDATE aggregate_domain SET look = ? WHERE domain = ? AND look = ?`
	sqlTroublesOf   = `SELECT domain, code, since, args FROM aggregate_trouble WHERE domain = ? ORDER BY since, code`
	sqlTroubles     = `SELECT domain, code, since, args FROM aggregate_trouble WHERE code = ? ORDER BY since, domain LIMIT ?`
	sqlTrouble      = `INSERT INTO aggregate_trouble (domain, code, since, args) VALUES (?, ?, ?, ?) ON CONFLICT (domain, code) DO UPDATE SET args = excluded.args`
	sqlTroubleOver  = `DELETE FROM aggregate_trouble WHERE domain = ? AND code = ?`
	sqlNewestDay    = `SELECT coalesce(max(day), 0) FROM aggregate_day WHERE domain = ? AND day <= ? AND proven >= ?`
	sqlNewestTLS    = `SELECT coalesce(max(day), 0) FROM aggregate_tls WHERE domain = ? AND day <= ? AND proven >= ?`
	sqlKnownDays    = `SELECT count(DISTINCT day) FROM aggregate_day WHERE domain = ? AND day >= ? AND day <= ? AND proven >= ?`
	sqlBefore       = `SELECT coalesce(sum(messages - unproven * ?), 0) FROM aggregate_row WHERE domain = ? AND source = ? AND day >= ? AND day <= ?`
	sqlTLSSum       = `SELECT coalesce(sum(successful - unproven_successful * ?), 0), coalesce(sum(failed - unproven_failed * ?), 0) FROM aggregate_tls WHERE domain = ? AND day >= ? AND day <= ?`
	unreadCounts    = ` FROM aggregate_inbox WHERE state = ? AND received > ? AND (proof IN ('', 'given', 'authenticated') OR ? = 0)`
	sqlUnreadSince  = `SELECT count(*)` + unreadCounts
	sqlUnreadNewest = `SELECT why, sender` + unreadCounts + ` ORDER BY received DESC LIMIT 1`
	sqlUnreadOldest = `SELECT min(received)` + unreadCounts
	sqlNamed        = `UPDATE aggregate_name SET name = ?, state = ?, asked = ? WHERE source = ?`
)

// sweeps are the statements that forget, each so many rows at a time: the age is their first argument.
var sweeps = []struct {
	sql  string
	days bool // the age is a day's number, else microseconds
	fail bool // the age of failure reports
}{
	{`DELETE FROM aggregate_day WHERE (domain, day, reporter) IN (SELECT domain, day, reporter FROM aggregate_day WHERE day < ? LIMIT ?)`, true, false},
	{`DELETE FROM aggregate_source WHERE (domain, day, source) IN (SELECT domain, day, source FROM aggregate_source WHERE day < ? LIMIT ?)`, true, false},
	{`DELETE FROM aggregate_row WHERE (domain, source, day, disposition, dkim, spf, header_from, envelope_from, signer, selector, signature, path, path_result, reason) IN
 (SELECT domain, source, day, disposition, dkim, spf, header_from, envelope_from, signer, selector, signature, path, path_result, reason FROM aggregate_row WHERE day < ? LIMIT ?)`, true, false},
	{`DELETE FROM aggregate_tls WHERE (domain, day, reporter, policy) IN (SELECT domain, day, reporter, policy FROM aggregate_tls WHERE day < ? LIMIT ?)`, true, false},
	{`DELETE FROM aggregate_tls_failure WHERE (domain, day, result, mx, ip, reason) IN (SELECT domain, day, result, mx, ip, reason FROM aggregate_tls_failure WHERE day < ? LIMIT ?)`, true, false},
	{`DELETE FROM aggregate_report WHERE id IN (SELECT id FROM aggregate_report WHERE received < ? LIMIT ?)`, false, false},
	{`DELETE FROM aggregate_reporter WHERE reporter IN (SELECT reporter FROM aggregate_reporter WHERE last < ? LIMIT ?)`, false, false},
	{`DELETE FROM aggregate_name WHERE source IN (SELECT source FROM aggregate_name WHERE asked > 0 AND asked < ? LIMIT ?)`, false, false},
	{`DELETE FROM aggregate_domain WHERE domain IN (SELECT domain FROM aggregate_domain WHERE last < ? AND tls_last = 0 LIMIT ?)`, false, false},
	{`DELETE FROM aggregate_failure WHERE id IN (SELECT id FROM aggregate_failure WHERE received < ? LIMIT ?)`, false, true},
}
