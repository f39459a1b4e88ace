package admin

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestOwners: the owners of a file are people, kept by id, and the same people in another order or spelling are no change.
func TestOwners(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		const app = "clients: [{client_id: app, client_secret: a-long-random-string, redirect_uris: [https://app.example.se/], owners: [%]}]\n"
		file := func(owners string) string { return strings.Replace(app, "%", owners, 1) }
		people := "users: [{username: anna}, {username: bo}]\n"
		apply(t, s, people+file("bo, Anna"))
		c, err := s.Client(context.Background(), "app")
		if err != nil || len(c.Owners) != 2 || slices.Contains(c.Owners, "anna") {
			t.Fatalf("the owners are %q (%v)", c.Owners, err)
		}
		if lines := apply(t, s, file("anna, BO")); len(lines) != 0 {
			t.Errorf("the same owners are a change: %q", lines)
		}
		if lines := apply(t, s, file("bo")); !slices.Equal(lines, []string{"client app: changed"}) {
			t.Errorf("one owner fewer: %q", lines)
		}
		if _, err := s.Apply(context.Background(), storetest.Origin, read(t, file("bo, cecilia")), false); err == nil || !strings.Contains(err.Error(), `no user "cecilia"`) {
			t.Errorf("an owner who is nobody: %v", err)
		}
		for _, bad := range []string{"bo, bo", "''"} {
			if _, err := ReadFile(strings.NewReader(file(bad))); err == nil || !strings.Contains(err.Error(), "owners") {
				t.Errorf("owners [%s]: %v", bad, err)
			}
		}
	})
}

// TestAddClientOfFile: one entry of a file is registered as apply would, but never in the place of a client that there is.
func TestAddClientOfFile(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		apply(t, s, "users: [{username: anna}]\n")
		add := func(text string) (string, error) {
			c, err := ReadClient(strings.NewReader(text))
			if err != nil {
				return "", err
			}
			return s.AddClient(context.Background(), storetest.Origin, c)
		}
		const app = "{client_id: app, client_secret: a-long-random-string, redirect_uris: [https://app.example.se/], owners: [ANNA], test: true}"
		made, err := add(app)
		if err != nil || made != "" {
			t.Fatalf("a secret that the file brings: %q (%v)", made, err)
		}
		c, err := s.Client(context.Background(), "app")
		if err != nil || string(c.Secret) != string(s.secretMAC("a-long-random-string")) || len(c.Owners) != 1 || c.Owners[0] == "ANNA" || !c.Test {
			t.Errorf("the client is %+v (%v)", c, err)
		}
		if lines := apply(t, s, "clients: ["+app+"]\n"); len(lines) != 0 {
			t.Errorf("apply of the same entry changes %q", lines)
		}
		for text, want := range map[string]string{
			app: `there is a client "app" already`,
			strings.Replace(app, "a-long-random-string", "short", 1):                        "client_secret: has fewer than 12 characters",
			"{client_id: spa, token_endpoint_auth_method: none, client_secret: " + app[:30]: "the file of a client",
			strings.Replace(app, "ANNA", "bo", 1):                                           `there is no user "bo"`,
			"{client_id: key, token_endpoint_auth_method: private_key_jwt, redirect_uris: [https://app.example.se/], jwks: {keys: [{kty: oct, k: AAAA}]}}": "jwks",
		} {
			if _, err := add(text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
		}
	})
}
