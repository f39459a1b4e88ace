package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/portvakt/portvakt/internal/breach"
	"github.com/portvakt/portvakt/internal/passwords"
)

type blockedCmd struct {
	Import blockedImportCmd `cmd:"" help:"Make a blocklist of a Have I Been Pwned list."`
	Check  blockedCheckCmd  `cmd:"" help:"Say whether the password on standard input is on a blocklist."`
}

type blockedImportCmd struct {
	Source   string `arg:"" help:"SHA-1 list ordered by hash, or the folder of the official downloader."`
	To       string `help:"The blocklist to make, or to replace at once when all is read." required:"" placeholder:"FILE"`
	MinCount int64  `help:"Leave out what was seen less often." default:"1" placeholder:"N"`
}

// Run makes the list. Neither keys nor a database are needed.
func (c *blockedImportCmd) Run(*settings) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	got, err := breach.Import(ctx, c.Source, c.To, c.MinCount)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped; %s is as it was", c.To)
	}
	if err != nil {
		return err
	}
	fmt.Printf("blocklist %s: %d of %d hashes\n", c.To, got.Kept, got.Lines)
	if missing := breach.WholeFolder - got.Files; got.Files > 0 && missing > 0 {
		fmt.Printf("the folder lacks %d of %d files; if that was not meant, download it again\n", missing, breach.WholeFolder)
	}
	return nil
}

type blockedCheckCmd struct {
	From string `help:"The blocklist." required:"" placeholder:"FILE"`
}

// Run looks one password up.
func (c *blockedCheckCmd) Run(*settings) error {
	password, err := stdinPassword(true)
	if err != nil {
		return err
	}
	list, err := breach.Open(c.From)
	if err != nil {
		return err
	}
	defer list.Close()
	known, err := passwords.Listed(list, password)
	switch {
	case err != nil:
		return err
	case known:
		fmt.Println("listed")
	default:
		fmt.Println("not listed")
	}
	return nil
}
