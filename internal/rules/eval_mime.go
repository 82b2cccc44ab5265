package rules

import (
	"bytes"
	"regexp"
	"strings"
)

// mimeEvals look at the structure and the encodings of the parts (SpamAssassin's MIMEEval).
var mimeEvals = map[string]evalFunc{
	"check_for_mime":               {run: func(c *scan, r *Rule) bool { return c.mimeFacts().figure(r.arg(0)) != 0 }, check: need(1, 1)},
	"check_for_mime_html":          {run: mimeHTML},
	"check_for_mime_html_only":     {run: mimeHTMLOnly},
	"check_mime_multipart_ratio":   {run: multipartRatio, check: need(2, 2)},
	"check_msg_parse_flags":        {run: parseFlags, check: need(1, 1)},
	"check_for_ascii_text_illegal": {run: func(c *scan, _ *Rule) bool { return c.mimeFacts().illegalASCII > 0 }},
	"check_abundant_unicode_ratio": {run: func(c *scan, r *Rule) bool { return c.mimeFacts().unicodeRatio >= r.num(0) }, check: need(1, 1)},
	// Every charset is welcome (ok_locales all).
	"check_for_faraway_charset": {run: func(*scan, *Rule) bool { return false }},
	"check_for_uppercase":       {run: func(c *scan, r *Rule) bool { return r.between(c.uppercase(), 0, 1) }, check: need(2, 2)},
	"check_ma_non_text":         {run: alternativeNonText},
	"check_base64_length":       {run: base64Length, check: need(1, 2)},
	"check_qp_ratio":            {run: func(c *scan, r *Rule) bool { return c.mimeFacts().qpRatio >= r.num(0) }, check: need(1, 1)},
}

// mimeFacts are what the parts show.
type mimeFacts struct {
	base64, qp, html, text, attachment int
	base64Text, badISO, qpLong         bool
	missingBoundary, alternative       bool
	illegalASCII                       int
	ratio, qpRatio, unicodeRatio       float64
	charsets                           []string
}

// figure returns a fact by the name rules use.
func (f *mimeFacts) figure(name string) float64 {
	switch name {
	case "mime_base64_count":
		return float64(f.base64)
	case "mime_qp_count":
		return float64(f.qp)
	case "mime_body_html_count":
		return float64(f.html)
	case "mime_body_text_count":
		return float64(f.text)
	case "mime_attachment":
		return float64(f.attachment)
	case "mime_base64_encoded_text":
		return truth(f.base64Text)
	case "mime_bad_iso_charset":
		return truth(f.badISO)
	case "mime_qp_long_line":
		return truth(f.qpLong)
	case "mime_missing_boundary":
		return truth(f.missingBoundary)
	case "mime_multipart_alternative":
		return truth(f.alternative)
	case "mime_multipart_ratio":
		return f.ratio
	case "mime_qp_ratio":
		return f.qpRatio
	case "mime_ascii_text_illegal":
		return float64(f.illegalASCII)
	}
	return 0
}

var (
	asciiNames   = regexp.MustCompile(`us-ascii|ansi_x3\.4-1968|iso-ir-6|ansi_x3\.4-1986|iso_646\.irv:1991|ascii|iso646-us|us|ibm367|cp367|csascii`)
	isoName      = regexp.MustCompile(`(?i)iso-\S+-\S+\b`)
	goodISO      = regexp.MustCompile(`iso-(?:8859-\d{1,2}|2022-(?:jp|kr))\b`)
	needlessQP   = regexp.MustCompile(`=(?:09|3[0-9ABCEF]|[2456][0-9A-F]|7[0-9A-E])`)
	trailingQP   = regexp.MustCompile(`((?:=09|=20)+)\s*$`)
	hexCharacter = regexp.MustCompile(`&#x[0-9A-F]{4};`)
)

func (c *scan) mimeFacts() *mimeFacts {
	return remember(c.v, "mime", func() *mimeFacts {
		f := &mimeFacts{ratio: 1}
		var textBytes, htmlBytes = -1, -1
		qpBytes, qpNeedless, normal, escaped := 0, 0, 0, 0
		for _, n := range c.v.nodes {
			ct := parseContentType(n.header("content-type"))
			f.alternative = f.alternative || ct.media == "multipart/alternative"
			cte := strings.ToLower(strings.TrimSpace(n.header("content-transfer-encoding")))
			disposition := strings.ToLower(strings.TrimSpace(n.header("content-disposition")))
			charset := strings.ToLower(ct.charset)
			if ct.missing {
				charset = "us-ascii"
			}
			f.headers(ct.media, cte, disposition, charset)
			if !n.leaf {
				continue
			}
			attached := strings.Contains(disposition, "attachment")
			size := 0
			for line := range n.lines() {
				size += len(line)
				if cte == "quoted-printable" && !bytes.HasPrefix(line, []byte("SPAM: ")) {
					f.qpLong = f.qpLong || len(line) > 79
					qpBytes += len(line)
					if hits := len(needlessQP.FindAllIndex(line, -1)); hits > 0 {
						qpNeedless += hits
						if m := trailingQP.FindSubmatch(line); m != nil {
							qpNeedless -= len(m[1]) / 3
						}
					}
				}
				if ct.media != "text/plain" {
					continue
				}
				if (charset == "" || charset == "us-ascii") && (has8Bit(line) || bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0) {
					f.illegalASCII++
				}
				if cte == "" || cte == "7bit" || cte == "8bit" {
					hits := 0
					if bytes.Contains(line, []byte("&#x")) {
						hits = len(hexCharacter.FindAllIndex(line, -1))
					}
					normal += len(line) - 8*hits
					escaped += hits
				}
			}
			if !f.alternative || ct.media != "text/plain" && ct.media != "text/html" {
				size = 0
			}
			if !attached && ct.media == "text/plain" {
				textBytes = size
			} else if !attached && ct.media == "text/html" {
				htmlBytes = size
			}
		}
		if qpBytes > 0 {
			f.qp, f.qpRatio = qpNeedless, float64(qpNeedless)/float64(qpBytes)
		}
		if normal > 0 {
			f.unicodeRatio = float64(escaped) / float64(normal)
		}
		if f.alternative && textBytes >= 0 && htmlBytes > 0 {
			f.ratio = float64(textBytes) / float64(htmlBytes)
		}
		f.missingBoundary = c.v.flags.open
		return f
	})
}

// headers counts what the headers of one part say.
func (f *mimeFacts) headers(media, cte, disposition, charset string) {
	if media == "text/html" {
		f.html++
	} else if strings.HasPrefix(media, "text") {
		f.text++
	}
	base64 := strings.Contains(cte, "base64")
	if base64 {
		f.base64++
	} else if strings.Contains(cte, "quoted-printable") {
		f.qp++
	}
	if strings.Contains(disposition, "attachment") {
		f.attachment++
	}
	if base64 && strings.HasPrefix(media, "text") && (charset == "" || asciiNames.MatchString(charset)) &&
		!strings.HasPrefix(disposition, "attachment") && !strings.HasPrefix(disposition, "inline") {
		f.base64Text = true
	}
	if isoName.MatchString(charset) && !goodISO.MatchString(charset) {
		f.badISO = true
	}
	if charset != "" {
		f.charsets = append(f.charsets, charset)
	}
}

func (c *scan) htmlTop() bool {
	return strings.HasPrefix(strings.ToLower(c.get("Content-Type")), "text/html")
}

func mimeHTML(c *scan, _ *Rule) bool { return c.htmlTop() || c.mimeFacts().html > 0 }

func mimeHTMLOnly(c *scan, _ *Rule) bool {
	f := c.mimeFacts()
	return c.htmlTop() || f.html > 0 && f.text == 0
}

func multipartRatio(c *scan, r *Rule) bool {
	x := c.mimeFacts().ratio
	return x >= r.num(0) && x < r.num(1)
}

// parseFlags answers what happened while the message was taken apart.
func parseFlags(c *scan, r *Rule) bool {
	f := &c.v.flags
	switch r.arg(0) {
	case "missing_head_body_separator":
		return f.noSeparator
	case "truncated_header", "truncated_headers":
		return f.headerTruncated
	case "missing_mime_head_body_separator":
		return f.partSeparator
	case "missing_mime_headers":
		return f.partHeaders
	case "mime_epilogue_exists":
		return f.epilogue
	case "mimepart_limit_exceeded":
		return f.tooManyParts
	}
	return false
}

var (
	twoWords    = regexp.MustCompile(`\S\s+\S`)
	encodedLine = regexp.MustCompile(`^(?:[A-Za-z0-9+/=]{60,76} ){2}`)
	isoShift    = regexp.MustCompile(`\x1b\$B.*\x1b\(B`)
	capsCharset = regexp.MustCompile(`(?i)^[-_a-z0-9]*(?:koi|jp|jis|euc|gb|big5|isoir|cp1251|windows-1251|georgianps|pt154|tis)[-_a-z0-9]*$`)
	charsetOf   = regexp.MustCompile(`(?i)charset=(?:"([^"]+)"|'([^']+)'|(\S+))`)
)

// uppercase returns the share of capitals among the letters of the body in percent; 0 for short mail and for charsets whose octets look
// like capitals.
func (c *scan) uppercase() float64 {
	return remember(c.v, "uppercase", func() float64 {
		charsets := c.mimeFacts().charsets
		if m := charsetOf.FindStringSubmatch(c.get("Content-Type")); m != nil {
			charsets = append([]string{m[1] + m[2] + m[3]}, charsets...)
		}
		for _, cs := range charsets {
			if capsCharset.MatchString(cs) {
				return 0
			}
		}
		length, lower, upper := 0, 0, 0
		for _, line := range c.body() {
			if !twoWords.Match(line) || encodedLine.Match(line) {
				continue
			}
			if bytes.IndexByte(line, 0x1b) >= 0 {
				line = isoShift.ReplaceAll(line, nil)
			}
			length += len(line)
			for _, b := range line {
				switch {
				case b >= 'a' && b <= 'z' || b >= '0' && b <= '9':
					lower++
				case b >= 'A' && b <= 'Z':
					upper++
				}
			}
		}
		if length < 200 || upper+lower == 0 {
			return 0
		}
		return 100 * float64(upper) / float64(upper+lower)
	})
}

// alternativeNonText: a multipart/alternative holds something that is neither text nor its usual company.
func alternativeNonText(c *scan, _ *Rule) bool {
	for _, n := range c.v.nodes {
		if n.mediaType != "multipart/alternative" {
			continue
		}
		for _, child := range n.children {
			if child.leaf && child.mediaType != "application/rtf" && child.mediaType != "multipart/related" && !strings.HasPrefix(child.mediaType, "text/") {
				return true
			}
		}
	}
	return false
}

func base64Length(c *scan, r *Rule) bool {
	longest := remember(c.v, "base64", func() int {
		longest := 0
		for _, n := range c.v.leaves() {
			if strings.TrimSpace(strings.ToLower(n.header("content-transfer-encoding"))) != "base64" || n.mediaType == "application/ics" {
				continue
			}
			for line := range n.lines() {
				longest = max(longest, len(line))
			}
		}
		return longest
	})
	return float64(longest) >= r.num(0) && (r.unbounded(1) || float64(longest) <= r.num(1))
}
