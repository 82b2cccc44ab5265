package portal

import (
	"postern/internal/checkup"
	"postern/internal/reputation"
	"postern/internal/user"
)

// Declared is a route as tests see it.
type Declared struct {
	Method, Path string
	Customer     bool // concerns the customer of the path
	Self, Public bool
	Right        user.Right
	Act          string
}

// DeclaredRoutes are all pages and acts behind the sign-in, as the router has them.
func DeclaredRoutes() (all []Declared) {
	s := &site{o: Options{Users: &user.Ledger{}, Reputation: &reputation.Watch{}, PublicChecker: &checkup.Checker{}}}
	for _, r := range s.routes() {
		all = append(all, Declared{r.method, r.path, r.access.customer, r.access.self, r.access.anybody, r.access.right, r.act})
	}
	return all
}
