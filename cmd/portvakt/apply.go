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

// given reads the file at path; - is standard input.
func given[T any](path string, read func(io.Reader) (T, error)) (T, error) {
	if path == "-" {
		return read(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	return read(f)
}

// Run applies a file and prints a line for each change.
func (c *applyCmd) Run(s *settings) error {
	file, err := given(c.File, admin.ReadFile)
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
