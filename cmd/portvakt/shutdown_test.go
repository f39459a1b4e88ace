package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
)

// TestShutdownIdle: SIGTERM and SIGINT end a service that has nothing to do within a second, also with a browser's idle
// connection open.
func TestShutdownIdle(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		servertest.Thrice(t, func() error { return shutIdle(t, sig) })
	}
}

func shutIdle(t *testing.T, sig syscall.Signal) error {
	t.Helper()
	in := newInstallation(t)
	p, base := in.serve()
	if status, body := ready(t, base); status != http.StatusOK { // leaves its connection open
		t.Fatalf("readyz: %d %v", status, body)
	}
	began := time.Now()
	status, said, err := p.end(sig)
	if err != nil || status != 0 || !strings.Contains(said, `"msg":"stopped"`) {
		t.Errorf("%v: exit status %d (%v):\n%s", sig, status, err, said)
	}
	if took := time.Since(began); took > time.Second {
		return fmt.Errorf("%v: it took %v to end", sig, took)
	}
	return nil
}

// TestShutdownBusy: a request that runs when SIGTERM comes is finished, nobody new is let in, and the exit status is 0.
func TestShutdownBusy(t *testing.T) {
	in := newInstallation(t)
	in.run(machineYAML, "apply", "-f", "-")
	p, base := in.serve()
	address := strings.TrimPrefix(base, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	body := "grant_type=client_credentials&scope=openid"
	_, err = fmt.Fprintf(conn, "POST /token HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic %s\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		base64.StdEncoding.EncodeToString([]byte("machine:a-secret-of-the-machine")), len(body))
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	// The service asks for the body once the endpoint reads it: from here on the request runs.
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q (%v)", line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	refusedSoon(t, address)
	for part := range slices.Chunk([]byte(body), 16) { // as a slow line would
		if _, err := conn.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatalf("the running request was cut off: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the running request: %s", resp.Status)
	}
	in.stop(p) // a second SIGTERM changes nothing
	if got := in.run("", "audit", "list", "--json", "--kind", "token.issued"); strings.Count(got, "\n") != 1 {
		t.Errorf("the token of the running request is not recorded:\n%s", got)
	}
}

// refusedSoon returns when nobody is let in any more.
func refusedSoon(t *testing.T, address string) {
	t.Helper()
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			conn.Close()
		}
	}
	t.Fatal("new connections are still let in after SIGTERM")
}
