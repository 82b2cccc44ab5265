package locale

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

const narrowSpace = "\u202f" // espace fine insécable: between thousands in French
const noBreakSpace = "\u00a0"

// maxAcceptLanguage bounds the header Match looks at; browsers send less than a tenth of it.
const maxAcceptLanguage = 512

// Parse returns the supported language that a language tag ("fr", "fr-CA", "EN_gb") names; English when it names
// none of them.
func Parse(tag string) string {
	base := tag
	if i := strings.IndexAny(tag, "-_"); i >= 0 {
		base = tag[:i]
	}
	if strings.EqualFold(base, French) {
		return French
	}
	return English
}

// Match returns the supported language that suits an Accept-Language header (RFC 9110 12.5.4) best; English
// when none does or the header is malformed.
func Match(acceptLanguage string) string {
	if len(acceptLanguage) > maxAcceptLanguage {
		return English
	}
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil || len(tags) == 0 {
		return English
	}
	_, index, confidence := language.NewMatcher([]language.Tag{language.English, language.French}).Match(tags...)
	if confidence == language.No || index != 1 {
		return English
	}
	return French
}

// Date writes a moment in the zone t carries: "le 21/11/2026 à 18:40 (UTC+1)" and
// "21 November 2026 at 18:40 (UTC+1)". The English month is a word because 11/12 is read in two ways.
func Date(lang string, t time.Time) string {
	if lang == French {
		return t.Format("le 02/01/2006 à 15:04") + " (" + zone(t) + ")"
	}
	return t.Format("2 January 2006 at 15:04") + " (" + zone(t) + ")"
}

// Day writes a day in the zone t carries: "21/11/2026" and "21 November 2026".
func Day(lang string, t time.Time) string {
	if lang == French {
		return t.Format("02/01/2006")
	}
	return t.Format("2 January 2006")
}

func zone(t time.Time) string {
	_, seconds := t.Zone()
	if seconds == 0 {
		return "UTC"
	}
	sign := '+'
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	hours, minutes := seconds/3600, seconds%3600/60
	if minutes == 0 {
		return fmt.Sprintf("UTC%c%d", sign, hours)
	}
	return fmt.Sprintf("UTC%c%d:%02d", sign, hours, minutes)
}

// Number writes f with at most two decimals and the language's separators: "1 234,5" (with a narrow no-break
// space) and "1,234.5". What is not a number is written "–".
func Number(lang string, f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "–"
	}
	s := strconv.FormatFloat(math.Abs(f), 'f', 2, 64)
	whole, decimals, _ := strings.Cut(s, ".")
	decimals = strings.TrimRight(decimals, "0")
	thousands, point := ",", "."
	if lang == French {
		thousands, point = narrowSpace, ","
	}
	var b strings.Builder
	if f < 0 && (strings.Trim(whole, "0") != "" || decimals != "") {
		b.WriteByte('-')
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(thousands)
		}
		b.WriteRune(digit)
	}
	if decimals != "" {
		b.WriteString(point)
		b.WriteString(decimals)
	}
	return b.String()
}

// Bytes writes a size given in bytes in decimal units (1 MB = 1,000,000 bytes) with at most one decimal: "1,5 Mo", "1.5 MB".
func Bytes(lang string, n int64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB", "PB", "EB"}
	if lang == French {
		units = []string{"octets", "Ko", "Mo", "Go", "To", "Po", "Eo"}
	}
	f, unit := float64(n), 0
	for math.Abs(f) >= 999.95 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	if unit == 0 {
		word := units[0]
		if n == 1 || n == -1 || n == 0 && lang == French {
			word = strings.TrimSuffix(word, "s")
		}
		return Number(lang, f) + noBreakSpace + word
	}
	return Number(lang, math.Round(f*10)/10) + noBreakSpace + units[unit]
}

// Duration writes a length of time in words with its two greatest units, rounded down: "1 jour et 3 heures",
// "1 day and 3 hours". The sign is left out; less than a second reads as such.
func Duration(lang string, d time.Duration) string {
	type unit struct {
		length     time.Duration
		french, en string
	}
	units := []unit{
		{24 * time.Hour, "jour", "day"},
		{time.Hour, "heure", "hour"},
		{time.Minute, "minute", "minute"},
		{time.Second, "seconde", "second"},
	}
	if d < 0 {
		d = -max(d, -math.MaxInt64)
	}
	var words []string
	for _, u := range units {
		n := d / u.length
		d %= u.length
		if n == 0 {
			if len(words) > 0 {
				break
			}
			continue
		}
		word := u.en
		if lang == French {
			word = u.french
		}
		if n > 1 {
			word += "s"
		}
		words = append(words, Number(lang, float64(n))+noBreakSpace+word)
		if len(words) == 2 {
			break
		}
	}
	switch {
	case len(words) == 0 && lang == French:
		return "moins d'une seconde"
	case len(words) == 0:
		return "less than a second"
	case lang == French:
		return strings.Join(words, " et ")
	}
	return strings.Join(words, " and ")
}
