package portal

import (
	"embed"
	"strings"
	"text/template"

	"postern/internal/account"
)

// The snippets are what programs need to hand in their mail here, ready to copy: one file each, filled in by text/template. Names of hosts,
// users and domains hold no character that means something in any of these languages; the password is never filled in.
//
//go:embed snippets
var snippetFiles embed.FS

// snippetNames are the snippets in the order in which they are shown: file and text portal.credentials.snippet.NAME.
var snippetNames = []string{"postfix", "exim", "sendmail", "php", "phpmailer", "wordpress", "node", "python", "dotnet", "java", "curl", "swaks"}

// snippetView is one snippet on a page.
type snippetView struct {
	Name, Title, Text string
}

// snippetWords are what a snippet is filled with.
type snippetWords struct {
	Host     string
	Port     int
	Implicit bool // TLS from the first byte
	User     string
	Password string
	From, To string
}

// snippets are filled in for a user of a customer; none where no port is open to logins.
func (s *site) snippets(p page, c account.Customer, user string) []snippetView {
	w := snippetWords{Host: s.o.Hostname, Port: s.o.Ways.Submission, User: user, Password: "PASSWORD", From: "contact@example.org", To: "someone@example.net"}
	if w.Port == 0 {
		w.Port, w.Implicit = s.o.Ways.Submissions, true
	}
	if w.Port == 0 {
		return nil
	}
	if len(c.Domains) > 0 {
		w.From = "contact@" + string(c.Domains[0])
	}
	all, err := template.ParseFS(snippetFiles, "snippets/*.txt")
	if err != nil {
		s.o.Logger.Error("snippets not read", "error", err)
		return nil
	}
	var out []snippetView
	for _, name := range snippetNames {
		var b strings.Builder
		if err := all.ExecuteTemplate(&b, name+".txt", w); err != nil {
			s.o.Logger.Error("snippet not filled in", "snippet", name, "error", err)
			continue
		}
		out = append(out, snippetView{name, p.T("credentials.snippet." + name), b.String()})
	}
	return out
}
