package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/store"
)

type serveCmd struct {
	Migrate bool `help:"Bring a Postgres schema up to date first."`
}

// Run serves until SIGTERM or SIGINT, then lets running requests finish for up to 30 seconds.
func (c *serveCmd) Run(s *settings) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	clock, err := newClock(ctx, s.TestClockFile)
	if err != nil {
		return err
	}
	v, err := open(ctx, s, wiring{migrate: c.Migrate, serves: true, clock: clock})
	if err != nil {
		return err
	}
	defer v.close()
	listener, err := net.Listen("tcp", s.Listen) // before the set-up link: making one ends the one that another instance printed
	if err != nil {
		return fmt.Errorf("the address %s cannot be served on (%s); choose another with --listen, or stop what uses it", s.Listen, cause(err))
	}
	defer listener.Close()
	if err := v.setupLink(ctx); err != nil {
		return err
	}
	return v.serve(ctx, listener)
}

// setupLink prints a one-time link for the first administrator if there is nobody yet.
func (v *service) setupLink(ctx context.Context) error {
	var any bool
	err := v.db.View(ctx, func(t *store.Tx) (err error) { any, err = t.AnyUser(); return err })
	if err != nil || any {
		return err
	}
	token, err := v.admin.MakeLink(ctx, cli, account.LinkSetup, "", time.Hour)
	if err != nil {
		return err
	}
	fmt.Printf("There is nobody yet. Make the first administrator here, within the hour:\n\n  %s/link/%s\n\n", v.settings.Issuer, token)
	return nil
}

// drain is how long running requests may take to finish.
const drain = 30 * time.Second

// serve answers on listener until ctx ends, with the housekeeping beside it.
func (v *service) serve(ctx context.Context, listener net.Listener) error {
	handler, err := v.server()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// The live heap is a few MiB. At Go's 100 % the collector runs at every few hundred requests, for a sixth of all work.
		debug.SetGCPercent(1000)
		debug.SetMemoryLimit(256 << 20) // soft: above it the collector runs as often as it must
	}
	v.db.Watch()
	var background sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { v.watchKeys(ctx) })
	background.Go(func() { v.turnKeys(ctx) })
	background.Go(func() { v.sweep(ctx) })
	background.Go(func() { v.notify.Deliver(ctx) })
	background.Go(func() { v.oidc.TellApplications(ctx) })
	if v.settings.MetricsListen != "" {
		figures, err := net.Listen("tcp", v.settings.MetricsListen)
		if err != nil {
			return fmt.Errorf("the address %s cannot be served on (%s); choose another with --metrics-listen", v.settings.MetricsListen, cause(err))
		}
		background.Go(func() {
			if err := v.metrics(ctx, figures); err != nil {
				v.log.Error("metrics are not served", "error", err)
			}
		})
	}
	srv := handler.HTTP()
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	v.log.Info("serving", "address", listener.Addr().String(), "issuer", v.settings.Issuer, "version", version())
	select {
	case err = <-failed:
	case <-ctx.Done():
		stopping, done := context.WithTimeout(context.Background(), drain)
		err = srv.Shutdown(stopping)
		done()
	}
	cancel()
	background.Wait()
	v.log.Info("stopped")
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// watchKeys notices within a second that another process rotated the keys.
func (v *service) watchKeys(ctx context.Context) {
	each(ctx, time.Second, func() {
		switch changed, err := v.ring.Reload(); {
		case err != nil:
			v.log.Error("keys not reloaded; the present ones stay in use", "error", err)
		case changed:
			v.log.Info("keys reloaded")
		}
	})
}

// turnKeys rotates the signing keys by schedule. What fails is tried again ten minutes later.
func (v *service) turnKeys(ctx context.Context) {
	var rest time.Time
	each(ctx, 5*time.Second, func() {
		if time.Now().Before(rest) {
			return
		}
		if err := v.keys.Tick(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("signing keys not rotated by schedule; the present ones stay in use", "error", err)
			rest = time.Now().Add(10 * time.Minute)
		}
	})
}

// sweep deletes what is long over.
func (v *service) sweep(ctx context.Context) {
	each(ctx, 5*time.Minute, func() {
		for ctx.Err() == nil {
			var gone int64
			err := v.db.Housekeep(ctx, func(t *store.Tx) (err error) { gone, err = t.Sweep(); return err })
			if err != nil {
				v.log.Warn("sweep put off", "error", err)
			}
			if err != nil || gone < 1000 {
				return
			}
		}
	})
}

// each runs fn every so often until ctx ends.
func each(ctx context.Context, every time.Duration, fn func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}
