package config

// Checkup says who may use the check-up from outside, and how far it goes for him.
type Checkup struct {
	ProbeCustomers bool `key:"probe_customers"`
}

func checkupKeys() []Key {
	return []Key{
		{Path: "checkup", Doc: "The check-up of domains, IPs and sender addresses from outside; see checkup.md in the manual."},
		{Path: "checkup.probe_customers", Default: "true", Restart: true, Doc: "Where a customer checks a domain of his own, the mail servers of its MX are connected to: port 25, greeting and TLS, no recipient and no message; a few times a minute for each customer. false: on customers' pages none is connected to."},
	}
}
