package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestServerDropsConnections ends the server's side of every connection in the middle of transactions: each Write has
// either happened and is there, or reports ErrBroken, and the database recovers by itself.
func TestServerDropsConnections(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t, schema())
	db := storetest.Open(t, store.Options{URL: url, Migrations: schema(), ReopenAfter: time.Millisecond})
	killer := storetest.Open(t, store.Options{URL: url})
	state, stop := db.Watch(store.TopicState)
	defer stop()
	inside := make(chan struct{})
	killed := make(chan struct{})
	var once sync.Once
	result := make(chan error, 1)
	go func() {
		result <- db.Write(context.Background(), func(tx *store.Tx) error {
			if _, err := tx.Exec("INSERT INTO item (id, body) VALUES ('cut', ?)", []byte("x")); err != nil {
				return err
			}
			once.Do(func() { close(inside) })
			<-killed
			_, err := tx.Exec("INSERT INTO item (id, body) VALUES ('cut2', ?)", []byte("x"))
			return err
		})
	}()
	<-inside
	err := killer.Write(t.Context(), func(tx *store.Tx) error {
		rows := tx.Query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		for rows.Next() {
			continue
		}
		return rows.Err()
	})
	close(killed)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, store.ErrBroken) {
		t.Errorf("got %v, want ErrBroken", err)
	}
	for db.Broken() != nil {
		<-state
	}
	for i := range 40 { // dead connections may still wait in the pool; each is found out once
		err := put(t.Context(), db, fmt.Sprint("after", i), nil)
		if err != nil && !errors.Is(err, store.ErrBroken) {
			t.Fatal(err)
		}
		for db.Broken() != nil {
			<-state
		}
	}
	if err := put(t.Context(), db, "cut", nil); err != nil {
		t.Errorf("the cut transaction left something: %v", err)
	}
}

// TestNotifyReachesOtherProcesses uses two databases on one server as two nodes.
func TestNotifyReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t, nil)
	one := storetest.Open(t, store.Options{URL: url})
	two := storetest.Open(t, store.Options{URL: url})
	ch, stop := two.Watch("topic")
	defer stop()
	<-ch // the listening connection stands: it wakes everybody once
	one.Notify("topic")
	<-ch
}
