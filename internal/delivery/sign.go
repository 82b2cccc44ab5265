package delivery

import (
	"context"
	"fmt"

	"postern/internal/dkim"
	"postern/internal/mail"
)

// data returns a message as it leaves: our signature, then the bytes that were accepted. It is made once per letter, however
// many destinations and recipients there are.
func (d *Delivery) data(ctx context.Context, l *letter) ([]byte, error) {
	l.once.Do(func() {
		l.body, l.err = d.o.Spool.Body(ctx, l.ID)
		if l.err != nil {
			return
		}
		l.err = d.guarded(l.ID, func() (err error) {
			l.data, err = d.sign(l, l.body)
			return err
		})
	})
	return l.data, l.err
}

// sign returns body with our signature on top, or as it is if nobody signs for its author.
func (d *Delivery) sign(l *letter, body []byte) ([]byte, error) {
	if d.tune.Load().NoSign {
		return body, nil
	}
	keys, err := d.keysFor(l)
	if err != nil || len(keys) == 0 {
		return body, err
	}
	header, err := dkim.Sign(body, keys, d.o.Now())
	if err != nil {
		return nil, err
	}
	return append(header, body...), nil
}

// sevenBit returns a message, signed anew, for a server without 8BITMIME (RFC 6152 3). ok is false when it cannot be
// re-encoded. It is not kept: such servers are rare.
func (d *Delivery) sevenBit(l *letter) (data []byte, ok bool, err error) {
	err = d.guarded(l.ID, func() error {
		body, _, err := mail.Reencode(l.body, mail.Reencoding{SevenBit: true})
		if err != nil {
			d.o.Logger.Info("message cannot be made 7-bit", "queue_id", l.ID, "account", l.Customer, "error", err)
			return nil
		}
		data, err = d.sign(l, body)
		ok = err == nil
		return err
	})
	return data, ok, err
}

// keysFor returns the keys that sign a letter: those of its author's domain, unless that is another customer's. Our own mail is ours
// to sign. A key that cannot be read is an error: the mail waits rather than leaves unsigned.
func (d *Delivery) keysFor(l *letter) ([]dkim.Key, error) {
	a, err := mail.ParseAddress(l.HeaderFrom)
	if err != nil {
		return nil, nil // an author nobody can read is signed by nobody
	}
	records := d.o.Accounts.SigningKeysFor(l.Customer, a.Domain)
	if l.Notice {
		records = d.o.Accounts.SigningKeys(a.Domain)
	}
	var keys []dkim.Key
	for _, rec := range records {
		k, err := d.keys.Parse(rec.PEM, rec.Domain, rec.Selector)
		if err != nil {
			return nil, fmt.Errorf("DKIM key %s of %s: %w", rec.Selector, rec.Domain, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
