package report

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"postern/internal/mail"
)

// read recognises one thing: archive, mail, or report.
func (r *reader) read(raw []byte, name string, path []string) {
	if len(path) > maxWraps {
		r.refuse(refusedf("%sarchives and mails wrapped in each other more than %d times", about(name), maxWraps))
		return
	}
	if packed := bytes.TrimLeft(raw, " \t\r\n"); len(packed) < len(raw) && isArchive(packed) {
		raw = packed
	}
	first := firstCharacter(raw[:min(len(raw), 4096)])
	switch what := foreign(raw); {
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")), bytes.HasPrefix(raw, []byte("PK\x05\x06")):
		r.zip(raw, name, path)
	case bytes.HasPrefix(raw, []byte{0x1f, 0x8b}):
		r.gzip(raw, name, path)
	case what != "":
		r.refuse(refusedf("%sit is packed with %s, which reports are not: unpack it and give what is inside", about(name), what))
	case first == '<':
		r.xml(bytes.NewReader(raw), &warnings{}, name, path)
	case first == '{' || first == '[':
		r.json(raw, &warnings{}, name, path)
	case first == 0 && len(raw) < 4096:
	default:
		r.messages(raw, name, path)
	}
}

// isArchive reports whether data begins as an archive that is read.
func isArchive(data []byte) bool {
	return bytes.HasPrefix(data, []byte("PK\x03\x04")) || bytes.HasPrefix(data, []byte{0x1f, 0x8b})
}

// foreign names the form of an archive that is not read; "": it is none.
func foreign(raw []byte) string {
	for _, x := range []struct{ head, name string }{{"BZh", "bzip2"}, {"\xFD7zXZ\x00", "xz"}, {"7z\xBC\xAF\x27\x1C", "7-Zip"}, {"Rar!\x1A\x07", "RAR"}, {"\x28\xB5\x2F\xFD", "Zstandard"}, {"MSCF\x00\x00\x00\x00", "Cabinet"}} {
		if bytes.HasPrefix(raw, []byte(x.head)) {
			return x.name
		}
	}
	if len(raw) >= 512 && bytes.Equal(raw[257:262], []byte("ustar")) {
		return "tar"
	}
	return ""
}

// messages reads a mail, or each of a mailbox (RFC 4155).
func (r *reader) messages(raw []byte, name string, path []string) {
	for _, one := range SplitMailbox(raw) {
		if len(r.out.Reports) >= maxReports {
			return
		}
		r.mail(one, name, path)
	}
}

// about begins a sentence with a file's name.
func about(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%q: ", clipped(name, 120))
}

// within returns the path with one more wrap.
func within(path []string, what string) []string {
	return append(append([]string(nil), path...), what)
}

// xml reads the DMARC reports of a stream: one, or some that follow each other. It reads to the end of the stream, so that an archive's checksum is known.
func (r *reader) xml(in io.Reader, w *warnings, name string, path []string) {
	type found struct {
		a *Aggregate
		w *warnings
	}
	var all []found
	x, err := newXML(in, w), error(nil)
	for len(all) < maxReports {
		var a *Aggregate
		if a, err = readAggregate(x, &r.room); err != nil {
			break
		}
		all = append(all, found{a, x.w})
		x.w = &warnings{}
	}
	var broken *brokenError
	if errors.Is(err, ErrRefused) && len(all) > 0 {
		r.refuse(named(err, name))
	}
	if len(all) > 0 && !errors.As(err, &broken) {
		_, err = io.Copy(io.Discard, in)
	}
	switch {
	case errors.As(err, &broken) && len(all) > 0:
		w.add(broken.code, broken.text)
	case errors.As(err, &broken):
		r.refuse(refusedf("%s%s", about(name), broken.text))
		return
	case errors.Is(err, ErrNoReport):
		return
	case err != nil:
		if !errors.Is(err, ErrRefused) {
			err = refusedf("%v", err)
		}
		r.refuse(named(err, name))
		return
	}
	for _, f := range all {
		f.a.named(name, f.w)
		switch {
		case f.a.Policy.Domain == "":
			r.refuse(refusedf("%sthe report does not say of which domain it speaks; a file called receiver!domain!begin!end.xml would", about(name)))
		case f.a.Begin.IsZero():
			r.refuse(refusedf("%sthe report does not say of which time it speaks%s; a file called receiver!domain!begin!end.xml would", about(name), quoted(f.a.times)))
		default:
			r.add(Recognised{Kind: KindAggregate, Name: name, Path: path, Aggregate: f.a, Warnings: f.w.list})
		}
	}
}

// quoted puts a text that could not be read into a sentence.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", s)
}

// named puts a file's name before what was refused in it.
func named(err error, name string) error {
	if name == "" {
		return err
	}
	return fmt.Errorf("%w: %s%s", ErrRefused, about(name), strings.TrimPrefix(err.Error(), ErrRefused.Error()+": "))
}

// brokenError is damage of an archive that its content may have survived.
type brokenError struct{ code, text string }

func (e *brokenError) Error() string { return e.text }

// meter counts what an archive unfolds to and refuses more than its share.
type meter struct {
	r      *reader
	in     io.Reader
	packed int64 // bytes of the archive
	out    int64
}

// Read is io.Reader's.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.out += int64(n)
	m.r.left -= int64(n)
	switch {
	case m.r.left < 0:
		return 0, refusedf("it unfolds to more than %s, the most that is read", bytesText(m.r.limits.Unpacked))
	case m.out > 1<<20 && m.out/max(m.packed, 1) > m.r.limits.Ratio:
		return 0, refusedf("it unfolds to more than %d times its size, as no report does", m.r.limits.Ratio)
	case err != nil && !errors.Is(err, io.EOF):
		code, text := WarnChecksum, "its checksum is wrong"
		if errors.Is(err, io.ErrUnexpectedEOF) {
			code, text = WarnTruncated, "it ends early"
		}
		return n, &brokenError{code, "the archive is damaged: " + text + "; fetch it from the mail again"}
	}
	return n, err
}

// unfolded reads what an archive holds.
func (r *reader) unfolded(in io.Reader, w *warnings, name string, path []string) {
	b := bufio.NewReaderSize(in, 4096)
	head, err := b.Peek(512)
	if err != nil && len(head) == 0 {
		var broken *brokenError
		if errors.As(err, &broken) || errors.Is(err, ErrRefused) {
			r.refuse(named(err, name))
		}
		return
	}
	first := firstCharacter(head)
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		r.refuse(refusedf("%sa zip archive inside an archive: unpack the outer one and give what is inside", about(name)))
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}) && strings.HasSuffix(strings.Join(path, " "), "gzip gzip"):
		r.refuse(refusedf("%sgzip inside gzip inside gzip", about(name)))
	case first == '<':
		r.xml(b, w, name, path)
	default: // JSON, another gzip, a mail: small ones
		raw, err := io.ReadAll(io.LimitReader(b, r.limits.JSON+1))
		var broken *brokenError
		switch {
		case errors.As(err, &broken):
			w.add(broken.code, broken.text)
		case err != nil:
			r.refuse(named(err, name))
			return
		}
		if int64(len(raw)) > r.limits.JSON {
			r.refuse(refusedf("%sit unfolds to more than %s, the most that is read of what is no XML", about(name), bytesText(r.limits.JSON)))
			return
		}
		if first == '{' || first == '[' {
			r.json(raw, w, name, path)
			return
		}
		r.read(raw, name, path)
	}
}

// gzip reads a compressed report. Several members follow each other (RFC 1952 2.2); what is no member behind them is skipped.
func (r *reader) gzip(raw []byte, name string, path []string) {
	w := &warnings{}
	src := bufio.NewReader(bytes.NewReader(raw))
	z, err := gzip.NewReader(src)
	if err != nil {
		r.refuse(refusedf("%sgzip with a broken head", about(name)))
		return
	}
	if name == "" {
		name = clipped(z.Name, maxName)
	}
	in := &meter{r: r, in: &members{z: z, src: src, w: w}, packed: int64(len(raw))}
	r.unfolded(in, w, name, within(path, "gzip"))
}

// members reads the members of a gzip file one after another.
type members struct {
	z    *gzip.Reader
	src  *bufio.Reader
	w    *warnings
	once bool
}

// Read is io.Reader's.
func (m *members) Read(p []byte) (int, error) {
	if !m.once {
		m.z.Multistream(false)
		m.once = true
	}
	for {
		n, err := m.z.Read(p)
		if n > 0 && errors.Is(err, io.EOF) {
			return n, nil
		}
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		head, _ := m.src.Peek(2)
		if len(head) == 0 {
			return 0, io.EOF
		}
		if !bytes.Equal(head, []byte{0x1f, 0x8b}) || m.z.Reset(m.src) != nil {
			m.w.add(WarnTrailing, "")
			return 0, io.EOF
		}
		m.z.Multistream(false)
	}
}

// zip reads the reports of an archive.
func (r *reader) zip(raw []byte, name string, path []string) {
	// The list of an archive is read whole before the first file: so many entries are refused before.
	if n := bytes.Count(raw, []byte("PK\x01\x02")); n > r.limits.Entries*10 {
		r.refuse(refusedf("%sa zip archive of %d files; a report has one", about(name), n))
		return
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		r.refuse(refusedf("%sa zip archive that cannot be read: %v; fetch it from the mail again", about(name), err))
		return
	}
	found := 0
	for _, f := range z.File {
		if f.FileInfo().IsDir() || strings.HasPrefix(f.Name, "__MACOSX/") {
			continue
		}
		if found++; found > r.limits.Entries {
			r.refuse(refusedf("%sa zip archive of more than %d files; the others are not read", about(name), r.limits.Entries))
			return
		}
		if f.Flags&1 != 0 {
			r.refuse(refusedf("%sit is encrypted: unpack it and give what is inside", about(f.Name)))
			continue
		}
		in, err := f.Open()
		if err != nil {
			r.refuse(refusedf("%s%v: unpack it and give what is inside", about(f.Name), err))
			continue
		}
		w := &warnings{}
		r.unfolded(&meter{r: r, in: in, packed: int64(f.CompressedSize64)}, w, clipped(f.Name, maxName), within(path, "zip"))
		_ = in.Close()
		if r.left < 0 || r.room.records < 0 || r.room.results < 0 {
			return
		}
	}
}

// mail looks at every part of a message.
func (r *reader) mail(raw []byte, name string, path []string) {
	m := mail.Parse(bytes.TrimLeft(raw, "\r\n"), mail.Limits{Parts: 300, Depth: 10})
	if len(m.Header) == 0 {
		r.loose(raw, name, path)
		return
	}
	if len(path) == 0 {
		r.out.From, r.out.Subject = clipped(m.Header.Get("From"), maxName), clipped(m.Subject(), maxRemark)
	}
	if x, ok := readXARFMail(m); ok {
		x.Name, x.Path = name, within(path, "mail")
		r.add(x)
		return
	}
	before := len(r.out.Reports) + len(r.out.Refused)
	r.parts(m, within(path, "mail"))
	own := len(r.out.Reports)+len(r.out.Refused) > before
	if !own && (feedbackPart(m.Root) != nil || !forwards(m)) {
		if x, ok := readFeedbackMail(m); ok {
			x.Name, x.Path = name, within(path, "mail")
			r.add(x)
			return
		}
	}
	for _, p := range messages(m.Root) { // forwarded as an attachment
		inner := p.Decoded()
		if len(inner) > 0 && len(inner) < len(raw) {
			r.read(inner, clipped(p.Filename, maxName), within(path, "mail"))
		}
	}
}

// forwards reports whether a message brings another that has a part for machines: what the outer one says of it is no report of its own.
func forwards(m *mail.Message) bool {
	for _, p := range messages(m.Root) {
		if feedbackPart(mail.Parse(p.Decoded(), mail.Limits{Parts: 50, Depth: 5}).Root) != nil {
			return true
		}
	}
	return false
}

// parts reads what is attached to a message, or stands in it.
func (r *reader) parts(m *mail.Message, path []string) {
	stack := []*mail.Part{m.Root}
	for n := 0; len(stack) > 0 && n < 300; n++ {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p == nil {
			continue
		}
		if len(p.Children) > 0 && strings.HasPrefix(p.MediaType, "multipart/") {
			for i := len(p.Children) - 1; i >= 0; i-- {
				stack = append(stack, p.Children[i])
			}
			continue
		}
		if strings.HasPrefix(p.MediaType, "message/") || strings.HasPrefix(p.MediaType, "image/") {
			continue // read as a message, if nothing else is found
		}
		body := p.Decoded()
		head := bytes.TrimLeft(bytes.TrimPrefix(body[:min(len(body), 512)], byteMark), " \t\r\n")
		first := firstCharacter(body[:min(len(body), 4096)])
		switch {
		case len(head) < 2:
		case isArchive(body), isArchive(head), foreign(body) != "":
			r.read(body, clipped(p.Filename, maxName), path)
		case first == '<' && (p.MediaType != "text/html" || bytes.HasPrefix(head, []byte("<?xml")) || bytes.HasPrefix(head, []byte("<feedback"))),
			(first == '{' || first == '[') && p.MediaType != "text/html":
			r.read(body, clipped(p.Filename, maxName), path)
		default: // base64 without saying so
			if packed, ok := hiddenBase64(head, body); ok {
				r.read(packed, clipped(p.Filename, maxName), path)
			}
		}
	}
}

// messages are the messages attached to a message.
func messages(root *mail.Part) (out []*mail.Part) {
	stack := []*mail.Part{root}
	digest := map[*mail.Part]bool{} // parts that are messages unless they say otherwise (RFC 2046 5.1.5)
	for n := 0; len(stack) > 0 && n < 300 && len(out) < 50; n++ {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch {
		case p == nil:
		case digest[p] && p.Header.Get("Content-Type") == "", p.MediaType == "message/rfc822" || p.MediaType == "message/global" || strings.HasSuffix(strings.ToLower(p.Filename), ".eml"):
			out = append(out, p)
		case strings.HasPrefix(p.MediaType, "multipart/"):
			for i := len(p.Children) - 1; i >= 0; i-- {
				stack = append(stack, p.Children[i])
				digest[p.Children[i]] = p.MediaType == "multipart/digest"
			}
		}
	}
	return out
}

// hidden are the beginnings of archives, XML and JSON in base64.
var hidden = []string{"H4sI", "UEsDB", "PD94bW", "PGZlZWRiYWNr", "77u/PD94bW", "77u/PGZlZW", "eyJ", "ewog", "ew0K", "ewoJ"}

// hiddenBase64 decodes a report that was encoded without the header saying so: its first bytes tell.
func hiddenBase64(head, body []byte) ([]byte, bool) {
	if !slices.ContainsFunc(hidden, func(s string) bool { return bytes.HasPrefix(head, []byte(s)) }) {
		return nil, false
	}
	p := mail.Parse(append([]byte("Content-Transfer-Encoding: base64\r\nContent-Type: application/octet-stream\r\n\r\n"), body...), mail.Limits{}).Root
	return p.Decoded(), true
}

// loose reads what is no mail: a report without its header.
func (r *reader) loose(raw []byte, name string, path []string) {
	if packed, ok := hiddenBase64(bytes.TrimSpace(raw[:min(len(raw), 64)]), raw); ok {
		r.read(packed, name, within(path, "base64"))
	}
}
