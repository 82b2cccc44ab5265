package config

// Checkup says who may use the check-up from outside, and how far it goes for him.
type Checkup struct {
	ProbeCustomers bool `key:"probe_customers"`
	Public         bool `key:"public"`
}

func checkupKeys() []Key {
	return []Key{
		{Path: "checkup", Doc: "The check-up of domains, IPs and sender addresses from outside; see checkup.md in the manual."},
		{Path: "checkup.probe_customers", Default: "true", Restart: true, Doc: "Where a customer checks a domain of his own, the mail servers of its MX are connected to: port 25, greeting and TLS, no recipient and no message; a few times a minute for each customer. false: on customers' pages none is connected to."},
		{Path: "checkup.public", Default: "false", Restart: true, Doc: "Whether anybody may check a domain or an IP at /check without signing in: DNS, blocklists, and the small files that a domain publishes by https; no mail server is connected to; 4 in 8 minutes for each network, 20 in 200 seconds for all, 2 at a time, answers kept for 5 minutes. Their questions go to your resolver and count against what the blocklists allow you."},
	}
}
