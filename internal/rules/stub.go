package rules

var (
	mimeEvals     = map[string]evalFunc{}
	headerEvals   = map[string]evalFunc{}
	forgedEvals   = map[string]evalFunc{}
	bodyEvals     = map[string]evalFunc{}
	freemailEvals = map[string]evalFunc{}
	relayEvals    = map[string]evalFunc{}
	listEvals     = map[string]evalFunc{}
	imageEvals    = map[string]evalFunc{}
)
