package checkup

import (
	"strings"
	gotest "testing"

	"postern/internal/dnsbl"
	"postern/internal/locale"
)

// TestNoPageKnown: a list without a page to ask on has a sentence of its own, in both languages; one with a page names it.
func TestNoPageKnown(t *gotest.T) {
	t.Parallel()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, weight := range []int{0, 1, 3} {
		for _, page := range []string{"", "https://list.example/remove"} {
			f := listed("192.0.2.25", dnsbl.Listing{List: &dnsbl.List{Name: "List", Zone: "bl.example", Weight: weight, DelistURL: page}})
			for lang, word := range map[string]string{"en": "No page is known", "fr": "aucune page"} {
				do := Words(c, lang, f).Do
				if strings.Contains(do, word) != (page == "") || strings.Contains(do, page) != true || strings.HasPrefix(do, "checkup.") || strings.Contains(do, "?") {
					t.Errorf("weight %d, page %q: %q", weight, page, do)
				}
			}
		}
	}
}
