package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postern/internal/mail"
)

// The column meta holds what is written once and never searched: one version byte, then fields of (tag, length, bytes),
// tag and length as uvarints. Bytes are kept exactly: an address is sent as it was accepted. A reader skips tags it does
// not know, so that an older program can read what a newer one wrote; a tag never changes its meaning.
const metaVersion = 1

const (
	tagReverseLocal = iota + 1
	tagReverseDomain
	tagFlags
	tagRet
	tagEnvelopeID
	tagCredential
	tagPool
	tagClientIP
	tagHello
	tagReceived
	tagExpires
	tagHeaderFrom
	tagSubject
	tagMessageID
	tagLanguage
	tagRecipient
	tagClass
)

const (
	flagEightBit = 1 << iota
	flagSMTPUTF8
	flagNotice
	flagRequireTLS
	flagTLSOptional
)

var errMeta = errors.New("stored description is damaged")

func encodeMeta(m *Message) []byte {
	b := make([]byte, 1, 256+96*len(m.Envelope.Recipients))
	b[0] = metaVersion
	text := func(tag uint64, s string) {
		if s != "" {
			b = binary.AppendUvarint(b, tag)
			b = appendText(b, s)
		}
	}
	number := func(tag uint64, v int64) {
		if v != 0 {
			var n [binary.MaxVarintLen64]byte
			text(tag, string(binary.AppendVarint(n[:0], v)))
		}
	}
	env := &m.Envelope
	text(tagReverseLocal, env.ReversePath.Local)
	text(tagReverseDomain, string(env.ReversePath.Domain))
	var flags int64
	if env.EightBit {
		flags |= flagEightBit
	}
	if env.SMTPUTF8 {
		flags |= flagSMTPUTF8
	}
	if m.Notice {
		flags |= flagNotice
	}
	if env.RequireTLS {
		flags |= flagRequireTLS
	}
	if env.TLSOptional {
		flags |= flagTLSOptional
	}
	number(tagFlags, flags)
	text(tagRet, env.Ret)
	text(tagEnvelopeID, env.EnvelopeID)
	text(tagCredential, m.Credential)
	text(tagPool, m.Pool)
	if m.ClientIP.IsValid() {
		text(tagClientIP, m.ClientIP.String())
	}
	text(tagHello, m.Hello)
	number(tagReceived, micros(m.Received))
	number(tagExpires, micros(m.Expires))
	text(tagHeaderFrom, m.HeaderFrom)
	text(tagSubject, m.Subject)
	text(tagMessageID, m.MessageID)
	text(tagLanguage, m.Language)
	number(tagClass, int64(m.Class))
	for i := range env.Recipients {
		r := &env.Recipients[i]
		n := 1 + textLen(r.Address.Local) + textLen(string(r.Address.Domain)) + textLen(r.OriginalRecipient)
		b = binary.AppendUvarint(b, tagRecipient)
		b = binary.AppendUvarint(b, uint64(n))
		b = append(b, byte(r.Notify))
		b = appendText(b, r.Address.Local)
		b = appendText(b, string(r.Address.Domain))
		b = appendText(b, r.OriginalRecipient)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func textLen(s string) int {
	var n [binary.MaxVarintLen64]byte
	return binary.PutUvarint(n[:], uint64(len(s))) + len(s)
}

// decodeMeta fills m from what encodeMeta wrote. Damaged input is an error, never a panic, and costs no more memory than
// its own length.
func decodeMeta(b []byte, m *Message) error {
	if len(b) == 0 || b[0] != metaVersion {
		return fmt.Errorf("%w: unknown version", errMeta)
	}
	b = b[1:]
	env := &m.Envelope
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return fmt.Errorf("%w: tag", errMeta)
		}
		value, rest, ok := cutText(b[n:])
		if !ok {
			return fmt.Errorf("%w: length of tag %d", errMeta, tag)
		}
		b = rest
		switch tag {
		case tagReverseLocal:
			env.ReversePath.Local = string(value)
		case tagReverseDomain:
			env.ReversePath.Domain = mail.Domain(value)
		case tagFlags:
			flags, _ := binary.Varint(value)
			env.EightBit = flags&flagEightBit != 0
			env.SMTPUTF8 = flags&flagSMTPUTF8 != 0
			m.Notice = flags&flagNotice != 0
			env.RequireTLS = flags&flagRequireTLS != 0
			env.TLSOptional = flags&flagTLSOptional != 0
		case tagRet:
			env.Ret = string(value)
		case tagEnvelopeID:
			env.EnvelopeID = string(value)
		case tagCredential:
			m.Credential = string(value)
		case tagPool:
			m.Pool = string(value)
		case tagClientIP:
			m.ClientIP, _ = netip.ParseAddr(string(value))
		case tagHello:
			m.Hello = string(value)
		case tagReceived:
			m.Received = decodeTime(value)
		case tagExpires:
			m.Expires = decodeTime(value)
		case tagHeaderFrom:
			m.HeaderFrom = string(value)
		case tagSubject:
			m.Subject = string(value)
		case tagMessageID:
			m.MessageID = string(value)
		case tagLanguage:
			m.Language = string(value)
		case tagClass:
			class, _ := binary.Varint(value)
			m.Class = int(class)
		case tagRecipient:
			r, ok := decodeRecipient(value)
			if !ok {
				return fmt.Errorf("%w: recipient %d", errMeta, len(env.Recipients))
			}
			env.Recipients = append(env.Recipients, r)
		}
	}
	if len(env.Recipients) == 0 {
		return fmt.Errorf("%w: no recipient", errMeta)
	}
	return nil
}

func decodeRecipient(b []byte) (r mail.Recipient, ok bool) {
	if len(b) == 0 {
		return r, false
	}
	r.Notify = mail.Notify(b[0])
	var local, domain, original []byte
	if local, b, ok = cutText(b[1:]); !ok {
		return r, false
	}
	if domain, b, ok = cutText(b); !ok {
		return r, false
	}
	if original, _, ok = cutText(b); !ok {
		return r, false
	}
	r.Address = mail.Address{Local: string(local), Domain: mail.Domain(domain)}
	r.OriginalRecipient = string(original)
	return r, true
}

func cutText(b []byte) (value, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}

func decodeTime(b []byte) time.Time {
	v, n := binary.Varint(b)
	if n <= 0 {
		return time.Time{}
	}
	return fromMicros(v)
}

// micros is a time as the tables hold it: microseconds since 1970, 0 = no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

// domainList is the recipients' domains, each once, between commas: ",a.example,b.example,".
func domainList(recipients []mail.Recipient) string {
	if len(recipients) == 1 {
		return "," + string(recipients[0].Address.Domain) + ","
	}
	seen := make(map[mail.Domain]bool, len(recipients))
	var b strings.Builder
	b.WriteByte(',')
	for i := range recipients {
		d := recipients[i].Address.Domain
		if !seen[d] {
			seen[d] = true
			b.WriteString(string(d))
			b.WriteByte(',')
		}
	}
	return b.String()
}
