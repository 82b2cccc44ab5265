package portal

import (
	"net/http"
	"slices"

	"postern/internal/user"
)

// access is what a route asks of its visitor. The zero access lets nobody in.
type access struct {
	anybody  bool       // also without signing in
	self     bool       // whoever is signed in: the page is about himself
	right    user.Right // else: this right
	customer bool       // ... over the customer that the path names as {customer}; false: over the gateway
}

// anybody is what is asked of visitors of public pages.
func anybody() access { return access{anybody: true} }

// itself is what is asked of visitors of pages about the visitor's own account.
func itself() access { return access{self: true} }

// over is a right over the customer of the path.
func over(r user.Right) access { return access{right: r, customer: true} }

// gateway is a right over the gateway as a whole.
func gateway(r user.Right) access { return access{right: r} }

// route is one page or act. Pages that show change nothing; acts are POST, and each leaves a line in the audit log.
type route struct {
	method string // GET or POST
	path   string // http.ServeMux pattern without the method; {customer} is an account.Customer.ID
	access access
	act    string // of POST: the audit log's word, such as "lane.pause"
	body   int64  // bytes that a request may have; 0: maxBody
	do     func(*visit)
}

// pattern is the route as http.ServeMux wants it.
func (r route) pattern() string { return r.method + " " + r.path }

// routes are all pages behind the sign-in, and those about signing in. The pages of a message link stand in handler: their token is another lock.
func (s *site) routes() []route {
	if s.o.Users == nil {
		return nil
	}
	return slices.Concat(
		s.homeRoutes(),
		s.overviewRoutes(), s.todayRoutes(), s.testRoutes(),
		s.queueRoutes(), s.searchRoutes(), s.laneRoutes(), s.addressRoutes(), s.customerRoutes(), s.opSuppressionRoutes(), s.alarmRoutes(), s.sndsRoutes(), s.gmailRoutes(), s.configurationRoutes(), s.liveRoutes(),
		s.signRoutes(),
		s.linkRoutes(),
		s.ssoRoutes(),
		s.passkeyRoutes(),
		s.meRoutes(),
		s.codeRoutes(),
		s.usersRoutes(),
		s.tokensRoutes(),
		s.historyRoutes(),
		s.heldRoutes(),
		s.messageRoutes(),
		s.suppressionRoutes(),
		s.allowRoutes(),
		s.settingsRoutes(),
		s.domainsRoutes(), s.credentialsRoutes(), s.webhooksRoutes(), s.reportsRoutes(),
		s.cardRoutes(),
		s.trustRoutes(),
		s.helpRoutes(),
		s.checkupRoutes(), s.publicCheckupRoutes(),
		s.reputationRoutes(), s.dossierRoutes(),
	)
}

// homeRoutes lead a visitor to his first page.
func (s *site) homeRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/home", access: itself(), do: s.home},
		{method: http.MethodPost, path: "/sign-out", access: itself(), act: "sign-out", do: s.signOut},
	}
}

// home is where a visitor begins: the operator at today's glance, a customer's user at his overview.
func (s *site) home(v *visit) { v.redirect(homeOf(v.who)) }

func homeOf(p user.Principal) string {
	if p.Gateway() {
		return "/o"
	}
	return "/c/" + p.Customer
}

func (s *site) signOut(v *visit) {
	if err := s.o.Users.EndSession(v.r.Context(), v.who.ID, v.session.ID); err != nil {
		v.broken("session not ended", err)
		return
	}
	s.forget(v.w)
	v.redirect("/sign-in")
}
