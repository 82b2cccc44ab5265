// Package mail holds what travels: domains, addresses, envelopes, queue
// identifiers, and the message itself with its header, its MIME tree, its
// rendered text and its URIs. It parses once and judges nothing.
//
// # What it does
//
// Parse turns the bytes of a message into a Message. It never fails and never
// panics: whatever is odd is written down as a Defect with a stable code (the
// table is in defects.go), and reading goes on the way a tolerant mail client
// would go on. ParseAddress and ParseDomain are the opposite: they are strict,
// for they stand at the SMTP envelope, where a doubtful address is refused.
// ParseMailboxes reads address lists in header fields and is tolerant again.
// Edit takes fields off the top of a message and puts others on; Reencode makes
// lines short, and 7-bit where asked, without changing what a reader gets.
//
// # What it does not do
//
// No network, no clock, no log, no configuration. It does not decide what a
// defect costs; that is the filter's business. CSS is understood only where it
// stands in a style attribute; style sheets, scripts and style classes are not
// applied. Encrypted and compressed content is left as it is.
//
// # Cost and limits
//
// Every parser here takes time and memory linear in its input, whatever the
// input; Limits bounds how much of it is kept. Parsing reads the header and
// the MIME structure only. Transfer decoding, charset conversion, HTML and URI
// extraction happen at the first use and are kept, so a test that does not ask
// for the text does not pay for it.
//
// # Concurrency and ownership
//
// A Message keeps the slice it was parsed from and never writes to it; neither
// may the caller. All methods of Message, Part and Header may be called from
// many goroutines at once. Slices and maps they return are shared: read only.
//
// # Callers
//
// smtp (envelope types), intake (accepting), filter (every test), delivery
// (Edit, Reencode), notice, report and the ledgers.
package mail
