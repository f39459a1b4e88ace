package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portvakt/portvakt/internal/store/storetest"
)

// postgres makes an empty database and names it in the variable.
func postgres(t *testing.T, ts *testscript.TestScript, args []string) {
	wants(ts, len(args) == 1, "postgres VARIABLE")
	ts.Setenv(args[0], storetest.Postgres(inScript{t, ts}))
}

// inScript lets helpers of tests fail the script that they help.
type inScript struct {
	testing.TB
	ts *testscript.TestScript
}

func (s inScript) Fatal(args ...any)                 { s.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (s inScript) Fatalf(format string, args ...any) { s.ts.Fatalf(format, args...) }

// secretive takes the address of a database and names in the variable the same with a user who must give the password
// "right"; the address has another one.
func secretive(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) == 2, "secretive VARIABLE DATABASE")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, args[1])
	ts.Check(err)
	defer conn.Close(ctx)
	var rules string
	ts.Check(conn.QueryRow(ctx, "show hba_file").Scan(&rules))
	for _, text := range []string{
		"create role secretive login password 'right'",
		"copy (values ('host all secretive 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust'), ('local all all trust')) to '" + rules + "'",
		"select pg_reload_conf()",
	} {
		_, err := conn.Exec(ctx, text)
		ts.Check(err)
	}
	u, err := url.Parse(args[1])
	ts.Check(err)
	u.User = url.UserPassword("secretive", "wrong")
	for { // until the server has read its rules again
		try, err := pgx.Connect(ctx, u.String())
		if err != nil {
			break
		}
		try.Close(ctx)
		time.Sleep(10 * time.Millisecond)
	}
	ts.Check(ctx.Err())
	ts.Setenv(args[0], u.String())
}

// runSQL runs a statement on a database, behind the program's back.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) == 2, "sql DATABASE STATEMENT")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if path, lite := strings.CutPrefix(args[0], "sqlite:"); lite {
		db, err := sql.Open("sqlite", ts.MkAbs(path))
		ts.Check(err)
		defer db.Close()
		_, err = db.ExecContext(ctx, args[1])
		ts.Check(err)
		return
	}
	conn, err := pgx.Connect(ctx, args[0])
	ts.Check(err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, args[1])
	ts.Check(err)
}

// listing writes to a file who and what there is, with the sums of the key files: two that are equal say that nothing
// was lost or changed between them.
func listing(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) == 1, "listing FILE")
	var all strings.Builder
	for _, noun := range []string{"user", "client", "keys"} {
		ts.Check(ts.Exec("portvakt", noun, "list", "--json"))
		all.WriteString(ts.ReadFile("stdout"))
	}
	files, err := filepath.Glob(ts.MkAbs("keys/*"))
	ts.Check(err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		ts.Check(err)
		fmt.Fprintf(&all, "%s %x\n", filepath.Base(name), sha256.Sum256(text))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(all.String()), 0o600))
}
