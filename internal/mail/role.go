package mail

import (
	"slices"
	"strings"
)

// Role is what an address is for when it belongs to a function or a program and not to a person.
type Role string

// The roles.
const (
	NoRole      Role = ""
	DutyRole    Role = "duty"    // postmaster, abuse and others that RFC 2142 reserves for reports
	AdminRole   Role = "admin"   // administrators
	ProgramRole Role = "program" // accounts of programs; bounces to them reach nobody
	ReturnRole  Role = "return"  // where bounces come from or go to
	SilentRole  Role = "silent"  // noreply: says that it reads no answer
)

// roles are the local parts of each role, without anything after a plus sign.
var roles = map[Role][]string{
	DutyRole:    strings.Fields(`postmaster abuse hostmaster webmaster noc security usenet`),
	AdminRole:   strings.Fields(`admin administrator`),
	ProgramRole: strings.Fields(`root www-data www apache httpd nginx wwwrun nobody daemon uucp`),
	ReturnRole:  strings.Fields(`mailer-daemon bounce bounces`),
	SilentRole:  strings.Fields(`noreply no-reply no_reply donotreply do-not-reply do_not_reply nepasrepondre ne-pas-repondre ne_pas_repondre`),
}

// RoleOf is the role of a local part, in any case, with or without a part after a plus sign.
func RoleOf(local string) Role {
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	for role, names := range roles {
		if slices.Contains(names, local) {
			return role
		}
	}
	return NoRole
}
