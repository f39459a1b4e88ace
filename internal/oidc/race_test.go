package oidc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// process is one real instance of the program, and its database.
type process struct{ url, db string }

// startProcesses builds the program and runs two instances of it on one Postgres, with one folder of keys. more are clients beside the sample's.
func startProcesses(t *testing.T, more string) [2]process {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "portvakt")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/portvakt").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "apply.yaml")
	if err := os.WriteFile(file, []byte(servertest.Sample()+more), 0o600); err != nil {
		t.Fatal(err)
	}
	db := storetest.Postgres(t)
	env := append(os.Environ(), "PORTVAKT_DATABASE="+db, "PORTVAKT_KEYS="+filepath.Join(dir, "keys"), "PORTVAKT_LOG_FORMAT=json")
	run := func(args ...string) {
		cmd := exec.Command(bin, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	keys := exec.Command(bin, "keys", "list") // makes the keys, then refuses the empty database
	keys.Env = env
	_ = keys.Run()
	var both [2]process
	for i := range both {
		cmd := exec.Command(bin, "serve", "--migrate", "--listen", "127.0.0.1:0", "--issuer", "http://127.0.0.1:9")
		cmd.Env = env
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		log, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
		both[i] = process{"http://" + servingAddress(t, log), db}
	}
	run("apply", "-f", file)
	return both
}

// servingAddress reads the address from the log line that says "serving".
func servingAddress(t *testing.T, log io.Reader) string {
	t.Helper()
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return line.Address
		}
		t.Log(lines.Text())
	}
	t.Fatal("the program ended before it served")
	return ""
}

// rivals sends the same token request n times at once, spread over the instances, and sorts the answers.
func rivals(t *testing.T, urls []string, n int, form url.Values, clientID string) (wins []map[string]any, refused int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			status, body := postToken(t, urls[i%len(urls)], form, clientID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case status == http.StatusOK:
				wins = append(wins, body)
			case status == http.StatusBadRequest && body["error"] == "invalid_grant":
				refused++
			default:
				t.Errorf("a rival got %d %v", status, body)
			}
		})
	}
	close(start)
	wg.Wait()
	return wins, refused
}

var plain = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

func postToken(t testing.TB, base string, form url.Values, clientID string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, base+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, servertest.Secret)
	resp, err := plain.Do(r)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Error(err)
	}
	return resp.StatusCode, body
}

// waitForClient waits until the running processes have noticed what apply did beside them.
func waitForClient(t *testing.T, b *servertest.Browser, urls []string) {
	t.Helper()
	for _, u := range urls {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if status, _ := postToken(t, u, url.Values{"grant_type": {"client_credentials"}}, "conf"); status == http.StatusOK {
				break
			}
			if time.Now().After(end) {
				t.Fatal("a running service did not notice the new client within 30 s")
			}
		}
	}
}

// dead checks that nothing of a token response works any more, on any instance.
func dead(t *testing.T, urls []string, tokens map[string]any) {
	t.Helper()
	for _, u := range urls {
		r, err := http.NewRequest(http.MethodGet, u+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokens["access_token"].(string))
		resp, err := plain.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("the access token of a revoked family got %d", resp.StatusCode)
		}
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}}
		if status, body := postToken(t, u, form, "conf"); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
			t.Errorf("the refresh token of a revoked family got %d %v", status, body)
		}
	}
}

// codeFor gives a fresh code for a client, in a browser that is signed in.
func codeFor(t testing.TB, b *servertest.Browser, clientID string, extra ...string) string {
	t.Helper()
	q := authorizeQuery(clientID)
	for i := 0; i < len(extra); i += 2 {
		q.Set(extra[i], extra[i+1])
	}
	answer := arrive(t, b.Get("/authorize?"+q.Encode()))
	if answer.Get("code") == "" {
		t.Fatalf("no code: %v", answer)
	}
	return answer.Get("code")
}
