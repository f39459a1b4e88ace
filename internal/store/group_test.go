package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
)

// queued returns when the next unit waits for the writer.
func queued(db *DB) {
	for end := time.Now().Add(20 * time.Second); db.engine.(*sqliteEngine).waiting.Load() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// TestLoserOfLostGroup: on SQLite, who lost to a rival of the same group is told of an outage, and not of the rival, if the group is not committed:
// the rival's write never was, and a caller that believes in it refuses what is right and revokes it (FT-03).
func TestLoserOfLostGroup(t *testing.T) {
	db := openLite(t)
	ctx := context.Background()
	for name, lose := range map[string]func(*Tx) error{
		"a must at the end": func(tx *Tx) error {
			tx.must("update instance set value = 'used' where name = 'once' and value = 'new'")
			return nil
		},
		"a row that decides": func(tx *Tx) error {
			var value string
			if err := tx.row([]any{&value}, "update instance set value = 'used' where name = 'once' and value = 'new' returning value"); err == ErrNotFound {
				return ErrConflict
			}
			return nil
		},
	} {
		if err := db.write(ctx, audit.Origin{}, func(tx *Tx) error {
			tx.do("insert into instance (name, value) values ('once', 'new') on conflict (name) do update set value = 'new'")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		type told struct {
			who string
			err error
		}
		answers := make(chan told, 3)
		run := func(who string, fn func(*Tx) error) { answers <- told{who, db.write(ctx, audit.Origin{}, fn)} }
		go run("winner", func(tx *Tx) error {
			tx.must("update instance set value = 'used' where name = 'once' and value = 'new'")
			go run("loser", func(tx *Tx) error {
				go run("last", func(tx *Tx) error { // whose commit fails, and with it all of the group's
					tx.do("pragma defer_foreign_keys = on")
					tx.do("insert into trials (client_id, user_id, fault, state, grant_id, used, verdict, created_at, expires_at) values ('c', 'nobody', 'f', 'armed', '', 0, '', 0, 0)")
					return nil
				})
				queued(db)
				return lose(tx)
			})
			queued(db)
			return nil
		})
		for range 3 {
			select {
			case a := <-answers:
				if a.err == nil || errors.Is(a.err, ErrConflict) {
					t.Errorf("%s: the %s of a group that was not committed got %v", name, a.who, a.err)
				}
			case <-time.After(time.Minute):
				t.Fatal("a unit hangs")
			}
		}
		var value string
		if err := db.View(ctx, func(tx *Tx) error { return tx.row([]any{&value}, "select value from instance where name = 'once'") }); err != nil || value != "new" {
			t.Error(fmt.Errorf("%s: what was undone reads %q: %w", name, value, err))
		}
	}
}
