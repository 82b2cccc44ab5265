package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// steps builds a schema of n migrations; the last of them may be given another text.
func steps(n int, last string) store.Schema {
	files := fstest.MapFS{}
	for i := 1; i <= n; i++ {
		sql := fmt.Sprintf("CREATE TABLE step%d (id TEXT PRIMARY KEY); INSERT INTO step%d VALUES ('a');", i, i)
		if i == n && last != "" {
			sql = last
		}
		for _, engine := range []string{"sqlite", "postgres"} {
			files[fmt.Sprintf("%04d_step.%s.sql", i, engine)] = &fstest.MapFile{Data: []byte(sql)}
		}
	}
	return store.Schema{Set: "steps", FS: files}
}

// eachURL runs f with the address of an empty database of each engine.
func eachURL(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { f(t, "sqlite:"+filepath.Join(t.TempDir(), "new", "test.db")) })
	t.Run("postgres", func(t *testing.T) { f(t, storetest.PostgresURL(t, nil)) })
}

func open(t *testing.T, url string, schema fs.FS) error {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URL: url, Migrations: schema})
	if err == nil {
		err = db.Close()
	}
	return err
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, url string) {
		for _, n := range []int{1, 3, 3} {
			if err := open(t, url, steps(n, "")); err != nil {
				t.Fatalf("to %d: %v", n, err)
			}
		}
		if err := open(t, url, steps(2, "")); !errors.Is(err, store.ErrNewer) {
			t.Errorf("older program: %v, want ErrNewer", err)
		}
		if err := open(t, url, steps(3, "CREATE TABLE other (id TEXT)")); err == nil || !strings.Contains(err.Error(), "different build") {
			t.Errorf("changed migration: %v", err)
		}
		if err := open(t, url, steps(4, "CREATE TABLE half (id TEXT); SELECT no_such_column FROM half")); err == nil {
			t.Error("a failing migration was taken")
		}
		// The failing one left nothing behind, and another set lives beside.
		if err := open(t, url, steps(4, "CREATE TABLE half (id TEXT)")); err != nil {
			t.Errorf("after a failed migration: %v", err)
		}
		if err := open(t, url, sqliteSchema("CREATE TABLE beside (id TEXT)")); err != nil {
			t.Errorf("second set: %v", err)
		}
	})
}

// TestNewerIsRefusedUntouched compares the file before and after the refusal.
func TestNewerIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "test.db")
	if err := open(t, "sqlite:"+name, steps(2, "")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, "sqlite:"+name, steps(1, "")); !errors.Is(err, store.ErrNewer) {
		t.Fatalf("got %v, want ErrNewer", err)
	}
	after, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the refused program changed the file")
	}
}

func TestSchemaFilesAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		files []string
		want  string
	}{
		{"one engine only", []string{"0001_a.sqlite.sql"}, "twin"},
		{"gap", []string{"0001_a.sqlite.sql", "0001_a.postgres.sql", "0003_c.sqlite.sql", "0003_c.postgres.sql"}, "0002 is missing"},
		{"two names", []string{"0001_a.sqlite.sql", "0001_b.postgres.sql"}, "both"},
		{"odd name", []string{"1_a.sql"}, "not named"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			files := fstest.MapFS{}
			for _, f := range tc.files {
				files[f] = &fstest.MapFile{Data: []byte("SELECT 1")}
			}
			err := open(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), files)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestEmbeddedSchemas opens both sets of the product on both engines, on PostgreSQL in one database.
func TestEmbeddedSchemas(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, url string) {
		for _, schema := range []fs.FS{store.SpoolSchema(), store.MainSchema()} {
			if err := open(t, url, schema); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBadURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mysql://x", "sqlite:", "sqlite::memory:", "/var/lib/x.db"} {
		if err := open(t, url, nil); err == nil {
			t.Errorf("%q was opened", url)
		}
	}
}

// TestSecondProcessIsRefused holds a database open in another process, is refused, kills that process and gets in.
func TestSecondProcessIsRefused(t *testing.T) {
	if name := os.Getenv("STORE_TEST_HOLD"); name != "" {
		hold(t, name)
		return
	}
	t.Parallel()
	name := filepath.Join(t.TempDir(), "test.db")
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondProcessIsRefused$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+name)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "held" {
		continue
	}
	err = open(t, "sqlite:"+name, schema())
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "running already") {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The killed process reports the signal as its error.
	_ = cmd.Wait()
	db := storetest.Open(t, store.Options{URL: "sqlite:" + name, Migrations: schema()})
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows after the kill, want the one that was acknowledged", n)
	}
}

// hold opens the database, writes a row and waits to be killed.
func hold(t *testing.T, name string) {
	db, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + name, Migrations: schema()})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), db, "kept", []byte("x")); err != nil {
		t.Fatal(err)
	}
	fmt.Println("\nheld")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}
