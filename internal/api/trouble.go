package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/locale"
)

// trouble is a problem before anybody reads it: the model of the library in English, and what its detail is made from in another language.
type trouble struct {
	*huma.ErrorModel
	detail sentence
	parts  []sentence // of ErrorModel.Errors, by their place; what has none stays as it is
}

// Unwrap is the problem in English.
func (t *trouble) Unwrap() error { return t.ErrorModel }

// problem makes an error answer: kind is its stable word; format and args say what is wrong and what to do. The format is a literal with its French in
// locale/twins/problem.fr.yaml.
func problem(status int, kind, format string, args ...any) *trouble {
	if false {
		_ = fmt.Sprintf(format, args...) // vet holds the values against the format
	}
	return newTrouble(status, kind, sentence{format, args})
}

// invalid is the problem of a request that says something wrong.
func invalid(format string, args ...any) error {
	if false {
		_ = fmt.Sprintf(format, args...) // as in problem
	}
	return newTrouble(http.StatusUnprocessableEntity, "invalid", sentence{format, args})
}

// because makes an error answer of which an error says all.
func because(status int, kind string, err error) *trouble {
	return newTrouble(status, kind, sentence{"%v", []any{err}})
}

func newTrouble(status int, kind string, w sentence) *trouble {
	return &trouble{ErrorModel: &huma.ErrorModel{Type: problemType + kind, Title: http.StatusText(status), Status: status, Detail: w.String()}, detail: w}
}

// sentence is a sentence in both languages: an English format, whose French stands in locale/twins/problem.fr.yaml, and its values. Values that are sentences,
// joined or foreign are told in the same language; all others are names and quantities and stay as they are.
type sentence struct {
	format string
	args   []any
}

// say makes a sentence. The format is a literal.
func say(format string, args ...any) sentence {
	if false {
		_ = fmt.Sprintf(format, args...) // as in problem
	}
	return sentence{format, args}
}

// String is the English sentence.
func (w sentence) String() string {
	if len(w.args) == 0 {
		return strings.ReplaceAll(w.format, "%%", "%")
	}
	return fmt.Sprintf(w.format, w.args...)
}

// Error makes a sentence an error.
func (w sentence) Error() string { return w.String() }

// joined are sentences or words side by side.
type joined struct {
	parts []sentence
	with  string
}

// String is all of them in English.
func (j joined) String() string {
	out := make([]string, 0, len(j.parts))
	for _, p := range j.parts {
		out = append(out, p.String())
	}
	return strings.Join(out, j.with)
}

// Error makes sentences an error.
func (j joined) Error() string { return j.String() }

// foreign is the text of an error of another room, in English. Its French is that of the pair that it was made from, if there is one.
type foreign string

// Error is the text.
func (f foreign) Error() string { return string(f) }

// spoken is a text that a room tells in each language.
type spoken func(lang string) string

// String is the English text.
func (s spoken) String() string { return s(locale.English) }

// render writes a sentence in a language.
func (s *server) render(lang string, w sentence) string {
	if lang != locale.French {
		return w.String()
	}
	if w.format == "%v" && len(w.args) == 1 { // of because
		return fmt.Sprint(s.value(w.args[0]))
	}
	if len(w.args) == 0 {
		return strings.ReplaceAll(s.phrases.Text(lang, w.format), "%%", "%")
	}
	args := make([]any, len(w.args))
	for i, a := range w.args {
		args[i] = s.value(a)
	}
	return fmt.Sprintf(s.phrases.Text(lang, w.format), args...)
}

// value is a value of a sentence in French.
func (s *server) value(a any) any {
	switch a := a.(type) {
	case sentence:
		return s.render(locale.French, a)
	case joined:
		out := make([]string, 0, len(a.parts))
		for _, p := range a.parts {
			out = append(out, s.render(locale.French, p))
		}
		return strings.Join(out, a.with)
	case spoken:
		return a(locale.French)
	case foreign:
		return s.foreign(string(a))
	case error:
		var w sentence
		if errors.As(a, &w) {
			return s.render(locale.French, w)
		}
		return s.foreign(a.Error())
	}
	return a
}

// foreign tells a text of another room in French. What no pair says is quoted in English, with a word that it is.
func (s *server) foreign(english string) string {
	lines := strings.Split(english, "\n")
	for i, line := range lines {
		fr, ok := s.phrases.Told(locale.French, line)
		if !ok && line != "" {
			fr = s.texts.Text(locale.French, "api.problem.foreign", map[string]any{"Text": line})
		}
		lines[i] = fr
	}
	return strings.Join(lines, "\n")
}

// localized is a problem as somebody reads it: what a handler refused with, or the library.
func (s *server) localized(lang string, err error) *huma.ErrorModel {
	var t *trouble
	if errors.As(err, &t) {
		out := *t.ErrorModel
		out.Detail = s.render(lang, t.detail)
		out.Errors = nil
		for i, e := range t.Errors {
			e := *e
			if i < len(t.parts) {
				e.Message = s.render(lang, t.parts[i])
			}
			out.Errors = append(out.Errors, &e)
		}
		return &out
	}
	var m *huma.ErrorModel
	if !errors.As(err, &m) {
		return s.localized(lang, problem(http.StatusInternalServerError, "internal", "the gateway could not do it; its log may say more"))
	}
	if lang != locale.French {
		return m
	}
	out := *m
	out.Detail, out.Errors = s.foreign(m.Detail), nil
	for _, e := range m.Errors {
		e := *e
		e.Message = s.foreign(e.Message)
		out.Errors = append(out.Errors, &e)
	}
	return &out
}

// speak notes in the fields of an answer in which language it is.
func speak(h http.Header, lang string) {
	h.Set("Content-Language", lang)
	h.Set("Vary", "Accept-Language")
}

// reader is the language of whoever asks.
func reader(ctx context.Context) string {
	if r := callOf(ctx).r; r != nil {
		return languageOf(r)
	}
	return locale.English
}

// languageRef is the parameter of every operation that asks for a language.
const languageRef = "#/components/parameters/language"

// localize tells what the library is about to write in the reader's language: problems, and what was done.
func (s *server) localize(ctx huma.Context, _ string, v any) (any, error) {
	lang := reader(ctx.Context())
	speak := func() {
		ctx.SetHeader("Content-Language", lang)
		ctx.SetHeader("Vary", "Accept-Language")
	}
	switch v := v.(type) {
	case Done:
		speak()
		v.Text = s.render(lang, v.told)
		return v, nil
	case ListEntry, ReportImported, ReportsUnread: // told by their operations
		speak()
	case error:
		speak()
		return s.localized(lang, v), nil
	}
	return v, nil
}

// refuse answers with a problem, in the reader's language.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	lang := languageOf(r)
	p := s.localized(lang, err)
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(p) // strings and a number
	speak(w.Header(), lang)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(b.Bytes())
}
