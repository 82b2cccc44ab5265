package provider_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	"postern/internal/provider"
)

var (
	englishWords   = regexp.MustCompile(`(?i)\b(the|and|with|your|this|was|were|has|have|from|which|should|because|must|been|their|is|are|of)\b`)
	frenchWords    = regexp.MustCompile(`(?i)\b(le|les|des|une|votre|vous|pour|avec|est|sont|dans|qui|cette|mais|aux|de)\b`)
	unwantedWords  = regexp.MustCompile(`(?i)\b(veuillez|oups|désolée?s?|délivrée?s?|blacklisté\w*|blacklisted|oops|sorry|exploitant)\b|—|–`)
	records        = regexp.MustCompile(`\S+=\S+`)
	quotedInFrench = regexp.MustCompile(`«[^»]*»`)
	partedNumber   = regexp.MustCompile(`\d (\d{3}\b|heures|jours|%)`)
)

// TestTexts: advice and descriptions are there in both languages, each in its own, and typeset.
func TestTexts(t *testing.T) {
	t.Parallel()
	k := load(t)
	check := func(where string, text map[string]string) {
		t.Helper()
		en, fr := text["en"], text["fr"]
		switch {
		case len(en) < 20 || len(fr) < 20:
			t.Errorf("%s: too short: %q, %q", where, en, fr)
		case !strings.HasSuffix(en, ".") || !strings.HasSuffix(fr, "."):
			t.Errorf("%s: a sentence ends in a full stop: %q, %q", where, en, fr)
		}
		plain := quotedInFrench.ReplaceAllString(fr, "")
		if len(englishWords.FindAllString(plain, -1)) > 1 || len(frenchWords.FindAllString(plain, -1)) == 0 {
			t.Errorf("%s: is this French? %q", where, fr)
		}
		if len(frenchWords.FindAllString(en, -1)) > 1 || len(englishWords.FindAllString(en, -1)) == 0 {
			t.Errorf("%s: is this English? %q", where, en)
		}
		if word := unwantedWords.FindString(en + " " + fr); word != "" {
			t.Errorf("%s: %q is not our word", where, word)
		}
		if parted := partedNumber.FindString(fr); parted != "" {
			t.Errorf("%s: no-break space inside %q in %q", where, parted, fr)
		}
		runes := []rune(records.ReplaceAllString(fr, "X"))
		for i, r := range runes {
			if strings.ContainsRune(";!?»", r) && (i == 0 || runes[i-1] != '\u00a0') || r == ':' && i+1 < len(runes) && unicode.IsSpace(runes[i+1]) && runes[i-1] != '\u00a0' {
				t.Errorf("%s: no-break space before %q in %q", where, r, fr)
			}
		}
	}
	for _, p := range k.Providers() {
		check(p.Name, p.About)
		for _, r := range p.Rules {
			check(r.ID, r.Meaning.Advice)
		}
	}
	for _, r := range k.Any() {
		check(r.ID, r.Meaning.Advice)
	}
	for _, c := range []provider.Category{provider.AuthFailure, provider.BadReputation, provider.Blocked, provider.ContentError, provider.ExceedLimit, provider.Expired, provider.FailedStartTLS,
		provider.Filtered, provider.HasMoved, provider.HostUnknown, provider.MailboxFull, provider.MailerError, provider.MessageTooBig, provider.NetworkError, provider.NoRelaying, provider.NotAccept,
		provider.NotCompliantRFC, provider.OnHold, provider.PolicyViolation, provider.Rejected, provider.RequirePTR, provider.SecurityError, provider.SpamDetected, provider.Speeding, provider.Suspend,
		provider.SyntaxError, provider.SystemError, provider.SystemFull, provider.TooManyConns, provider.UserUnknown, provider.VirusDetected} {
		check(string(c), k.Advice(c))
	}
}
