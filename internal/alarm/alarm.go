// Package alarm tells the operator what he must know now: by mail, and by webhooks in a lane of their own, signed and retried, that never passes
// through the mail queue. What is raised stays raised until it is cleared, and is told once, again after a while, and at its end.
package alarm

import (
	"context"
	"time"
)

// Severity of an alarm.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Alarm is a state that the operator must know of.
type Alarm struct {
	Key      string // what it is about, stable: "queue.lane orange 192.0.2.10"
	Severity Severity
	Code     string            // the sentence (locale: alarm.CODE)
	Args     map[string]string // for the sentence
	Since    time.Time
}

// Alarms is the room. Its methods may be called from many goroutines and do not wait.
type Alarms struct{}

// Raise begins an alarm, or goes on with it.
func (a *Alarms) Raise(x Alarm) {}

// Clear ends the alarm of that key, if there is one.
func (a *Alarms) Clear(key string) {}

// Tell is for what happens once and has no end.
func (a *Alarms) Tell(x Alarm) {}

// Raised returns what stands, the oldest first.
func (a *Alarms) Raised() []Alarm { return nil }

// Run sends. It returns nil when ctx ends.
func (a *Alarms) Run(ctx context.Context) error { <-ctx.Done(); return nil }
