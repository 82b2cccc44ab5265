// Package world is a small internet on loopback: a DNS server, mail providers
// with manners of their own, and senders. It knows only SMTP and DNS; the
// demonstration and tests put a gateway in its middle.
package world
