package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/config"
	"postern/internal/filter"
	"postern/internal/milter"
	"postern/internal/spamd"
)

// service is one listener for programs that ask the filter about mail which does not pass through us.
type service struct {
	name     string
	serve    func(context.Context, net.Listener) error
	listener net.Listener
}

// serving is the filter as other programs use it. Nil where nothing listens.
type serving struct {
	milter         *milter.Server
	spamd          *spamd.Server
	passing, asked *filter.Filter // of mail that leaves through a mail server, and of messages that somebody asks about
}

// serviceOptions are those of mail that another server sends: it carries no signature of ours.
func (a *App) serviceOptions(c *config.Config) filter.Options {
	o := a.filterOptions(c, a.resolver)
	o.Unsigned = true
	return o
}

// askedOptions are those of messages somebody asks about: whether they are sent is not known, so no sender is remembered.
func (a *App) askedOptions(c *config.Config) filter.Options {
	o := a.serviceOptions(c)
	o.ReadOnly = true
	return o
}

func milterSettings(c *config.Config) milter.Settings {
	return milter.Settings{Customer: c.Milter.Customer, Threshold: c.Filter.Threshold, Action: c.Milter.Action, OnError: c.Milter.OnError,
		TooLarge: c.Milter.TooLarge, Networks: c.Milter.Networks}
}

func spamdSettings(c *config.Config) spamd.Settings {
	return spamd.Settings{Customer: c.Spamd.Customer, Threshold: c.Filter.Threshold, Language: c.Spamd.Language, Learn: c.Spamd.Learn,
		LearnRemote: c.SpamdLearnRemote(), Networks: c.Spamd.Networks}
}

// openServices opens the listeners of milter and spamd.
func (a *App) openServices(ctx context.Context, c *config.Config) (err error) {
	if len(c.Listen.Milter) > 0 {
		if a.serving.passing, err = filter.New(a.serviceOptions(c)); err != nil {
			return err
		}
		a.serving.milter, err = milter.New(milter.Options{Hostname: a.host, Accounts: a.accounts, Filter: a.serving.passing, Settings: milterSettings(c),
			Limits: milter.Limits{Connections: c.Milter.Connections, MessageBytes: int64(c.Limits.MessageSize), InFlightBytes: int64(c.Limits.InFlight),
				Recipients: c.Limits.Recipients},
			Count:  a.metrics.events("postern_milter_messages_total", "Messages of other mail servers by what they were told to do with them, and connections that were refused or broken."),
			Tested: a.metrics.tested, Logger: a.log})
		if err != nil {
			return err
		}
		if err := a.openService(ctx, "milter", c.Listen.Milter, 0o660, a.serving.milter.Serve); err != nil {
			return err
		}
	}
	if len(c.Listen.Spamd) > 0 {
		if a.serving.asked, err = filter.New(a.askedOptions(c)); err != nil {
			return err
		}
		a.serving.spamd, err = spamd.New(spamd.Options{Hostname: a.host, Version: a.version, Accounts: a.accounts, Filter: a.serving.asked, Learn: a.learn,
			Catalog: a.metrics.catalog, Settings: spamdSettings(c), Limits: spamd.Limits{Connections: c.Spamd.Connections,
				MessageBytes: int64(c.Limits.MessageSize), InFlightBytes: int64(c.Limits.InFlight), Message: c.Limits.DataTimeout},
			Count:  a.metrics.events("postern_spamd_requests_total", "Requests of the spamd protocol by verb, and those that were refused or failed."),
			Tested: a.metrics.tested, Logger: a.log})
		if err != nil {
			return err
		}
		// As SpamAssassin's: every user of the machine may ask; the folder can say otherwise.
		if err := a.openService(ctx, "spamd", c.Listen.Spamd, 0o666, a.serving.spamd.Serve); err != nil {
			return err
		}
	}
	a.missCustomers(c)
	return nil
}

func (a *App) openService(ctx context.Context, name string, at []config.Endpoint, mode fs.FileMode, serve func(context.Context, net.Listener) error) error {
	for _, e := range at {
		var l net.Listener
		var err error
		if e.Path != "" {
			l, err = listenUnix(ctx, e.Path, mode)
		} else {
			l, err = listen(ctx, "tcp", e.Addr)
		}
		if err != nil {
			return fmt.Errorf("listen.%s: %w", name, err)
		}
		a.services = append(a.services, service{name, serve, l})
	}
	return nil
}

// listenUnix opens a socket that others on this machine may use as mode says. What a gateway that was killed left behind is removed.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another program answers on %s", path)
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there and is no socket; remove it, or choose another name", path)
	case err == nil:
		err = os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w; its folder must exist, and Postern's user must be allowed to write there", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// reloadServices takes over what may change while they serve. Everything was checked before.
func (a *App) reloadServices(c *config.Config) {
	if a.serving.milter != nil {
		_ = a.serving.passing.Reload(a.serviceOptions(c))
		_ = a.serving.milter.Reload(milterSettings(c))
	}
	if a.serving.spamd != nil {
		_ = a.serving.asked.Reload(a.askedOptions(c))
		a.serving.spamd.Reload(spamdSettings(c))
	}
	a.missCustomers(c)
}

// missCustomers tells of customers that are named and not there: they may be made later, so that is no error.
func (a *App) missCustomers(c *config.Config) {
	for key, id := range map[string]string{"milter.customer": c.Milter.Customer, "spamd.customer": c.Spamd.Customer} {
		if _, ok := a.accounts.Customer(id); id != "" && !ok {
			a.log.Warn("no such customer; messages are nobody's until there is", "key", key, "account", id)
		}
	}
}

// events makes a counter of what becomes of messages at a service.
func (m *metrics) events(name, help string) func(event string) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
	m.registry.MustRegister(c)
	return func(event string) { c.WithLabelValues(event).Inc() }
}
