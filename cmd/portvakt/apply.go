package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/portvakt/portvakt/internal/admin"
)

type applyCmd struct {
	File   string `short:"f" required:"" help:"The file; - is standard input." placeholder:"FILE"`
	DryRun bool   `help:"Change nothing, only tell."`
}

// Run applies a file and prints a line for each change.
func (c *applyCmd) Run(s *settings) error {
	in := io.Reader(os.Stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	file, err := admin.ReadFile(in)
	if err != nil {
		return err
	}
	return command(s, func(ctx context.Context, v *service) error {
		lines, err := v.admin.Apply(ctx, cli, file, c.DryRun)
		for _, l := range lines {
			fmt.Println(l)
		}
		return err
	})
}
