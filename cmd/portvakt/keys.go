package main

import (
	"context"
	"fmt"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List signing keys: next, active, retired."`
	Rotate keysRotateCmd `cmd:"" help:"Make the next key the active one, and a new next."`
	Drop   keysDropCmd   `cmd:"" help:"Take a retired or next key that has leaked away at once; what it signed verifies no more."`
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
	Alg string `help:"RS256, PS256, ES256 or EdDSA; all if not given." enum:",RS256,PS256,ES256,EdDSA" default:""`
	Now bool   `help:"Also a next key that applications may not have seen yet: they refuse tokens until they fetch the key set again. For when a key has leaked."`
}

// Run rotates, and records it.
func (c *keysRotateCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		active, err := v.keys.Rotate(ctx, cli, c.Alg, c.Now)
		for _, k := range active {
			fmt.Printf("key %s: %s is active\n", k.Alg, k.ID)
		}
		return err
	})
}

type keysDropCmd struct {
	KID string `arg:"" name:"kid" help:"The key, as keys list has it; put -- before one that begins with -."`
}

// Run drops a key, and records it.
func (c *keysDropCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		if err := v.keys.Drop(ctx, cli, c.KID); err != nil {
			return err
		}
		fmt.Printf("key %s: dropped\n", c.KID)
		return nil
	})
}
