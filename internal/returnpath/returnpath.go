// Package returnpath makes and reads our own references to messages: opaque, signed, short enough for a local part, so that a bounce, an
// automatic answer or a redacted complaint finds its message, and a forged one finds nothing.
//
// # Two kinds
//
//   - The return address (VERP), "b-TOKEN": the local part of the reverse path. It names the message and one recipient, or the message alone
//     when one transaction carried several. Whoever has it may tell us about that message, so it stands in the envelope only: the
//     recipient's server knows it, a reader of an archive does not.
//   - The reference, "m-TOKEN": stands in the Message-ID that we add and in [Field], for everybody to see. It finds the message, and opens nothing:
//     the door for bounces does not take it for an address.
//
// The signature covers the kind, so neither becomes the other.
//
// # The form
//
// 50 characters of base32 in lower case (RFC 4648 6, without padding) of 31 octets: version 1, the queue ID (128 bit), the recipient's index plus one
// (16 bit; 0: any), the first 96 bit of an HMAC-SHA256 over a label, the kind and what stands before. With its prefix it has 52 octets of the 64
// that a local part may have (RFC 5321 4.5.3.1.1). Case does not matter when it comes back. There is one way to write a reference; a second
// spelling is refused, so that a token compares as text.
//
// # Keys
//
// A [Codec] writes with its newest key and reads with all. Keys are secrets of at least 32 bytes; they are never printed. Their file is
// ReadKeys' matter: words separated by white space, the newest first.
//
// It keeps no state and looks nothing up. Age is the caller's to judge ([Ref].Made). All methods may be called from many goroutines.
package returnpath

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/mail"
)

// Errors that callers tell apart.
var (
	// ErrNotOurs: the address has not the form of ours.
	ErrNotOurs = errors.New("not one of our return addresses")
	// ErrForged: it has the form and not the signature.
	ErrForged = errors.New("return address with a wrong signature")
)

// Field is the header field that carries a reference.
const Field = "X-Postern-Ref"

// MinKey is the least length of a key in bytes.
const MinKey = 32

// Ref is what a return address refers to.
type Ref struct {
	ID        mail.QueueID
	Recipient int       // index in the message's envelope; -1: any of them
	Made      time.Time // when the message was accepted (from ID)
	Public    bool      // it stood where every reader of the message sees it: a reference, not a return address
}

// The kinds: prefix of the text, and part of what is signed.
const (
	kindBounce  = 'b'
	kindMessage = 'm'
)

// Layout of the octets.
const (
	version   = 1
	idAt      = 1
	indexAt   = idAt + 16
	macAt     = indexAt + 2
	macBytes  = 12
	allBytes  = macAt + macBytes
	textBytes = (allBytes*8 + 4) / 5
	fullBytes = 2 + textBytes // with the prefix
)

// maxIndex is the last recipient that has a number of his own.
const maxIndex = 1<<16 - 2

// maxCandidates bounds how many texts of the right form Find checks.
const maxCandidates = 2000

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Codec makes and reads references with one key. Old keys are only read with.
type Codec struct{ keys [][]byte }

// New takes the keys, the newest first; each of at least 32 bytes.
func New(keys ...[]byte) (*Codec, error) {
	if len(keys) == 0 {
		return nil, errors.New("return path: no key")
	}
	c := &Codec{}
	for i, k := range keys {
		if len(k) < MinKey {
			return nil, fmt.Errorf("return path: key %d has %d bytes, at least %d are needed", i+1, len(k), MinKey)
		}
		c.keys = append(c.keys, bytes.Clone(k))
	}
	return c, nil
}

// ReadKeys reads a key file: words of at least 32 characters, the newest first. The error never holds a key.
func ReadKeys(text []byte) (keys [][]byte, err error) {
	for i, word := range bytes.Fields(text) {
		if len(word) < MinKey {
			return nil, fmt.Errorf("key %d has %d characters; expected at least %d random ones", i+1, len(word), MinKey)
		}
		keys = append(keys, word)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return keys, nil
}

// Local is the local part of the return address for a recipient of a message; recipient -1 stands for all of a transaction.
func (c *Codec) Local(id mail.QueueID, recipient int) string {
	return c.write(kindBounce, id, recipient)
}

// Reference is what stands in a Message-ID of ours, before its "@", and in Field.
func (c *Codec) Reference(id mail.QueueID) string { return c.write(kindMessage, id, -1) }

func (c *Codec) write(kind byte, id mail.QueueID, recipient int) string {
	var raw [allBytes]byte
	raw[0] = version
	packID(raw[idAt:indexAt], id)
	if recipient >= 0 && recipient <= maxIndex {
		binary.BigEndian.PutUint16(raw[indexAt:], uint16(recipient+1))
	}
	copy(raw[macAt:], mac(c.keys[0], kind, raw[:macAt]))
	out := make([]byte, fullBytes)
	out[0], out[1] = kind, '-'
	encoding.Encode(out[2:], raw[:])
	return string(out)
}

// Read reads a local part that Local made, whatever case it comes back in.
func (c *Codec) Read(local string) (Ref, error) {
	r, err := c.ReadAny(local)
	if err == nil && r.Public {
		return Ref{}, ErrNotOurs
	}
	return r, err
}

// ReadAny is Read for references too.
func (c *Codec) ReadAny(text string) (Ref, error) {
	if len(text) != fullBytes || text[1] != '-' {
		return Ref{}, ErrNotOurs
	}
	text = strings.ToLower(text)
	if len(text) != fullBytes {
		return Ref{}, ErrNotOurs // a letter beyond ASCII
	}
	kind := text[0]
	if kind != kindBounce && kind != kindMessage {
		return Ref{}, ErrNotOurs
	}
	var raw [textBytes]byte // the decoder may write a little beyond the octets
	n, err := encoding.Decode(raw[:], []byte(text[2:]))
	if err != nil || n != allBytes || raw[0] != version || encoding.EncodeToString(raw[:allBytes]) != text[2:] {
		return Ref{}, ErrNotOurs
	}
	good := 0
	for _, k := range c.keys { // all of them: which one fits is nobody's business
		if hmac.Equal(mac(k, kind, raw[:macAt]), raw[macAt:allBytes]) {
			good++
		}
	}
	if good == 0 {
		return Ref{}, ErrForged
	}
	id := unpackID(raw[idAt:indexAt])
	return Ref{ID: id, Recipient: int(binary.BigEndian.Uint16(raw[indexAt:macAt])) - 1, Made: id.Time(), Public: kind == kindMessage}, nil
}

// Find looks for a reference in any text, such as a Message-ID, a header or a redacted complaint. A return address, which names the
// recipient, goes before a public reference; otherwise the first one counts. Soft line breaks of quoted-printable inside a reference are
// passed over. It is linear in the text.
func (c *Codec) Find(text []byte) (Ref, bool) {
	var best Ref
	found := false
	var word [fullBytes]byte
	for i, tried := 0, 0; i+fullBytes <= len(text) && tried < maxCandidates; {
		dash := bytes.IndexByte(text[i:], '-')
		if dash < 0 {
			break
		}
		at := i + dash - 1
		i += dash + 1
		if at < 0 || lower(text[at]) != kindBounce && lower(text[at]) != kindMessage || at > 0 && alphanumeric(text[at-1]) && !afterBreak(text, at) {
			continue
		}
		if !collect(&word, text[at:]) {
			continue
		}
		tried++
		r, err := c.ReadAny(string(word[:]))
		switch {
		case err != nil:
		case !r.Public:
			return r, true
		case !found:
			best, found = r, true
		}
	}
	return best, found
}

// collect copies a text of our form into word, without soft line breaks. It is none when it goes on behind the last character.
func collect(word *[fullBytes]byte, text []byte) bool {
	n, i := 0, 0
	for n < fullBytes {
		switch {
		case i >= len(text):
			return false
		case n < 2 || base32Letter(text[i]):
			word[n] = text[i]
			n++
			i++
		case bytes.HasPrefix(text[i:], []byte("=\r\n")):
			i += 3
		case bytes.HasPrefix(text[i:], []byte("=\n")):
			i += 2
		default:
			return false
		}
	}
	return i == len(text) || !alphanumeric(text[i])
}

// afterBreak: what stands before is the code of a character in quoted-printable or in a URL (=3C, %3C), not part of a word.
func afterBreak(text []byte, at int) bool {
	return at >= 3 && (text[at-3] == '=' || text[at-3] == '%')
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func alphanumeric(c byte) bool {
	c = lower(c)
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
}

func base32Letter(c byte) bool {
	c = lower(c)
	return 'a' <= c && c <= 'z' || '2' <= c && c <= '7'
}

func mac(key []byte, kind byte, what []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("postern return path v1\x00"))
	h.Write([]byte{kind})
	h.Write(what)
	return h.Sum(nil)[:macBytes]
}

// crockford is the alphabet of queue IDs.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// packID writes the 128 bit of a queue ID; one that is none becomes zeros, which refer to nothing.
func packID(out []byte, id mail.QueueID) {
	parsed, err := mail.ParseQueueID(string(id))
	if err != nil {
		return
	}
	var high, low uint64
	for i := range len(parsed) {
		high = high<<5 | low>>59
		low = low<<5 | uint64(strings.IndexByte(crockford, parsed[i]))
	}
	binary.BigEndian.PutUint64(out, high)
	binary.BigEndian.PutUint64(out[8:], low)
}

func unpackID(raw []byte) mail.QueueID {
	high, low := binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	var out [26]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = crockford[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return mail.QueueID(out[:])
}
