package storetest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/internal/store"
)

// serverScript starts a server, says "ready", and ends it when its standard input ends: that is when the test binary
// ends, by whatever cause. $1 binaries, $2 folder.
const serverScript = `
trap '' INT TERM HUP
end() { "$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null 2>&1; rm -rf "$2"; }
{ "$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1 &&
  "$1/pg_ctl" -D "$2/data" -l "$2/log" -w -t 60 -o "-k $2 -h '' -F -c synchronous_commit=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB -c autovacuum=off" start >>"$2/log" 2>&1 </dev/null &&
  echo ready; } || { tr '\n' '|' <"$2/log"; echo; }
exec >/dev/null 2>&1
cat >/dev/null
end "$1" "$2"
`

// cluster is a server and the migrated databases that tests copy.
type cluster struct {
	url   string    // of the database "postgres"
	alive io.Closer // the server's standard input: kept here so that only the end of the process closes it

	mu        sync.Mutex
	templates map[string]string // database names by schema digest
	next      int
}

var errNoBinaries = errors.New("no PostgreSQL binaries in /usr/lib/postgresql/*/bin and POSTERN_TEST_POSTGRES is not set")

// server starts the cluster on first use.
var server = sync.OnceValues(startCluster)

func startCluster() (*cluster, error) {
	c := &cluster{templates: map[string]string{}}
	if c.url = os.Getenv("POSTERN_TEST_POSTGRES"); c.url != "" {
		return c, nil
	}
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return nil, err
	}
	if len(bins) == 0 {
		return nil, errNoBinaries
	}
	newest := slices.MaxFunc(bins, func(a, b string) int { return version(a) - version(b) })
	dir, err := os.MkdirTemp("/tmp", "pgt")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", serverScript, "postgres-for-tests", filepath.Dir(newest), dir)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		uid, gid, err := unprivileged()
		if err != nil {
			return nil, errors.Join(err, os.Remove(dir))
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, errors.Join(err, os.Remove(dir))
		}
	}
	if c.alive, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		return nil, fmt.Errorf("PostgreSQL did not start: %s (%v)", strings.TrimSpace(line), err)
	}
	c.url = "postgres:///postgres?host=" + dir + "&user=postgres"
	return c, nil
}

// version is the number in /usr/lib/postgresql/15/bin/initdb.
func version(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

// unprivileged finds a user for the server, which refuses to run as root.
func unprivileged() (uid, gid uint32, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, lookupErr := user.Lookup(name)
		if lookupErr != nil {
			err = lookupErr
			continue
		}
		id, idErr := strconv.ParseUint(u.Uid, 10, 32)
		group, groupErr := strconv.ParseUint(u.Gid, 10, 32)
		return uint32(id), uint32(group), errors.Join(idErr, groupErr)
	}
	return 0, 0, err
}

// PostgresURL makes a fresh database with the given migrations (nil: empty) and returns its URL; the database is
// dropped when the test ends. Without a server the test is skipped.
func PostgresURL(t testing.TB, schema fs.FS) string {
	t.Helper()
	c, err := server()
	if errors.Is(err, errNoBinaries) {
		t.Skipf("NOT TESTED ON POSTGRESQL: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := c.create(t.Context(), schema)
	if err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		if err := c.exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return c.database(name)
}

// database is the URL of another database of the same server.
func (c *cluster) database(name string) string {
	u, err := url.Parse(c.url)
	if err != nil {
		return c.url
	}
	u.Path = "/" + name
	return u.String()
}

func (c *cluster) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// create copies the template of the schema, which it migrates at the first call.
func (c *cluster) create(ctx context.Context, schema fs.FS) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	digest, err := digestOf(schema)
	if err != nil {
		return "", err
	}
	template, ok := c.templates[digest]
	if !ok {
		template = c.fresh("template")
		if err := c.exec(ctx, "CREATE DATABASE "+template); err != nil {
			return "", err
		}
		db, err := store.Open(ctx, store.Options{URL: c.database(template), Migrations: schema})
		if err != nil {
			return "", errors.Join(err, c.exec(ctx, "DROP DATABASE "+template))
		}
		if err := db.Close(); err != nil {
			return "", err
		}
		c.templates[digest] = template
	}
	name := c.fresh("test")
	return name, c.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
}

// fresh is a database name that no other test binary uses on a shared server.
func (c *cluster) fresh(kind string) string {
	c.next++
	return fmt.Sprintf("postern_%s_%d_%d", kind, os.Getpid(), c.next)
}

// digestOf tells schemas apart by their content.
func digestOf(schema fs.FS) (string, error) {
	if schema == nil {
		return "", nil
	}
	h := sha256.New()
	if s, ok := schema.(store.Schema); ok {
		fmt.Fprintf(h, "%s\n", s.Set)
	}
	err := fs.WalkDir(schema, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		text, err := fs.ReadFile(schema, name)
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
