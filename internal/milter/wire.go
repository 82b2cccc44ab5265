package milter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// The milter protocol, versions 2 to 6, as Sendmail's libmilter and Postfix's milter8 client speak it (Sendmail's mfdef.h; Postfix
// MILTER_README): packets of a 32-bit length, one byte of command and its data; strings end with NUL.

// Commands of the mail server.
const (
	cmdNegotiate = 'O'
	cmdMacro     = 'D'
	cmdConnect   = 'C'
	cmdHello     = 'H'
	cmdMail      = 'M'
	cmdRcpt      = 'R'
	cmdData      = 'T'
	cmdHeader    = 'L'
	cmdEndHeader = 'N'
	cmdBody      = 'B'
	cmdEndBody   = 'E'
	cmdAbort     = 'A'
	cmdQuit      = 'Q'
	cmdQuitNew   = 'K' // quit, and a new connection of a client follows on the same one of ours
	cmdUnknown   = 'U'
)

// Our answers.
const (
	answerAccept       = 'a'
	answerContinue     = 'c'
	answerReply        = 'y' // an SMTP reply of our own
	answerAddHeader    = 'h'
	answerChangeHeader = 'm'
	answerQuarantine   = 'q'
)

// What we may do to a message (SMFIF_*).
const (
	mayAddHeaders    = 0x01
	mayChangeHeaders = 0x10
	mayQuarantine    = 0x20
	maySetMacros     = 0x100

	wanted = mayAddHeaders | mayChangeHeaders | mayQuarantine
)

// What the server need not send, or gets no answer to (SMFIP_*).
const (
	noEndHeader  = 0x40
	silentHeader = 0x80
	noUnknown    = 0x100
	noData       = 0x200
	silentConn   = 0x1000
	silentHello  = 0x2000
	silentMail   = 0x4000
	silentRcpt   = 0x8000
	silentBody   = 0x80000
	leadingSpace = 0x100000 // the value of a field comes with the white space after the colon

	preferred = noEndHeader | silentHeader | noUnknown | noData | silentConn | silentHello | silentMail | silentRcpt | silentBody | leadingSpace
)

// silence says which agreed option spares the server an answer to a command.
var silence = map[byte]uint32{cmdConnect: silentConn, cmdHello: silentHello, cmdMail: silentMail, cmdRcpt: silentRcpt, cmdHeader: silentHeader,
	cmdBody: silentBody}

// Versions of the protocol that we speak.
const (
	oldestVersion = 2
	newestVersion = 6
)

// macrosWanted is what we ask for by stage (SMFIM_*): connection, envelope sender, recipient, end of message.
var macrosWanted = []struct {
	stage uint32
	names string
}{
	{0, "j v {client_addr} {client_name}"},
	{2, "{auth_authen} {mail_addr} {tls_version}"},
	{3, "{rcpt_addr}"},
	{5, "i"},
}

// maxPacket is the longest packet taken. Servers send a body in pieces of 64 KiB, and a header field in one.
const maxPacket = 1<<20 + 64

// packet is one command or answer.
type packet struct {
	code byte
	data []byte
}

var errPacket = errors.New("no packet of the milter protocol")

// readPacket reads one packet. started is called once its first bytes are there. Memory grows with what really comes, not with what
// the length promises. The data is valid until the next call, which gets buf back.
func readPacket(r *bufio.Reader, buf []byte, started func()) (packet, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return packet{}, buf, err
	}
	started()
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return packet{}, buf, unexpected(err)
	}
	length := binary.BigEndian.Uint32(head[:4])
	if length == 0 || length > maxPacket {
		return packet{}, buf, fmt.Errorf("%w: length %d", errPacket, length)
	}
	buf = buf[:0]
	for left := int(length) - 1; left > 0; {
		piece := min(left, 64<<10)
		buf = slices.Grow(buf, piece)[:len(buf)+piece]
		if _, err := io.ReadFull(r, buf[len(buf)-piece:]); err != nil {
			return packet{}, buf, unexpected(err)
		}
		left -= piece
	}
	return packet{head[4], buf}, buf, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendPacket puts a packet behind b.
func appendPacket(b []byte, code byte, data ...string) []byte {
	n := 1
	for _, d := range data {
		n += len(d)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, code)
	for _, d := range data {
		b = append(b, d...)
	}
	return b
}

// texts splits the NUL-ended strings of data. The last one may lack its NUL.
func texts(data []byte) []string {
	if len(data) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(data, []byte{0})), "\x00")
}

// terms are what a connection agreed on.
type terms struct {
	version uint32
	actions uint32
	options uint32
}

// agree answers the server's offer with what we need of it.
func agree(offer []byte) (t terms, answer []byte, err error) {
	if len(offer) < 12 {
		return terms{}, nil, fmt.Errorf("%w: an offer of %d bytes", errPacket, len(offer))
	}
	version, actions, options := binary.BigEndian.Uint32(offer), binary.BigEndian.Uint32(offer[4:]), binary.BigEndian.Uint32(offer[8:])
	if version < oldestVersion {
		return terms{}, nil, fmt.Errorf("the server speaks version %d of the milter protocol; expected %d or newer", version, oldestVersion)
	}
	t = terms{min(version, newestVersion), actions & wanted, options & preferred}
	if t.actions != wanted {
		return terms{}, nil, fmt.Errorf("the server does not let us add and change header fields and quarantine (it offers %#x); update it", actions)
	}
	var b []byte
	for _, n := range []uint32{t.version, t.actions, t.options} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	if actions&maySetMacros != 0 {
		binary.BigEndian.PutUint32(b[4:], t.actions|maySetMacros)
		for _, m := range macrosWanted {
			b = append(append(binary.BigEndian.AppendUint32(b, m.stage), m.names...), 0)
		}
	}
	return t, appendPacket(nil, cmdNegotiate, string(b)), nil
}

// client is who speaks to the mail server.
type client struct {
	name string // as the server knows it, "unknown" or "[192.0.2.1]" when it does not
	addr netip.Addr
}

// readClient reads the data of a connect command: name, family, and for all but unknown ones port and address.
func readClient(data []byte) (client, error) {
	name, rest, ok := bytes.Cut(data, []byte{0})
	if !ok || len(rest) == 0 {
		return client{}, fmt.Errorf("%w: connect without family", errPacket)
	}
	c, family := client{name: string(name)}, rest[0]
	if family != '4' && family != '6' {
		return c, nil // 'U' unknown, 'L' a local socket
	}
	if len(rest) < 3 {
		return client{}, fmt.Errorf("%w: connect without address", errPacket)
	}
	text, _, _ := bytes.Cut(rest[3:], []byte{0})
	addr, ok := readAddr(string(text))
	if !ok {
		return client{}, fmt.Errorf("%w: connect from %q", errPacket, clip(string(text), 60))
	}
	c.addr = addr
	return c, nil
}

// readAddr reads an address in the forms that mail servers write.
func readAddr(s string) (netip.Addr, bool) {
	s = strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), "IPv6:")
	a, err := netip.ParseAddr(s)
	return a.Unmap().WithZone(""), err == nil
}
