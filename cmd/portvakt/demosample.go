package main

import (
	"context"
	"fmt"

	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
)

// demoPassword is everybody's in the demo.
const demoPassword = "correct horse battery"

// sample makes the people of Exempelbolaget and what they use. Who is in the database already keeps the soft token they have, or have
// not: they may have changed it.
func (v *service) sample(ctx context.Context, apps string, p *phone) (*admin.File, error) {
	known := map[string]bool{}
	if err := v.admin.Users(ctx, func(u *store.Person) error { known[u.Username] = true; return nil }); err != nil {
		return nil, err
	}
	file := &admin.File{
		Groups:   []string{"staff", "admins"},
		Users:    samplePeople(),
		Clients:  []admin.ClientSpec{sampleClient(apps, "intranet", "Intranet", "/", "ES256"), sampleClient(apps, "wiki", "Wiki", "/wiki/", "RS256")},
		Policies: policy.Default(),
	}
	for i := range file.Users {
		u := &file.Users[i]
		if u.Password = demoPassword; u.Username != "bertil" && u.Username != "admin" || known[u.Username] && p.has(u.Username) {
			continue
		}
		t, err := p.token(u.Username)
		if err != nil {
			return nil, err
		}
		u.TOTP = t.URI("Exempelbolaget", u.Username)
	}
	_, err := v.admin.Apply(ctx, cli, file, false)
	return file, err
}

// samplePeople are who works there.
func samplePeople() []admin.UserSpec {
	return []admin.UserSpec{
		{Username: "anna", Name: "Anna Ångström", Email: "anna@example.se", Groups: []string{"staff"}},
		{Username: "bertil", Name: "Bertil Öberg", Email: "bertil@example.se", Phone: "+46701740606", Groups: []string{"staff"}},
		{Username: "cecilia", Name: "Cecilia Sundström", Email: "cecilia@example.se", Phone: "+46701740607", Groups: []string{"staff"}},
		{Username: "admin", Name: "Astrid Administratör", Email: "astrid@example.se", Groups: []string{"staff", "admins"}, Roles: []string{"admin"}},
	}
}

// sampleClient is an application at path.
func sampleClient(apps, id, name, path, alg string) admin.ClientSpec {
	spec := admin.ClientSpec{Client: client.Client{ID: client.ID(id), Name: name, RedirectURIs: []string{apps + path + "callback"},
		PostLogoutRedirectURIs: []string{apps + path}, BackchannelLogoutURI: apps + path + "backchannel-logout", GrantTypes: []string{client.GrantCode, client.GrantRefresh}, Owners: []string{"bertil"},
		Scope: "openid profile email groups offline_access", SigningAlg: alg}, Secret: "demo-secret-of-" + id}
	spec.Normalise()
	return spec
}

// printGuide says who is there, with what, and where to begin, on one screen of 80 by 24.
func printGuide(issuer, apps string) {
	fmt.Printf(`
  Portvakt is running for Exempelbolaget, a company that does not exist.

  1  Open    %s        the Intranet, an ordinary application
  2  Sign in as anna, password "%s"
             She sets up an app (the phone below plays one) or a passkey.
  3  Open    %s/wiki/  another application: no new sign-in
  4  Sign out there, and sign in as somebody else

  People     anna     nothing but the password yet        Everybody has
             bertil   app, text messages to +46701740606  the same
             cecilia  text messages to +46701740607       password.
             admin    app

  Phone      %s/phone  everybody's: codes, texts and mail
             Text messages and mail are told here in the terminal too.
  Your page  %s/account  ways to sign in, recovery codes
  Lost it?   %s/lost     stop everything with a recovery code

  Stop with Ctrl+C.

`, apps, demoPassword, apps, apps, issuer, issuer)
}
