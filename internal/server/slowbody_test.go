package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestSlowBody (DO-02): a body that comes slowly is no outage. What comes in time is answered, what does not is a 408, and neither is a fault of ours
// in the log.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	var log lines
	timeout := 3 * time.Second // of the database; the body takes longer
	a := newAttack(t, storetest.SQLite(t), servertest.Options{Log: &log, Timeout: timeout})
	impatient := httptest.NewUnstartedServer(nil)
	impatient.Config = a.Server.HTTP()
	impatient.Config.ReadTimeout = time.Second
	impatient.Start()
	const body = "grant_type=client_credentials&scope=api"
	var all sync.WaitGroup
	for _, c := range []struct {
		name, base, path string
		pause            time.Duration
		status           int
	}{
		{"in time", a.URL, "/token", timeout + 500*time.Millisecond, http.StatusOK},
		{"in time, and shared", a.URL, "/revoke", timeout + 500*time.Millisecond, http.StatusBadRequest}, // there is no token in it
		{"too late", impatient.URL, "/token", 0, http.StatusRequestTimeout},
		{"pushed too late", impatient.URL, "/par", 0, http.StatusRequestTimeout},
		{"registered too late", impatient.URL, "/register", 0, http.StatusRequestTimeout},
		{"asked too late", impatient.URL, "/authorize", 0, http.StatusRequestTimeout},
		{"a page too late", impatient.URL, "/link/" + strings.Repeat("x", 32), 0, http.StatusRequestTimeout},
	} {
		all.Go(func() {
			conn, err := net.Dial("tcp", c.base[strings.LastIndex(c.base, "/")+1:])
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nAuthorization: %s\r\n\r\n%s",
				c.path, a.URL[len("http://"):], a.URL, len(body), basic("conf"), body[:9])
			if c.pause > 0 {
				time.Sleep(c.pause) // that is how slow it is
				_, _ = io.WriteString(conn, body[9:])
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("DO-02: %s: %v", c.name, err)
				return
			}
			defer resp.Body.Close()
			if text, _ := io.ReadAll(resp.Body); resp.StatusCode != c.status {
				t.Errorf("DO-02: %s: got %d %.200s", c.name, resp.StatusCode, text)
			}
		})
	}
	all.Wait()
	impatient.Close()
	if text := log.String(); strings.Contains(text, "level=ERROR") {
		t.Errorf("DO-02: the log says\n%s", text)
	}
}
