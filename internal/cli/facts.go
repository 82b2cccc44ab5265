package cli

import (
	"strconv"
	"strings"

	"postern/internal/api"
)

// word is what a fact is called: the state it brought, else its kind.
func word(f api.Fact) string {
	switch f.Kind {
	case "released", "returned", "confirmed":
		return string(f.Kind)
	case "dsn", "notified":
		return "notice"
	}
	if f.State != "" {
		return string(f.State)
	}
	return string(f.Kind)
}

// answer is what was said, by whom. Codes that the text repeats are told once.
func answer(f api.Fact) string { return quoted(f, f.Text) }

func quoted(f api.Fact, text string) string {
	if f.Code != 0 {
		code := strconv.Itoa(f.Code)
		if rest, ok := strings.CutPrefix(text, code); ok && (rest == "" || rest[0] == ' ' || rest[0] == '-') {
			text = strings.TrimLeft(rest, " -")
		}
		text = strings.Join(strings.Fields(code+" "+f.Enhanced+" "+strings.TrimPrefix(text, f.Enhanced)), " ")
	}
	if f.Host != "" {
		text = f.Host + ": " + text
	}
	return text
}

// notices are our own mails, by what journal.Fact.Text calls them.
var notices = map[string]string{
	"failed": "told that it could not be delivered", "delayed": "told that it is late", "relayed": "told that it was delivered",
	"late-failed": "told that it came back", "late-delayed": "told that the receiver is late", "late-delivered": "told that the receiver delivered it",
	"late-digest": "told of several messages that came back", "held": "told that it is held", "digest": "told that messages are held",
	"hold-expired": "told that its hold ended", "asked": "asked to look at it", "auto-reply": "given the automatic answer", "unread": "given what came to the return address"}

// happened tells a fact in words, without who did it and when it goes on.
func happened(f api.Fact) string {
	switch f.Kind {
	case "dsn", "notified":
		if text := notices[f.Text]; text != "" {
			return text
		}
	case "returned":
		return "taken at first, then returned: " + answer(f)
	case "late-delay":
		return "taken, and late there: " + answer(f)
	case "confirmed":
		return "delivered there: " + answer(f)
	case "auto-reply", "unread":
		subject := "“" + f.Subject + "”"
		if f.Kind == "unread" && f.HeaderFrom != "" {
			subject += " from " + f.HeaderFrom
		}
		return subject + ", " + f.Text
	case "complaint":
		if f.Host == "" {
			return "said to be " + f.Text + "; nobody signed it whom we know, so it counts for nothing"
		}
		return f.Host + " says that the recipient took it for " + f.Text
	case "listed", "lifted":
		reason, rest, _ := strings.Cut(f.Text, ": ")
		if f.Recipient == "" {
			return f.Text // an import
		}
		text := "not written to any more (" + reason + ")"
		if f.Kind == "lifted" {
			text = "written to again (it was " + reason + ")"
		} else if !f.NextAt.IsZero() {
			text += " until " + clock(f.NextAt)
		}
		if rest = quoted(f, rest); rest != "" {
			text += "; " + rest
		}
		return text
	}
	return answer(f)
}
