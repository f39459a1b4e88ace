package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// command opens the service for one command and closes it.
func command(s *settings, fn func(context.Context, *service) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	clock, err := newClock(ctx, s.TestClockFile)
	if err != nil {
		return err
	}
	v, err := open(ctx, s, wiring{timeout: time.Minute, clock: clock})
	if err != nil {
		return err
	}
	defer v.close()
	return fn(ctx, v)
}

// table prints rows in columns; with asJSON one object a line.
type table struct {
	asJSON bool
	out    *tabwriter.Writer
}

func newTable(asJSON bool, head ...string) *table {
	t := &table{asJSON, tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)}
	if !asJSON {
		fmt.Fprintln(t.out, strings.Join(head, "\t"))
	}
	return t
}

func (t *table) row(object any, cells ...string) error {
	if t.asJSON {
		return printJSON(object)
	}
	_, err := fmt.Fprintln(t.out, strings.Join(cells, "\t"))
	return err
}

func printJSON(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

func join(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

func orNone(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}
