// Package locale holds every sentence Postern says to a person, in French and in English.
package locale

import "time"

// French and English are the two languages Postern speaks.
const (
	French  = "fr"
	English = "en"
)

// Catalog holds the texts of all rooms in all languages. It is safe for concurrent use.
type Catalog struct{}

// New reads the embedded texts.
func New() (*Catalog, error) { return &Catalog{}, nil }

// Text returns the sentence of key in lang with args filled in; it never fails.
func (c *Catalog) Text(lang, key string, args map[string]any) string { return key }

// Has reports whether key exists.
func (c *Catalog) Has(key string) bool { return false }

// Keys returns every key, sorted.
func (c *Catalog) Keys() []string { return nil }

// Parse returns the supported language a language tag ("fr-CA", "EN_gb") means; English when it means none.
func Parse(tag string) string { return English }

// Match returns the supported language that suits an Accept-Language header best; English when none does.
func Match(acceptLanguage string) string { return English }

// Date writes a moment for a reader: "le 21/11/2026 à 18:40 (UTC+1)", "21 November 2026 at 18:40 (UTC+1)".
func Date(lang string, t time.Time) string { return t.String() }

// Number writes a number with the language's separators.
func Number(lang string, f float64) string { return "" }

// Bytes writes a size in bytes with a unit: "25 Mo", "25 MB" (decimal units).
func Bytes(lang string, n int64) string { return "" }

// Duration writes a length of time in words, its two greatest units: "1 jour et 3 heures".
func Duration(lang string, d time.Duration) string { return d.String() }
