package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
)

// migration is one numbered step of a set, for one or both engines.
type migration struct {
	number int
	name   string
	sql    map[string]string // by engine name
}

// migrations is a whole set.
type migrations struct {
	set   string
	steps []migration
}

// applied is one row of a version table.
type applied struct {
	number   int
	name     string
	checksum string
}

var (
	migrationName = regexp.MustCompile(`^([0-9]{4})_([a-z0-9_]+)\.(sqlite|postgres)\.sql$`)
	setName       = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)
)

// loadMigrations reads a set and refuses one with gaps, with a number for one engine only, or with two names for a number.
func loadMigrations(files fs.FS) (migrations, error) {
	m := migrations{set: "main"}
	if files == nil {
		return m, nil
	}
	if s, ok := files.(Schema); ok {
		m.set = s.Set
	}
	if !setName.MatchString(m.set) {
		return m, fmt.Errorf("schema set name %q: want lower-case letters and digits", m.set)
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return m, nil
		}
		return m, fmt.Errorf("schema %s: %w", m.set, err)
	}
	byNumber := map[int]migration{}
	for _, e := range entries {
		parts := migrationName.FindStringSubmatch(e.Name())
		if parts == nil {
			if e.IsDir() || !isSQL(e.Name()) {
				continue
			}
			return m, fmt.Errorf("schema %s: %s is not named NNNN_name.sqlite.sql or NNNN_name.postgres.sql", m.set, e.Name())
		}
		number, err := strconv.Atoi(parts[1])
		if err != nil {
			return m, fmt.Errorf("schema %s: %s: %w", m.set, e.Name(), err)
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return m, fmt.Errorf("schema %s: %w", m.set, err)
		}
		step, ok := byNumber[number]
		if !ok {
			step = migration{number: number, name: parts[2], sql: map[string]string{}}
		}
		if step.name != parts[2] {
			return m, fmt.Errorf("schema %s: number %04d is both %s and %s", m.set, number, step.name, parts[2])
		}
		step.sql[parts[3]] = string(text)
		byNumber[number] = step
	}
	for _, step := range byNumber {
		if len(step.sql) != 2 {
			return m, fmt.Errorf("schema %s: %04d_%s lacks its .sqlite.sql or .postgres.sql twin", m.set, step.number, step.name)
		}
		m.steps = append(m.steps, step)
	}
	slices.SortFunc(m.steps, func(a, b migration) int { return cmp.Compare(a.number, b.number) })
	for i, step := range m.steps {
		if step.number != i+1 {
			return m, fmt.Errorf("schema %s: number %04d is missing", m.set, i+1)
		}
	}
	return m, nil
}

func isSQL(name string) bool { return len(name) > 4 && name[len(name)-4:] == ".sql" }

// table is the version table of the set.
func (m migrations) table() string { return "store_version_" + m.set }

// pending compares what the database has with what the program knows. It refuses a database that went further, or
// whose steps are not the program's.
func (m migrations) pending(engine string, have []applied) ([]migration, error) {
	for i, a := range have {
		if i >= len(m.steps) {
			return nil, fmt.Errorf("%w: its schema %s is at %04d_%s, this program knows %04d; start the newer program, or restore a backup made before the upgrade",
				ErrNewer, m.set, have[len(have)-1].number, have[len(have)-1].name, len(m.steps))
		}
		if a.number != m.steps[i].number || a.checksum != checksum(m.steps[i].sql[engine]) {
			return nil, fmt.Errorf("schema %s: migration %04d_%s of the database is not the one of this program (%04d_%s): the database belongs to a different build",
				m.set, a.number, a.name, m.steps[i].number, m.steps[i].name)
		}
	}
	return m.steps[len(have):], nil
}

func checksum(sql string) string {
	sum := sha256.Sum256([]byte(sql))
	return hex.EncodeToString(sum[:])
}

// versionTable creates the version table; the same text serves both engines.
func (m migrations) versionTable() string {
	return "CREATE TABLE IF NOT EXISTS " + m.table() +
		" (number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied BIGINT NOT NULL)"
}

func (m migrations) selectVersions() string {
	return "SELECT number, name, checksum FROM " + m.table() + " ORDER BY number"
}

func (m migrations) insertVersion() string {
	return "INSERT INTO " + m.table() + " (number, name, checksum, applied) VALUES (?, ?, ?, ?)"
}

// readVersions reads the version table inside a transaction.
func (m migrations) readVersions(tx *Tx) ([]applied, error) {
	var have []applied
	rows := tx.Query(m.selectVersions())
	for rows.Next() {
		var a applied
		if err := rows.Scan(&a.number, &a.name, &a.checksum); err != nil {
			return nil, err
		}
		have = append(have, a)
	}
	return have, rows.Err()
}
