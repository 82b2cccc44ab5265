package api

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"sort"
	"strings"
)

// Bounds of a page.
const (
	defaultPage = 100
	mostPage    = 1000
	mostCursor  = 2000
)

// Paging is the part of an input that says which page of a list is wanted.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Entries of one page"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"next of the page before"`
}

// pageOf cuts one page out of a list that is sorted by key, each key there once. The cursor is the key before the page.
func pageOf[T any](p Paging, all []T, key func(T) string) (page []T, next string, err error) {
	from := 0
	if p.Cursor != "" {
		after, err := readCursor(p.Cursor)
		if err != nil {
			return nil, "", err
		}
		from = sort.Search(len(all), func(i int) bool { return key(all[i]) > after })
	}
	most := p.Limit
	if most <= 0 {
		most = defaultPage
	}
	most = min(most, mostPage)
	page = all[from:]
	if len(page) > most {
		page = page[:most]
		next = writeCursor(key(page[most-1]))
	}
	return page, next, nil
}

func writeCursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte("k" + key)) }

func readCursor(text string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > mostCursor || len(b) == 0 || b[0] != 'k' {
		return "", badCursor()
	}
	return string(b[1:]), nil
}

// paged is an answer with pages after it.
type paged interface{ nextPage() string }

// linkNext tells the next page in the header, too (RFC 8288).
func (c *call) linkNext(out any) {
	p, ok := out.(paged)
	if !ok || p.nextPage() == "" || c.w == nil {
		return
	}
	q := c.r.URL.Query()
	q.Set("cursor", p.nextPage())
	// A relative reference: it holds wherever the API is mounted.
	u := url.URL{RawQuery: q.Encode()}
	c.w.Header().Set("Link", "<"+strings.ReplaceAll(u.String(), ">", "%3E")+`>; rel="next"`)
}

func badCursor() error {
	return problem(http.StatusUnprocessableEntity, "bad-cursor", "the cursor is not one of ours; take next of the page before, or leave it out for the first page")
}
