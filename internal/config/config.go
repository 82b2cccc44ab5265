// Package config is the roof: it reads the YAML, refuses what it does not know, and hands the other rooms their settings.
//
// # Files
//
// Load reads the file it is given and then conf.d/*.yaml beside it in the order of their names: mappings are merged key
// by key, and a later list or value replaces an earlier one whole. A folder means its postern.yaml. No file at all is
// a complete configuration: see ZeroConfig.
//
// # Values
//
// Times are written "90s", "4h", "1h30m", "90d"; sizes "64KiB", "25MB" (MB = 1,000,000 bytes, MiB = 1,048,576). A list of one
// plain value may stand without brackets. Any plain value may be ${NAME}: it is then taken from the environment, as
// text; a missing variable is an error. A secret stands in a file named by a key that ends in _file, or is given as
// ${NAME} under the key without that ending; it never stands in the configuration and never appears in what
// this package prints. Anchors, aliases, tags and merge keys of YAML are refused: they hide where a value comes from.
//
// # One table
//
// Every key stands once, in the table of table.go, with default, unit, range and meaning. Example, Schema, Effective, Explain and the
// reader itself are made from it and from the Go structs; tests hold that the two have the same keys.
//
// # How it fails
//
// Load returns Problems: every fault of every file at once, each as "file:line:col: key: what is wrong; what is expected". A configuration that
// would make an open relay is a fault: a network as wide as a country, a submission port without TLS off loopback.
// What is doubtful but possible is in Config.Warnings.
//
// # Who calls it
//
// app at start and on reload (Load again, then Diff tells what changed and what needs a restart), cli for
// `postern config`. It starts nothing, opens no port and writes nothing.
package config

import (
	"net/netip"
	"path/filepath"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// Size is a number of bytes.
type Size int64

// Secret is a password or key. Its string forms show only whether there is one.
type Secret string

// String masks the secret.
func (s Secret) String() string {
	if s == "" {
		return "(none)"
	}
	return "(secret)"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText masks the secret in JSON, YAML and structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Config is the whole configuration. What each key means, its unit and default stand in the table, and are printed by
// Example and Explain.
type Config struct {
	Hostname  mail.Domain `key:"hostname"` // "" = the machine's own name
	DataDir   string      `key:"data_dir"`
	Storage   Storage     `key:"storage"`
	Log       Log         `key:"log"`
	Listen    Listen      `key:"listen"`
	TLS       TLS         `key:"tls"`
	Limits    Limits      `key:"limits"`
	Customers []Customer  `key:"customers"`
	Filter    Filter      `key:"filter"`
	Held      Held        `key:"held"`
	Web       Web         `key:"web"`
	Delivery  Delivery    `key:"delivery"`
	DNS       DNS         `key:"dns"`
	Journal   Journal     `key:"journal"`
	Notice    Notice      `key:"notice"`
	Alarm     Alarm       `key:"alarm"`
	DKIM      DKIM        `key:"dkim"`
	Milter    Milter      `key:"milter"`
	Spamd     Spamd       `key:"spamd"`

	Suppression Suppression `key:"suppression"`
	Domains     Domains     `key:"domains"`
	Webhooks    Webhooks    `key:"webhooks"`
	API         API         `key:"api"`
	Blocklists  Blocklists  `key:"blocklists"`

	SNDS            SNDS            `key:"snds"`
	PostmasterTools PostmasterTools `key:"postmaster_tools"`
	Reports         Reports         `key:"reports"`
	Reputation      Reputation      `key:"reputation"`
	Checkup         Checkup         `key:"checkup"`

	// Files are the files read, in order; empty for ZeroConfig.
	Files []string
	// Warnings are doubtful settings that do not stop the start.
	Warnings Problems

	origins map[string]Origin // key path of a value -> where it comes from
}

// Storage says where state is kept.
type Storage struct {
	URL      string `key:"url"` // "" = SQLite files in DataDir
	Password Secret `key:"password_file"`
	Reserve  Size   `key:"reserve"` // 0 = spool.Options.Reserve's default
}

// Log says what the operator's log looks like.
type Log struct {
	Level  string `key:"level"`  // debug, info, warn, error
	Format string `key:"format"` // text, json
}

// Listen names the addresses Postern accepts connections on.
type Listen struct {
	Relay       Listener         `key:"relay"`
	Submission  Listener         `key:"submission"`
	Submissions Listener         `key:"submissions"`
	Bounces     []netip.AddrPort `key:"bounces"` // none = no door of its own
	Web         []netip.AddrPort `key:"web"`
	Metrics     []netip.AddrPort `key:"metrics"`
	AdminSocket string           `key:"admin_socket"` // "" = see Config.AdminSocket
	Milter      []Endpoint       `key:"milter"`       // none = service is off
	Spamd       []Endpoint       `key:"spamd"`        // none = service is off
}

// Listener is one SMTP service.
type Listener struct {
	Address     []netip.AddrPort `key:"address"`      // none = service is off
	BareNewline string           `key:"bare_newline"` // reject, normalize
}

// TLS is the certificate shown to clients.
type TLS struct {
	CertFile string `key:"cert_file"`
	KeyFile  string `key:"key_file"`
}

// SelfSigned reports whether no certificate is given, so that Postern makes its own at the first start.
func (t TLS) SelfSigned() bool { return t.CertFile == "" }

// Limits bound what clients may do; see smtp.Limits for the exact meaning of each.
type Limits struct {
	Connections           int           `key:"connections"`
	ConnectionsPerIP      int           `key:"connections_per_ip"`
	ConnectionsPerNetwork int           `key:"connections_per_network"`
	NewPerMinutePerIP     int           `key:"new_per_minute_per_ip"`
	Messages              int           `key:"messages"`
	Recipients            int           `key:"recipients"`
	Errors                int           `key:"errors"`
	SoftErrors            int           `key:"soft_errors"`
	Junk                  int           `key:"junk"`
	CommandSize           Size          `key:"command_size"`
	AuthSize              Size          `key:"auth_size"`
	AuthFailures          int           `key:"auth_failures"`
	LineSize              Size          `key:"line_size"`
	MessageSize           Size          `key:"message_size"`
	InFlight              Size          `key:"in_flight"`
	CommandTimeout        time.Duration `key:"command_timeout"`
	DataTimeout           time.Duration `key:"data_timeout"`
	SessionTimeout        time.Duration `key:"session_timeout"`
	MinRate               Size          `key:"min_rate"` // per second
	Chunks                int           `key:"chunks"`
	Hops                  int           `key:"hops"`
}

// SMTP returns the limits as the SMTP server takes them. Hops is not among them: it is asked of the message.
func (l Limits) SMTP() smtp.Limits {
	return smtp.Limits{
		Connections:           l.Connections,
		ConnectionsPerIP:      l.ConnectionsPerIP,
		ConnectionsPerNetwork: l.ConnectionsPerNetwork,
		NewPerMinutePerIP:     l.NewPerMinutePerIP,
		Messages:              l.Messages,
		Recipients:            l.Recipients,
		Errors:                l.Errors,
		SoftErrors:            l.SoftErrors,
		Junk:                  l.Junk,
		CommandBytes:          int(l.CommandSize),
		AuthBytes:             int(l.AuthSize),
		AuthFailures:          l.AuthFailures,
		LineBytes:             int(l.LineSize),
		MessageBytes:          int64(l.MessageSize),
		InFlightBytes:         int64(l.InFlight),
		CommandTimeout:        l.CommandTimeout,
		DataTimeout:           l.DataTimeout,
		SessionTimeout:        l.SessionTimeout,
		MinRate:               int(l.MinRate),
		Chunks:                l.Chunks,
	}
}

// Customer is one who may send, as written in the configuration.
type Customer struct {
	ID             string         `key:"id"`
	Name           string         `key:"name"`
	Language       string         `key:"language"`
	Contact        mail.Address   `key:"contact"`
	Networks       []netip.Prefix `key:"networks"`
	Domains        []mail.Domain  `key:"domains"`
	Pool           string         `key:"pool"`
	Mode           string         `key:"mode"`
	Threshold      float64        `key:"threshold"` // 0 = Filter.Threshold
	SelfRelease    bool           `key:"self_release"`
	ReleaseCeiling float64        `key:"release_ceiling"`
	AnyFrom        bool           `key:"any_from"`

	ReturnPath      string `key:"return_path"` // "", kept, ours or a domain
	DropAutoReplies bool   `key:"drop_auto_replies"`

	Scores map[string]float64 `key:"scores"`
	Allow  []string           `key:"allow"` // as account.ParseEntry reads them
	Deny   []string           `key:"deny"`
}

// Accounts returns the customers as the account ledger's SyncConfig takes them, and the name of the file they
// stand in.
func (c *Config) Accounts() (customers []account.Customer, source string) {
	for _, x := range c.Customers {
		customers = append(customers, c.account(x))
	}
	return customers, c.Origin("customers").File
}

func (c *Config) account(x Customer) account.Customer {
	a := account.Customer{
		ID: x.ID, Name: x.Name, Language: x.Language, Contact: x.Contact, Networks: x.Networks, Domains: x.Domains,
		Pool: x.Pool, Mode: x.Mode, Threshold: x.Threshold, SelfRelease: x.SelfRelease,
		ReleaseCeiling: x.ReleaseCeiling, AnyFrom: x.AnyFrom, Origin: account.OriginConfig,
		ReturnPath: x.ReturnPath, DropAutoReplies: x.DropAutoReplies,
	}
	if a.Threshold == 0 {
		a.Threshold = c.Filter.Threshold
	}
	return a
}

// Tuning returns points and lists, everybody's and the customers', as the account ledger's SyncTuning takes them.
func (c *Config) Tuning() account.Tuning {
	var t account.Tuning
	scope := func(id string, scores map[string]float64, allow, deny []string) {
		for _, test := range sortedKeys(scores) {
			t.Overrides = append(t.Overrides, account.Override{Scope: id, Test: test, Points: scores[test]})
		}
		for kind, list := range map[account.ListKind][]string{account.Allow: allow, account.Deny: deny} {
			for _, text := range list {
				if e, err := account.ParseEntry(text); err == nil { // Load refuses others
					e.Scope, e.Kind = id, kind
					t.Entries = append(t.Entries, e)
				}
			}
		}
	}
	scope("", c.Filter.Scores, c.Filter.Allow, c.Filter.Deny)
	for _, x := range c.Customers {
		scope(x.ID, x.Scores, x.Allow, x.Deny)
	}
	return t
}

// CustomerScores are the points that differ for single customers, by id.
func (c *Config) CustomerScores() map[string]map[string]float64 {
	out := map[string]map[string]float64{}
	for _, x := range c.Customers {
		if len(x.Scores) > 0 {
			out[x.ID] = x.Scores
		}
	}
	return out
}

// Filter says how messages are tested.
type Filter struct {
	Enabled   bool               `key:"enabled"`
	Threshold float64            `key:"threshold"` // of customers that name none
	Deadline  time.Duration      `key:"deadline"`
	Scores    map[string]float64 `key:"scores"`
	Allow     []string           `key:"allow"` // as account.ParseEntry reads them
	Deny      []string           `key:"deny"`
	Rules     []string           `key:"rules"` // folders
	DNSBL     DNSBL              `key:"dnsbl"`
	Clamd     Clamd              `key:"clamd"`
	Rspamd    Rspamd             `key:"rspamd"`
}

// Clamd is a virus scanner that is asked about every message. Address "" = none.
type Clamd struct {
	Address     string        `key:"address"` // unix:PATH or host:port
	Timeout     time.Duration `key:"timeout"`
	OnError     string        `key:"on_error"` // pass, defer
	MaxSize     Size          `key:"max_size"`
	Connections int           `key:"connections"`
}

// Rspamd is a spam filter that is asked about every message. URL "" = none.
type Rspamd struct {
	URL         string        `key:"url"`
	Password    Secret        `key:"password_file"`
	Timeout     time.Duration `key:"timeout"`
	OnError     string        `key:"on_error"` // pass, defer
	MaxSize     Size          `key:"max_size"`
	Connections int           `key:"connections"`
	Factor      float64       `key:"factor"`
	MaxPoints   float64       `key:"max_points"`
}

// DNSBL chooses the blocklists asked.
type DNSBL struct {
	Zones map[string]bool `key:"zones"` // name or zone of a list in the built-in directory -> asked or not
	Extra []ExtraList     `key:"extra"`
}

// ExtraList is a blocklist that the built-in directory does not know.
type ExtraList struct {
	Name string      `key:"name"`
	Zone mail.Domain `key:"zone"`
	Kind string      `key:"kind"` // ip, domain
}

// Held says what happens to messages waiting for a person.
type Held struct {
	Keep        time.Duration `key:"keep"`
	DigestAfter time.Duration `key:"digest_after"`
	LinkTTL     time.Duration `key:"link_ttl"`
}

// Web is the portal as seen from outside.
type Web struct {
	BaseURL string     `key:"base_url"` // "" = http:// and the first web address
	Secret  Secret     `key:"secret_file"`
	Session WebSession `key:"session"`
	OIDC    OIDC       `key:"oidc"`
}

// WebSession is how long somebody stays signed in.
type WebSession struct {
	IdleOperator time.Duration `key:"idle_operator"`
	IdleCustomer time.Duration `key:"idle_customer"`
	Absolute     time.Duration `key:"absolute"`
	Audit        time.Duration `key:"audit_retention"`
}

// OIDC is the identity provider that operators sign in with. Issuer "" = none.
type OIDC struct {
	Issuer         string   `key:"issuer"`
	ClientID       string   `key:"client_id"`
	ClientSecret   Secret   `key:"client_secret_file"`
	GroupsClaim    string   `key:"groups_claim"`
	OperatorGroup  string   `key:"operator_group"`
	AbuseGroup     string   `key:"abuse_group"`
	AllowAddresses []string `key:"allow_addresses"`
}

// Delivery says how mail leaves.
type Delivery struct {
	Smarthost   Smarthost              `key:"smarthost"`
	Concurrency Concurrency            `key:"concurrency"`
	Retry       []time.Duration        `key:"retry"` // the last one repeats
	Expire      time.Duration          `key:"expire"`
	DelayNotice time.Duration          `key:"delay_notice"` // 0 = none
	TLS         string                 `key:"tls"`          // opportunistic, none
	TLSRules    []TLSRule              `key:"tls_rules"`
	TLSReports  bool                   `key:"tls_reports"`
	IPv6        bool                   `key:"ipv6"`
	Port        int                    `key:"port"`
	Private     []netip.Prefix         `key:"private_destinations"` // none = the internet only
	Providers   []string               `key:"providers"`            // folders
	Pools       map[string][]Egress    `key:"pools"`
	PoolOptions map[string]PoolOptions `key:"pool_options"`
	WarmUp      []int                  `key:"warm_up"` // messages a day; none = the built-in plan
	Shares      map[string]int         `key:"shares"`
	ReturnPath  ReturnPath             `key:"return_path"`
}

// ReturnPath says what stands in the envelope as the sender of outgoing mail, and where bounces are read. Domain "" = the sender's own
// address is kept, but for customers with a domain of their own for it.
type ReturnPath struct {
	Domain     mail.Domain   `key:"domain"`
	Key        Secret        `key:"key_file"` // "" = made at the first start
	AtRelay    bool          `key:"at_relay"`
	Complaints string        `key:"complaints"`
	Reporters  []mail.Domain `key:"reporters"`
}

// TLSRule is what TLS mail for a domain or towards a mail server must have. One of Domain and Exchanger is set.
type TLSRule struct {
	Domain    mail.Domain `key:"domain"`
	Exchanger mail.Domain `key:"exchanger"`
	TLS       string      `key:"tls"` // none, opportunistic, encrypted, verified
}

// Smarthost is a relay all mail leaves through. Host "" = straight to the recipients' servers.
type Smarthost struct {
	Host     string `key:"host"` // name or address
	Port     int    `key:"port"`
	User     string `key:"user"`
	Password Secret `key:"password_file"`
	TLS      string `key:"tls"` // required, implicit, opportunistic, none
}

// Concurrency bounds outgoing connections.
type Concurrency struct {
	PerDomain int `key:"per_domain"`
	Total     int `key:"total"`
}

// Egress is one address and name mail leaves from.
type Egress struct {
	IP        netip.Addr  `key:"ip"`
	HELO      mail.Domain `key:"helo"`
	WarmSince string      `key:"warm_since"` // a date; "" = it is warm
}

// warmDate is the form of Egress.WarmSince.
const warmDate = "2006-01-02"

// Warm is when the address began to send; zero for one that is warm.
func (e Egress) Warm() time.Time {
	t, err := time.Parse(warmDate, e.WarmSince)
	if err != nil {
		return time.Time{}
	}
	return t
}

// PoolOptions says what happens when the address of a message may not send.
type PoolOptions struct {
	Overflow string `key:"overflow"`       // a pool; "" = the warm addresses of its own
	Strict   bool   `key:"warm_up_strict"` // what the warm-up has no room for waits
	Spill    string `key:"spill"`          // trouble, always, never
}

// AccountPools returns the pools as the account ledger takes them.
func (d Delivery) AccountPools() []account.Pool {
	var pools []account.Pool
	for _, name := range sortedKeys(d.Pools) {
		o := d.PoolOptions[name]
		p := account.Pool{Name: name, Overflow: o.Overflow, Strict: o.Strict, Spill: o.Spill}
		for _, e := range d.Pools[name] {
			p.Egress = append(p.Egress, account.Egress{IP: e.IP, HELO: string(e.HELO), Warm: e.Warm()})
		}
		pools = append(pools, p)
	}
	return pools
}

// DNS is the resolver's settings.
type DNS struct {
	Servers      []netip.AddrPort `key:"servers"` // none = those of /etc/resolv.conf
	Timeout      time.Duration    `key:"timeout"`
	Attempts     int              `key:"attempts"`
	Budget       int              `key:"budget"`
	CacheEntries int              `key:"cache_entries"`
}

// Journal says how long facts are kept.
type Journal struct {
	Retention time.Duration `key:"retention"`
}

// Notice is the sender of Postern's own mail.
type Notice struct {
	From     mail.Address `key:"from"`     // null = postmaster@ the host name
	Operator mail.Address `key:"operator"` // null = From
	Name     string       `key:"name"`
}

// Alarm says when the operator is told, and where besides his mailbox. 0 switches a bound off.
type Alarm struct {
	Lane     int           `key:"lane"`
	LaneAge  time.Duration `key:"lane_age"`
	Customer int           `key:"customer"`
	Total    int           `key:"total"`
	TotalAge time.Duration `key:"total_age"`
	Remind   time.Duration `key:"remind"`
	Keep     time.Duration `key:"history"`
	Webhooks []Webhook     `key:"webhooks"`
}

// Webhook is a web address that alarms are posted to.
type Webhook struct {
	Name   string `key:"name"`
	URL    string `key:"url"`
	Secret Secret `key:"secret_file"`
}

// Webhooks says where customers' and operators' webhooks may lead.
type Webhooks struct {
	Private []netip.Prefix `key:"private_destinations"` // none = the internet only
}

// DKIM says whether mail is signed.
type DKIM struct {
	Sign bool `key:"sign"`
}

// AdminSocket returns the path of the operator's socket.
func (c *Config) AdminSocket() string {
	if c.Listen.AdminSocket != "" {
		return c.Listen.AdminSocket
	}
	return filepath.Join(c.DataDir, "admin.sock")
}

// StorageURL returns the database as store.Open takes it; for SQLite file is the file's name in DataDir ("spool.db", "postern.db"). The
// result for PostgreSQL contains the password: never log it.
func (c *Config) StorageURL(file string) string {
	if c.Storage.URL == "" {
		return "sqlite:" + filepath.Join(c.DataDir, file)
	}
	return withPassword(c.Storage.URL, c.Storage.Password)
}

// BaseURL returns the portal's address without a final slash.
func (c *Config) BaseURL() string {
	if c.Web.BaseURL != "" {
		return trimSlash(c.Web.BaseURL)
	}
	if len(c.Listen.Web) == 0 {
		return ""
	}
	return "http://" + c.Listen.Web[0].String()
}
