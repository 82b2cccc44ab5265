package mail

import (
	"strconv"
)

// Defect is one thing in a message that departs from the standards or that
// two readers could read differently. Defects state facts; what they cost is
// decided elsewhere.
type Defect struct {
	Code   string // stable, one of the Defect... constants
	Where  string // "line 12" (1-based line of the message), "part 1.2" or ""
	Detail string // a short English sentence for the evidence, valid UTF-8
}

// The codes of Defect, all of them. The texts are stable: they appear in
// verdicts and may be counted by operators. At most maxPerCode defects are kept
// for one code and message.
//
// Whole message (reported by Parse):
const (
	// DefectNUL: a zero byte somewhere in the message (RFC 5322 4).
	DefectNUL = "nul_byte"
	// DefectBareCR: a CR that is not followed by LF (RFC 5322 2.3).
	DefectBareCR = "bare_cr"
	// DefectBareLF: an LF without CR in a message that elsewhere has CRLF.
	DefectBareLF = "bare_lf"
	// DefectLFOnly: every line ends in LF; a file saved on Unix, not seen on
	// the wire.
	DefectLFOnly = "lf_only"
	// DefectBodyLongLine: a body line above 998 octets (RFC 5322 2.1.1).
	DefectBodyLongLine = "body.long_line"
)

// Header section (top header: Where is a line; part headers: Where is a part):
const (
	// DefectHeaderLongLine: a header line above 998 octets (RFC 5322 2.1.1).
	DefectHeaderLongLine = "header.long_line"
	// DefectHeaderNoColon: a line in the header that is no field; skipped.
	DefectHeaderNoColon = "header.no_colon"
	// DefectHeaderEmptyName: a line that begins with a colon; skipped.
	DefectHeaderEmptyName = "header.empty_name"
	// DefectHeaderBadName: octets before the colon that no field name may
	// hold (RFC 5322 3.6.8); skipped.
	DefectHeaderBadName = "header.bad_name"
	// DefectHeaderSpaceColon: white space between name and colon (obsolete
	// syntax, RFC 5322 4.5.8); the field is read.
	DefectHeaderSpaceColon = "header.space_before_colon"
	// DefectHeaderLeadingSpace: the first line begins with white space and so
	// continues nothing; read as if the white space were not there.
	DefectHeaderLeadingSpace = "header.leading_space"
	// DefectHeaderBlankFold: a folded line of white space only; some readers
	// end the header there (RFC 5322 4.2).
	DefectHeaderBlankFold = "header.blank_fold"
	// DefectHeaderMboxFrom: a "From " line of an mbox file; skipped.
	DefectHeaderMboxFrom = "header.mbox_from"
	// DefectHeaderNoSeparator: the body begins without an empty line.
	DefectHeaderNoSeparator = "header.no_separator"
	// DefectHeaderEmpty: there is no header field at all.
	DefectHeaderEmpty = "header.empty"
	// DefectHeaderUTF8: raw UTF-8 in a field; right only in an SMTPUTF8
	// message (RFC 6532).
	DefectHeaderUTF8 = "header.utf8"
	// DefectHeader8Bit: octets above 127 that are not even UTF-8.
	DefectHeader8Bit = "header.8bit"
	// DefectHeaderControl: a control character in a field other than TAB.
	DefectHeaderControl = "header.control"
	// DefectHeaderTooLarge: the header exceeds Limits.HeaderBytes; the fields
	// beyond are not read.
	DefectHeaderTooLarge = "header.too_large"
	// DefectHeaderTooMany: more fields than Limits.HeaderFields; the rest is
	// not read.
	DefectHeaderTooMany = "header.too_many_fields"
	// DefectHeaderFieldTooLong: one field exceeds Limits.FieldBytes; it is cut.
	DefectHeaderFieldTooLong = "header.field_too_long"
	// DefectHeaderDuplicate: a field that may occur once occurs again
	// (RFC 5322 3.6, RFC 2045 3).
	DefectHeaderDuplicate = "header.duplicate"
	// DefectHeaderMissingFrom: no From field (RFC 5322 3.6).
	DefectHeaderMissingFrom = "header.missing_from"
	// DefectHeaderMissingDate: no Date field (RFC 5322 3.6).
	DefectHeaderMissingDate = "header.missing_date"
	// DefectHeaderMissingSender: several From mailboxes but no Sender field
	// (RFC 5322 3.6.2).
	DefectHeaderMissingSender = "header.missing_sender"
	// DefectHeaderBadDate: the Date field cannot be read, see Message.Date.
	DefectHeaderBadDate = "header.bad_date"
	// DefectHeaderBadAddress: an address field that is no address list
	// (RFC 5322 3.4).
	DefectHeaderBadAddress = "header.bad_address_list"
	// DefectHeaderTooManyAddresses: more mailboxes than Limits.Addresses.
	DefectHeaderTooManyAddresses = "header.too_many_addresses"
	// DefectHeaderBadMessageID: the Message-ID is no msg-id (RFC 5322 3.6.4).
	DefectHeaderBadMessageID = "header.bad_message_id"
)

// MIME structure (reported by Parse; Where is a part, or a line for the top):
const (
	// DefectMIMEVersion: a MIME-Version field that is not "1.0" (RFC 2045 4).
	DefectMIMEVersion = "mime.bad_version"
	// DefectMIMENoVersion: Content-Type without MIME-Version in the top header.
	// Common in wanted mail.
	DefectMIMENoVersion = "mime.version_missing"
	// DefectMIMEBadType: a Content-Type that cannot be read; text/plain is
	// assumed (RFC 2045 5.2).
	DefectMIMEBadType = "mime.bad_content_type"
	// DefectMIMEBadDisposition: a Content-Disposition that cannot be read.
	DefectMIMEBadDisposition = "mime.bad_disposition"
	// DefectMIMEBadParam: a parameter with broken syntax; read as well as
	// possible.
	DefectMIMEBadParam = "mime.bad_param"
	// DefectMIMEDuplicateParam: a parameter given twice with different values;
	// the first counts here, perhaps not elsewhere.
	DefectMIMEDuplicateParam = "mime.duplicate_param"
	// DefectMIMEAmbiguousName: the file name differs between its spellings
	// (filename, filename*, name).
	DefectMIMEAmbiguousName = "mime.ambiguous_filename"
	// DefectMIMEBadEncoding: an unknown Content-Transfer-Encoding; the bytes
	// are taken as they are.
	DefectMIMEBadEncoding = "mime.bad_encoding"
	// DefectMIMEEncodedComposite: a multipart or message with an encoding other
	// than 7bit, 8bit, binary (RFC 2045 6.4).
	DefectMIMEEncodedComposite = "mime.encoded_composite"
	// DefectMIME8Bit: octets above 127 in a part declared 7bit,
	// quoted-printable or base64.
	DefectMIME8Bit = "mime.8bit_undeclared"
	// DefectMIMEBoundaryMissing: a multipart without a boundary parameter; it
	// is read as text.
	DefectMIMEBoundaryMissing = "mime.boundary_missing"
	// DefectMIMEBoundaryBad: a boundary with octets RFC 2046 5.1.1 forbids.
	DefectMIMEBoundaryBad = "mime.boundary_bad"
	// DefectMIMEBoundaryLong: a boundary above 70 octets (RFC 2046 5.1.1);
	// above 256 it is not used.
	DefectMIMEBoundaryLong = "mime.boundary_long"
	// DefectMIMEBoundaryReused: a multipart uses the boundary of one that
	// encloses it.
	DefectMIMEBoundaryReused = "mime.boundary_reused"
	// DefectMIMEBoundaryPrefix: a line begins like a boundary but goes on;
	// some readers take it for the boundary.
	DefectMIMEBoundaryPrefix = "mime.boundary_prefix"
	// DefectMIMEBoundaryUnused: the boundary never occurs in the body.
	DefectMIMEBoundaryUnused = "mime.boundary_unused"
	// DefectMIMENotClosed: the final boundary "--x--" is missing.
	DefectMIMENotClosed = "mime.not_closed"
	// DefectMIMEAfterClose: a boundary occurs again after the final one.
	DefectMIMEAfterClose = "mime.after_close"
	// DefectMIMETooDeep: nesting above Limits.Depth; not looked into.
	DefectMIMETooDeep = "mime.too_deep"
	// DefectMIMETooMany: more parts than Limits.Parts; the rest is not read.
	DefectMIMETooMany = "mime.too_many_parts"
)

// Content (found only when the content is decoded; Message.BodyDefects):
const (
	// DefectBase64: octets outside the base64 alphabet, or a broken end.
	DefectBase64 = "mime.bad_base64"
	// DefectQuotedPrintable: an "=" that is not followed by two hex digits or a
	// line end.
	DefectQuotedPrintable = "mime.bad_quoted_printable"
	// DefectCharsetUnknown: a charset we do not know; read as UTF-8 or
	// windows-1252.
	DefectCharsetUnknown = "mime.charset_unknown"
	// DefectCharsetWrong: text that is not in its declared charset.
	DefectCharsetWrong = "mime.charset_wrong"
	// DefectHTMLTooDeep: HTML nested deeper than 512 elements.
	DefectHTMLTooDeep = "html.too_deep"
)

// maxPerCode is how many defects of one code are kept: enough to show where,
// few enough that a hostile message cannot fill memory with them.
const maxPerCode = 5

// defectList gathers defects, at most maxPerCode of each code.
type defectList struct {
	list   []Defect
	counts map[string]int
}

// full reports whether no further defect of this code would be kept, so that
// callers can spare the work of describing it.
func (d *defectList) full(code string) bool { return d.counts[code] >= maxPerCode }

func (d *defectList) add(code, where, detail string) {
	if d.full(code) {
		return
	}
	if d.counts == nil {
		d.counts = make(map[string]int)
	}
	d.counts[code]++
	d.list = append(d.list, Defect{Code: code, Where: where, Detail: cleanText(detail, 200)})
}

func atLine(n int) string { return "line " + strconv.Itoa(n) }

func atPart(p *Part) string { return "part " + p.Path }
