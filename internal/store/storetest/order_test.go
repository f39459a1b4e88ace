package storetest

import (
	"testing"

	"github.com/portvakt/portvakt/internal/store"
)

// TestMisplaced: each order that two units once had both ways round is told, and those of today are not.
func TestMisplaced(t *testing.T) {
	count := store.Statement{SQL: "insert into attempts (lane) values ($1)\non conflict (lane) do update set n = attempts.n", Args: []any{"P:known:X"}}
	unlock := store.Statement{SQL: count.SQL, Args: []any{"unlock:S"}}
	do := func(sql string) store.Statement { return store.Statement{SQL: sql} }
	hold, factors, flows := do("update users set id = id where id = $1"), do("delete from factors where user_id = $1"), do("delete from flows where user_id = $1")
	session, grants := do("update sessions set id = id where id = $1"), do("with t as (update grants set gen = 1 returning 1), e as (insert into events values ($1)) select 1")
	revision, client := do("update instance set value = 2 where name = 'revision'"), do("update clients set secret = $1")
	for name, c := range map[string]struct {
		unit  []store.Statement
		right bool
	}{
		"a sign-in":                         {[]store.Statement{count, hold, factors, session, grants, flows}, true},
		"a count after the person":          {[]store.Statement{hold, factors, count}, false},
		"a count that was held before":      {[]store.Statement{count, hold, factors, count}, true},
		"an unlocking":                      {[]store.Statement{count, hold, unlock, session}, true},
		"the person after their session":    {[]store.Statement{count, unlock, session, hold}, false},
		"the person after their factors":    {[]store.Statement{flows, factors, hold}, false},
		"a person, flows before sessions":   {[]store.Statement{hold, flows, session}, false},
		"no person":                         {[]store.Statement{factors, flows}, false},
		"a logout":                          {[]store.Statement{session, grants}, true},
		"grants before their session":       {[]store.Statement{grants, session}, false},
		"an application":                    {[]store.Statement{client, grants, revision}, true},
		"the revision first":                {[]store.Statement{revision, client}, false},
		"what a unit makes is nobody's yet": {[]store.Statement{do("insert into users (id) values ($1)"), factors, session}, true},
	} {
		if fault, unit := misplaced(c.unit); (fault == "") != c.right {
			t.Errorf("%s, %v: %q", name, unit, fault)
		}
	}
}
