package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/spool"
	"postern/internal/user"
	"postern/internal/webhook"
)

const problemType = "urn:postern:problem:"

// meanings are the problems that errors of the rooms become.
var meanings = []struct {
	is     error
	status int
	kind   string
	advice string // "": the error says it all
}{
	{intake.ErrNotFound, http.StatusNotFound, "no-such-message", "no message has this queue ID, in the spool or in the journal; search with trace"},
	{spool.ErrNotFound, http.StatusNotFound, "no-such-message", "the message is not in the spool any more; trace tells what became of it"},
	{intake.ErrNotHeld, http.StatusConflict, "not-held", "the message is not held, so there is nothing to decide; explain tells where it stands"},
	{spool.ErrNotHeld, http.StatusConflict, "not-held", "the message is not held any more; explain tells where it stands"},
	{intake.ErrNotKept, http.StatusConflict, "not-kept", "the message was refused in session and not kept; its sender must send it again"},
	{intake.ErrNotAllowed, http.StatusForbidden, "not-allowed", "the sender may not release this message himself; ask the operator with /v1/messages/{id}/ask"},
	{intake.ErrAlreadyDone, http.StatusConflict, "asked", "the operator was asked about this message already"},
	{intake.ErrTooSoon, http.StatusTooManyRequests, "too-soon", "the message was tested a moment ago; wait five seconds"},
	{filter.ErrUnscanned, http.StatusServiceUnavailable, "not-scanned", "a scanner gave no answer about the message, so it stays held; see to the scanner, then test again"},
	{filter.ErrUnscannable, http.StatusConflict, "unscannable", "the message is larger than a scanner takes now, so it stays held; release it, drop it, or raise the scanner's max_size"},
	{spool.ErrDamaged, http.StatusConflict, "damaged", "the stored bytes are not those that were accepted; restore the body from a backup or drop the message"},
	{spool.ErrLost, http.StatusConflict, "elsewhere", "another node owns the message now; ask there"},
	{spool.ErrFull, http.StatusInsufficientStorage, "full", "the disk is nearly full; free some space"},
	{delivery.ErrNoReceiver, http.StatusUnprocessableEntity, "invalid", ""},
	{account.ErrFromConfig, http.StatusConflict, "from-config", ""},
	{account.ErrNotFound, http.StatusNotFound, "not-found", ""},
	{account.ErrTaken, http.StatusConflict, "taken", ""},
	{account.ErrInvalid, http.StatusUnprocessableEntity, "invalid", ""},
	{webhook.ErrNotFound, http.StatusNotFound, "not-found", "there is no such webhook; /v1/webhooks lists them"},
	{journal.ErrNoFact, http.StatusNotFound, "no-such-event", "the journal has no such event for this webhook, or no longer"},
	{webhook.ErrTooMany, http.StatusConflict, "too-many", "there are as many webhooks as may be (10 of a customer, 20 of the gateway); delete one first"},
	{webhook.ErrBusy, http.StatusTooManyRequests, "busy", "too much is being sent by hand; try again in a moment"},
	{webhook.ErrEvents, http.StatusUnprocessableEntity, "invalid", ""},
	{webhook.ErrLabel, http.StatusUnprocessableEntity, "invalid", ""},
	{webhook.ErrNoAddress, http.StatusUnprocessableEntity, "bad-address", ""},
	{webhook.ErrScheme, http.StatusUnprocessableEntity, "bad-address", ""},
	{webhook.ErrUserInfo, http.StatusUnprocessableEntity, "bad-address", ""},
	{webhook.ErrPort, http.StatusUnprocessableEntity, "bad-address", ""},
	{webhook.ErrForbidden, http.StatusUnprocessableEntity, "bad-address", ""},
	{user.ErrNotFound, http.StatusNotFound, "not-found", "there is no such user, session or token; the list tells what there is"},
	{user.ErrTaken, http.StatusConflict, "taken", "this address has a user already"},
	{user.ErrLast, http.StatusConflict, "last-operator", "the last operator cannot be taken away; make another one first"},
	{user.ErrDenied, http.StatusForbidden, "no-right", "whoever makes the token may not: he is disabled, or lacks the right users:write"},
	{user.ErrInvalid, http.StatusUnprocessableEntity, "invalid", ""},
	{spool.ErrInvalid, http.StatusUnprocessableEntity, "invalid", ""},
	{journal.ErrInvalid, http.StatusUnprocessableEntity, "invalid", ""},
	{learn.ErrInvalid, http.StatusUnprocessableEntity, "invalid", ""},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout", "it took longer than a minute; ask for less, or look at the load of the machine"},
}

// fail turns an error of a room into a problem. What is not foreseen is the server's trouble, logged and told.
func (s *server) fail(err error) error {
	if said := huma.StatusError(nil); errors.As(err, &said) {
		return err
	}
	for _, a := range meanings {
		if !errors.Is(err, a.is) {
			continue
		}
		if a.advice == "" {
			return because(a.status, a.kind, plain(err))
		}
		return newTrouble(a.status, a.kind, sentence{format: a.advice})
	}
	s.o.Logger.Error("request failed", "error", err)
	return problem(http.StatusInternalServerError, "internal", "the gateway could not do it: %v; its log may say more", plain(err))
}

// plain is an error without the package prefixes: it is for people.
func plain(err error) foreign {
	return foreign(strings.NewReplacer("account: ", "", "spool: ", "", "journal: ", "", "user: ", "", "webhook: ", "", "not accepted: ", "").Replace(err.Error()))
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
