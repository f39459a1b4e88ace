package admin

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestApplyMeanwhile: a file that was read before somebody added or removed an application is not applied over that: no secret that was just
// printed is replaced, and no application comes back without one.
func TestApplyMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		const app = "{client_id: app, redirect_uris: [https://app.example.se/]}"
		planned := func(text string) func() error { // what Apply does, in its two parts
			f := read(t, text)
			now, err := s.present(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := s.plan(ctx, f, now)
			if err != nil || len(plan) != 1 {
				t.Fatalf("the plan is %v (%v)", plan, err)
			}
			return func() error { return s.db.Change(ctx, storetest.Origin, plan[0].do) }
		}
		create := planned(strings.Replace("clients: ["+app+"]", "client_id", "client_secret: a-long-random-string, client_id", 1))
		spec, err := ReadClient(strings.NewReader(app))
		if err != nil {
			t.Fatal(err)
		}
		secret, err := other.AddClient(ctx, storetest.Origin, spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := create(); !errors.Is(err, store.ErrTaken) {
			t.Errorf("a file that creates what somebody added meanwhile gave %v", err)
		}
		if c, err := s.Client(ctx, "app"); err != nil || string(c.Secret) != string(s.secretMAC(secret)) {
			t.Errorf("the secret that was printed counts no more (%v)", err)
		}
		change := planned(strings.Replace("clients: ["+app+"]", "client_id", "client_name: App, client_id", 1))
		if err := other.RemoveClient(ctx, storetest.Origin, "app"); err != nil {
			t.Fatal(err)
		}
		if err := change(); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a file that changes what somebody removed meanwhile gave %v", err)
		}
		if c, err := s.Client(ctx, "app"); err == nil {
			t.Errorf("what was removed is there again, with a secret of %d bytes", len(c.Secret))
		}
	})
}
