package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Sign returns the value of Postern-Signature for a body sent at a time: "t=UNIX,v1=HEX", where HEX is the HMAC-SHA256 of "UNIX.BODY" with the
// secret. Several secrets give several v1, of which the receiver needs to find one right.
func Sign(at time.Time, body []byte, secrets ...[]byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	out := "t=" + stamp
	for _, secret := range secrets {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(stamp + "."))
		m.Write(body)
		out += ",v1=" + hex.EncodeToString(m.Sum(nil))
	}
	return out
}
