package portal

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"postern/internal/user"
)

// passkeyBody is how long an answer of a browser's passkey may be, in bytes: the ledger takes 64 KiB of it.
const passkeyBody = 96 << 10

// passkeyRoutes are what static/passkey.js asks and answers, in JSON, and the forms about passkeys.
func (s *site) passkeyRoutes() []route {
	post := http.MethodPost
	return []route{
		{method: post, path: "/sign-in/passkey", access: anybody(), do: s.askPasskey},
		{method: post, path: "/sign-in/passkey/done", access: anybody(), act: "sign-in.passkey", body: passkeyBody, do: s.passkeySignIn},
		{method: post, path: "/prove/passkey", access: itself(), do: s.askPasskey},
		{method: post, path: "/prove/passkey/done", access: itself(), act: "prove", body: passkeyBody, do: s.passkeyProof},
		{method: post, path: "/me/passkeys/begin", access: itself(), do: s.beginPasskey},
		{method: post, path: "/me/passkeys/done", access: itself(), act: "passkey.add", body: passkeyBody, do: s.addPasskey},
		{method: post, path: "/me/passkeys/rename", access: itself(), act: "passkey.rename", do: s.renamePasskey},
		{method: post, path: "/me/passkeys/remove", access: itself(), act: "passkey.remove", do: s.removePasskey},
	}
}

// passkeyStart is what a browser gets to ask a device with.
type passkeyStart struct {
	Options json.RawMessage `json:"options"`
	State   string          `json:"state"`
}

// passkeyAnswer is what a device said.
type passkeyAnswer struct {
	State      string          `json:"state"`
	Credential json.RawMessage `json:"credential"`
	Label      string          `json:"label"`
}

// json answers a script.
func (v *visit) json(status int, data any) {
	v.status = status
	v.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	v.w.WriteHeader(status)
	if err := json.NewEncoder(v.w).Encode(data); err != nil {
		v.s.o.Logger.Info("answer not written", "path", v.r.URL.Path, "error", err)
	}
}

// jsonFault answers a script with a sentence for the visitor.
func (v *visit) jsonFault(status int, key string) {
	v.json(status, map[string]string{"error": v.page.T(key)})
}

// jsonGo sends a script's page elsewhere.
func (v *visit) jsonGo(path string) { v.json(http.StatusOK, map[string]string{"go": v.page.URL(path)}) }

// readJSON reads what a script sent. Forms of other sites cannot send this content type.
func (v *visit) readJSON(into any) bool {
	if !strings.HasPrefix(v.r.Header.Get("Content-Type"), "application/json") {
		v.jsonFault(http.StatusUnsupportedMediaType, "sign.passkey.refused")
		return false
	}
	data, err := io.ReadAll(v.r.Body)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		v.jsonFault(http.StatusBadRequest, "sign.passkey.refused")
	}
	return err == nil
}

// askPasskey begins a sign-in or a proof with a passkey. Whose it is, the device says.
func (s *site) askPasskey(v *visit) {
	if !v.readJSON(&struct{}{}) {
		return
	}
	options, state, err := s.o.Users.BeginPasskeySignIn(v.r.Context())
	if err != nil {
		v.passkeyFailed(err, "sign.passkey.refused")
		return
	}
	v.json(http.StatusOK, passkeyStart{options, state})
}

// passkeyFailed puts an error into words for a script.
func (v *visit) passkeyFailed(err error, key string) {
	switch {
	case errors.Is(err, user.ErrThrottled):
		v.json(http.StatusTooManyRequests, map[string]string{"error": v.throttled("")})
	case errors.Is(err, user.ErrDenied), errors.Is(err, user.ErrInvalid), errors.Is(err, user.ErrNotFound):
		v.jsonFault(http.StatusUnprocessableEntity, key)
	default:
		v.s.o.Logger.Error("passkey not looked at", "error", err)
		v.jsonFault(http.StatusInternalServerError, "error.internal.do")
	}
}

// passkeySignIn signs in with a passkey.
func (s *site) passkeySignIn(v *visit) {
	v.nobody("")
	var a passkeyAnswer
	if !v.readJSON(&a) {
		return
	}
	in, err := s.o.Users.PasskeySignIn(v.r.Context(), a.State, a.Credential, addressOf(v.r), agentOf(v.r))
	if err != nil {
		v.passkeyFailed(err, "sign.passkey.refused")
		return
	}
	s.enter(v, in)
	next := localPath(v.r.URL.Query().Get("next"))
	if next == "" {
		next = "/home"
	}
	v.jsonGo(next)
}

// passkeyProof is a fresh proof with a passkey.
func (s *site) passkeyProof(v *visit) {
	v.about(v.who.Name, "")
	var a passkeyAnswer
	if !v.readJSON(&a) {
		return
	}
	if err := s.o.Users.ProvePasskey(v.r.Context(), v.who.ID, v.session.ID, a.State, a.Credential, addressOf(v.r)); err != nil {
		v.passkeyFailed(err, "sign.passkey.refused")
		return
	}
	v.jsonGo("/me")
}

// beginPasskey begins to make a passkey.
func (s *site) beginPasskey(v *visit) {
	if !v.readJSON(&struct{}{}) {
		return
	}
	if !v.fresh() {
		v.jsonFault(http.StatusForbidden, "me.passkeys.prove")
		return
	}
	options, state, err := s.o.Users.BeginPasskey(v.r.Context(), v.who.ID)
	if err != nil {
		v.passkeyFailed(err, "me.passkeys.refused")
		return
	}
	v.json(http.StatusOK, passkeyStart{options, state})
}

// addPasskey takes a passkey that a device made.
func (s *site) addPasskey(v *visit) {
	var a passkeyAnswer
	if !v.readJSON(&a) {
		return
	}
	label := clean(a.Label, 100)
	if label == "" {
		label = v.page.agent(agentOf(v.r))
	}
	v.about(label, "")
	if !v.fresh() {
		v.jsonFault(http.StatusForbidden, "me.passkeys.prove")
		return
	}
	if _, err := s.o.Users.FinishPasskey(v.r.Context(), v.who.ID, a.State, label, a.Credential); err != nil {
		v.passkeyFailed(err, "me.passkeys.refused")
		return
	}
	v.once(v.page.T("me.done.passkey_added"))
	v.jsonGo("/me")
}

// renamePasskey gives a passkey another name.
func (s *site) renamePasskey(v *visit) {
	if !v.read() {
		return
	}
	id := v.r.PostForm.Get("id")
	label := clean(v.r.PostForm.Get("label-"+id), 200)
	v.about(label, "")
	err := s.o.Users.RenamePasskey(v.r.Context(), v.who.ID, id, label)
	if errors.Is(err, user.ErrInvalid) {
		if u, ok := v.myself(); ok {
			v.page.Banner = &banner{"bad", v.page.T("me.passkeys.fault")}
			s.showMe(v, http.StatusUnprocessableEntity, u, meForm{Name: u.Name, Language: u.Language, Zone: u.Zone})
		}
		return
	}
	v.settle(err, "/me", "me.done.passkey_renamed")
}

// removePasskey takes a passkey away.
func (s *site) removePasskey(v *visit) {
	if !v.read() {
		return
	}
	id := v.r.PostForm.Get("id")
	keys, err := s.o.Users.Passkeys(v.r.Context(), v.who.ID)
	if err != nil {
		v.broken("passkeys not read", err)
		return
	}
	for _, k := range keys {
		if k.ID == id {
			v.about(k.Label, "")
		}
	}
	if !v.proved() {
		return
	}
	v.settle(s.o.Users.RemovePasskey(v.r.Context(), v.who.ID, id), "/me", "me.done.passkey_removed")
}

// passkeyAsked is the place for a passkey on a page that asks for a proof or a sign-in.
func (v *visit) passkeyAsked(begin, label, hint string) *passkeyPlace {
	if !v.s.o.Users.HasPasskeys() {
		return nil
	}
	v.script("passkey.js")
	p := v.page
	return &passkeyPlace{Kind: "get", Begin: p.URL(begin), Finish: p.URL(begin+"/done", "next", v.next()), Label: label, Hint: hint, Failed: p.T("sign.passkey.failed")}
}
