package smtp

// Finish is finish with the flaw as a reply, for tests.
func Finish(msg []byte, policy string, lineBytes int) ([]byte, Reply) {
	out, f := finish(msg, policy, lineBytes)
	if !f.found() {
		return out, Reply{}
	}
	return nil, f.reply()
}

// ParseMail is parseMail for tests.
func ParseMail(args string, maxBytes int64) (*Transaction, error) {
	t, e := parseMail(args, maxBytes)
	if e != nil {
		return nil, e
	}
	return t, nil
}

// ParseRcpt is parseRcpt for tests.
var ParseRcpt = parseRcpt
