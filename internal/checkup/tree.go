package checkup

import "net/netip"

// SPFTree is an SPF record with the records that it leads to, and what each of its terms costs (RFC 7208 4.6.4).
type SPFTree struct {
	Domain  string    `json:"domain"`  // whose record this is
	Record  string    `json:"record"`  // as published
	Lookups int       `json:"lookups"` // terms that ask DNS, of all records; receivers stop at 10
	Voids   int       `json:"voids"`   // answers without a record among them; receivers stop at 2
	Nodes   []SPFNode `json:"nodes"`   // the terms in their order
}

// SPFNode is one term of an SPF record.
type SPFNode struct {
	Term      string       `json:"term"`                // as published: "include:_spf.example.net"
	Name      string       `json:"name,omitempty"`      // that it asks for; "" when it asks nothing, or the name holds a macro
	Record    string       `json:"record,omitempty"`    // the SPF record found there, of include and redirect
	Lookups   int          `json:"lookups"`             // what it costs, with all below it
	Voids     int          `json:"voids"`               // answers without a record, with all below it
	Result    string       `json:"result"`              // "found", "nothing", "try later", "loop", "deep", "macro", "several", "no record", "" when nothing was asked
	Addresses []netip.Addr `json:"addresses,omitempty"` // what a and mx lead to today
	Children  []SPFNode    `json:"children,omitempty"`  // the terms of Record
}
