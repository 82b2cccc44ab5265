package app

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/opinion"
)

// TestScannerAlarms: a failing scanner is one line in the log and one alarm, however many messages show it; its return is a line.
func TestScannerAlarms(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := &App{log: slog.New(slog.NewTextHandler(&log, nil))}
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	c.Filter.Clamd.Address, c.Filter.Clamd.OnError = "unix:/nowhere/clamd.ctl", "defer"
	a.config.Store(c)
	if list := a.opinions(c); len(list) != 1 || list[0].Name != "clamd" || !list[0].Closed || &list[0] != &a.opinions(c)[0] {
		t.Fatalf("scanners %+v", list)
	}
	var told, over []string
	look := func() (keys string) {
		told, over = nil, nil
		a.scannerAlarms(func(x alarm.Alarm) {
			told = append(told, x.Key+"\n"+x.Args["Failed"]+" of "+x.Args["Asked"]+"\n"+x.Args["Why"]+"\n"+x.Args["Consequence"]+"\n"+x.Args["Consequence.fr"])
		}, func(key string) { over = append(over, key) })
		return strings.Join(told, ";")
	}
	if look(); len(told) != 0 {
		t.Errorf("told of a scanner that nobody asked: %v", told)
	}
	failure := &opinion.Error{Scanner: "clamd", Kind: opinion.ErrUnavailable, Cause: errors.New("connection refused")}
	for range 1000 {
		a.scannerAsked("clamd", time.Second, failure)
	}
	a.scannerAsked("clamd", time.Second, nil)
	a.scannerAsked("clamd", time.Second, &opinion.Error{Scanner: "clamd", Kind: opinion.ErrTooLarge})
	if text := look(); len(told) != 1 || !strings.HasPrefix(text, "scanner clamd\n1000 of 1002") || !strings.Contains(text, "connection refused") ||
		strings.Count(text, "451") != 2 {
		t.Errorf("told %q", text)
	}
	if look(); len(told) != 0 {
		t.Errorf("told again without a question: %v", told)
	}
	a.scannerAsked("clamd", time.Second, nil)
	if look(); len(told) != 0 || len(over) != 1 || over[0] != "scanner clamd" {
		t.Errorf("told of a scanner that answers: %v, over %v", told, over)
	}
	if text := log.String(); strings.Count(text, "scanner fails") != 1 || strings.Count(text, "scanner answers again") != 1 || strings.Count(text, "\n") != 2 {
		t.Errorf("log:\n%s", text)
	}
}
