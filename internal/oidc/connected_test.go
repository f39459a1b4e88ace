package oidc

import (
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/store"
)

// TestFamilyUsed: the last use of a family by what its row has, with rotation and without; where that is not enough, none is made up.
func TestFamilyUsed(t *testing.T) {
	born, never := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), time.Time{}
	day := func(n int) time.Time { return born.Add(time.Duration(n) * 24 * time.Hour) }
	for what, c := range map[string]struct {
		g    store.Grant
		want time.Time
	}{
		"approved, not fetched":    {store.Grant{Created: born, Expires: born.Add(deviceLife)}, never},
		"fetched, nothing to keep": {store.Grant{Created: born, CodeUsed: day(0).Add(time.Minute), Expires: born.Add(accessLife)}, day(0).Add(time.Minute)},
		"fetched":                  {store.Grant{Created: born, CodeUsed: born, Gen: 1, Expires: familyEnd(born, born)}, born},
		"rotated":                  {store.Grant{Created: born, CodeUsed: born, Gen: 4, Rotated: day(8), Expires: familyEnd(born, day(8))}, day(8)},
		"the same token again":     {store.Grant{Created: born, CodeUsed: born, Gen: 1, Expires: familyEnd(born, day(9))}, day(9)},
		"rotated late":             {store.Grant{Created: born, CodeUsed: born, Gen: 9, Rotated: day(80), Expires: familyEnd(born, day(80))}, day(80)},
		"the same token late":      {store.Grant{Created: born, CodeUsed: born, Gen: 1, Expires: familyEnd(born, day(80))}, never},
	} {
		if got := (family{Grant: c.g}).used(); !got.Equal(c.want) {
			t.Errorf("%s: used %v, want %v", what, got, c.want)
		}
	}
}
