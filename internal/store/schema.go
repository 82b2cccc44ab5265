package store

import (
	"embed"
	"io/fs"
)

//go:embed schema
var embedded embed.FS

// Schema is one named set of migrations. The name decides which version table of the database records it, so that
// two sets can live in one PostgreSQL database.
type Schema struct {
	fs.FS
	// Set is the set's name: lower-case letters.
	Set string
}

// SpoolSchema returns the migrations of the hot database: messages and recipients (spool.db).
func SpoolSchema() fs.FS { return embeddedSet("spool") }

// MainSchema returns the migrations of everything else: accounts, journal and so on (postern.db).
func MainSchema() fs.FS { return embeddedSet("main") }

func embeddedSet(set string) fs.FS {
	sub, err := fs.Sub(embedded, "schema/"+set)
	if err != nil {
		panic("store: schema set name " + set + " is not a path: " + err.Error())
	}
	return Schema{FS: sub, Set: set}
}
