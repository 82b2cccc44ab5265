package report

import "strings"

// findReply returns the SMTP reply code that a text holds, 0 if none: three digits from 400 to 559 that stand alone. class, when not 0 ('4', '5'), is
// preferred.
func findReply(s string, class byte) int {
	first := 0
	for i := 0; i+3 <= len(s); i++ {
		c := s[i]
		if c != '4' && c != '5' || !isDigit(s[i+1]) || !isDigit(s[i+2]) {
			continue
		}
		if i > 0 && (isWordByte(s[i-1]) || s[i-1] == '.' || s[i-1] == '-' && i > 1 && isWordByte(s[i-2]) || s[i-1] == '@' || s[i-1] == '/' || s[i-1] == '=' || s[i-1] == '+') {
			continue
		}
		if i+3 < len(s) {
			switch n := s[i+3]; {
			case isWordByte(n), n == '/', n == '@':
				continue
			case n == '.' && i+4 < len(s) && isWordByte(s[i+4]):
				continue
			case n == '-' && i+4 < len(s) && isDigit(s[i+4]) && !(i+5 < len(s) && s[i+5] == '.'):
				continue
			}
		}
		code := int(c-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0')
		if s[i+1] > '5' && code != 571 && code != 577 && code != 460 {
			continue
		}
		if class == 0 || c == class {
			return code
		}
		if first == 0 {
			first = code
		}
	}
	return first
}

// findStatus returns the enhanced status code (RFC 3463) that a text holds, "" if none. class as in findReply.
func findStatus(s string, class byte) string {
	first := ""
	for i := 0; i+5 <= len(s); i++ {
		c := s[i]
		if c != '4' && c != '5' && c != '2' || s[i+1] != '.' || !isDigit(s[i+2]) {
			continue
		}
		if i > 0 && (isDigit(s[i-1]) || s[i-1] == '.' || isWordByte(s[i-1]) || s[i-1] == '-' && i > 1 && !isDigit(s[i-2])) {
			continue
		}
		j := i + 2
		for j < len(s) && isDigit(s[j]) {
			j++
		}
		if j-i-2 > 3 || j >= len(s) || s[j] != '.' {
			continue
		}
		k := j + 1
		for k < len(s) && isDigit(s[k]) {
			k++
		}
		if k == j+1 || k-j-1 > 3 {
			continue
		}
		if k < len(s) && (isWordByte(s[k]) || s[k] == '.' && k+1 < len(s) && isDigit(s[k+1])) {
			continue
		}
		if s[i+2] > '7' || j-i-2 > 1 { // RFC 3463 knows the subjects 0 to 7
			continue
		}
		if class == 0 || c == class {
			return s[i:k]
		}
		if first == "" {
			first = s[i:k]
		}
	}
	return first
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
}

// vagueness orders status codes by how little they say: 3 the class only, 2 the subject only, 1 what the reporting system likes to write of its own
// accord, 0 something definite.
func vagueness(status string) int {
	switch {
	case strings.HasSuffix(status, ".0.0"):
		return 3
	case strings.HasSuffix(status, ".0") && len(status) == 5 || len(status) > 2 && status[1:4] == ".0.":
		return 2
	case status == "4.4.7", strings.HasPrefix(status, "5.3."), status == "5.1.1", status == "5.1.3":
		return 1
	case len(status) == 5 && status[2] == '5' && strings.IndexByte("1245", status[4]) >= 0:
		return 1
	}
	return 0
}

// betterStatus chooses between the status that the report gives and the one in what the server said.
func betterStatus(told, said string, reply int) string {
	switch {
	case told == "" || len(told) < 5:
		return said
	case said == "" || len(said) < 5 || told == said:
		return told
	case told[0] != said[0] && reply != 0:
		if class := byte('0' + reply/100); class == told[0] {
			return told
		} else if class == said[0] {
			return said
		}
	}
	a, b := vagueness(told), vagueness(said)
	if told == "5.1.1" && b == 1 && !strings.HasPrefix(said, "5.5.") || told == "4.7.0" && b == 0 {
		return said
	}
	if a > b {
		return said
	}
	return told
}

// phases are the words that tell at which step of the conversation an answer came, most certain first.
var phases = []struct{ words, phase string }{
	{"in reply to end of data", "end"}, {"in reply to mail from", "mail"}, {"in reply to rcpt to", "rcpt"}, {"in reply to data", "data"}, {"in reply to helo", "ehlo"},
	{"in reply to ehlo", "ehlo"}, {"in reply to starttls", "tls"}, {"in reply to auth", "mail"},
	{"after initial connection", "connect"}, {"after rcpt to", "rcpt"}, {"after mail from", "mail"}, {"after end of data", "end"}, {"after data", "data"}, {"after helo", "ehlo"},
	{"after ehlo", "ehlo"}, {"after pipelined mail from", "mail"}, {"after pipelined rcpt to", "rcpt"}, {"after pipelined data", "data"}, {"after pipelined end of data", "end"},
	{"for text command", "end"}, {"for rcpt command", "rcpt"}, {"for rcpt to command", "rcpt"}, {"for mail from command", "mail"}, {"for data command", "data"}, {"for end of data", "end"},
	{"following rcpt", "rcpt"}, {"following mail", "mail"}, {"following data", "data"}, {"(data), with", "data"}, {"following body", "end"},
	{"but greeting failed", "connect"}, {"but my name was rejected", "ehlo"}, {"but sender was rejected", "mail"}, {"does not like recipient", "rcpt"},
	{"failed on data command", "data"}, {"failed after i sent the message", "end"}, {"most progress was rcpt to", "rcpt"}, {"most progress was mail from", "mail"},
	{"like our rcpt to", "rcpt"}, {"like our mail from", "mail"}, {"like our final data", "end"}, {"like our data", "data"}, {"like our ehlo", "ehlo"}, {"like our helo", "ehlo"},
	{"refused to talk to me", "connect"}, {"[rcpt_to]", "rcpt"}, {"[mail_from]", "mail"}, {"[connect]", "connect"}, {"[helo]", "ehlo"}, {"[data]", "data"}, {"[eod]", "end"},
	{"body of message generated response", "end"}, {"rcpt to generated following response", "rcpt"}, {"mail from generated", "mail"}, {"smtp server rejected at greeting", "connect"},
	{"(state 13)", "ehlo"}, {"(state 14)", "rcpt"}, {"(state 15)", "data"}, {"(state 17)", "end"}, {"(state 18)", "end"}, {"(state 6)", "tls"}, {"(state 9)", "tls"},
	{"smtp:rcpt", "rcpt"}, {"smtp:mail", "mail"}, {"smtp:data", "data"}, {"smtp:connect", "connect"}, {"smtp:helo", "ehlo"}, {"smtp:ehlo", "ehlo"}, {"rcpt first", "rcpt"}, {"in response to the rcpt", "rcpt"}, {"in response to rcpt", "rcpt"}, {"in response to mail", "mail"}, {"in response to data", "data"},
	{"rcpt to:<", "rcpt"}, {"rcpt to <", "rcpt"}, {"mail from:<", "mail"},
}

// findPhase returns the step of the conversation that a text names, "" if none. low is in lower case.
func findPhase(low string) string {
	if !strings.Contains(low, "rcpt") && !strings.Contains(low, "data") && !strings.Contains(low, "mail") && !strings.ContainsAny(low, "([") && !strings.Contains(low, " like ") &&
		!strings.Contains(low, " sent ") && !strings.Contains(low, "helo") && !strings.Contains(low, "smtp:") && !strings.Contains(low, "connect") && !strings.Contains(low, "refused") && !strings.Contains(low, "text") && !strings.Contains(low, "rejected") {
		return ""
	}
	for _, p := range phases {
		if strings.Contains(low, p.words) {
			return p.phase
		}
	}
	return ""
}

// commandAlone returns the step of a command that has a line of its own, "" if none does. Some programs name the refused command so.
func commandAlone(s string) string {
	for line := range strings.SplitSeq(s, "\n") {
		switch line = strings.TrimSpace(line); line {
		case "HELO", "EHLO", "MAIL", "MAIL FROM", "RCPT", "RCPT TO", "DATA":
			return commandPhase(line)
		}
	}
	return ""
}

// commandPhase is the step of a command.
func commandPhase(command string) string {
	if len(command) < 4 {
		if command == "." {
			return "end"
		}
		return ""
	}
	switch strings.ToUpper(command[:4]) {
	case "HELO", "EHLO", "LHLO":
		return "ehlo"
	case "STAR":
		return "tls"
	case "MAIL":
		return "mail"
	case "RCPT":
		return "rcpt"
	case "DATA", "BDAT":
		return "data"
	}
	return ""
}
