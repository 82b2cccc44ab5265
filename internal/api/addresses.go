package api

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Addresses are those that mail leaves from.
type Addresses struct {
	Addresses []EgressAddress `json:"addresses" nullable:"false"`
}

// EgressAddress is an address that mail leaves from, with its pool, its warm-ups and what DNS says of it.
type EgressAddress struct {
	Pool string `json:"pool"`
	PoolAddress
	Today       int          `json:"today" doc:"Messages taken by receivers today, as far as lanes remember"`
	Connections int          `json:"connections" doc:"Open now"`
	Waiting     int          `json:"waiting" doc:"Recipients in memory that wait for their turn"`
	Troubled    []string     `json:"troubled" nullable:"false" doc:"Lanes on which something is in force"`
	Names       *EgressNames `json:"names,omitempty" doc:"What DNS says of it; absent: it was not asked"`
}

// EgressNames is what DNS says of an address that mail leaves from.
type EgressNames struct {
	PTR     []string `json:"ptr" nullable:"false" doc:"The address's names; none: it has none"`
	Back    bool     `json:"back" doc:"One of them leads back to the address"`
	Hello   bool     `json:"hello" doc:"The name said in EHLO leads to the address"`
	Unknown bool     `json:"unknown,omitempty" doc:"DNS gave no answer; the rest says nothing"`
}

// Bounds of what DNS is asked about our addresses.
const (
	namesTime = 5 * time.Second
	mostNamed = 64
)

func (s *server) addresses(ctx context.Context, _ *none) (*body[Addresses], error) {
	if err := s.mayLook(ctx); err != nil {
		return nil, err
	}
	out := Addresses{Addresses: []EgressAddress{}}
	lanes := s.o.Delivery.Lanes()
	for _, pool := range s.o.Delivery.Pools() {
		for _, e := range pool.Egress {
			a := EgressAddress{Pool: pool.Name, PoolAddress: e, Troubled: []string{}}
			for _, l := range lanes {
				if l.Egress != e.IP {
					continue
				}
				a.Today, a.Connections, a.Waiting = a.Today+l.Today, a.Connections+l.Connections, a.Waiting+l.Waiting
				if len(l.InForce) > 0 {
					a.Troubled = append(a.Troubled, l.Lane)
				}
			}
			out.Addresses = append(out.Addresses, a)
		}
	}
	s.askNames(ctx, out.Addresses)
	return &body[Addresses]{out}, nil
}

// askNames asks DNS about all addresses at the same time.
func (s *server) askNames(ctx context.Context, all []EgressAddress) {
	if s.o.Names == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	var wait sync.WaitGroup
	for i := range all[:min(len(all), mostNamed)] {
		a := &all[i]
		ip, err := netip.ParseAddr(a.IP)
		if err != nil {
			continue // the system chooses
		}
		wait.Go(func() {
			n := s.o.Names(ctx, ip, a.HELO)
			n.PTR = append([]string{}, n.PTR...)
			a.Names = &n
		})
	}
	wait.Wait()
}
