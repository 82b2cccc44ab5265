// Package reputation: Watches our addresses and domains and says what to mend: today how a sender's domain is set up.
package reputation
