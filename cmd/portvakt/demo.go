package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

type demoCmd struct {
	Data      string `help:"Folder to keep the data in; else it is forgotten at the end." placeholder:"DIR"`
	AppListen string `help:"Address of the sample application." default:"localhost:8081"`
}

// Run plays an organisation on this machine: the service, two sample applications and a phone.
func (c *demoCmd) Run(s *settings) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if s.Listen == "127.0.0.1:8080" {
		s.Listen = "localhost:8080"
	}
	idp, err := loopbackListener(s.Listen)
	if err != nil {
		return err
	}
	defer idp.Close()
	apps, err := loopbackListener(c.AppListen)
	if err != nil {
		return err
	}
	defer apps.Close()
	dir := c.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "portvakt-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s.Issuer, s.Organisation = baseURL(idp), "Exempelbolaget"
	s.Database, s.Keys = "sqlite:"+filepath.Join(dir, "portvakt.db"), filepath.Join(dir, "keys")
	s.SMS, s.Mail = "file:"+filepath.Join(dir, "sms.jsonl"), "file:"+filepath.Join(dir, "mail.jsonl")
	return c.play(ctx, s, dir, idp, apps)
}

func (c *demoCmd) play(ctx context.Context, s *settings, dir string, idp, apps net.Listener) error {
	clock, err := newClock(ctx, s.TestClockFile)
	if err != nil {
		return err
	}
	v, err := open(ctx, s, wiring{serves: true, clock: clock})
	if err != nil {
		return err
	}
	defer v.close()
	phone, err := newPhone(dir, clock)
	if err != nil {
		return err
	}
	sample, err := v.sample(ctx, baseURL(apps), phone)
	if err != nil {
		return err
	}
	messages, err := newInbox(dir, sample.Users)
	if err != nil {
		return err
	}
	printGuide(s.Issuer, baseURL(apps))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		failed = v.serve(ctx, idp)
	})
	running.Go(func() { messages.follow(ctx, os.Stdout) })
	app := &http.Server{Handler: newSampleApps(s.Issuer, baseURL(apps), sample.Clients, phone, messages), ReadHeaderTimeout: drain}
	running.Go(func() {
		<-ctx.Done()
		_ = app.Close()
	})
	if err := app.Serve(apps); !errors.Is(err, http.ErrServerClosed) {
		cancel()
		running.Wait()
		return err
	}
	running.Wait()
	return failed
}

// loopbackListener refuses every address that others could reach.
func loopbackListener(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not HOST:PORT", address)
	}
	if !loopback(host) {
		return nil, fmt.Errorf("the demo has known passwords: it serves on loopback alone, not on %q", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; choose others with --listen and --app-listen", err)
	}
	return l, nil
}

func baseURL(l net.Listener) string {
	return "http://localhost:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
