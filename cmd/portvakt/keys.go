package main

import (
	"context"
	"fmt"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/store"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List signing keys: next, active, retired."`
	Rotate keysRotateCmd `cmd:"" help:"Make the next key the active one, and a new next."`
}

type keysListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
}

// Run lists the keys.
func (c *keysListCmd) Run(s *settings) error {
	return command(s, func(_ context.Context, v *service) error {
		t := newTable(c.JSON, "KEY", "ALG", "STATE", "SINCE")
		for _, k := range v.ring.Keys() {
			object := map[string]any{"kid": k.ID, "alg": k.Alg, "state": k.State, "created": k.Created, "since": k.Since}
			if err := t.row(object, k.ID, k.Alg, k.State, stamp(k.Since)); err != nil {
				return err
			}
		}
		return t.out.Flush()
	})
}

type keysRotateCmd struct {
	Alg   string `help:"RS256, ES256 or EdDSA; all if not given." enum:",RS256,ES256,EdDSA" default:""`
	Force bool   `help:"Also a next key that applications may not have seen yet."`
}

// published is how long a key must have been in the JWKS before it signs: applications keep that for 10 minutes.
const published = 15 * time.Minute

// Run rotates, and records it. It refuses before the first rotation, not between two.
func (c *keysRotateCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		var next []keyring.Key
		for _, k := range v.ring.Keys() {
			if k.State == "next" && (c.Alg == "" || c.Alg == k.Alg) {
				next = append(next, k)
			}
		}
		for _, k := range next {
			if age := time.Since(k.Since); age < published && !c.Force {
				return fmt.Errorf("the next %s key is only %s old; applications keep the key list for 10 minutes, so wait or use --force", k.Alg, age.Round(time.Second))
			}
		}
		for _, k := range next {
			if err := v.rotate(ctx, k); err != nil {
				return err
			}
			fmt.Printf("key %s: %s is active\n", k.Alg, k.ID)
		}
		return nil
	})
}

func (v *service) rotate(ctx context.Context, k keyring.Key) error {
	if err := v.ring.Rotate(k.Alg, time.Now()); err != nil {
		return err
	}
	return v.db.Change(ctx, cli, func(t *store.Tx) error {
		return t.Record(audit.Event{Kind: audit.KeyRotated, Detail: map[string]string{"alg": k.Alg, "kid": k.ID}})
	})
}
