package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"postern/bench/sink"
)

// arrivals is what came out at the end, and when.
type arrivals struct {
	from, to    int64 // the messages between which the gateway is measured, when its start is over
	got         atomic.Int64
	first       chan struct{}
	begin, done chan struct{} // at from and to
}

// took counts a message.
func (s *arrivals) took() {
	switch s.got.Add(1) {
	case 1:
		close(s.first)
	case s.from:
		close(s.begin)
	case s.to:
		close(s.done)
	}
}

// serveSink listens on a free port.
func serveSink(ctx context.Context, to int64) (*arrivals, string, error) {
	s := &arrivals{from: to / 6, to: to, first: make(chan struct{}), begin: make(chan struct{}), done: make(chan struct{})}
	addr, err := sink.Serve(ctx, "127.0.0.1:0", s.took)
	return s, addr, err
}

// freeAddr is an address on which nobody listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

const gatewayConfig = `hostname: ` + host + `
data_dir: %s
storage: {reserve: 16MiB}
log: {level: error}
listen:
  relay: {address: %s}
  submission: {address: []}
  submissions: {address: []}
  web: %s
  metrics: []
customers:
  - {id: bench, networks: [127.0.0.1/32], any_from: true, contact: sender@bench.test}
filter: {enabled: false}
dns: {servers: ["127.0.0.1:9"]}
dkim: {sign: false}
delivery:
  smarthost: {host: 127.0.0.1, port: %s, tls: none}
  concurrency: {per_domain: 20}
  pools: {default: [{ip: 127.0.0.1, helo: ` + host + `}]}
`

// measureGateway starts a gateway on the queue and lets it deliver some messages.
func measureGateway(ctx context.Context, dir, program string, n int, row *figures) error {
	standing, stopSink := context.WithCancel(context.WithoutCancel(ctx)) // the sink outlives the gateway: who loses it at the end would leave it alone at the next start
	defer stopSink()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, addr, err := serveSink(standing, int64(n))
	if err != nil {
		return err
	}
	door, err := freeAddr()
	if err != nil {
		return err
	}
	web, err := freeAddr()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(dir, "postern.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, gatewayConfig, dir, door, web, port), 0o600); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program, "serve", "-c", file)
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	began := time.Now()
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	defer func() {
		cancel()
		<-ended
	}()
	opened := make(chan time.Duration, 1)
	go func() {
		for ctx.Err() == nil {
			if c, err := net.Dial("tcp", door); err == nil {
				opened <- time.Since(began)
				_ = c.Close()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	wait := func(what string, c <-chan struct{}) error {
		select {
		case <-c:
			return nil
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the gateway ended before %s: %v", what, err)
		case <-time.After(10 * time.Minute):
			return errors.New("too late: " + what)
		}
	}
	if err := wait("the first message", s.first); err != nil {
		return err
	}
	row.first = time.Since(began)
	select {
	case row.ready = <-opened:
	case <-time.After(time.Minute):
		return errors.New("the door does not open")
	}
	pid := command.Process.Pid
	if err := wait("the message from which it is measured", s.begin); err == nil {
		before, at := processCPU(pid), s.got.Load()
		if err := wait("the last message", s.done); err == nil {
			row.each = (processCPU(pid) - before) / time.Duration(s.got.Load()-at)
		}
	}
	row.peakMB = peakMemory(pid)
	return nil
}

// processCPU is the processor time of a process.
func processCPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// peakMemory is the most memory that a process has held, in MB.
func peakMemory(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1000
		}
	}
	return 0
}
