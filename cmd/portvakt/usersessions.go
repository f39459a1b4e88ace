package main

import (
	"context"
	"fmt"
)

type userLockCmd struct{ named }

// Run locks the sessions.
func (c *userLockCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		n, err := v.admin.LockSessions(ctx, cli, c.Name)
		if err == nil {
			fmt.Printf("user %s: %s locked\n", c.Name, counted(n, "session"))
		}
		return err
	})
}

type userEndCmd struct{ named }

// Run ends the sessions.
func (c *userEndCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		n, tokens, err := v.admin.EndSessions(ctx, cli, c.Name)
		if err == nil {
			fmt.Printf("user %s: %s ended, %s of tokens revoked\n", c.Name, counted(n, "session"), counted(tokens, "grant"))
		}
		return err
	})
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
