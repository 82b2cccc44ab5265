package reputation

// Likelihood is how well the evidence supports a cause. Text reputation.likelihood.LIKELIHOOD.
type Likelihood string

// The likelihoods. Not measured is not unlikely: unknown is a state of its own.
const (
	Likely            Likelihood = "likely"   // LikelyPoints or more
	Possible          Likelihood = "possible" // PossiblePoints or more
	Unlikely          Likelihood = "unlikely" // fewer, and what the cause would show in was measured
	UnknownLikelihood Likelihood = "unknown"  // fewer, and it was not
)

// What points mean.
const (
	LikelyPoints   = 6
	PossiblePoints = 3
)

// Cause is a cause of listings, with what speaks for it and against. Texts reputation.cause.CODE.name and .means.
type Cause struct {
	Code       string     `json:"code"` // see Causes
	Likelihood Likelihood `json:"likelihood"`
	Points     int        `json:"points"` // sum of the reasons
	Reasons    []Reason   `json:"reasons,omitempty"`
	Missing    []string   `json:"missing,omitempty"` // parts of the evidence that would tell: text reputation.part.PART
}

// Reason is one piece of evidence for a cause (points above 0) or against it. Text reputation.reason.CODE with Args.
type Reason struct {
	Code   string         `json:"code"`
	Points int            `json:"points"`
	Args   map[string]any `json:"args,omitempty"`
}

// The causes.
const (
	CauseNeighbour   = "neighbour"      // another address of the same range
	CauseRelay       = "open-relay"     // strangers send through us
	CauseInfected    = "infected"       // a machine behind the address sends by itself
	CauseCompromised = "compromised"    // a stolen password or a hacked script
	CauseSpoofing    = "spoofing"       // others send in the domain's name
	CauseReverse     = "reverse-dns"    // missing or generic reverse name
	CauseAuth        = "authentication" // no SPF, DKIM or DMARC
	CauseBulk        = "bulk"           // own bulk mail to bad lists and traps
	CauseVolume      = "volume"         // a jump, or an address that is new
	CausePolicy      = "policy"         // ranges that should not send directly
	CauseWide        = "wide"           // the list holds whole ranges
)

// Causes returns the codes of all causes.
func Causes() []string {
	return []string{CauseNeighbour, CauseRelay, CauseInfected, CauseCompromised, CauseSpoofing, CauseReverse, CauseAuth, CauseBulk, CauseVolume, CausePolicy, CauseWide}
}
