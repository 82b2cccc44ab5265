package rules

import (
	"bytes"
	"regexp"
	"strings"
)

// byteSet is a set of octets.
type byteSet [256]bool

func setOf(s string) (b byteSet) {
	for i := 0; i < len(s); i++ {
		b[s[i]] = true
	}
	return b
}

const spaces = " \t\n\r\f\v"

var (
	startDelims  = setOf("><\"'`,{[(|" + spaces + "\x1b\xa0")
	endDelims    = setOf("><\"`}]{[|" + spaces + "\x1b\xa0")
	schemeDelims = setOf("!\"#$&'()*+,/:;<=>?@[\\]^`{|}~" + spaces + "\x1b\xa0")
	mailDelims   = func() byteSet {
		b := setOf("><\"`}]{[|" + spaces + "\x1b\xa0,('")
		for i := 0x80; i < 256; i++ {
			b[i] = true
		}
		return b
	}()
	schemeStart = regexp.MustCompile(`(?i)^(?:(?:https?|ftp)://|(?:www\d{0,2}|ftp)\.)`)
	portBehind  = regexp.MustCompile(`^:\d{1,5}`)
	behindParen = regexp.MustCompile(`^([^(]*)\).*$`)
)

// uriPunctuation is what does not belong to a URI at its end.
const uriPunctuation = "-~!@#^&*()_+=:;'?,."

// textURIs finds what mail clients make clickable: URLs with a scheme or www., mail addresses, and names below a top-level domain that
// exists. kind is scheme, mail or schemeless. Linear in len(line).
func textURIs(l *lists, line []byte, found func(raw, kind string)) {
	if !mayHoldURI(line) {
		return
	}
	mailEnd := -1 // where the run of address characters around i ends
	for i := 0; i < len(line); {
		if !uriMayStart(line, i) {
			i++
			continue
		}
		end, kind, host := 0, "", ""
		if end = knownURI(line, i); end > 0 {
			kind = "scheme"
		} else if end, mailEnd = mailURI(line, i, mailEnd); end > 0 {
			kind = "mail"
		} else if end, host = bareURI(l, line, i); end > 0 {
			kind = "schemeless"
		}
		if end == 0 {
			i++
			continue
		}
		raw := string(line[i:end])
		i = end
		if strings.IndexByte(raw, ')') >= 0 {
			raw = behindParen.ReplaceAllString(raw, "$1")
		}
		raw = strings.TrimRight(raw, uriPunctuation)
		if kind == "schemeless" && !fqdnValid(host) {
			continue
		}
		if raw != "" {
			found(raw, kind)
		}
	}
}

// mayHoldURI reports whether a line has what every URI has: a colon, an @, or a dot with something right behind it.
func mayHoldURI(line []byte) bool {
	for i, b := range line {
		if b == ':' || b == '@' || b == '.' && i+1 < len(line) && line[i+1] > ' ' {
			return true
		}
	}
	return false
}

func uriMayStart(line []byte, i int) bool {
	if i == 0 {
		return true
	}
	return isWordByte(line[i-1]) != isWordByte(line[i]) || startDelims[line[i-1]] || i >= 3 && line[i-3] == 0x1b && line[i-2] == '('
}

func run(line []byte, i, limit int, stop *byteSet) int {
	end := i
	for end < len(line) && end-i <= limit && !stop[line[end]] {
		end++
	}
	return end
}

func knownURI(line []byte, i int) int {
	switch line[i] | 0x20 {
	case 'h', 'f':
		if i+1 >= len(line) || line[i+1]|0x20 != 't' {
			return 0
		}
	case 'w':
		if i+1 >= len(line) || line[i+1]|0x20 != 'w' {
			return 0
		}
	default:
		return 0
	}
	m := schemeStart.Find(line[i:min(len(line), i+16)])
	if m == nil {
		return 0
	}
	begin := i + len(m)
	end := run(line, begin, 2048, &endDelims)
	if end == begin || end-begin > 2048 {
		return 0
	}
	return end
}

func mailURI(line []byte, i, known int) (end, runEnd int) {
	if len(line)-i > 7 && bytes.EqualFold(line[i:i+7], []byte("mailto:")) {
		end := run(line, i+7, 2048, &mailDelims)
		if end > i+7 && end-i-7 <= 2048 {
			return end, known
		}
	}
	if known < i {
		known = i
		for known < len(line) && line[known] != '@' && !mailDelims[line[known]] {
			known++
		}
	}
	if known >= len(line) || line[known] != '@' || known == i || known-i > 251 {
		return 0, known
	}
	end = run(line, known+1, 251, &mailDelims)
	if end == known+1 || end-known-1 > 251 {
		return 0, known
	}
	return end, known
}

func bareURI(l *lists, line []byte, i int) (end int, host string) {
	if i > 0 && !schemeDelims[line[i-1]] || line[i] == '_' || !isWordByte(line[i]) {
		return 0, ""
	}
	stop := i
	for stop < len(line) && stop-i < 300 && (isWordByte(line[stop]) || line[stop] == '.' || line[stop] == '-') {
		stop++
	}
	for _, h := range []int{stop, stop - 1} {
		if h <= i || h == stop-1 && line[h] != '.' {
			continue
		}
		dot := bytes.LastIndexByte(line[i:h], '.')
		if dot < 1 || i+dot+1 == h || !l.tldValid(strings.ToLower(string(line[i+dot+1:h]))) {
			continue
		}
		name := string(line[i:h])
		end = h
		if end < len(line) && line[end] == '.' {
			end++
		}
		end += len(portBehind.Find(line[end:min(len(line), end+6)]))
		if end < len(line) && line[end] == '/' {
			if e := run(line, end+1, 2048, &endDelims); e > end+1 && e-end-1 <= 2048 {
				end = e
			}
		}
		if end == len(line) || endDelims[line[end]] {
			return end, name
		}
	}
	return 0, ""
}

var uriParts = regexp.MustCompile(`(?s)^(?:([^:/?#]+):)?(?:(//)([^/?#]*))?([^?#]*)(?:(\?)([^#]*))?(?:(#)(.*))?`)

// resolveURI makes a reference absolute (RFC 3986 5.2, where a reference with the base's own scheme counts as relative). Without a base,
// names that begin with www. or ftp. after // get a scheme.
func resolveURI(base, ref string) string {
	if plainHTTP(ref) && !strings.Contains(ref, "/.") {
		return ref
	}
	r := uriParts.FindStringSubmatch(ref)
	b := uriParts.FindStringSubmatch(base)
	scheme, hasHost, host, path, hasQuery, query := r[1], r[2] != "", r[3], r[4], r[5] != "", r[6]
	if scheme != "" && scheme == b[1] {
		scheme = ""
	}
	switch {
	case scheme != "" || hasHost:
		path = removeDots(path)
		if scheme == "" {
			scheme = b[1]
		}
	default:
		switch {
		case path == "":
			path = b[4]
			if !hasQuery {
				hasQuery, query = b[5] != "", b[6]
			}
		case strings.HasPrefix(path, "/"):
			path = removeDots(path)
		case b[2] != "" && b[4] == "":
			path = removeDots("/" + path)
		default:
			path = removeDots(b[4][:strings.LastIndexByte(b[4], '/')+1] + path)
		}
		scheme, hasHost, host = b[1], b[2] != "", b[3]
	}
	var out strings.Builder
	switch {
	case scheme != "":
		out.WriteString(scheme + ":")
	case hasHost && wwwHost.MatchString(host):
		out.WriteString("http:")
	case hasHost && ftpHost.MatchString(host):
		out.WriteString("ftp:")
	}
	if hasHost {
		out.WriteString("//" + host)
	}
	out.WriteString(path)
	if hasQuery {
		out.WriteString("?" + query)
	}
	if r[7] != "" {
		out.WriteString("#" + r[8])
	}
	return out.String()
}

// removeDots resolves . and .. in a path (RFC 3986 5.2.4).
func removeDots(path string) string {
	if !strings.Contains(path, ".") {
		return path
	}
	if strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../") {
		path = path[strings.IndexByte(path, '/'):]
	}
	var out []string
	parts := strings.Split(path, "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch {
		case p == "." && i > 0:
			if last {
				out = append(out, "")
			}
		case p == ".." && i > 0:
			if len(out) > 1 || len(out) == 1 && out[0] != "" {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, p)
		}
	}
	return strings.Join(out, "/")
}
