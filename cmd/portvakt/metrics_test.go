package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMetrics: every line has the form that Prometheus reads, and the text messages' budget is among them.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	s := &settings{Issuer: "http://localhost:8080", Organisation: "Portvakt", Database: "sqlite:" + filepath.Join(dir, "db"), Keys: filepath.Join(dir, "keys"), LogFormat: "json"}
	v, err := open(context.Background(), s, wiring{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- v.metrics(ctx, listener) }()
	resp, err := http.Get("http://" + listener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "\nportvakt_sms_day_limit 1000\n") {
		t.Errorf("%d (%v)\n%s", resp.StatusCode, err, body)
	}
	form := regexp.MustCompile(`^(# (HELP|TYPE) portvakt_[a-z_]+ .+|portvakt_[a-z_]+ [0-9]+)$`)
	for line := range strings.Lines(string(body)) {
		if !form.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("not a line for Prometheus: %q", line)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("it did not end in peace: %v", err)
	}
}
