package api

import (
	"fmt"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestAnswersOverRestarts: what one process wrote down, the next one knows, on both engines.
func TestAnswersOverRestarts(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
		process := func() *answers { return &answers{db: db, now: func() time.Time { return now }} }
		begin := func(key string, again bool) (int, kept) {
			t.Helper()
			found, k, err := process().begin(t.Context(), key, "token:a", []byte("request"), again)
			if err != nil {
				t.Fatal(err)
			}
			return found, k
		}
		for _, key := range []string{"whole", "died", "died, may be repeated", "refused"} {
			if found, _ := begin(key, false); found != freshRequest {
				t.Fatalf("%s: %d", key, found)
			}
		}
		if err := process().end(t.Context(), "whole", kept{status: 201, whole: true, kind: "application/json", tag: `"t"`, answer: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if err := process().end(t.Context(), "refused", kept{status: 422}); err != nil {
			t.Fatal(err)
		}
		if found, _ := begin("died", false); found != busyRequest {
			t.Errorf("under way: %d", found)
		}
		now = now.Add(underWay)
		if found, k := begin("whole", false); found != knownAnswer || k.status != 201 || !k.whole || string(k.answer) != "{}" || k.kind != "application/json" || k.tag != `"t"` {
			t.Errorf("answered: %d %+v", found, k)
		}
		if found, _ := begin("died", false); found != lostRequest {
			t.Errorf("died in the middle: %d", found)
		}
		if found, _ := begin("died, may be repeated", true); found != freshRequest {
			t.Errorf("died in the middle of what may be repeated: %d", found)
		}
		if found, _ := begin("refused", false); found != freshRequest {
			t.Errorf("refused: %d", found)
		}
		now = now.Add(answerKept)
		if err := process().forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if found, _ := begin("whole", false); found != freshRequest {
			t.Errorf("forgotten: %d", found)
		}
	})
}

// TestAnswersAreBounded: a principal keeps so many keys and no more; others are not touched by it, and old ones make room.
func TestAnswersAreBounded(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
		a := &answers{db: db, now: func() time.Time { return now }}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			for i := range mostAnswers {
				if _, err := tx.Exec(`INSERT INTO api_answer (key, actor, `+answerColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`, fmt.Sprint("k", i), "token:a", []byte("r"), now, 200, true, "", "", []byte{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			actor, key string
			later      time.Duration
			want       int
		}{
			{"token:a", "one more", 0, fullOfKeys},
			{"token:b", "another's", 0, freshRequest},
			{"token:a", "k7", 0, knownAnswer},
			{"token:a", "a day later", answerKept, freshRequest},
		} {
			now = now.Add(x.later)
			if found, _, err := a.begin(t.Context(), x.key, x.actor, []byte("r"), false); err != nil || found != x.want {
				t.Errorf("%s: %d, want %d, %v", x.key, found, x.want, err)
			}
		}
	})
}
