package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/rotation"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestRotationOfTwo: two processes on one Postgres and one folder, and commands beside them, rotate what is due once.
// Both serve the new keys, and each of them was served before it signs.
func TestRotationOfTwo(t *testing.T) {
	in := newInstallation(t)
	in.database = storetest.Postgres(t)
	clock := filepath.Join(in.dir, "clock")
	turn := func(offset string) {
		if err := os.WriteFile(clock+".new", []byte(offset), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(clock+".new", clock); err != nil {
			t.Fatal(err)
		}
	}
	turn("+0s")
	t.Setenv("PORTVAKT_TEST_CLOCK_FILE", clock)
	in.run("", "migrate")
	first, one := in.serve()
	second, two := in.serve()
	before := keySet(t, one)
	turn("+2161h")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { // rivals; refused as soon as somebody was first
			p, err := launch(in.dir, in.env(), "keys", "rotate")
			if err != nil {
				t.Error(err)
				return
			}
			<-p.done
		})
	}
	all.Wait()
	for end := time.Now().Add(patience); ; {
		if len(keySet(t, one)) == 12 && len(keySet(t, two)) == 12 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the instances serve %d and %d keys, want 12", len(keySet(t, one)), len(keySet(t, two)))
		}
	}
	turn("+2162h")
	in.stop(first)
	in.stop(second)
	events := in.run("", "audit", "list", "--json", "--kind", "key.rotated")
	if n := strings.Count(events, "\n"); n != 4 {
		t.Errorf("%d rotations are on record, want 4:\n%s", n, events)
	}
	for line := range strings.Lines(in.run("", "keys", "list", "--json")) {
		var k struct{ Kid, State string }
		if err := json.Unmarshal([]byte(line), &k); err != nil {
			t.Fatal(err)
		}
		if was := before[k.Kid]; was != (k.State != "next") {
			t.Errorf("the %s key %s was served before: %v", k.State, k.Kid, was)
		}
	}
}

// keySet gives the kids that an instance serves. They are served for less long than a key is published.
func keySet(t *testing.T, base string) map[string]bool {
	t.Helper()
	resp, err := http.Get(base + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	age := regexp.MustCompile(`max-age=(\d+)`).FindStringSubmatch(resp.Header.Get("Cache-Control"))
	if age == nil {
		t.Fatalf("Cache-Control is %q", resp.Header.Get("Cache-Control"))
	}
	if seconds, err := strconv.Atoi(age[1]); err != nil || time.Duration(seconds)*time.Second+time.Minute > rotation.Published {
		t.Fatalf("a key set may be kept for %s s, and a key signs after %s", age[1], rotation.Published)
	}
	var set struct{ Keys []struct{ Kid string } }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	kids := map[string]bool{}
	for _, k := range set.Keys {
		kids[k.Kid] = true
	}
	return kids
}
