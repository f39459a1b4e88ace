package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/migrations"
)

// openLite opens a migrated SQLite database without keys; such a one cannot seal, which these tests do not need.
func openLite(t *testing.T) *DB {
	t.Helper()
	db, err := Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "t.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestNumbersBind pins that the SQLite driver binds $n by number and not by first appearance: the shared SQL text
// depends on it.
func TestNumbersBind(t *testing.T) {
	db := openLite(t)
	err := db.View(context.Background(), func(tx *Tx) error {
		var a, b, c string
		if err := tx.row([]any{&a, &b, &c}, "select $2, $1, $2", "one", "two"); err != nil {
			return err
		}
		if a != "two" || b != "one" || c != "two" {
			t.Errorf("$2, $1, $2 gave %s, %s, %s", a, b, c)
		}
		var many string
		if err := tx.row([]any{&many}, "select $10 || $1", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"); err != nil {
			return err
		}
		if many != "101" {
			t.Errorf("$10 || $1 gave %s", many)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDurable pins what a power cut may take: nothing that was answered.
func TestDurable(t *testing.T) {
	db := openLite(t)
	err := db.Housekeep(context.Background(), func(tx *Tx) error {
		var mode string
		var sync, keys int64
		if err := errors.Join(tx.row([]any{&mode}, "pragma journal_mode"), tx.row([]any{&sync}, "pragma synchronous"), tx.row([]any{&keys}, "pragma foreign_keys")); err != nil {
			return err
		}
		if mode != "wal" || sync != 2 || keys != 1 {
			t.Errorf("journal_mode %s, synchronous %d (want 2, FULL), foreign_keys %d", mode, sync, keys)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDiskFull: a full disk refuses the change and everyone in its group, loses nothing, and is over when there is room.
func TestDiskFull(t *testing.T) {
	db := openLite(t)
	ctx := context.Background()
	write := func(n int) error {
		return db.write(ctx, audit.Origin{}, func(tx *Tx) error {
			for i := range n {
				tx.do("insert into instance (name, value) values ($1, $2)", fmt.Sprint(time.Now().UnixNano(), i), strings.Repeat("x", 4000))
			}
			return nil
		})
	}
	count := func() (n int64) {
		if err := db.View(ctx, func(tx *Tx) error { return tx.row([]any{&n}, "select count(*) from instance") }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	limit := func(pages string) {
		lite := db.engine.(*sqliteEngine)
		lite.mu.Lock()
		defer lite.mu.Unlock()
		if _, err := lite.writer.ExecContext(ctx, "pragma max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(3); err != nil {
		t.Fatal(err)
	}
	before := count()
	limit("1") // SQLite takes the present size instead
	if err := write(50); !errors.Is(err, ErrOutage) {
		t.Errorf("a full disk gave %v, want ErrOutage", err)
	}
	if after := count(); after != before {
		t.Errorf("%d rows before the full disk, %d after", before, after)
	}
	limit("1000000")
	if err := write(50); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if after := count(); after != before+50 {
		t.Errorf("%d rows, want %d", after, before+50)
	}
}

// TestSchemas compares tables, columns, types and indexes of the two schema texts.
func TestSchemas(t *testing.T) {
	lite, post := describe(t, "sqlite"), describe(t, "postgres")
	for name, columns := range post {
		if lite[name] != columns {
			t.Errorf("%s differs:\npostgres %s\nsqlite   %s", name, columns, lite[name])
		}
	}
	for name := range lite {
		if _, ok := post[name]; !ok {
			t.Errorf("%s is in sqlite alone", name)
		}
	}
	if len(post) < 10 {
		t.Errorf("only %d tables were found", len(post))
	}
}

var (
	tablePattern = regexp.MustCompile(`(?s)create table (\w+) \((.*?)\n\)`)
	indexPattern = regexp.MustCompile(`create (?:unique )?index (\w+) on ([^;]*);`)
	spacePattern = regexp.MustCompile(`\s+`)
)

// describe gives each table and index with its text, in one dialect.
func describe(t *testing.T, engine string) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := fs.Glob(migrations.Files, engine+"/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	same := strings.NewReplacer("bytea", "blob", "bigint", "integer")
	for _, f := range files {
		text, err := fs.ReadFile(migrations.Files, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tablePattern.FindAllStringSubmatch(string(text), -1) {
			out["table "+m[1]] = spacePattern.ReplaceAllString(same.Replace(m[2]), " ")
		}
		for _, m := range indexPattern.FindAllStringSubmatch(string(text), -1) {
			out["index "+m[1]] = m[2]
		}
	}
	return out
}
