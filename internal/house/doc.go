// Package house holds the plan of the house: which room may import which, as a table that a test enforces. docs/HOUSE.md is
// printed from the same table (`make generate`), so the drawing cannot differ from the building.
//
// The rules (house_test.go): a room imports only what its row names; every package has a comment; files and functions keep
// their measure; no attic folders; no log package, no init functions, no process started by the daemon; each SQL table is named
// only by the room that owns it; every parser of outside bytes has a fuzz target.
package house
