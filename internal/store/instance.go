package store

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/portvakt/portvakt/migrations"
)

// Value reads a word that belongs to the installation as a whole, such as the fingerprint of its keys; "" if unset.
func (t *Tx) Value(name string) (string, error) {
	var v string
	err := t.row([]any{&v}, "select value from instance where name = $1", name)
	if err == ErrNotFound {
		err = nil
	}
	return v, err
}

// ClaimValue sets name to value if it is unset, and gives what it is then.
func (t *Tx) ClaimValue(name, value string) (string, error) {
	t.do("insert into instance (name, value) values ($1, $2) on conflict (name) do nothing", name, value)
	return t.Value(name)
}

// Alone makes others who ask for the same name wait until this unit is over.
func (t *Tx) Alone(name string) {
	t.do("insert into instance (name, value) values ($1, '') on conflict (name) do update set value = instance.value", name)
}

// migration is one file of migrations/.
type migration struct {
	version int
	name    string
	text    string
}

func (db *DB) migrations() ([]migration, error) {
	dir := db.engine.name()
	entries, err := fs.ReadDir(migrations.Files, dir)
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, e := range entries {
		digits, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.Atoi(digits)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("store: migration %s/%s is out of number", dir, e.Name())
		}
		text, err := fs.ReadFile(migrations.Files, dir+"/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, strings.TrimSuffix(e.Name(), ".sql"), string(text)})
	}
	return all, nil
}

const schemaTable = "create table if not exists schema_versions (version bigint primary key, name text not null)"

// Schema gives the version that the database has and the one that this program wants.
func (db *DB) Schema(ctx context.Context) (has, wants int, err error) {
	all, err := db.migrations()
	if err != nil {
		return 0, 0, err
	}
	exists := "select count(*) from information_schema.tables where table_name = 'schema_versions' and table_schema = current_schema()"
	if !db.Postgres() {
		exists = "select count(*) from sqlite_master where name = 'schema_versions'"
	}
	err = db.View(ctx, func(t *Tx) error {
		var n, version int64
		if err := t.row([]any{&n}, exists); err != nil || n == 0 {
			return err
		}
		err := t.row([]any{&version}, "select coalesce(max(version), 0) from schema_versions")
		has = int(version)
		return err
	})
	return has, len(all), err
}

// Migrate brings the schema up to date and names what it ran. Each step is one transaction with its own version row, so
// two instances that start at once run each step once. A schema newer than this program is ErrSchema.
func (db *DB) Migrate(ctx context.Context) ([]string, error) {
	all, err := db.migrations()
	if err != nil {
		return nil, err
	}
	has, wants, err := db.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if has > wants {
		return nil, fmt.Errorf("%w: the database has schema %d, this program knows %d; run the newer program", ErrSchema, has, wants)
	}
	var ran []string
	for _, m := range all[has:] {
		begin, lock := "begin", "select pg_advisory_xact_lock(7038301);" // one migrator at a time
		if !db.Postgres() {
			begin, lock = "begin immediate", ""
		}
		text := fmt.Sprintf("%s;\n%s\n%s;\ninsert into schema_versions (version, name) values (%d, '%s');\n%s\ncommit;",
			begin, lock, schemaTable, m.version, m.name, m.text)
		if err := db.engine.script(ctx, text); err != nil {
			_ = db.engine.script(ctx, "rollback")
			if now, _, again := db.Schema(ctx); again == nil && now >= m.version {
				continue // another instance was faster
			}
			return ran, fmt.Errorf("store: migration %s: %w", m.name, classify(err))
		}
		ran = append(ran, m.name)
	}
	return ran, nil
}
