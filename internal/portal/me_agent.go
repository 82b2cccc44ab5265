package portal

import "strings"

// The marks of browsers and systems in a User-Agent, the most particular first: nearly every browser also claims to be the others.
var (
	browserMarks = [][2]string{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"Wget/", "Wget"},
	}
	systemMarks = [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Macintosh", "macOS"},
		{"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"},
	}
)

// agent puts a User-Agent into words: "Firefox on Linux". What it does not know is another program. The field is what a browser says of itself,
// so it helps to recognise one's own and proves nothing.
func (p page) agent(s string) string {
	browser, system := marked(s, browserMarks), marked(s, systemMarks)
	switch {
	case browser != "" && system != "":
		return p.T("me.agent.on", "Browser", browser, "System", system)
	case browser != "":
		return browser
	case system != "":
		return p.T("me.agent.on", "Browser", p.T("me.agent.other"), "System", system)
	}
	return p.T("me.agent.other")
}

func marked(s string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(s, m[0]) {
			return m[1]
		}
	}
	return ""
}
