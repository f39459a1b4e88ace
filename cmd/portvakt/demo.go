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

	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
)

type demoCmd struct {
	Data      string `help:"Folder to keep the data in; else it is forgotten at the end." placeholder:"DIR"`
	AppListen string `help:"Address of the sample application." default:"localhost:8081"`
}

// demoPassword is everybody's in the demo.
const demoPassword = "correct horse battery"

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
	return c.play(ctx, s, idp, apps)
}

func (c *demoCmd) play(ctx context.Context, s *settings, idp, apps net.Listener) error {
	v, err := open(ctx, s, wiring{})
	if err != nil {
		return err
	}
	defer v.close()
	sample, phone := sampleData(baseURL(apps))
	if _, err := v.admin.Apply(ctx, cli, sample, false); err != nil {
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
	app := &http.Server{Handler: newSampleApps(s.Issuer, baseURL(apps), sample.Clients, phone), ReadHeaderTimeout: drain}
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

// sampleData is who works at Exempelbolaget and what they use. The phone holds the soft tokens of those who have one.
func sampleData(apps string) (*admin.File, *phone) {
	scope := "openid profile email groups offline_access"
	secret := func(name string) string { return "demo-secret-of-" + name }
	app := func(id, name, path string, alg string) admin.ClientSpec {
		spec := admin.ClientSpec{Client: client.Client{ID: client.ID(id), Name: name, RedirectURIs: []string{apps + path + "callback"},
			PostLogoutRedirectURIs: []string{apps + path}, GrantTypes: []string{client.GrantCode, client.GrantRefresh}, Scope: scope, SigningAlg: alg},
			Secret: secret(id)}
		spec.Normalise()
		return spec
	}
	p := &phone{}
	token := func(account string) string {
		t := factor.NewTOTP()
		p.add(account, t)
		return t.URI("Exempelbolaget", account)
	}
	return &admin.File{
		Groups: []string{"staff", "admins"},
		Users: []admin.UserSpec{
			{Username: "anna", Name: "Anna Ångström", Email: "anna@example.se", Groups: []string{"staff"}, Password: demoPassword, Locale: ""},
			{Username: "bertil", Name: "Bertil Öberg", Email: "bertil@example.se", Groups: []string{"staff"}, Password: demoPassword, TOTP: token("bertil")},
			{Username: "admin", Name: "Astrid Administratör", Email: "astrid@example.se", Groups: []string{"staff", "admins"}, Roles: []string{"admin"},
				Password: demoPassword, TOTP: token("admin")},
		},
		Clients:  []admin.ClientSpec{app("intranet", "Intranet", "/", "ES256"), app("wiki", "Wiki", "/wiki/", "RS256")},
		Policies: policy.Default(),
	}, p
}

func printGuide(issuer, apps string) {
	fmt.Printf(`
  Portvakt is running for Exempelbolaget, a company that does not exist.

  1  Open    %s          the Intranet, an ordinary application
  2  Sign in as anna, password "%s"
             She sets up her phone at the first sign-in: use your own, or copy the key to the phone below.
  3  Open    %s/wiki/    another application: no sign-in needed
  4  Sign out there

  People     anna (no phone yet), bertil and admin (their codes are on the phone below); one password for all
  Phone      %s/phone    plays everybody's phone: soft-token codes
  Your page  %s/account

  Stop with Ctrl+C.

`, apps, demoPassword, apps, apps, issuer)
}
