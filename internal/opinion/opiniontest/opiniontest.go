// Package opiniontest starts the real clamd and rspamd for tests, each in a folder of its own, as a user without rights, on loopback and
// with signatures and rules of our own: nothing is fetched and no service of the machine is touched. A test is skipped where the program
// is not installed (apt-get install clamav-daemon rspamd); with POSTERN_CI set it fails instead.
package opiniontest

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// VirusText is found by our clamd as Signature, and SpamText by our rspamd as the symbol MADE_UP_TEXT of 7 points. Both are made up; they are
// put together here so that no file holds them whole.
const (
	VirusText = "this made-up text stands " + "for a virus in our tests"
	Signature = "Made.Up.Virus-1.UNOFFICIAL"
	SpamText  = "made-up mark of " + "unwanted mail"
)

// MaxStream is how many bytes our clamd takes.
const MaxStream = 16 << 20

// nobody is the user and group that the programs run as when the tests run as root.
const nobody = 65534

// Clamd is a running ClamAV daemon.
type Clamd struct {
	Socket string // "unix:..."
	TCP    string // "127.0.0.1:port"
	stop   func()
}

// Stop ends it now; the end of the test does it too.
func (c *Clamd) Stop() { c.stop() }

// StartClamd starts clamd with one signature and waits until it answers.
func StartClamd(t testing.TB) *Clamd {
	t.Helper()
	program := find(t, "clamd", "/usr/sbin/clamd")
	dir := folder(t)
	port := freePort(t)
	write(t, filepath.Join(dir, "own.ndb"), "Made.Up.Virus-1:0:*:"+hex.EncodeToString([]byte(VirusText))+"\n")
	socket := filepath.Join(dir, "s")
	write(t, filepath.Join(dir, "clamd.conf"), fmt.Sprintf("Foreground yes\nDatabaseDirectory %s\nTemporaryDirectory %s\nLocalSocket %s\nTCPSocket %d\nTCPAddr 127.0.0.1\n"+
		"StreamMaxLength %d\nMaxThreads 4\nConcurrentDatabaseReload no\n", dir, dir, socket, port, MaxStream))
	c := &Clamd{Socket: "unix:" + socket, TCP: fmt.Sprintf("127.0.0.1:%d", port)}
	c.stop = start(t, dir, func() bool {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		_ = conn.Close()
		conn, err = net.Dial("tcp", c.TCP)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, program, "--config-file="+filepath.Join(dir, "clamd.conf"))
	return c
}

// rspamdRules has one symbol for SpamText and one that shows the envelope as rspamd understood it.
const rspamdRules = `
rspamd_config:register_symbol{name = 'MADE_UP_TEXT', type = 'normal', score = 7.0, group = 'test', description = 'a made-up text', callback = function(task)
  for _, part in ipairs(task:get_text_parts() or {}) do
    if string.find(tostring(part:get_content()), '%s', 1, true) then return true, 1.0, {'in the text'} end
  end
end}
rspamd_config:register_symbol{name = 'ENVELOPE', type = 'normal', score = 0.1, group = 'test', callback = function(task)
  local from, to = task:get_from('smtp'), task:get_recipients('smtp') or {}
  return true, 1.0, {'ip=' .. tostring(task:get_ip()) .. ' helo=' .. (task:get_helo() or ''), 'from=' .. (from and from[1].addr or '-'),
    'rcpt=' .. #to .. ' ' .. (to[1] and to[1].addr or ''), 'user=' .. (task:get_user() or '') .. ' id=' .. (task:get_queue_id() or '')}
end}
`

// rspamdConfig is all that a worker without modules needs. Its list of top level domains is short: compiling the usual one takes half a minute.
const rspamdConfig = `
options {
  filters = "";
  pidfile = "$RUNDIR/pid";
  tempdir = "$RUNDIR";
  control_socket = "$RUNDIR/control mode=0600";
  hs_cache_dir = "$RUNDIR";
  url_tld = "$RUNDIR/tld";
  disable_hyperscan = true;
  allow_raw_input = true;
  local_addrs = [];
  dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }
}
logging { type = "console"; level = "error"; }
worker "normal" { bind_socket = "127.0.0.1:%d"; count = 1; mime = true; }
actions { reject = 15; add_header = 6; greylist = 4; }
lua = "$RUNDIR/rules.lua";
modules { path = "$RUNDIR/none"; }
`

// StartRspamd starts rspamd without modules, with our two rules, and returns its URL and what stops it.
func StartRspamd(t testing.TB) (url string, stop func()) {
	t.Helper()
	program := find(t, "rspamd", "/usr/bin/rspamd")
	dir := folder(t)
	port := freePort(t)
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tld"), "com\nexample\n")
	write(t, filepath.Join(dir, "rules.lua"), fmt.Sprintf(rspamdRules, SpamText))
	write(t, filepath.Join(dir, "rspamd.conf"), fmt.Sprintf(rspamdConfig, port))
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	stop = start(t, dir, func() bool {
		resp, err := http.Get(url + "/ping")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, program, "-f", "-c", filepath.Join(dir, "rspamd.conf"), "--var=RUNDIR="+dir, "--var=DBDIR="+dir)
	return url, stop
}

func find(t testing.TB, name, path string) string {
	t.Helper()
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const notice = "%s is not installed: apt-get install clamav-daemon rspamd"
	if os.Getenv("POSTERN_CI") != "" {
		t.Fatalf(notice, name)
	}
	t.Skipf(notice, name)
	return ""
}

// folder is a folder that the programs may write to, with a name short enough for a socket.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		err = os.Chown(dir, nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// patience bounds the start of a program on a busy machine.
const patience = time.Minute

// start runs a program until the test ends, and returns when it is ready.
func start(t testing.TB, dir string, ready func() bool, program string, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the workers too, and at once: nothing here is worth keeping
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ready() {
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, out.String())
		case <-late:
			t.Fatalf("%s is not ready: %s", program, out.String())
		case <-tick.C:
		}
	}
	return stop
}
