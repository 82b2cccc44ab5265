// Package smtp is the wire: replies and enhanced codes, the limits table, the server that takes mail in and the client that hands
// mail on. It speaks the protocol and judges no mail: what a message is worth is decided by the [Handler] above the server, what a
// reply means for the queue by the caller of the client.
//
// # Standards
//
// RFC 5321 (SMTP), 1870 (SIZE), 2034 and 3463 (enhanced codes), 2920 (PIPELINING), 3030 (CHUNKING, without BINARYMIME), 3207
// (STARTTLS), 3461 (DSN), 4954 with 4616 (AUTH PLAIN, and LOGIN as everybody speaks it), 6152 (8BITMIME), 6531 (SMTPUTF8), 8314
// (implicit TLS), 9422 (LIMITS). Where the server is stricter than RFC 5321: a command ends with CRLF or the connection ends; no
// source routes; no RCPT without a domain; a first command that is not SMTP closes.
//
// # The server's session
//
// A session is in one of five states. In brackets what leads on; every other command of a transaction is answered 503.
//
//	new     greeted by us                    [EHLO, HELO -> ready]
//	ready   the client said who it is        [MAIL -> mail; AUTH; STARTTLS -> new]
//	mail    a transaction without recipient  [RCPT -> rcpt]
//	rcpt    at least one recipient           [DATA -> ready; BDAT -> chunks; BDAT LAST -> ready]
//	chunks  a part of the message is here    [BDAT; BDAT LAST -> ready]
//
// RSET and EHLO lead from each of the last three to ready; so does every failure of DATA or BDAT. A [Transaction] is made by MAIL and
// dropped by whatever ends it, so nothing can be carried into the next.
//
// # One message, and only one
//
// Only CRLF.CRLF ends message data. A bare CR or LF in it makes the server read on to the true end and then refuse the message, or
// with BareNewlineNormalize turn each into CRLF. NUL is always refused. What a handler gets holds no other line end than CRLF. This
// is what stops mail smuggling (December 2023): no two servers in a row can see different ends.
//
// # Memory and time
//
// [LineReader] is the only reader of a connection; whatever the peer sends, it holds a 4 KiB buffer, or 64 KiB while data or a long
// line is read. Message memory is booked in one account for the whole server. Every wait has a deadline; see [Limits].
//
// # How it fails
//
// Errors of a handler become replies: *[Error] as it is, anything else 451 4.3.0 and a log line. A panic in a session is logged,
// counted and ends that connection alone. Slow, flooding or erring clients are told 421 (or 500) and closed; a client that
// opens with another protocol is closed without a word. Running out of file descriptors is waited out. [Server.Stats] counts all of it.
// On the client's side a refusal is an *[Error], everything else leaves the fate open and is temporary; [IsTemporary] tells them apart.
package smtp
