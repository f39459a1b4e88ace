package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	linkMost  = 16               // connections, unless the address says pool_max_conns
	linkTrust = time.Second      // one that was used since is used again without a sign of life
	linkRest  = 30 * time.Minute // one that was not used since is closed
	linkLife  = time.Hour        // one that is older makes room for a new one: servers move
	linkTexts = 500              // statements that are kept prepared on one
)

// links are connections to Postgres, each for one caller at a time.
type links struct {
	config *pgconn.Config
	seats  chan struct{} // one for each connection in use
	mu     sync.Mutex
	idle   []*link // the one used last stands last
}

// openLinks reads the address; it connects to nothing yet. Who waits for a lock gives up after the time lock.
func openLinks(url string, lock time.Duration) (*links, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the database address cannot be read: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 2 * time.Second
	}
	params, most := config.RuntimeParams, linkMost
	for name, value := range params {
		if !strings.HasPrefix(name, "pool_") {
			continue // a setting of the server
		}
		if most, err = strconv.Atoi(value); err != nil || most < 1 || name != "pool_max_conns" {
			return nil, fmt.Errorf("the database address cannot be read: %s=%s; only pool_max_conns is known, a number over 0", name, value)
		}
		delete(params, name)
	}
	for name, value := range map[string]string{"application_name": "portvakt", "statement_timeout": millis(5 * lock),
		"lock_timeout": millis(lock), "idle_in_transaction_session_timeout": "10000"} {
		if params[name] == "" {
			params[name] = value
		}
	}
	return &links{config: config, seats: make(chan struct{}, most)}, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// take gives a connection, an old one if it answers. Every one that is taken is given back.
func (p *links) take(ctx context.Context) (*link, error) {
	select {
	case p.seats <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for ctx.Err() == nil {
		l := p.last()
		if l == nil {
			break
		}
		if time.Since(l.used) < linkTrust || l.conn.Ping(ctx) == nil {
			return l, nil
		}
		l.close()
	}
	conn, err := pgconn.ConnectConfig(ctx, p.config)
	if err != nil {
		<-p.seats
		return nil, err
	}
	return &link{conn: conn, born: time.Now(), known: map[string]*pgconn.StatementDescription{}}, nil
}

func (p *links) last() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	l := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return l
}

// give takes a connection back and closes it if it is of no use, and with it one that has been of none for long.
func (p *links) give(l *link) {
	defer func() { <-p.seats }()
	l.used = time.Now()
	if l.conn.IsClosed() || l.conn.IsBusy() || l.conn.TxStatus() != 'I' || l.used.Sub(l.born) > linkLife {
		l.close()
		return
	}
	p.mu.Lock()
	p.idle = append(p.idle, l)
	var rested *link
	if first := p.idle[0]; l.used.Sub(first.used) > linkRest {
		rested, p.idle = first, slices.Delete(p.idle, 0, 1)
	}
	p.mu.Unlock()
	if rested != nil {
		rested.close()
	}
}

// close waits for every connection to be given back. None can be taken after it.
func (p *links) close() {
	for range cap(p.seats) {
		p.seats <- struct{}{}
	}
	for l := p.last(); l != nil; l = p.last() {
		l.close()
	}
}
