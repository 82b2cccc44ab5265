package account

import "postern/internal/mail"

// What the journal tells of changes to customers (journal.Tuned). Pages and programs write the same words, whoever made the change.
const (
	ToldAdded   = "customer added"
	ToldChanged = "customer changed"
	ToldRemoved = "customer removed"
	ToldResumed = "customer may send again"
)

// ToldSuspended says that a customer may send no more, and why if that was said.
func ToldSuspended(reason string) string {
	if reason == "" {
		return "customer suspended"
	}
	return "customer suspended: " + reason
}

// ToldDomainAdded says that a customer proved a domain.
func ToldDomainAdded(d mail.Domain) string { return "domain " + string(d) + " added" }

// ToldDomainRemoved says that a customer gave a domain up.
func ToldDomainRemoved(d mail.Domain) string { return "domain " + string(d) + " removed" }
