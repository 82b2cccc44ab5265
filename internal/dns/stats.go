package dns

import (
	"errors"
	"sync/atomic"
)

// Stats are counts since the Client was made, for metrics. They are read one by one, so sums may be off by the questions in flight.
type Stats struct {
	Questions    uint64 // asked by callers
	CacheHits    uint64 // answered from the cache
	Shared       uint64 // joined to the same question of another caller
	Busy         uint64 // turned away with ErrBusy
	SentUDP      uint64 // packets sent
	SentTCP      uint64 // packets sent
	Timeouts     uint64 // attempts without answer
	ServFail     uint64 // attempts answered with SERVFAIL or another failure code
	Refused      uint64 // attempts refused
	Bogus        uint64 // attempts with failed DNSSEC validation
	Malformed    uint64 // attempts with a broken or contradictory answer
	Lame         uint64 // attempts at servers that do not answer for the name
	Network      uint64 // attempts at unreachable servers
	Strays       uint64 // packets with a wrong id or question: forged, or late
	CaseFallback uint64 // answers that lost the random letter case
	CacheEntries int    // answers in the cache now
}

type counters struct {
	questions, cacheHits, shared, busy, sentUDP, sentTCP         atomic.Uint64
	timeouts, servFail, refused, bogus, malformed, lame, network atomic.Uint64
	strays, caseFallback                                         atomic.Uint64
}

// Stats are the counts of c.
func (c *Client) Stats() Stats {
	s := &c.stats
	out := Stats{
		Questions: s.questions.Load(), CacheHits: s.cacheHits.Load(), Shared: s.shared.Load(), Busy: s.busy.Load(),
		SentUDP: s.sentUDP.Load(), SentTCP: s.sentTCP.Load(),
		Timeouts: s.timeouts.Load(), ServFail: s.servFail.Load(), Refused: s.refused.Load(), Bogus: s.bogus.Load(),
		Malformed: s.malformed.Load(), Lame: s.lame.Load(), Network: s.network.Load(),
		Strays: s.strays.Load(), CaseFallback: s.caseFallback.Load(),
	}
	if c.cache != nil {
		out.CacheEntries = c.cache.len()
	}
	return out
}

func (c *Client) count(err error) {
	for _, e := range []struct {
		err   error
		count *atomic.Uint64
	}{
		{ErrTimeout, &c.stats.timeouts}, {ErrServFail, &c.stats.servFail}, {ErrRefused, &c.stats.refused}, {ErrBogus, &c.stats.bogus},
		{ErrMalformed, &c.stats.malformed}, {ErrLame, &c.stats.lame}, {ErrNetwork, &c.stats.network},
	} {
		if errors.Is(err, e.err) {
			e.count.Add(1)
			return
		}
	}
}
