package filter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/mail"
)

// Bounds on the Date field: SpamAssassin begins to count at three hours ahead and at four days back.
const (
	futureDate = 3 * time.Hour
	pastDate   = 96 * time.Hour
)

// checkAuthor looks at the From field: present, and of one domain. Two authors of different domains are how a forger keeps one
// domain for the reader and another for the tests.
func checkAuthor(_ context.Context, s *scan) {
	fields := s.Message.Header.All("From")
	if len(fields) == 0 {
		s.hit("MISSING_FROM", nil, "no From field")
		return
	}
	boxes := s.Message.From()
	var domains, evidence []string
	seen := map[mail.Domain]bool{}
	for _, b := range boxes {
		if b.Address.Domain != "" && !seen[b.Address.Domain] {
			seen[b.Address.Domain] = true
			domains = append(domains, string(b.Address.Domain))
		}
	}
	for _, f := range fields {
		evidence = append(evidence, line(f))
	}
	switch {
	case len(domains) > 1:
		s.hit("MULTIPLE_FROM_DOMAINS", map[string]string{"Domains": strings.Join(domains, ", ")}, evidence...)
	case len(domains) == 0:
		s.hit("MISSING_FROM", nil, evidence...)
	}
}

// line is a header field as evidence.
func line(f mail.Field) string { return f.Name + ": " + f.Text() }

// checkDate holds the tests on the Date field.
func checkDate(_ context.Context, s *scan) {
	value := s.Message.Header.Get("Date")
	date, err := s.Message.Date()
	args := map[string]string{"Date": value, "Now": s.Received.Format(time.RFC1123Z)}
	switch {
	case errors.Is(err, mail.ErrMissing):
		s.hit("MISSING_DATE", args, "no Date field")
	case err != nil:
		args["Why"] = reason(err)
		s.hit("INVALID_DATE", args, "Date: "+value, args["Why"])
	case date.Sub(s.Received) > futureDate:
		s.hit("DATE_IN_FUTURE", args, fmt.Sprintf("Date: %s is %s ahead", value, round(date.Sub(s.Received))))
	case s.Received.Sub(date) > pastDate:
		s.hit("DATE_IN_PAST", args, fmt.Sprintf("Date: %s is %s old", value, round(s.Received.Sub(date))))
	}
}

func round(d time.Duration) string {
	if d > 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}

// checkFields holds the tests on the other fields that every message should have.
func checkFields(_ context.Context, s *scan) {
	if !s.Message.Header.Has("Message-ID") {
		s.hit("MISSING_MID", nil, "no Message-ID field")
	}
	if strings.TrimSpace(s.Message.Subject()) == "" {
		s.hit("MISSING_SUBJECT", nil, "no Subject, or an empty one")
	}
}

// defectTests says which test a defect of the message fires; what is missing here is harmless or has a test of its own.
var defectTests = map[string]string{
	mail.DefectNUL:                    "HEADER_MALFORMED",
	mail.DefectBareCR:                 "HEADER_MALFORMED",
	mail.DefectHeaderLongLine:         "HEADER_MALFORMED",
	mail.DefectHeaderNoColon:          "HEADER_MALFORMED",
	mail.DefectHeaderEmptyName:        "HEADER_MALFORMED",
	mail.DefectHeaderBadName:          "HEADER_MALFORMED",
	mail.DefectHeaderSpaceColon:       "HEADER_MALFORMED",
	mail.DefectHeaderLeadingSpace:     "HEADER_MALFORMED",
	mail.DefectHeaderBlankFold:        "HEADER_MALFORMED",
	mail.DefectHeaderMboxFrom:         "HEADER_MALFORMED",
	mail.DefectHeaderNoSeparator:      "HEADER_MALFORMED",
	mail.DefectHeaderControl:          "HEADER_MALFORMED",
	mail.DefectHeaderTooLarge:         "HEADER_MALFORMED",
	mail.DefectHeaderTooMany:          "HEADER_MALFORMED",
	mail.DefectHeaderFieldTooLong:     "HEADER_MALFORMED",
	mail.DefectHeaderBadAddress:       "HEADER_MALFORMED",
	mail.DefectHeaderTooManyAddresses: "HEADER_MALFORMED",
	mail.DefectHeaderBadMessageID:     "HEADER_MALFORMED",
	mail.DefectHeaderDuplicate:        "HEADER_DUPLICATE",
	mail.DefectHeader8Bit:             "HEADER_8BIT",

	mail.DefectMIMEVersion:          "MIME_MALFORMED",
	mail.DefectMIMEBadType:          "MIME_MALFORMED",
	mail.DefectMIMEDuplicateParam:   "MIME_MALFORMED",
	mail.DefectMIMEAmbiguousName:    "MIME_MALFORMED",
	mail.DefectMIMEBadEncoding:      "MIME_MALFORMED",
	mail.DefectMIMEEncodedComposite: "MIME_MALFORMED",
	mail.DefectMIMEBoundaryMissing:  "MIME_MALFORMED",
	mail.DefectMIMEBoundaryBad:      "MIME_MALFORMED",
	mail.DefectMIMEBoundaryReused:   "MIME_MALFORMED",
	mail.DefectMIMETooDeep:          "MIME_MALFORMED",
	mail.DefectMIMETooMany:          "MIME_MALFORMED",
	mail.DefectMIMEBoundaryUnused:   "MIME_MALFORMED",
}

// checkDefects turns what the parser found odd into hits: one per test, with every place as evidence.
func checkDefects(_ context.Context, s *scan) {
	found := map[string][]string{}
	for _, d := range s.Message.Defects {
		test := defectTests[d.Code]
		// Raw UTF-8 is right in a message that was sent as SMTPUTF8 and wrong in any other (RFC 6532 3.2).
		if d.Code == mail.DefectHeaderUTF8 && !s.Envelope.SMTPUTF8 {
			test = "HEADER_8BIT"
		}
		if test == "" {
			continue
		}
		where := d.Where
		if where != "" {
			where += ": "
		}
		found[test] = append(found[test], where+strings.TrimSpace(d.Detail)+" ("+d.Code+")")
	}
	for test, evidence := range found {
		s.hit(test, map[string]string{"What": evidence[0]}, evidence...)
	}
}
