package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/store"
)

type migrateCmd struct {
	Check bool `help:"Only tell; exit status 1 says that there is something to do."`
}

// Run migrates, or with --check tells and fails if there is something to do.
func (c *migrateCmd) Run(s *settings) error {
	if err := c.absent(s.Database); err != nil {
		return err
	}
	ctx := context.Background()
	db, err := store.Open(ctx, s.Database, store.Options{Timeout: time.Minute})
	if err != nil {
		return err
	}
	defer db.Close()
	has, wants, err := db.Schema(ctx)
	if err != nil {
		return err
	}
	if err := suits(has, wants, c.Check); err != nil {
		return err
	}
	ran, err := db.Migrate(ctx)
	for _, name := range ran {
		fmt.Println("migrated", name)
	}
	if err == nil && len(ran) == 0 {
		fmt.Printf("schema %d is up to date\n", has)
	}
	return err
}

// absent keeps --check from making a database file that is not there.
func (c *migrateCmd) absent(database string) error {
	path, lite := strings.CutPrefix(database, "sqlite:")
	if !c.Check || !lite || path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database %s yet; the first start of portvakt makes it", path)
	}
	return nil
}

// suits refuses a schema that is newer than the program, and, where it must be migrated by hand, one that is older.
func suits(has, wants int, byHand bool) error {
	switch {
	case has > wants:
		return fmt.Errorf("the database has schema %d, newer than the schema %d of this program; run the newer program", has, wants)
	case has < wants && byHand:
		return fmt.Errorf("the database has schema %d and this program needs %d; run: portvakt migrate (or serve --migrate)", has, wants)
	}
	return nil
}
