package mail

import "strings"

// freeMail are domains at which anybody gets a mailbox in a minute. The rules about content know the same ones (freemail_domains).
var freeMail = words(`gmail.com googlemail.com yahoo.com yahoo.fr yahoo.co.uk ymail.com rocketmail.com hotmail.com hotmail.fr hotmail.co.uk
	outlook.com outlook.fr live.com live.fr msn.com aol.com icloud.com me.com mac.com gmx.com gmx.net gmx.de gmx.fr web.de
	mail.com mail.ru yandex.ru yandex.com proton.me protonmail.com tutanota.com zoho.com orange.fr wanadoo.fr free.fr sfr.fr
	neuf.fr laposte.net bbox.fr numericable.fr club-internet.fr aliceadsl.fr libertysurf.fr caramail.com qq.com 163.com`)

// disposable are domains that lend an address for minutes (their own front pages, read 2026-11). Others come and go every day: the list of a
// blocklist's operator knows more.
var disposable = words(`10minutemail.com 10minutemail.net 33mail.com anonbox.net burnermail.io discard.email dispostable.com dropmail.me emailondeck.com
	fakeinbox.com fakemail.net getairmail.com getnada.com grr.la guerrillamail.biz guerrillamail.com guerrillamail.de guerrillamail.net guerrillamail.org
	guerrillamailblock.com incognitomail.org inboxkitten.com jetable.org mail-temporaire.fr mailcatch.com maildrop.cc mailinator.com mailinator.net
	mailnesia.com mailnull.com mailsac.com mintemail.com moakt.com mohmal.com mytemp.email nada.email sharklasers.com spam4.me spambog.com
	spamgourmet.com temp-mail.io temp-mail.org tempmail.com tempmail.net tempmailo.com tempr.email throwawaymail.com trash-mail.com trashmail.com
	trashmail.de trashmail.net yopmail.com yopmail.fr yopmail.net`)

func words(list string) map[Domain]bool {
	out := map[Domain]bool{}
	for _, w := range strings.Fields(list) {
		out[Domain(w)] = true
	}
	return out
}

// FreeMail reports whether anybody can get a mailbox at a domain. Their owners alone can send with a From of theirs that aligns (DMARC).
func FreeMail(d Domain) bool { return freeMail[d] }

// Disposable reports whether a domain, or one above it, lends addresses for minutes.
func Disposable(d Domain) bool {
	for name := string(d); name != ""; {
		if disposable[Domain(name)] {
			return true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return false
}
