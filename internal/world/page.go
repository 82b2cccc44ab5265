package world

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	nethtml "golang.org/x/net/html"
)

// reader is the sender at his computer: he opens links and presses buttons.
type reader struct{ client *http.Client }

func newReader() reader {
	// No proxy: a page on loopback is asked for here.
	return reader{&http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}}
}

// webPage is a page as it came.
type webPage struct {
	at   *url.URL
	body string
}

// maxPage bounds a page, in bytes.
const maxPage = 4 << 20

func (r reader) open(ctx context.Context, method, link string) (webPage, error) {
	return r.ask(ctx, method, link, nil)
}

// ask asks for a page, with a form's fields where there are any.
func (r reader) ask(ctx context.Context, method, link string, form url.Values) (webPage, error) {
	req, err := http.NewRequestWithContext(ctx, method, link, strings.NewReader(form.Encode()))
	if err != nil {
		return webPage{}, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return webPage{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return webPage{}, err
	}
	if resp.StatusCode == http.StatusNotFound {
		return webPage{}, fmt.Errorf("%w: %s", errNotFound, link)
	}
	if resp.StatusCode != http.StatusOK {
		return webPage{}, fmt.Errorf("%s %s: %s", method, link, resp.Status)
	}
	return webPage{resp.Request.URL, string(body)}, nil
}

// shows reports whether a page holds a text.
func (p webPage) shows(text string) bool { return strings.Contains(html.UnescapeString(p.body), text) }

// form returns the address that the button of an act sends to: the POST form whose action ends with it.
func (p webPage) form(act string) (string, error) {
	z := nethtml.NewTokenizer(strings.NewReader(p.body))
	for {
		switch z.Next() {
		case nethtml.ErrorToken:
			return "", fmt.Errorf("the page %s has no button for %q", p.at.Path, act)
		case nethtml.StartTagToken:
			token := z.Token()
			if token.Data != "form" {
				continue
			}
			attr := map[string]string{}
			for _, a := range token.Attr {
				attr[a.Key] = a.Val
			}
			action, err := p.at.Parse(attr["action"])
			if err == nil && strings.EqualFold(attr["method"], "post") && strings.HasSuffix(action.Path, "/"+act) {
				return action.String(), nil
			}
		}
	}
}

// press sends the form of an act and returns the page that follows.
func (r reader) press(ctx context.Context, p webPage, act string) (webPage, error) {
	action, err := p.form(act)
	if err != nil {
		return webPage{}, err
	}
	return r.open(ctx, http.MethodPost, action)
}

var linkForm = regexp.MustCompile(`https?://[^\s<>"]+/m/[^\s<>"]+`)

// linkIn finds the link to a message's page in a notice, as its reader would.
func linkIn(l Letter) (string, error) {
	link := linkForm.FindString(firstText(l.Message()))
	if link == "" {
		return "", errors.New("the notice holds no link to a page")
	}
	return strings.TrimRight(link, ".,;)"), nil
}

var recordForm = regexp.MustCompile(`v=spf1 [^<>"\x60]*ip4:[^<>"\x60]*[-~?]all`)

// record returns the SPF record that a page says is to be published: the one that holds the mechanism.
func (p webPage) record(mechanism string) string {
	for _, found := range recordForm.FindAllString(html.UnescapeString(p.body), -1) {
		if strings.Contains(found, mechanism) {
			return found
		}
	}
	return ""
}
