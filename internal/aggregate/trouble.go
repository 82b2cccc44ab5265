package aggregate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/store"
)

// Codes of what reports tell that somebody must know. Each is the code of an alarm as well.
const (
	TroubleSource = "reports-source" // new sources that nobody knows send much in the domain's name
	TroubleShare  = "reports-share"  // the domain's own mail passes clearly less than it used to
	TroubleTLS    = "reports-tls"    // sessions with the domain's servers fail
	TroubleUnread = "reports-unread" // reports could not be read; of no domain
)

// TroubleCodes returns those that a domain can have.
func TroubleCodes() []string { return []string{TroubleSource, TroubleShare, TroubleTLS} }

// Trouble is something that reports tell and that somebody must know. It begins and ends by what is reported, for the ledger's database: whatever node finds it, once.
type Trouble struct {
	Domain string // "" of TroubleUnread
	Code   string
	Since  time.Time
	Args   map[string]string // for the sentences, by code: see look
}

// Key is what the trouble is about, stable.
func (t Trouble) Key() string { return strings.TrimSpace(troubleKeys + t.Code + " " + t.Domain) }

// troubleKeys is what all keys of troubles begin with.
const troubleKeys = "reports."

// The bounds of troubles. What stands is over only at half of each, so that figures near a bound do not begin and end it every day.
const (
	troubleDays     = 7                // days back that the newest report may be old; what is older tells nothing about now
	sourceDays      = 7                // days in which new sources are looked for
	sourceBefore    = 90               // days before, in which a new source was not seen
	sourceKnown     = 7                // days of them that must be reported, or nothing can be called new
	sourceLeast     = 50               // messages of new sources, and of these...
	sourceShare     = 200              // ...per ten thousand of all messages,
	sourceSmall     = 10               // messages of one source that are worth looking at
	sourceMany      = 1000             // or so many, whatever their share
	shareDays       = 3                // days that are held against the trend
	shareTrend      = 28               // days of the trend
	shareKnown      = 7                // of them that must be reported
	shareLeast      = 100              // messages of the trend
	shareNow        = 30               // messages of the days held against it
	shareFailed     = 20               // of them that fail
	shareDrop       = .05              // of the trend's share
	shareSigma      = 4                // standard deviations: of few messages some always fail
	tlsLeast        = 10               // sessions that failed
	tlsShare        = 100              // per ten thousand of all sessions
	troubleSources  = 40               // sources looked at, and
	troubleNamed    = 3                // named
	troubleBatch    = 50               // domains looked at before others have a turn
	troubleAgain    = 12 * time.Hour   // until a domain with troubles is looked at again: they may end by age
	troubleClaim    = 10 * time.Minute // a domain that a node took and did not finish
	maxTroublesTold = 50               // of one code
)

// Judge looks at the domains about which something came, and notes which troubles began and ended. Run calls it.
func (l *Ledger) Judge(ctx context.Context) error {
	for ctx.Err() == nil {
		domains, err := l.claimLooks(ctx)
		if err != nil {
			return err
		}
		for d, claimed := range domains {
			if err := l.judge(ctx, d, claimed); err != nil {
				return fmt.Errorf("judge reports about %s: %w", d, err)
			}
		}
		if len(domains) < troubleBatch {
			break
		}
	}
	return l.tell(ctx)
}

// claimLooks takes domains that are to be looked at: the time until which nobody else does.
func (l *Ledger) claimLooks(ctx context.Context) (out map[string]int64, err error) {
	now := l.o.Now()
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		out = map[string]int64{}
		rows := tx.Query(sqlLooks, micros(now), troubleBatch)
		for rows.Next() {
			var d string
			if err := rows.Scan(&d); err != nil {
				return err
			}
			out[d] = micros(now.Add(troubleClaim))
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, d := range slices.Sorted(maps.Keys(out)) {
			if _, err := tx.Exec(sqlLook, out[d], d); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// judge looks at one domain, which nobody else does while it is claimed. The figures are read before the database is written to: of a large domain that takes
// a while, and mail waits for the one who writes.
func (l *Ledger) judge(ctx context.Context, d string, claimed int64) error {
	now := l.o.Now()
	today, own := dayOf(now), l.own()
	var was, is map[string]Trouble
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		was, is = map[string]Trouble{}, map[string]Trouble{}
		standing, err := readTroubles(tx.Query(sqlTroublesOf, d))
		if err != nil {
			return err
		}
		for _, t := range standing {
			was[t.Code] = t
		}
		for _, code := range TroubleCodes() {
			var args map[string]string
			switch code {
			case TroubleSource:
				args, err = l.lookSources(tx, d, today, was[code], own)
			case TroubleShare:
				args, err = l.lookShare(tx, d, today, was[code], own)
			case TroubleTLS:
				args, err = l.lookTLS(tx, d, today, was[code])
			}
			if err != nil {
				return err
			}
			if args != nil {
				is[code] = Trouble{d, code, now, args}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.db.Write(ctx, func(tx *store.Tx) error { return settle(tx, d, claimed, now, was, is) }); err != nil {
		return err
	}
	for _, code := range TroubleCodes() {
		before, stood := was[code]
		after, stands := is[code]
		switch {
		case stands && !stood:
			l.o.Changed(ctx, after, true)
		case stood && !stands:
			l.o.Changed(ctx, before, false)
		}
	}
	return nil
}

// settle writes down which troubles of a domain stand, and when it is looked at next.
func settle(tx *store.Tx, d string, claimed int64, now time.Time, was, is map[string]Trouble) error {
	for _, code := range TroubleCodes() {
		t, stands := is[code]
		_, stood := was[code]
		switch {
		case stands:
			text, err := json.Marshal(t.Args)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(sqlTrouble, d, code, micros(now), string(text)); err != nil {
				return err
			}
		case stood:
			if _, err := tx.Exec(sqlTroubleOver, d, code); err != nil {
				return err
			}
		}
	}
	next := int64(0)
	if len(is) > 0 {
		next = micros(now.Add(troubleAgain))
	}
	_, err := tx.Exec(sqlLooked, next, d, claimed)
	return err
}

// countedSources are the sources of some days by the reports that count, the largest first.
func (l *Ledger) countedSources(tx *store.Tx, d string, first, last int64, own map[netip.Addr]bool) ([]Source, error) {
	all, _, err := l.readSources(tx, d, first, last, own)
	return countedOf(all), err
}

// half is a bound for what stands already.
func half(n int64, stands bool) int64 {
	if stands {
		return n / 2
	}
	return n
}

// newestDay is the newest reported day of a table by days; false: there is none that tells about now.
func newestDay(tx *store.Tx, sql, d string, today, discount int64) (day int64, ok bool, err error) {
	err = tx.QueryRow(sql, d, today, discount).Scan(&day)
	return day, err == nil && day > 0 && today-day <= troubleDays, err
}

// lookSources looks for new sources that nobody knows. Its arguments: Domain, Messages, Count (of sources), Sources (the largest), Days.
func (l *Ledger) lookSources(tx *store.Tx, d string, today int64, was Trouble, own map[netip.Addr]bool) (map[string]string, error) {
	newest, ok, err := newestDay(tx, sqlNewestDay, d, today, l.discount())
	if err != nil || !ok {
		return nil, err
	}
	first := newest - sourceDays + 1
	var known, before int64
	if err := tx.QueryRow(sqlKnownDays, d, first-sourceBefore, first-1, l.discount()).Scan(&known); err != nil || known < sourceKnown {
		return nil, err
	}
	sources, err := l.countedSources(tx, d, first, newest, own)
	if err != nil {
		return nil, err
	}
	var all, messages int64
	var names []string
	count, looked := 0, 0
	for i := range sources {
		s := &sources[i]
		all += s.Messages
		if !s.Alarming() || s.Failed() < sourceSmall || looked == troubleSources || s.Text == "" {
			continue
		}
		looked++
		if err := tx.QueryRow(sqlBefore, l.discount(), d, s.Text, first-sourceBefore, first-1).Scan(&before); err != nil {
			return nil, err
		}
		if before >= sourceSmall && before*10 >= s.Messages {
			continue
		}
		messages += s.Failed()
		if count++; len(names) < troubleNamed {
			name := s.Text
			if s.Service != "" {
				name += " (" + s.Service + ")"
			}
			names = append(names, name)
		}
	}
	stands := was.Code != ""
	if messages < half(sourceLeast, stands) || messages*10_000 < all*half(sourceShare, stands) && messages < half(sourceMany, stands) {
		return nil, nil
	}
	return map[string]string{"Domain": d, "Messages": strconv.FormatInt(messages, 10), "Count": strconv.Itoa(count), "Sources": strings.Join(names, ", "), "Days": strconv.Itoa(sourceDays)}, nil
}

// lookShare holds the domain's own mail of the last days against its trend. Its arguments: Domain, Share and Usual (in percent), Failed, Messages, Days, Sources (where most of what fails comes from).
func (l *Ledger) lookShare(tx *store.Tx, d string, today int64, was Trouble, own map[netip.Addr]bool) (map[string]string, error) {
	newest, ok, err := newestDay(tx, sqlNewestDay, d, today, l.discount())
	if err != nil || !ok {
		return nil, err
	}
	first := newest - shareDays + 1
	var known int64
	if err := tx.QueryRow(sqlKnownDays, d, first-shareTrend, first-1, l.discount()).Scan(&known); err != nil || known < shareKnown {
		return nil, err
	}
	whole, err := l.countedSources(tx, d, first-shareTrend, newest, own)
	if err != nil {
		return nil, err
	}
	recent, err := l.countedSources(tx, d, first, newest, own)
	if err != nil {
		return nil, err
	}
	counts := map[string]bool{}
	var trend, now Sum
	for i := range whole {
		if whole[i].counts() {
			counts[whole[i].Text] = true
			trend.add(whole[i].Sum)
		}
	}
	slices.SortStableFunc(recent, func(a, b Source) int { return int(max(min(b.Failed()-a.Failed(), 1), -1)) })
	var names []string
	for i := range recent {
		if s := &recent[i]; counts[s.Text] {
			now.add(s.Sum)
			if s.Failed() > 0 && len(names) < troubleNamed {
				names = append(names, s.Text)
			}
		}
	}
	trend.Messages, trend.Passed = trend.Messages-now.Messages, trend.Passed-now.Passed
	failed := now.Messages - now.Passed
	stands := was.Code != ""
	if trend.Messages < half(shareLeast, stands) || now.Messages < half(shareNow, stands) || failed < half(shareFailed, stands) {
		return nil, nil
	}
	usual, share := float64(trend.Passed)/float64(trend.Messages), float64(now.Passed)/float64(now.Messages)
	bound, sigma := float64(shareDrop), float64(shareSigma)
	if stands { // held against what it was before it began, or it would end by lasting
		if before, err := strconv.ParseFloat(was.Args["Usual"], 64); err == nil {
			usual = before / 100
		}
		bound, sigma = bound/2, sigma/2
	}
	all := (usual*float64(trend.Messages) + share*float64(now.Messages)) / float64(trend.Messages+now.Messages)
	deviation := math.Sqrt(max(all*(1-all), 0) * (1/float64(trend.Messages) + 1/float64(now.Messages)))
	if drop := usual - share; drop < bound || drop < sigma*deviation {
		return nil, nil
	}
	tenth := func(f float64) string { return strconv.FormatFloat(math.Floor(f*1000)/10, 'f', -1, 64) }
	return map[string]string{"Domain": d, "Share": tenth(share), "Usual": tenth(usual), "Failed": strconv.FormatInt(failed, 10), "Messages": strconv.FormatInt(now.Messages, 10), "Days": strconv.Itoa(shareDays), "Sources": strings.Join(names, ", ")}, nil
}

// lookTLS looks at sessions with the domain's servers. Its arguments: Domain, Failed, Sessions, Share (in percent, of those that failed), Results, MX, Days.
func (l *Ledger) lookTLS(tx *store.Tx, d string, today int64, was Trouble) (map[string]string, error) {
	newest, ok, err := newestDay(tx, sqlNewestTLS, d, today, l.discount())
	if err != nil || !ok {
		return nil, err
	}
	first := newest - shareDays + 1
	var good, bad int64
	if err := tx.QueryRow(sqlTLSSum, l.discount(), l.discount(), d, first, newest).Scan(&good, &bad); err != nil {
		return nil, err
	}
	if stands := was.Code != ""; bad < half(tlsLeast, stands) || bad*10_000 < (good+bad)*half(tlsShare, stands) {
		return nil, nil
	}
	var results, servers []string
	rows := tx.Query(sqlTLSFailures, d, first, newest, l.discount(), troubleSources)
	for rows.Next() {
		var result, mx, ip, reason string
		var sessions, unproven, day int64
		if err := rows.Scan(&result, &mx, &ip, &reason, &sessions, &unproven, &day); err != nil {
			return nil, err
		}
		if sessions <= unproven*l.discount() {
			continue
		}
		if result != "" && !slices.Contains(results, result) && len(results) < troubleNamed {
			results = append(results, result)
		}
		if mx != "" && !slices.Contains(servers, mx) && len(servers) < troubleNamed {
			servers = append(servers, mx)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return map[string]string{"Domain": d, "Failed": strconv.FormatInt(bad, 10), "Sessions": strconv.FormatInt(good+bad, 10), "Share": strconv.FormatFloat(float64(bad*1000/(good+bad))/10, 'f', -1, 64), "Results": strings.Join(results, ", "),
		"MX": strings.Join(servers, ", "), "Days": strconv.Itoa(shareDays)}, nil
}

func readTroubles(rows *store.Rows) (out []Trouble, err error) {
	for rows.Next() {
		var t Trouble
		var args string
		if err := rows.Scan(&t.Domain, &t.Code, &t.Since, &args); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(args), &t.Args); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// Troubles lists what stands: of one domain, or the oldest of each code of all domains for "".
func (l *Ledger) Troubles(ctx context.Context, d mail.Domain) (out []Trouble, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) (err error) {
		if d != "" {
			out, err = readTroubles(tx.Query(sqlTroublesOf, string(d)))
			return err
		}
		out = nil
		for _, code := range TroubleCodes() {
			some, err := readTroubles(tx.Query(sqlTroubles, code, maxTroublesTold))
			if err != nil {
				return err
			}
			out = append(out, some...)
		}
		return nil
	})
	return out, err
}

// unread is the trouble with reports that cannot be read, gathered; nil: there is none. Its arguments: Count, Why (with its French beside it, as package alarm takes it) and From (of the newest), Days.
func (l *Ledger) unread(ctx context.Context) (*Trouble, error) {
	var count int64
	var t Trouble
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		count, t = 0, Trouble{Code: TroubleUnread}
		after := micros(l.o.Now().Add(-troubleDays * 24 * time.Hour))
		if err := tx.QueryRow(sqlUnreadSince, stateUnread, after, l.discount()).Scan(&count); err != nil || count == 0 {
			return err
		}
		var why, from string
		if err := tx.QueryRow(sqlUnreadNewest, stateUnread, after, l.discount()).Scan(&why, &from); err != nil {
			return err
		}
		t.Args = map[string]string{"Count": strconv.FormatInt(count, 10), "Why": clip(why, 300), "From": clip(from, 100), "Days": strconv.Itoa(troubleDays)}
		t.Args["Why.fr"] = clip(l.reason.In(locale.French, why), 300)
		return tx.QueryRow(sqlUnreadOldest, stateUnread, after, l.discount()).Scan(&t.Since)
	})
	if err != nil || count == 0 {
		return nil, err
	}
	return &t, nil
}

// tell raises what stands and clears what does not. Each node does: the alarms of nodes with one database are told once.
func (l *Ledger) tell(ctx context.Context) error {
	if l.o.Raise == nil {
		return nil
	}
	all, err := l.Troubles(ctx, "")
	if err != nil {
		return err
	}
	unread, err := l.unread(ctx)
	if err != nil {
		return err
	}
	if unread != nil {
		all = append(all, *unread)
	}
	want := map[string]bool{}
	for _, t := range all {
		want[t.Key()] = true
		l.o.Raise(t)
	}
	for _, key := range l.o.Standing() {
		if strings.HasPrefix(key, troubleKeys) && !want[key] {
			l.o.Clear(key)
		}
	}
	return nil
}
