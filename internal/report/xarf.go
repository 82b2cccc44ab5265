package report

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
)

// XARF is abuse that somebody reports, in the form of X-ARF 0.2 (a mail with fields), version 3 (JSON) or XARF 4 (JSON).
type XARF struct {
	Version     string // as it stands there; "0.2" for mails that do not say
	ID          string
	Category    string // XARF 4: "messaging", "connection", "content", "copyright", "vulnerability", "infrastructure", "reputation"; of former versions their word
	Type        string // "spam", "phishing", "login-attack"…
	Source      string // address, domain or URL that is reported
	SourceIP    netip.Addr
	SourcePort  int
	Time        time.Time
	Reporter    string // organisation
	Contact     string
	Domain      string // of the reporter
	Observed    string // evidence_source: "spamtrap", "honeypot"…
	Protocol    string
	MailFrom    string
	Subject     string
	URL         string
	Destination string
	Description string
	Tags        []string
	Evidence    []XARFEvidence
	Known       bool // the format's version 4 has this category and type
}

// XARFEvidence is what a report brings along, without its bytes.
type XARFEvidence struct {
	ContentType string
	Description string
	Bytes       int
}

// xarfTypes are the categories and types of XARF 4 (its schemas, read 2026-11).
var xarfTypes = map[string][]string{
	"messaging":      {"spam", "bulk_messaging"},
	"connection":     {"ddos", "infected_host", "login_attack", "port_scan", "reconnaissance", "scraping", "sql_injection", "vulnerability_scan"},
	"content":        {"brand_infringement", "csam", "csem", "exposed_data", "fraud", "malware", "phishing", "remote_compromise", "suspicious_registration"},
	"copyright":      {"copyright", "cyberlocker", "link_site", "p2p", "ugc_platform", "usenet"},
	"vulnerability":  {"cve", "misconfiguration", "open_service"},
	"infrastructure": {"botnet", "compromised_server"},
	"reputation":     {"blocklist", "threat_intelligence"},
}

// XARFCategories returns the categories of XARF 4 with their types.
func XARFCategories() map[string][]string {
	out := make(map[string][]string, len(xarfTypes))
	for c, types := range xarfTypes {
		out[c] = slices.Clone(types)
	}
	return out
}

const maxEvidence = 50

type xarfParty struct {
	Org     looseText `json:"org"`
	Contact looseText `json:"contact"`
	Domain  looseText `json:"domain"`
}

type xarf4 struct {
	Version     looseText  `json:"xarf_version"`
	ID          looseText  `json:"report_id"`
	Time        looseText  `json:"timestamp"`
	Reporter    xarfParty  `json:"reporter"`
	Sender      xarfParty  `json:"sender"`
	Source      looseText  `json:"source_identifier"`
	Port        looseText  `json:"source_port"`
	Category    looseText  `json:"category"`
	Class       looseText  `json:"class"` // of the drafts of version 4
	Type        looseText  `json:"type"`
	Observed    looseText  `json:"evidence_source"`
	Protocol    looseText  `json:"protocol"`
	MailFrom    looseText  `json:"smtp_from"`
	Subject     looseText  `json:"subject"`
	URL         looseText  `json:"url"`
	Destination looseText  `json:"destination_ip"`
	Description looseText  `json:"description"`
	Tags        looseTexts `json:"tags"`
	Evidence    []struct {
		ContentType looseText `json:"content_type"`
		Description looseText `json:"description"`
		Payload     looseText `json:"payload"`
		Hash        looseText `json:"hash"`
	} `json:"evidence"`
}

// readXARF4 reads version 4.
func readXARF4(raw []byte, w *warnings) (*XARF, error) {
	var j xarf4
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, refusedf("an XARF report that cannot be read: %v", err)
	}
	x := &XARF{Version: j.Version.clipped(20), ID: j.ID.clipped(maxName), Category: lowerTrim(j.Category.clipped(60)), Type: lowerTrim(j.Type.clipped(60)), Source: j.Source.clipped(maxRemark),
		Reporter: j.Reporter.Org.clipped(maxName), Contact: j.Reporter.Contact.clipped(maxName), Domain: strings.ToLower(j.Reporter.Domain.clipped(maxName)),
		Observed: j.Observed.clipped(60), Protocol: j.Protocol.clipped(60), MailFrom: j.MailFrom.clipped(maxName), Subject: j.Subject.clipped(maxRemark), URL: j.URL.clipped(2000),
		Destination: j.Destination.clipped(maxName), Description: j.Description.clipped(maxRemark), Tags: j.Tags.clipped(100, w)}
	if x.Category == "" {
		x.Category = lowerTrim(j.Class.clipped(60))
	}
	x.SourcePort, _ = strconv.Atoi(string(j.Port))
	x.at(string(j.Time), w)
	x.address()
	for _, f := range []struct{ name, value string }{{"report_id", x.ID}, {"timestamp", string(j.Time)}, {"reporter.org", x.Reporter}, {"source_identifier", x.Source}, {"category", x.Category}, {"type", x.Type}} {
		if f.value == "" {
			w.add(WarnMissing, f.name)
		}
	}
	x.Known = slices.Contains(xarfTypes[x.Category], strings.ReplaceAll(x.Type, "-", "_"))
	if !x.Known {
		w.add(WarnValue, x.Category+"/"+x.Type)
	}
	for i, e := range j.Evidence {
		if i == maxEvidence {
			w.add(WarnTooMany, "evidence")
			break
		}
		payload, err := base64.StdEncoding.DecodeString(string(e.Payload))
		if err != nil {
			payload = []byte(e.Payload)
		}
		if !hashFits(string(e.Hash), payload) {
			w.add(WarnEvidence, e.Description.clipped(100))
		}
		x.Evidence = append(x.Evidence, XARFEvidence{e.ContentType.clipped(100), e.Description.clipped(maxRemark), len(payload)})
	}
	return x, nil
}

// hashFits reports whether a checksum "algorithm:hex" is that of the data. An empty or unknown one does.
func hashFits(hash string, data []byte) bool {
	kind, sum, ok := strings.Cut(lowerTrim(hash), ":")
	if !ok {
		return true
	}
	var own []byte
	switch kind {
	case "sha256":
		s := sha256.Sum256(data)
		own = s[:]
	case "sha512":
		s := sha512.Sum512(data)
		own = s[:]
	case "sha1":
		s := sha1.Sum(data)
		own = s[:]
	case "md5":
		s := md5.Sum(data)
		own = s[:]
	default:
		return true
	}
	return hex.EncodeToString(own) == sum
}

func (x *XARF) at(s string, w *warnings) {
	if s = strings.TrimSpace(s); s == "" {
		return
	}
	if x.Time = moment(s); !x.Time.IsZero() {
		return
	}
	t, err := mail.ParseDate(s)
	if t.IsZero() {
		w.add(WarnDate, s)
		return
	}
	_ = err // a wrong day of the week alone leaves the time right
	x.Time = t
}

// address finds the reported IP address.
func (x *XARF) address() {
	text := strings.Trim(x.Source, "[] ")
	if ip, err := netip.ParseAddr(text); err == nil {
		x.SourceIP = ip.Unmap().WithZone("")
	} else if ap, err := netip.ParseAddrPort(text); err == nil {
		x.SourceIP, x.SourcePort = ap.Addr().Unmap(), int(ap.Port())
	}
}

// readXARF3 reads version 3.
func readXARF3(raw []byte, w *warnings) (*XARF, error) {
	var j struct {
		Version  looseText `json:"Version"`
		Reporter struct {
			Org    looseText `json:"ReporterOrg"`
			Domain looseText `json:"ReporterOrgDomain"`
			Mail   looseText `json:"ReporterOrgEmail"`
			Person looseText `json:"ReporterContactEmail"`
		} `json:"ReporterInfo"`
		Report struct {
			Class  looseText `json:"ReportClass"`
			Type   looseText `json:"ReportType"`
			Date   looseText `json:"Date"`
			ID     looseText `json:"ReportID"`
			Source struct {
				IP   looseText `json:"IP"`
				Port looseText `json:"Port"`
				Type looseText `json:"Type"`
			} `json:"Source"`
			SourceIP    looseText `json:"SourceIp"`
			SourcePort  looseText `json:"SourcePort"`
			Destination looseText `json:"DestinationIp"`
			Protocol    looseText `json:"Protocol"`
			MailFrom    looseText `json:"SmtpMailFromAddress"`
			Subject     looseText `json:"SmtpMessageSubject"`
			URL         looseText `json:"Url"`
			Samples     []struct {
				ContentType looseText `json:"ContentType"`
				Description looseText `json:"Description"`
				Payload     looseText `json:"Payload"`
			} `json:"Samples"`
			Attachments []struct {
				ContentType looseText `json:"ContentType"`
				Description looseText `json:"Description"`
				Data        looseText `json:"Data"`
			} `json:"Attachment"`
		} `json:"Report"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, refusedf("an X-ARF report that cannot be read: %v", err)
	}
	r := &j.Report
	x := &XARF{Version: j.Version.clipped(20), ID: r.ID.clipped(maxName), Category: lowerTrim(r.Class.clipped(60)), Type: lowerTrim(r.Type.clipped(60)), Source: r.Source.IP.clipped(maxRemark),
		Reporter: j.Reporter.Org.clipped(maxName), Contact: j.Reporter.Mail.clipped(maxName), Domain: strings.ToLower(j.Reporter.Domain.clipped(maxName)),
		Protocol: r.Protocol.clipped(60), MailFrom: r.MailFrom.clipped(maxName), Subject: r.Subject.clipped(maxRemark), URL: r.URL.clipped(2000), Destination: r.Destination.clipped(maxName)}
	if x.Version == "" {
		x.Version = "3"
	}
	port := r.Source.Port
	if x.Source == "" {
		x.Source, port = r.SourceIP.clipped(maxRemark), r.SourcePort
	}
	if x.Source == "" {
		x.Source = x.URL
	}
	if x.Contact == "" {
		x.Contact = j.Reporter.Person.clipped(maxName)
	}
	x.SourcePort, _ = strconv.Atoi(string(port))
	x.at(string(r.Date), w)
	x.address()
	for _, f := range []struct{ name, value string }{{"ReporterOrg", x.Reporter}, {"Source", x.Source}, {"ReportType", x.Type}} {
		if f.value == "" {
			w.add(WarnMissing, f.name)
		}
	}
	for i, e := range r.Samples {
		if i < maxEvidence {
			x.Evidence = append(x.Evidence, XARFEvidence{e.ContentType.clipped(100), e.Description.clipped(maxRemark), base64.StdEncoding.DecodedLen(len(e.Payload))})
		}
	}
	for i, e := range r.Attachments {
		if i < maxEvidence {
			x.Evidence = append(x.Evidence, XARFEvidence{e.ContentType.clipped(100), e.Description.clipped(maxRemark), base64.StdEncoding.DecodedLen(len(e.Data))})
		}
	}
	return x, nil
}

// readXARFMail reads a mail of X-ARF 0.1 and 0.2: its second part has fields in YAML, of which the plain ones are read (x-arf specification 0.2, and what
// fail2ban and blocklist.de write).
func readXARFMail(m *mail.Message) (Recognised, bool) {
	form := lowerTrim(m.Header.Get("X-XARF"))
	if form == "" && lowerTrim(m.Header.Get("X-ARF")) != "yes" {
		return Recognised{}, false
	}
	for _, p := range m.Parts() {
		b := p.Decoded()
		if !strings.HasPrefix(p.MediaType, "text/") || !bytes.Contains(bytes.ToLower(b[:min(len(b), maxFeedback)]), []byte("reported-from:")) {
			continue
		}
		w := &warnings{}
		x := &XARF{Version: "0.2"}
		fields := map[string]string{}
		lines := strings.Split(validText(b), "\n")
		for _, line := range lines[:min(len(lines), 200)] {
			name, value, ok := strings.Cut(line, ":")
			if !ok || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "#") {
				continue
			}
			if key := lowerTrim(name); fields[key] == "" {
				fields[key] = clipped(strings.Trim(strings.TrimSpace(value), `"'`), maxRemark)
			}
		}
		if v := fields["version"]; v != "" {
			x.Version = v
		}
		x.ID, x.Category, x.Type, x.Source = fields["report-id"], lowerTrim(fields["category"]), lowerTrim(fields["report-type"]), fields["source"]
		x.Contact, x.Protocol, x.URL, x.Subject = fields["reported-from"], fields["service"], fields["uri"], clipped(m.Subject(), maxRemark)
		x.Reporter = fields["user-agent"]
		x.SourcePort, _ = strconv.Atoi(fields["port"])
		x.Destination = fields["destination"]
		x.at(fields["date"], w)
		x.address()
		for _, name := range []string{"source", "report-type", "date"} {
			if fields[name] == "" {
				w.add(WarnMissing, name)
			}
		}
		for _, other := range m.Parts() {
			if other != p && other != m.Parts()[0] && len(x.Evidence) < maxEvidence {
				x.Evidence = append(x.Evidence, XARFEvidence{other.MediaType, clipped(other.Filename, maxName), len(other.Decoded())})
			}
		}
		return Recognised{Kind: KindXARF, XARF: x, Warnings: w.list}, true
	}
	return Recognised{}, false
}
