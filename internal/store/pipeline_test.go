package store

import (
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
)

// Alike gives the statements that were made of several, for tests from outside.
func Alike(db *DB) (texts []string) {
	p := db.engine.(*postgres)
	for _, g := range []*gatherer{p.reads, p.adds} {
		g.texts.Range(func(_, sql any) bool { texts = append(texts, sql.(string)); return true })
	}
	return texts
}

func TestAlikeSQL(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{rowsSQL("insert into a (b, c) values ($1, 0, $2)", 2, 2), "insert into a (b, c) values ($1, 0, $2), ($3, 0, $4)"},
		{rowsSQL("with touched as (insert into a (b)\nvalues ($1)) insert into c (d, e)\nvalues ($3, $2)", 3, 3),
			"with touched as (insert into a (b)\nvalues ($1), ($4), ($7)) insert into c (d, e)\nvalues ($3, $2), ($6, $5), ($9, $8)"},
		{keysSQL("select a.b from a\nwhere a.id = $1", "", 2), "select k.n, r.* from (values (0, $1::text), (1, $2::text)) as k (n, key) " +
			"cross join lateral (select a.b from a\nwhere a.id = k.key limit 1) as r"},
		{keysSQL("select b from a where id = $1", []byte{}, 1), "select k.n, r.* from (values (0, $1::bytea)) as k (n, key) " +
			"cross join lateral (select b from a where id = k.key limit 1) as r"},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
}

// TestOwnTexts: whatever is added under a new id can be made rows of one statement, with every parameter in its place.
func TestOwnTexts(t *testing.T) {
	tx := &Tx{db: openLite(t), now: time.Now()}
	tx.CreateGrant(Grant{ID: "g"})
	tx.CreatePushed(Pushed{ID: []byte("p")})
	if err := tx.CreateFlow(Flow{}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Record(audit.Event{Kind: audit.TokenIssued}); err != nil {
		t.Fatal(err)
	}
	if len(tx.queue) != 4 {
		t.Fatalf("%d statements", len(tx.queue))
	}
	for _, s := range tx.queue {
		one, n := parameter.FindAllString(s.sql, -1), len(s.args)
		two := parameter.FindAllString(rowsSQL(s.sql, 2, n), -1)
		if !s.own || len(one) != n || len(two) != 2*n || strings.Join(two[:n], " ") != strings.Join(one, " ") ||
			strings.Join(two[n:], " ") != shiftParameters(strings.Join(one, " "), n) {
			t.Errorf("%s\nhas %d arguments; two of it have the parameters %s", s.sql, n, two)
		}
	}
}
