package dnsbl

// Way is how a listing ends.
type Way string

// The ways out of a list.
const (
	SelfService Way = "self"    // a page takes the address away at once or within hours
	Form        Way = "form"    // a form that people or programs read
	Expires     Way = "expires" // by itself, some time after the cause ended; nothing can be asked
	Owner       Way = "owner"   // only the holder of the network, or of the domain, may ask
	None        Way = "none"    // there is none, or none is needed
)

// Field is what a request for removal asks for.
type Field string

// The fields of requests.
const (
	FieldIP      Field = "ip"
	FieldDomain  Field = "domain"
	FieldContact Field = "contact" // a mail address that answers, best one at the sending domain
	FieldPhone   Field = "phone"
	FieldReason  Field = "reason" // what caused the listing
	FieldMended  Field = "mended" // what was done about it
	FieldRDNS    Field = "rdns"   // the reverse name
)

// Delisting is how one gets off a list.
type Delisting struct {
	Way    Way
	URL    string  // where it is done or explained; "" when it is nowhere
	Text   bool    // the request has a free text: one can be prepared
	Lang   string  // language of such a text: "en" for all that are known
	Fields []Field // what the request asks for
	Before Text    // what to do before
	How    Text    // the procedure
	Takes  Text    // how long it takes
	// NeverPay: the operator sells removal, or a faster one. The house says never to pay; the listing ends by itself.
	NeverPay bool
}
