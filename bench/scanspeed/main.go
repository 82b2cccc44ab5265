// Command scanspeed measures what a scan costs: Postern with its own tests, Postern with SpamAssassin's stock rules, SpamAssassin's spamd and
// rspamd, on the same messages in one run, without network.
//
//	scanspeed -corpus DIR [-n 300] [-rules /usr/share/spamassassin] [-rspamd-rules]
//
// Every engine sees all messages once to warm up and then once to be measured. Processor time is of all its processes; that of the client is
// not counted. What is not installed is left out. rspamd with SpamAssassin's rules compiles for two minutes: -rspamd-rules asks for it.
// Machines are noisy: quote the ratios of one run.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/filter"
	"postern/internal/mail"
	"postern/internal/rules"
)

func main() {
	corpus := flag.String("corpus", "", "`folder` of messages, with folders below")
	n := flag.Int("n", 300, "messages, spread over the corpus")
	dir := flag.String("rules", "/usr/share/spamassassin", "`folder` of SpamAssassin's rules")
	rspamdRules := flag.Bool("rspamd-rules", false, "measure rspamd with SpamAssassin's rules too (two minutes more)")
	flag.Parse()
	messages, err := read(*corpus, *n)
	if err != nil || len(messages) == 0 {
		fmt.Fprintln(os.Stderr, "scanspeed: -corpus:", err, len(messages), "messages")
		os.Exit(2)
	}
	total := 0
	for _, m := range messages {
		total += len(m)
	}
	fmt.Printf("%d messages, %.1f KB each, %d processors\n\n%-44s %10s %10s %10s\n", len(messages), float64(total)/float64(len(messages))/1000, runtime.NumCPU(), "engine", "ms CPU", "start s", "memory MB")
	for _, e := range []struct {
		name string
		run  func() (figures, error)
	}{
		{"Postern, own tests and rules", func() (figures, error) { return own(messages) }},
		{"Postern, SpamAssassin's rules", func() (figures, error) { return stock(messages, *dir) }},
		{"spamd -L, 2 children", func() (figures, error) { return spamd(messages) }},
		{"rspamd, own rules, 2 workers", func() (figures, error) { return rspamd(messages, "") }},
		{"rspamd, SpamAssassin's rules, 2 workers", func() (figures, error) {
			if !*rspamdRules {
				return figures{}, errors.New("not asked for (-rspamd-rules)")
			}
			return rspamd(messages, *dir)
		}},
	} {
		f, err := e.run()
		if err != nil {
			fmt.Printf("%-44s %v\n", e.name, err)
			continue
		}
		fmt.Printf("%-44s %10.2f %10.2f %10.0f\n", e.name, float64(f.cpu.Microseconds())/1000/float64(len(messages)), f.start.Seconds(), f.memory)
	}
}

// figures are what one engine took.
type figures struct {
	cpu, start time.Duration
	memory     float64 // MB resident, of all its processes, shared parts counted by share
}

func read(corpus string, n int) ([][]byte, error) {
	var names []string
	err := filepath.WalkDir(corpus, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "LICENSE" && filepath.Dir(path) != filepath.Clean(corpus) {
			names = append(names, path)
		}
		return err
	})
	var out [][]byte
	for i := range min(n, len(names)) {
		raw, err := os.ReadFile(names[i*len(names)/min(n, len(names))])
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(raw, []byte("From ")) {
			_, raw, _ = bytes.Cut(raw, []byte("\n"))
		}
		out = append(out, bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")))
	}
	return out, err
}

// spent is the processor time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// silent answers no question of the DNS.
type silent struct{}

// Query is dns.Resolver's.
func (silent) Query(context.Context, string, dns.Type) dns.Answer {
	return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
}

func own(messages [][]byte) (figures, error) {
	start := time.Now()
	f, err := filter.New(filter.Options{Resolver: silent{}, Lists: []dnsbl.List{}, Offline: true})
	if err != nil {
		return figures{}, err
	}
	out := figures{start: time.Since(start)}
	for range 2 {
		runtime.GC()
		before := spent()
		for _, raw := range messages {
			if _, err := f.Run(context.Background(), filter.Input{Message: mail.Parse(raw, mail.DefaultLimits())}); err != nil {
				return figures{}, err
			}
		}
		out.cpu = spent() - before
	}
	out.memory = resident(os.Getpid())
	return out, nil
}

func stock(messages [][]byte, dir string) (figures, error) {
	start := time.Now()
	set, _, err := rules.Load([]string{dir}, rules.Options{Local: true})
	if err != nil {
		return figures{}, err
	}
	out := figures{start: time.Since(start)}
	for range 2 {
		runtime.GC()
		before := spent()
		for _, raw := range messages {
			set.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
		}
		out.cpu = spent() - before
	}
	out.memory = resident(os.Getpid())
	return out, nil
}

// program is an engine that runs beside us.
type program struct {
	cmd  *exec.Cmd
	dir  string
	port int
}

// stop ends the program with all its processes.
func (p *program) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
	_ = os.RemoveAll(p.dir)
}

// launch starts a program in a process group of its own and waits until its port answers.
func launch(dir string, port int, patience time.Duration, name string, args ...string) (*program, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &program{cmd, dir, port}
	for end := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", p.address())
		if err == nil {
			return p, c.Close()
		}
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("%s does not answer: %w", name, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *program) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// processes are those of the program's group and their descendants.
func (p *program) processes() []int {
	var out []int
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range dirs {
		if f := stat(name); len(f) > 12 && f[2] == strconv.Itoa(p.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			out = append(out, pid)
		}
	}
	return out
}

// stat are the fields of a process's stat file behind its name: state, parent, group…
func stat(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

const tick = 10 * time.Millisecond // of the kernel's process times

func (p *program) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range p.processes() {
		f := stat(fmt.Sprintf("/proc/%d/stat", pid))
		for _, i := range []int{11, 12} {
			if len(f) > i {
				n, _ := strconv.Atoi(f[i])
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}

// resident is the memory of processes in MB, shared pages divided among those that share them.
func resident(pids ...int) float64 {
	kb := 0
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				n, _ := strconv.Atoi(f[1])
				kb += n
			}
		}
	}
	return float64(kb) / 1000
}

// measure has the program scan every message twice over two connections and returns what the second pass took.
func (p *program) measure(messages [][]byte, scan func(address string, raw []byte) error) (figures, error) {
	var out figures
	for range 2 {
		before := p.cpu()
		var wg sync.WaitGroup
		failed := make(chan error, 2)
		for w := range 2 {
			wg.Go(func() {
				for i := w; i < len(messages); i += 2 {
					if err := scan(p.address(), messages[i]); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wg.Wait()
		select {
		case err := <-failed:
			return out, err
		default:
		}
		out.cpu = p.cpu() - before
	}
	out.memory = resident(p.processes()...)
	return out, nil
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func spamd(messages [][]byte) (figures, error) {
	name, err := exec.LookPath("spamd")
	if err != nil {
		return figures{}, err
	}
	dir, err := os.MkdirTemp("", "scanspeed")
	if err != nil {
		return figures{}, err
	}
	local := filepath.Join(dir, "local.cf")
	if err := os.WriteFile(local, []byte("use_bayes 0\nuse_auto_welcomelist 0\nreport_safe 0\n"), 0o644); err != nil {
		return figures{}, err
	}
	port, start := freePort(), time.Now()
	p, err := launch(dir, port, time.Minute, name, "-L", "-x", "--min-children=2", "--max-children=2", "--max-conn-per-child=1000000", "-i", "127.0.0.1", "-p", strconv.Itoa(port), "-s", "null",
		"--cf=use_bayes 0", "--cf=report_safe 0", "-H", dir, "-r", filepath.Join(dir, "pid"))
	if err != nil {
		return figures{}, err
	}
	defer p.stop()
	took := time.Since(start)
	out, err := p.measure(messages, func(address string, raw []byte) error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, _ = fmt.Fprintf(c, "SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n", len(raw))
		_, _ = c.Write(raw)
		_ = c.(*net.TCPConn).CloseWrite()
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil && !strings.Contains(line, "EX_OK") {
			err = fmt.Errorf("spamd: %s", line)
		}
		_, _ = io.Copy(io.Discard, c)
		return err
	})
	out.start = took
	return out, err
}

// unused are rspamd's modules that ask the network or a database; the comparison is without both.
var unused = []string{"arc", "asn", "dkim", "dkim_signing", "dmarc", "spf", "rbl", "surbl", "mx_check", "fuzzy_check", "phishing", "url_redirector", "greylist",
	"ratelimit", "history_redis", "neural", "reputation", "replies", "antivirus", "dcc", "p0f", "whitelist", "hfilter", "once_received", "bayes_expiry", "known_senders",
	"elastic", "metric_exporter", "external_services", "milter_headers", "multimap", "maillist"}

func rspamd(messages [][]byte, dir string) (figures, error) {
	name, err := exec.LookPath("rspamd")
	if err != nil {
		return figures{}, err
	}
	work, err := os.MkdirTemp("", "scanspeed")
	if err != nil {
		return figures{}, err
	}
	port, control := freePort(), freePort()
	files := map[string]string{
		"options.inc":           "filters = \"chartable,regexp\";\nmap_watch_interval = 10h;\ndns { nameserver = [\"127.0.0.1:9\"]; timeout = 0.1s; retransmits = 1; }\n",
		"worker-normal.inc":     fmt.Sprintf("bind_socket = \"127.0.0.1:%d\";\ncount = 2;\n", port),
		"worker-controller.inc": fmt.Sprintf("bind_socket = \"127.0.0.1:%d\";\n", control),
		"worker-proxy.inc":      "enabled = false;\n",
		"worker-fuzzy.inc":      "enabled = false;\n",
		"logging.inc":           "type = \"file\";\nfilename = \"/dev/null\";\nlevel = \"error\";\n",
	}
	for _, m := range unused {
		files[m+".conf"] = "enabled = false;\n"
	}
	if dir != "" {
		files["spamassassin.conf"] = fmt.Sprintf("ruleset = %q;\n", filepath.Join(dir, "*.cf"))
	}
	for _, sub := range []string{"local.d", "data", "run"} {
		if err := os.MkdirAll(filepath.Join(work, sub), 0o777); err != nil {
			return figures{}, err
		}
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(work, "local.d", file), []byte(text), 0o644); err != nil {
			return figures{}, err
		}
	}
	args := []string{"-f", "-i", "--var=LOCAL_CONFDIR=" + work, "--var=DBDIR=" + filepath.Join(work, "data"), "--var=RUNDIR=" + filepath.Join(work, "run"), "--var=LOGDIR=" + work}
	if u, err := user.Lookup("_rspamd"); err == nil {
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		_ = os.Chmod(work, 0o755)
		for _, sub := range []string{"data", "run"} {
			_ = os.Chown(filepath.Join(work, sub), uid, gid)
		}
		args = append(args, "-u", "_rspamd", "-g", "_rspamd")
	}
	start := time.Now()
	p, err := launch(work, port, 5*time.Minute, name, args...)
	if err != nil {
		return figures{}, err
	}
	defer p.stop()
	took := time.Since(start)
	if dir != "" { // its patterns are compiled in the background; it answers meanwhile, slowly
		took += settle(p)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	out, err := p.measure(messages, func(address string, raw []byte) error {
		r, err := client.Post("http://"+address+"/checkv2", "message/rfc822", bytes.NewReader(raw))
		if err != nil {
			return err
		}
		defer func() { _ = r.Body.Close() }()
		text, err := io.ReadAll(r.Body)
		if err == nil && (r.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"symbols"`))) {
			err = fmt.Errorf("rspamd: %s %.200s", r.Status, text)
		}
		return err
	})
	out.start = took
	return out, err
}

// settle waits until the program has used no processor for three seconds, at most four minutes.
func settle(p *program) time.Duration {
	start := time.Now()
	calm := 0
	for last := p.cpu(); calm < 3 && time.Since(start) < 4*time.Minute; {
		time.Sleep(time.Second)
		now := p.cpu()
		if now-last < 20*time.Millisecond {
			calm++
		} else {
			calm = 0
		}
		last = now
	}
	return time.Since(start)
}
