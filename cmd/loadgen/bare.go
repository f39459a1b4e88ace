package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"

	"github.com/jackc/pgx/v5/pgconn"
)

// serveHello is the yardstick: what net/http alone answers on this machine with this load. With a Postgres database it has one handler for
// each kind of trip as well, which does that and nothing else: nobody who goes there as often is quicker. It returns on failure.
func serveHello(listen, database string) error {
	mux := http.NewServeMux()
	mux.Handle("/", hello())
	mux.HandleFunc("GET /bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) })
	if database != "" {
		if err := trips(mux, database); err != nil {
			return err
		}
	}
	return http.ListenAndServe(listen, mux)
}

func hello() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})
}

// document is as long as a discovery document.
var document = bytes.Repeat([]byte("0123456789"), 280)

// connections of the yardstick to Postgres: more than there are workers.
const connections = 32

// trips serves /read, a row by its primary key, /write, one row inserted durably, and /both, one after the other.
func trips(mux *http.ServeMux, database string) error {
	ctx := context.Background()
	idle := make(chan *pgconn.PgConn, connections)
	for i := range connections {
		c, err := pgconn.Connect(ctx, database)
		if err != nil {
			return err
		}
		if i == 0 {
			if _, err := c.Exec(ctx, "create table bare (id text primary key, data text); insert into bare values ('one', 'x')").ReadAll(); err != nil {
				return err
			}
		}
		for name, sql := range map[string]string{"read": "select data from bare where id = $1", "write": "insert into bare values ($1, 'x')"} {
			if _, err := c.Prepare(ctx, name, sql, nil); err != nil {
				return err
			}
		}
		idle <- c
	}
	trip := func(name, id string) error {
		c := <-idle
		defer func() { idle <- c }()
		return c.ExecPrepared(ctx, name, [][]byte{[]byte(id)}, nil, nil).Read().Err
	}
	serve := func(path string, do func() error) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := do(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, "hello")
		})
	}
	read := func() error { return trip("read", "one") }
	write := func() error { return trip("write", rand.Text()) }
	serve("/read", read)
	serve("/write", write)
	serve("/both", func() error {
		if err := read(); err != nil {
			return err
		}
		return write()
	})
	return nil
}
