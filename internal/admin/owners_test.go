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
