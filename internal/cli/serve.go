package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"postern/internal/app"
	"postern/internal/config"
)

// standardConfig is read when no configuration is named.
const standardConfig = "/etc/postern/postern.yaml"

// paths are the configuration files to read: the one named, else the standard one if it is there, else none.
func (c *command) paths() ([]string, error) {
	if c.config != "" {
		return []string{c.config}, nil
	}
	switch _, err := os.Stat(standardConfig); {
	case err == nil:
		return []string{standardConfig}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	default:
		return nil, fmt.Errorf("configuration: %w; name a file you may read with -c", err)
	}
}

// load reads the configuration that paths names.
func (c *command) load() (*config.Config, error) {
	paths, err := c.paths()
	if err != nil {
		return nil, err
	}
	return config.Source{Env: c.Env}.Load(paths...)
}

func (c *command) serve() *cobra.Command {
	return &cobra.Command{Use: "serve", Short: "Run the gateway", Args: cobra.NoArgs,
		Long: "Run the gateway until it is told to stop (SIGTERM or SIGINT: messages under way may finish). SIGHUP reads the configuration again.\n" +
			"Without a configuration file this machine alone may send, and everything listens on loopback.",
		Example: "  postern serve -c /etc/postern/postern.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runServe(cmd.Context()) }}
}

func (c *command) runServe(ctx context.Context) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(app.Level(conf.Log.Level))
	log := c.logger(conf.Log.Format, level)
	if len(conf.Files) == 0 {
		log.Info("no configuration file: this machine alone may send, everything listens on loopback; `postern config example` prints a file to begin with",
			"data_dir", conf.DataDir, "looked_for", standardConfig)
	}
	for _, w := range conf.Warnings {
		log.Warn("configuration: " + w.Error())
	}
	o := app.Options{Config: conf, Logger: log, Level: level, Version: c.Version}
	if len(conf.Files) > 0 {
		o.Load = c.load
	}
	c.placesForTheDisk()
	gateway, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	reloads := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(reloads)
		c.reloadOnHangup(ctx, ended, gateway, log)
	}()
	c.tellManager(log, "READY=1")
	stop := context.AfterFunc(ctx, func() { c.tellManager(log, "STOPPING=1") })
	defer stop()
	err = gateway.Run(ctx)
	close(ended)
	<-reloads
	return err
}

// diskWaiters is how many goroutines wait for the disk nearly all the time under load: the writers of the two databases.
const diskWaiters = 2

// placesForTheDisk lets as many goroutines run as there are processors besides those that wait for the disk. The runtime counts a goroutine in a
// flush as running until it notices, and one that comes back finds its place taken and queues behind everybody else: with few processors
// and much to do every commit, and every client that waits for it, paid for both. An operator's own GOMAXPROCS stands.
func (c *command) placesForTheDisk() {
	if own, ok := c.Env("GOMAXPROCS"); !ok || own == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + diskWaiters)
	}
}

// reloadOnHangup reads the configuration again at each SIGHUP until the gateway has ended. A refused configuration is logged by the
// gateway, and the running one stays.
func (c *command) reloadOnHangup(ctx context.Context, ended <-chan struct{}, gateway *app.App, log *slog.Logger) {
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-c.Hangup:
			c.tellManager(log, fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicroseconds()))
			_ = gateway.Reload(ctx)
			c.tellManager(log, "READY=1")
		}
	}
}

// monotonicMicroseconds is the machine's CLOCK_MONOTONIC, which the service manager compares its own with (sd_notify(3)).
func monotonicMicroseconds() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano()).Microseconds()
}

// tellManager sends a state to the service manager (sd_notify(3)); nothing happens when none listens.
func (c *command) tellManager(log *slog.Logger, state string) {
	path, ok := c.Env("NOTIFY_SOCKET")
	if !ok || path == "" {
		return
	}
	conn, err := net.Dial("unixgram", path)
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close()
	}
	if err != nil {
		log.Warn("the service manager was not told", "error", err)
	}
}

// logger writes the operator's log to standard error.
func (c *command) logger(format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(c.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(c.Stderr, o))
}
