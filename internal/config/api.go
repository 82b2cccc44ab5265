package config

// API says how programs with tokens are served.
type API struct {
	RequestsPerMinute int `key:"requests_per_minute"` // of one token
}

func apiKeys() []Key {
	return []Key{
		{Path: "api", Doc: "The API for programs, below web.base_url at /api; see api.md in the manual."},
		{Path: "api.requests_per_minute", Default: "1200", Unit: "requests", Min: "10", Max: "100000", Restart: true, Doc: "Requests of one token in a minute. Those beyond are answered with status 429 and when to go on."},
	}
}
