package compose

import (
	"mime"
	"strings"

	gomail "github.com/emersion/go-message/mail"

	"postern/internal/mail"
)

// specials may not stand in an encoded word of a display name (RFC 2047 5.3), where the Q encoding would leave them.
const specials = "\"#$%&'(),.:;<>@[]^`{|}~\\"

// Displayed writes a mailbox with its display name, which holds no control characters. The address has its wire form: net/mail would quote a quoted
// local part again.
func Displayed(name string, a mail.Address) string {
	encoder := mime.QEncoding
	if strings.ContainsAny(name, specials) {
		encoder = mime.BEncoding
	}
	switch encoded := encoder.Encode("utf-8", name); {
	case name == "":
		return "<" + a.String() + ">"
	case encoded != name:
		return encoded + " <" + a.String() + ">"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + a.String() + ">"
}

func displayedAll(boxes []Mailbox) string {
	out := make([]string, len(boxes))
	for i, b := range boxes {
		out[i] = Displayed(b.Name, b.Address)
	}
	return strings.Join(out, ", ")
}

// AddText adds a field whose value may hold encoded words, broken at spaces: RFC 2047 2 allows such lines 76 characters, which the folding of the
// library does not keep. A word that is longer than a line may be (998) is for the caller to avoid.
func AddText(h *gomail.Header, name, value string) {
	var b strings.Builder
	b.WriteString(name + ":")
	used := len(name) + 1
	for word := range strings.SplitSeq(strings.TrimSpace(value), " ") {
		if word != "" && used > len(name)+1 && used+1+len(word) > 76 { // a line of spaces alone would be none
			b.WriteString("\r\n")
			used = 0
		}
		b.WriteString(" " + word)
		used += 1 + len(word)
	}
	b.WriteString("\r\n")
	h.AddRaw([]byte(b.String()))
}
