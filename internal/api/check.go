package api

import (
	"context"
	"net/http"
	"net/netip"

	"postern/internal/checkup"
	"postern/internal/mail"
	"postern/internal/user"
)

// addChecks registers the check-up of anything from outside.
func (s *server) addChecks() {
	add(s, http.MethodGet, "/v1/check", "check", "Look at a domain, an IP or a sender address as receivers do", over(user.SetupRead), s.check)
}

type checkIn struct {
	ForCustomer
	Target    string   `query:"target" required:"true" minLength:"1" maxLength:"320" doc:"A domain, an IP or a mail address"`
	HELO      string   `query:"helo" maxLength:"253" doc:"The name that the sending server says in HELO"`
	Selectors []string `query:"selectors" maxItems:"8" doc:"DKIM selectors to look at; those of keys that the gateway has for the customer's domains are known"`
	IPs       []string `query:"ips" maxItems:"8" doc:"Addresses that the domain's mail leaves from, beside the gateway's"`
	Language  string   `query:"language" enum:"en,fr" default:"en"`
}

func (s *server) check(ctx context.Context, in *checkIn) (*body[checkup.CheckJSON], error) {
	if s.o.Checker == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway makes no check-ups")
	}
	t, err := checkup.ParseTarget(in.Target)
	if err != nil {
		return nil, invalid("target: %v", plain(err))
	}
	ask := checkup.Ask{HELO: in.HELO, Customer: in.Customer}
	if in.HELO != "" {
		if _, err := mail.ParseDomain(in.HELO); err != nil {
			return nil, invalid("helo: %v", plain(err))
		}
	}
	for _, x := range in.Selectors {
		if err := checkup.CheckSelector(x); err != nil {
			return nil, invalid("selectors: %v", plain(err))
		}
		ask.Selectors = append(ask.Selectors, x)
	}
	for _, x := range in.IPs {
		ip, err := netip.ParseAddr(x)
		if err != nil || ip.Zone() != "" {
			return nil, invalid("ips: write addresses such as 192.0.2.25 or 2001:db8::25")
		}
		ask.IPs = append(ask.IPs, ip.Unmap())
	}
	if err := s.mayLook(ctx); err != nil {
		return nil, err
	}
	r, err := s.o.Checker.Check(ctx, t, ask)
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[checkup.CheckJSON]{r.JSON(s.texts, in.Language)}, nil
}
