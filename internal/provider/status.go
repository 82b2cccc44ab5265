package provider

// kind is a category with who is usually at fault, and whether the recipient is certainly beyond reach.
type kind struct {
	category  Category
	party     Party
	permanent bool
}

// usual is the party at fault when a rule names none, and whether a category is by its nature the end of an address.
var usual = map[Category]kind{
	AuthFailure:     {AuthFailure, Config, false},
	BadReputation:   {BadReputation, SenderIP, false},
	Blocked:         {Blocked, SenderIP, false},
	ContentError:    {ContentError, Message, false},
	ExceedLimit:     {ExceedLimit, Volume, false},
	Expired:         {Expired, OfProvider, false},
	FailedStartTLS:  {FailedStartTLS, Config, false},
	Feedback:        {Feedback, Nobody, false},
	Filtered:        {Filtered, OfRecipient, false},
	HasMoved:        {HasMoved, OfRecipient, true},
	HostUnknown:     {HostUnknown, RecipientDomain, true},
	MailboxFull:     {MailboxFull, OfRecipient, false},
	MailerError:     {MailerError, OfProvider, false},
	MessageTooBig:   {MessageTooBig, Message, false},
	NetworkError:    {NetworkError, OfProvider, false},
	NoRelaying:      {NoRelaying, RecipientDomain, false},
	NotAccept:       {NotAccept, RecipientDomain, true},
	NotCompliantRFC: {NotCompliantRFC, Message, false},
	OnHold:          {OnHold, OfProvider, false},
	PolicyViolation: {PolicyViolation, Message, false},
	Rejected:        {Rejected, Config, false},
	RequirePTR:      {RequirePTR, Config, false},
	SecurityError:   {SecurityError, Config, false},
	SpamDetected:    {SpamDetected, Message, false},
	Speeding:        {Speeding, Volume, false},
	Suppressed:      {Suppressed, OfRecipient, false},
	Suspend:         {Suspend, OfRecipient, false},
	SyntaxError:     {SyntaxError, Config, false},
	SystemError:     {SystemError, OfProvider, false},
	SystemFull:      {SystemFull, OfProvider, false},
	TooManyConns:    {TooManyConns, Volume, false},
	Undefined:       {Undefined, Nobody, false},
	UserUnknown:     {UserUnknown, OfRecipient, true},
	Vacation:        {Vacation, Nobody, false},
	VirusDetected:   {VirusDetected, Message, false},
}

// byDetail is what an enhanced status says without its class (RFC 3463; X.1.10 and X.7.27 RFC 7505; X.7.20 to X.7.26 RFC 7372; X.7.28 and X.7.29
// the IANA registry, read 2026-11; X.7.30 RFC 8689). Subjects and details that are not listed are told by the subject alone.
var byDetail = map[[2]int]kind{
	{1, 0}: usual[Rejected], {1, 1}: usual[UserUnknown], {1, 2}: usual[HostUnknown], {1, 3}: usual[UserUnknown],
	{1, 4}: usual[Filtered], {1, 6}: usual[HasMoved], {1, 7}: usual[Rejected], {1, 8}: usual[Rejected], {1, 9}: usual[SystemError], {1, 10}: usual[NotAccept],
	{2, 0}: usual[Filtered], {2, 1}: usual[Suspend], {2, 2}: usual[MailboxFull], {2, 3}: usual[MessageTooBig], {2, 4}: usual[SystemError],
	{3, 1}: usual[SystemFull], {3, 2}: {NotAccept, OfProvider, false}, {3, 4}: usual[MessageTooBig],
	{4, 4}: {NetworkError, RecipientDomain, false}, {4, 7}: usual[Expired],
	{5, 2}: usual[SyntaxError], {5, 3}: usual[TooManyConns], {5, 4}: usual[SyntaxError], {5, 6}: usual[MailerError],
	{7, 0}: {SecurityError, Nobody, false}, {7, 1}: {SecurityError, Nobody, false}, {7, 2}: {Rejected, RecipientDomain, false},
	{7, 20}: usual[AuthFailure], {7, 21}: usual[AuthFailure], {7, 22}: usual[AuthFailure], {7, 23}: usual[AuthFailure], {7, 24}: usual[AuthFailure],
	{7, 25}: usual[RequirePTR], {7, 26}: usual[AuthFailure], {7, 27}: {NotAccept, Config, false}, {7, 28}: usual[Speeding], {7, 29}: usual[AuthFailure],
	{7, 30}: {FailedStartTLS, RecipientDomain, false},
}

// bySubject is what the subject of an enhanced status says (RFC 3463 section 3). Subject 0 says nothing.
var bySubject = map[int]kind{
	1: {Rejected, Nobody, false}, 2: usual[Filtered], 3: usual[SystemError], 4: usual[NetworkError], 5: usual[MailerError], 6: usual[ContentError], 7: usual[SecurityError],
}

// byCode is what a reply code says alone (RFC 5321 section 4.2.3; 521 and 556 RFC 7504). 550 and 554 depend on the phase.
var byCode = map[int]kind{
	421: {SystemError, OfProvider, false}, 450: usual[OnHold], 451: usual[SystemError], 452: usual[SystemFull], 454: usual[FailedStartTLS], 455: usual[SyntaxError],
	500: usual[SyntaxError], 501: usual[SyntaxError], 502: usual[SyntaxError], 503: usual[SyntaxError], 504: usual[SyntaxError],
	521: {NotAccept, RecipientDomain, false}, 523: usual[SecurityError], 530: usual[SecurityError], 534: usual[SecurityError], 535: usual[SecurityError], 538: usual[SecurityError],
	551: usual[HasMoved], 552: usual[ExceedLimit], 553: {Rejected, Nobody, false}, 555: usual[SyntaxError], 556: usual[NotAccept],
}

// byPhase is what a refusal means that says nothing but where it happened.
var byPhase = map[string]kind{
	"connect": usual[Blocked], "ehlo": usual[Blocked], "tls": usual[FailedStartTLS], "mail": {Rejected, Nobody, false}, "rcpt": {Filtered, OfRecipient, false},
	"data": {PolicyViolation, Nobody, false}, "end": {PolicyViolation, Message, false},
}

// byStatus tells a meaning from the enhanced status, and without one from the code.
func byStatus(code int, enhanced, phase string) Meaning {
	k := usual[Undefined]
	if code >= 200 && code < 300 {
		return Meaning{Category: Accepted}
	}
	_, subject, detail, ok := numbers(enhanced)
	if ok {
		found := false
		if k, found = byDetail[[2]int{subject, detail}]; !found {
			if k, found = bySubject[subject]; !found {
				k = usual[Undefined]
			}
		}
	}
	if k.category == Undefined {
		if c, found := byCode[code]; found {
			k = c
		} else if p, found := byPhase[phase]; found && code >= 500 {
			k = p
		}
	}
	return Meaning{Category: k.category, Party: k.party, Permanent: k.permanent && !temporary(code, enhanced)}
}

// temporary reports whether an answer says of itself that it may pass.
func temporary(code int, enhanced string) bool {
	return code >= 400 && code < 500 || code == 0 && len(enhanced) > 0 && enhanced[0] == '4'
}
