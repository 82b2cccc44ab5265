package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgChannel is the one channel of LISTEN/NOTIFY; the topic travels as its payload.
const pgChannel = "postern"

// notify implements engine: the topic is sent by a background goroutine, merged with others that wait.
func (e *pgEngine) notify(topic string) {
	e.pendingMu.Lock()
	e.pending[topic] = struct{}{}
	e.pendingMu.Unlock()
	e.notifying.Do(func() { e.spawn(e.sendNotifications) })
	signal(e.pendingCh)
}

func (e *pgEngine) sendNotifications() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.pendingCh:
		}
		e.pendingMu.Lock()
		topics := make([]string, 0, len(e.pending))
		for t := range e.pending {
			topics = append(topics, t)
		}
		clear(e.pending)
		e.pendingMu.Unlock()
		slices.Sort(topics)
		send, cancel := context.WithTimeout(e.ctx, 10*time.Second)
		_, err := e.pool.Exec(send, "SELECT pg_notify($1, t) FROM unnest($2::text[]) AS t", pgChannel, topics)
		cancel()
		if err != nil && e.ctx.Err() == nil {
			// Watchers in other processes also look by themselves from time to time.
			e.log.Warn("wake-up not sent to other nodes", "error", err)
		}
	}
}

// watch implements engine: the first watcher starts the listening connection.
func (e *pgEngine) watch() {
	e.listen.Do(func() { e.spawn(e.receiveNotifications) })
}

// receiveNotifications listens on a connection of its own and comes back after each loss. While it was away wake-ups
// may have been missed, so each beginning wakes everybody.
func (e *pgEngine) receiveNotifications() {
	pause := e.options.ReopenAfter
	for e.ctx.Err() == nil {
		began := time.Now()
		err := e.receive()
		if e.ctx.Err() != nil {
			return
		}
		e.log.Warn("wake-ups from other nodes interrupted", "error", err)
		if time.Since(began) > maxReopenPause {
			pause = e.options.ReopenAfter
		}
		select {
		case <-e.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxReopenPause)
	}
}

func (e *pgEngine) receive() error {
	conn, err := pgx.ConnectConfig(e.ctx, e.config.ConnConfig.Copy())
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), time.Second)
		defer cancel()
		// The connection is given up either way.
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(e.ctx, "LISTEN "+pgChannel); err != nil {
		return err
	}
	e.hub.wakeAll()
	for {
		n, err := conn.WaitForNotification(e.ctx)
		if err != nil {
			return err
		}
		e.hub.wake(n.Payload)
	}
}
