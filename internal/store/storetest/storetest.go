// Package storetest runs a test on every database engine.
package storetest

import (
	"io/fs"
	"testing"

	"postern/internal/store"
)

// Each runs f once per engine, each time on a fresh database with the given migrations.
func Each(t *testing.T, schema fs.FS, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Skip("not yet")
}
