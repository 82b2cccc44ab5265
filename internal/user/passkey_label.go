package user

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/store"
)

// RenamePasskey gives a passkey of a user another label. Errors: ErrNotFound, ErrInvalid.
func (l *Ledger) RenamePasskey(ctx context.Context, user, id, label string) error {
	label = strings.TrimSpace(label)
	if label == "" || utf8.RuneCountInString(label) > maxLabel || strings.ContainsFunc(label, unicode.IsControl) {
		return fmt.Errorf("%w: a passkey needs a label of at most %d characters", ErrInvalid, maxLabel)
	}
	return l.o.DB.Write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`UPDATE user_passkey SET label = ? WHERE id = ? AND person = ?`, label, id, user)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: passkey", ErrNotFound)
		}
		return err
	})
}
