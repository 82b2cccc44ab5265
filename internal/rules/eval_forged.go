package rules

import (
	"regexp"
	"strings"
)

// forgedEvals compare what a message claims of large providers with the marks their servers leave (SpamAssassin's HeaderEval).
var forgedEvals = map[string]evalFunc{
	"check_for_fake_aol_relay_in_rcvd":             {run: fakeAOL},
	"check_for_forged_hotmail_received_headers":    {run: func(c *scan, _ *Rule) bool { return c.hotmail() == 1 }},
	"check_for_no_hotmail_received_headers":        {run: func(c *scan, _ *Rule) bool { return c.hotmail() == 2 }},
	"check_for_msn_groups_headers":                 {run: func(c *scan, _ *Rule) bool { return c.msnGroups() }},
	"check_for_forged_eudoramail_received_headers": {run: forgedEudora},
	"check_for_forged_yahoo_received_headers":      {run: forgedYahoo},
	"check_for_forged_juno_received_headers":       {run: forgedJuno},
	"check_for_forged_gmail_received_headers":      {run: forgedGmail},
	"check_for_forged_gw05_received_headers":       {run: forgedGW05},
	"gated_through_received_hdr_remover":           {run: func(c *scan, _ *Rule) bool { return c.receivedRemoved() }},
}

func compileIP(s string) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(s, "IP", ipPattern))
}

var (
	aolRelay       = regexp.MustCompile(`(?i) rly-[a-z][a-z]\d\d\.`)
	aolMark        = regexp.MustCompile(`/AOL-\d+\.\d+\.\d+\)|ESMTP id (?:RELAY|MAILRELAY|MAILIN)`)
	ezmlmContact   = regexp.MustCompile(`(?m)^contact \S+@\S+; run by ezmlm$`)
	ezmlmDelivered = regexp.MustCompile(`(?m)^mailing list \S+@\S+`)
	qmailInvoked   = regexp.MustCompile(`qmail \d+ invoked (?:from network|by .{3,20})\); \d+ ... \d+`)
	msnFrom        = regexp.MustCompile(`from groups\.msn\.com \(\S+\.msn\.com `)
	anyAddress     = regexp.MustCompile(ipPattern)
	originatorOrg  = regexp.MustCompile(`hotmail\.com|msonline-outlook`)
	hotmailWays    = []*regexp.Regexp{
		regexp.MustCompile(`from (?:\S*\.)?hotmail.com \(\S+\.hotmail(?:\.msn)?\.com[ )]`),
		compileIP(`from \S*\.hotmail.com \(\[IP\][ ):]`),
		regexp.MustCompile(`from \S+ by \S+\.hotmail(?:\.msn)?\.com with HTTP;`),
		regexp.MustCompile(`from \[66.218.\S+\] by \S+\.yahoo\.com`),
	}
	outlookWays = []*regexp.Regexp{
		regexp.MustCompile(`from \S*\.outbound\.protection\.outlook\.com \(\S+\.outbound\.protection\.outlook\.com[ )]`),
		compileIP(`from \S*\.(?:eur|nam)prd\d+\.prod\.outlook\.com \(IP\)`),
	}
	hotmailClaim = regexp.MustCompile(`(?:from |HELO |helo=)\S*hotmail\.com\b`)
	msnTo        = regexp.MustCompile(`(?i)<(\S+)@groups\.msn\.com>`)
	msnPickup    = regexp.MustCompile(`from mail pickup service by ((?:p\d\d\.)groups\.msn\.com)\b`)
	whowhere     = regexp.MustCompile(`by \S*whowhere.com;`)
	yahooTrusted = regexp.MustCompile(` rdns=\S+\.yahoo\.com `)
	yahooFirst   = regexp.MustCompile(`^[^\]]+ rdns=\S+\.yahoo\.com `)
	yahooWays    = []*regexp.Regexp{
		regexp.MustCompile(`by web\S+\.mail\S*\.yahoo\.com via HTTP`),
		regexp.MustCompile(`by sonic\S+\.consmr\.mail\S*\.yahoo\.com with HTTP`),
		regexp.MustCompile(`by smtp\S+\.yahoo\.com with SMTP`),
		compileIP(`from \[IP\] by \S+\.(?:groups|scd|dcn)\.yahoo\.com with NNFMP`),
		regexp.MustCompile(`by \w+\.\w+\.yahoo\.com \(\d+\.\d+\.\d+/\d+\.\d+\.\d+\)(?: with ESMTP)? id \w+`),
	}
	yahooBulk  = regexp.MustCompile(`\bmailer\d+\.bulk\.scd\.yahoo\.com\b`)
	junoFrom   = compileIP(`from.*\b(?:juno|untd)\.com.*[\[(]IP[\])].*by`)
	junoCookie = regexp.MustCompile(` cookie\.(?:juno|untd)\.com `)
	gmailOld   = regexp.MustCompile(`by 10\.\S+ with SMTP id \S+`)
	gmailNew   = regexp.MustCompile(`by 2002:a\d\d:\w+:\S+ with SMTP id \S+`)
	gmailSMTP  = regexp.MustCompile(`by smtp\.googlemail\.com with ESMTPSA id \S+`)
	gw05       = regexp.MustCompile(`\nfrom\s(\S+)\sby\s(\S+)\swith\sESMTP;\s+\S\S\S,\s+\d+\s+\S\S\S\s+\d{4}\s+\d\d:\d\d:\d\d\s+[-+]*\d{4}\n$`)
)

// received returns all Received fields on one line.
func (c *scan) received() string { return oneLine(c.get("Received")) }

func oneLine(s string) string { return strings.ReplaceAll(squeeze(s), "\n", " ") }

func anyMatch(list []*regexp.Regexp, s string) bool {
	for _, re := range list {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// fromAt reports whether the address of From ends in a domain, at a word boundary.
func (c *scan) fromAt(domain string) bool {
	from := strings.ToLower(c.get("From:addr"))
	before, ok := strings.CutSuffix(from, domain)
	return ok && (before == "" || !isWordByte(before[len(before)-1]))
}

func fakeAOL(c *scan, _ *Rule) bool {
	s := c.received()
	return aolRelay.MatchString(s) && !aolMark.MatchString(s)
}

// receivedRemoved: the message came through something that takes Received fields away (mailing list managers, newsgroups).
func (c *scan) receivedRemoved() bool {
	received := c.header("Received")
	if ezmlmContact.MatchString(c.get("Mailing-List")) && ezmlmDelivered.MatchString(c.get("Delivered-To")) && qmailInvoked.MatchString(c.get("Received")) {
		return true
	}
	return !received.set || msnFrom.Match(received.text)
}

// hotmail answers 1 for a forged mark of Hotmail, 2 for an address of Hotmail without its marks, 0 otherwise.
func (c *scan) hotmail() int {
	return remember(c.v, "hotmail", func() int {
		s := c.received()
		if strings.Contains(s, "from mail pickup service by hotmail.com with Microsoft SMTPSVC;") || c.msnGroups() {
			return 0
		}
		ip := anyAddress.MatchString(c.get("X-Originating-Ip"))
		org := originatorOrg.MatchString(c.get("X-OriginatorOrg"))
		if c.receivedRemoved() || ip && anyMatch(hotmailWays, s) || org && anyMatch(outlookWays, s) {
			return 0
		}
		if strings.Contains(s, "hotmail.com") && hotmailClaim.MatchString(s) {
			return 1
		}
		if c.fromAt("hotmail.com") {
			return 2
		}
		return 0
	})
}

func (c *scan) msnGroups() bool {
	m := msnTo.FindStringSubmatch(c.get("To"))
	server := msnPickup.FindStringSubmatch(c.get("Received"))
	if m == nil || server == nil {
		return false
	}
	id := c.get("Message-Id")
	if m[1] == "notifications" {
		return strings.HasPrefix(id, "<") && strings.Contains(id, "@"+server[1])
	}
	return strings.HasPrefix(id, "<"+m[1]+"-") && strings.Contains(id, "@groups.msn.com>") &&
		strings.Contains(c.get("EnvelopeFrom:addr"), m[1]+"-bounce@groups.msn.com")
}

func forgedEudora(c *scan, _ *Rule) bool {
	if !c.fromAt("eudoramail.com") || c.receivedRemoved() {
		return false
	}
	return !whowhere.MatchString(c.received()) || !anyAddress.MatchString(c.get("X-Sender-Ip"))
}

func forgedYahoo(c *scan, _ *Rule) bool {
	if !c.fromAt("yahoo.com") {
		return false
	}
	s := c.get("Received")
	if c.get("Resent-From") != "" && c.get("Resent-To") != "" && c.get("X-Received") != "" {
		s = c.get("X-Received")
	}
	s = oneLine(s)
	r := c.v.relay(c.s.lists)
	if c.receivedRemoved() || yahooTrusted.MatchString(joinRelays(r.trusted)) || yahooFirst.MatchString(joinRelays(r.untrusted)) {
		return false
	}
	bulk := yahooBulk.MatchString(s) && strings.HasSuffix(strings.ToLower(c.get("From:addr")), "@reply.yahoo.com")
	return !bulk && !anyMatch(yahooWays, s)
}

func forgedJuno(c *scan, _ *Rule) bool {
	if !c.fromAt("juno.com") || c.receivedRemoved() {
		return false
	}
	origin, mailer, s := c.get("X-Originating-IP"), c.get("X-Mailer"), c.get("Received")
	if origin != "" {
		return !junoFrom.MatchString(s) && !junoCookie.MatchString(s) || !strings.Contains(mailer, "Juno ")
	}
	// Without X-Originating-IP there is nothing to match it with: every further way ends in "forged".
	return true
}

func forgedGmail(c *scan, _ *Rule) bool {
	if !c.fromAt("gmail.com") {
		return false
	}
	x := c.get("X-Received")
	if gmailOld.MatchString(x) || gmailNew.MatchString(x) || gmailSMTP.MatchString(c.get("Received")) {
		return false
	}
	return len(c.get("X-Gm-Message-State")) < 60 || len(c.get("X-Google-Smtp-Source")) < 60
}

func forgedGW05(c *scan, _ *Rule) bool {
	m := gw05.FindStringSubmatch(c.get("Received"))
	return m != nil && !strings.Contains(m[2], ".")
}
