package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// newClock gives the clock: the system's, or with a test clock file the system's plus the duration that the file holds.
func newClock(ctx context.Context, file string) (func() time.Time, error) {
	if file == "" {
		return time.Now, nil
	}
	read := func() (time.Duration, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		d, err := time.ParseDuration(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, fmt.Errorf("%s holds no duration; write one such as +90s", file)
		}
		return d, nil
	}
	var offset atomic.Int64
	first, err := read()
	if err != nil {
		return nil, fmt.Errorf("test-clock-file: %w", err)
	}
	offset.Store(int64(first))
	go each(ctx, 500*time.Millisecond, func() {
		if d, err := read(); err == nil {
			offset.Store(int64(d))
		}
	})
	return func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }, nil
}
