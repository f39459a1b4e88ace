package internal

import (
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fields splits a table into its lines, each into the words before the colon and after it.
func fields(table string) (left, right [][]string, err error) {
	for line := range strings.Lines(table) {
		a, b, ok := strings.Cut(line, ":")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !ok {
			return nil, nil, fmt.Errorf("no colon in %q", line)
		}
		left, right = append(left, strings.Fields(a)), append(right, strings.Fields(b))
	}
	return left, right, nil
}

// parseLayers reads the table and expands @N; a package of a layer is not among its own imports.
func parseLayers(table string) (map[string]rule, error) {
	left, right, err := fields(table)
	if err != nil {
		return nil, err
	}
	rules := map[string]rule{}
	for i, l := range left {
		layer, err := strconv.Atoi(l[0])
		if err != nil || len(l) != 2 {
			return nil, fmt.Errorf("%q is not a layer and a package", l)
		}
		if _, twice := rules[l[1]]; twice {
			return nil, fmt.Errorf("%s stands twice", l[1])
		}
		rules[l[1]] = rule{layer, right[i]}
	}
	for path, r := range maps.Clone(rules) {
		var may []string
		for _, word := range r.may {
			if !strings.HasPrefix(word, "@") {
				may = append(may, word)
				continue
			}
			for other, o := range rules {
				// Helpers of tests and the folders of embedded files are imported by name alone.
				if "@"+strconv.Itoa(o.layer) == word && strings.HasPrefix(other, "internal/") && !strings.HasSuffix(other, "test") {
					may = append(may, other)
				}
			}
		}
		slices.Sort(may)
		rules[path] = rule{r.layer, may}
	}
	return rules, nil
}

func parseForeign(table string) (map[string][]string, error) {
	left, right, err := fields(table)
	if err != nil {
		return nil, err
	}
	owners := map[string][]string{}
	for i, l := range left {
		if len(l) != 1 || len(right[i]) == 0 {
			return nil, fmt.Errorf("%q is not a library and its owners", l)
		}
		owners[l[0]] = right[i]
	}
	return owners, nil
}

// TestTable holds the data against the design: imports point down, nothing is its own ancestor, owners exist.
func TestTable(t *testing.T) {
	rules, err := parseLayers(layers)
	if err != nil {
		t.Fatal(err)
	}
	for path, r := range rules {
		for _, m := range r.may {
			o, ok := rules[m]
			switch {
			case !ok:
				t.Errorf("%s may import %s, which is not in the table", path, m)
			case o.layer > r.layer:
				t.Errorf("%s (layer %d) may import %s (layer %d), which is above it", path, r.layer, m, o.layer)
			case o.layer == r.layer && r.layer > 1 && !listedIn("internal/notify internal/lockout internal/passwords", m): // what conductors share (docs/design.md §1)
				t.Errorf("%s may import %s of its own layer %d", path, m, r.layer)
			case slices.Contains(o.may, path):
				t.Errorf("%s and %s may import each other", path, m)
			}
		}
	}
	owners, err := parseForeign(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for library, who := range owners {
		for _, o := range who {
			if r, ok := rules[o]; !ok || r.layer == 0 {
				t.Errorf("%s belongs to %s, which is not in the table or in layer 0", library, o)
			}
		}
	}
}

// TestCheck feeds the checker what it must refuse; a checker that is never seen to refuse proves nothing.
func TestCheck(t *testing.T) {
	rules, err := parseLayers(layers)
	if err != nil {
		t.Fatal(err)
	}
	owners, err := parseForeign(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, imp string
		ok        bool
	}{
		{"internal/user", "strings", true},
		{"internal/user", "time", true},
		{"internal/user", "net/url", true},
		{"internal/user", "net/netip", true},
		{"internal/user", "context", false},
		{"internal/user", "crypto/rand", false},
		{"internal/user", "crypto/sha256", true},
		{"internal/user", "math/rand/v2", false},
		{"internal/user", "net", false},
		{"internal/user", "net/http", false},
		{"internal/user", "net/http/httptest", false},
		{"internal/user", "os", false},
		{"internal/user", "os/exec", false},
		{"internal/user", "database/sql/driver", false},
		{"internal/user", module + "internal/audit", false},
		{"internal/flow", module + "internal/audit", true},
		{"internal/flow", module + "internal/client", false},
		{"internal/flow", module + "internal/store", false},
		{"internal/client", "golang.org/x/text/unicode/norm", false},
		{"internal/store", module + "internal/user", true},
		{"internal/store", module + "migrations", true},
		{"internal/store", module + "internal/keyring", false},
		{"internal/store", "github.com/jackc/pgx/v5/pgxpool", true},
		{"internal/store", "testing", false},
		{"internal/store/storetest", "testing", true},
		{"internal/store/storetest", module + "internal/keyring", true},
		{"internal/login", "github.com/jackc/pgx/v5/pgconn", false},
		{"internal/login", module + "internal/account", false},
		{"internal/login", module + "internal/store/storetest", false},
		{"internal/login", module + "internal/oidc", false},
		{"internal/login", module + "web", false},
		{"internal/oidc", "github.com/ory/fosite/handler/oauth2", true},
		{"internal/server", "github.com/ory/fosite", false},
		{"internal/server", module + "internal/oidc", true},
		{"internal/server", module + "internal/api", false},
		{"internal/server", module + "cmd/portvakt", false},
		{"internal/factor", "golang.org/x/crypto/argon2", true},
		{"internal/factor", "golang.org/x/crypto/bcrypt", false},
		{"internal/keyring", "golang.org/x/crypto/argon2", false},
		{"internal/admin", "github.com/goccy/go-yaml", true},
		{"internal/admin", "github.com/alecthomas/kong", false},
		{"cmd/portvakt", "github.com/alecthomas/kong", true},
		{"cmd/portvakt", "github.com/alecthomas/kongs", false},
		{"cmd/portvakt", "github.com/stretchr/testify/assert", false},
		{"cmd/loadgen", module + "internal/user", false},
	} {
		if got := check(tt.path, rules[tt.path], owners, listed{Imports: []string{tt.imp}}); (len(got) == 0) != tt.ok {
			t.Errorf("%s imports %s: %q, want ok %v", tt.path, tt.imp, got, tt.ok)
		}
	}
	for path, ok := range map[string]bool{"internal/client": false, "internal/oidc": true} {
		p := listed{XTestImports: []string{"github.com/coreos/go-oidc/v3/oidc"}}
		if got := check(path, rules[path], owners, p); (len(got) == 0) != ok {
			t.Errorf("a test of %s: %q, want ok %v", path, got, ok)
		}
	}
}

func TestClock(t *testing.T) {
	for src, want := range map[string]int{
		`package p; import "time"; var d = time.Hour`:                                     0,
		`package p; import "time"; func f(now time.Time) bool { return now.IsZero() }`:    0,
		`package p; import "time"; var t = time.Now()`:                                    1,
		`package p; import "time"; var t = time.Now`:                                      1,
		`package p; import clock "time"; func f() { clock.Sleep(clock.Since(t)) }`:        2,
		`package p; import . "time"; var t = Now()`:                                       1,
		`package p; import "time"; func f(time clock) { time.Now() }`:                     1, // a shadow: rename it
		`package p; import "strings"; type x struct{ Now func() }; var t, s = x{}.Now, 1`: 0,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "p.go", src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := clockUses(fset, file); len(got) != want {
			t.Errorf("%s: %q, want %d", src, got, want)
		}
	}
}
