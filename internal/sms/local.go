package sms

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// logWire writes whole messages to the log. It is for development.
func logWire(log *slog.Logger) wire {
	return func(ctx context.Context, m Message) (verdict, error) {
		log.InfoContext(ctx, "sms", "to", m.To, "body", m.Body)
		return answered, nil
	}
}

// fileWire appends a line of JSON for each message, in the order of Send, to a file that its owner alone may read.
func fileWire(path string, now func() time.Time) (wire, error) {
	if path == "" {
		return nil, fmt.Errorf("sms: file needs a path: file:PATH")
	}
	if err := appendLine(path, nil); err != nil {
		return nil, fmt.Errorf("sms: %w", err)
	}
	return func(_ context.Context, m Message) (verdict, error) {
		line, err := json.Marshal(struct {
			To   string `json:"to"`
			Body string `json:"body"`
			At   string `json:"at"`
		}{m.To, m.Body, now().UTC().Format(time.RFC3339)})
		if err == nil {
			err = appendLine(path, append(line, '\n'))
		}
		if err != nil {
			return down, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return answered, nil
	}, nil
}

// appendLine opens the file anew each time, so that it may be moved away meanwhile. One write is one line, whoever else
// appends.
func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		err = f.Chmod(0o600)
		if err != nil {
			f.Close()
			return err
		}
	}
	_, err = f.Write(line)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
