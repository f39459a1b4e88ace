package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
)

// serveHello is the yardstick: what net/http alone answers on this machine with this load. With a Postgres database it has one handler for
// each kind of trip as well, which makes it by Portvakt's own storage and does nothing else. It returns on failure.
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

// families of refresh tokens: more than there are workers.
const families = 64

// family is one of them, at its live generation.
type family struct {
	id  string
	gen int64
}

// trips serves /read, a grant by its id, /write, a new grant and its event, /both, one after the other, and /use: a grant is read, and the next
// generation of its refresh token made the live one.
func trips(mux *http.ServeMux, database string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, database, store.Options{})
	if err != nil {
		return err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	b := &bare{db: db, idle: make(chan *family, families)}
	for range families {
		f := &family{id: rand.Text()}
		if err := b.write(ctx, f); err != nil {
			return err
		}
		if err := b.redeem(ctx, f); err != nil {
			return err
		}
		b.idle <- f
	}
	serve := func(path string, steps ...func(context.Context, *family) error) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			f := <-b.idle
			defer func() { b.idle <- f }()
			for _, step := range steps {
				if err := step(r.Context(), f); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
			}
			_, _ = io.WriteString(w, "hello")
		})
	}
	another := func(ctx context.Context, _ *family) error { return b.write(ctx, &family{id: rand.Text()}) }
	serve("/read", b.read)
	serve("/write", another)
	serve("/both", b.read, another)
	serve("/use", b.read, b.use)
	return nil
}

type bare struct {
	db   *store.DB
	idle chan *family
}

func (b *bare) read(ctx context.Context, f *family) error {
	return b.db.View(ctx, func(tx *store.Tx) error {
		_, err := tx.GrantByID(f.id)
		return err
	})
}

func (b *bare) write(ctx context.Context, f *family) error {
	return b.change(ctx, func(tx *store.Tx) {
		tx.CreateGrant(store.Grant{ID: f.id, Client: "bench", Data: "{}", CodeUntil: b.db.Now().Add(time.Minute), Expires: b.db.Now().Add(time.Hour)})
	})
}

func (b *bare) redeem(ctx context.Context, f *family) error {
	f.gen = 1
	return b.change(ctx, func(tx *store.Tx) { tx.RedeemCode(f.id, f.gen, b.db.Now().Add(time.Hour)) })
}

func (b *bare) use(ctx context.Context, f *family) error {
	gen := f.gen
	f.gen++
	return b.change(ctx, func(tx *store.Tx) { tx.RotateRefresh(f.id, gen, b.db.Now().Add(time.Hour)) })
}

func (b *bare) change(ctx context.Context, do func(*store.Tx)) error {
	return b.db.Change(ctx, audit.Origin{Actor: "bench"}, func(tx *store.Tx) error {
		do(tx)
		return tx.Record(audit.Event{Kind: audit.TokenIssued, Client: "bench"})
	})
}
