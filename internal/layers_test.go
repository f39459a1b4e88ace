// Package internal holds no code; its test states which package may import which.
package internal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/portvakt/portvakt/"

// layers is a statement of policy (docs/design.md §1): one package a line, as "layer path: what it may import of
// Portvakt". @N stands for every package of layer N but the helpers of tests, whose names end in test. DO NOT CHANGE
// THIS DATA TO MEND A BUILD: a package that needs more than it may have is in the wrong place, or the design has
// changed and says so on its own page first.
const layers = `
	0 internal/user:
	0 internal/client:
	0 internal/audit:  internal/user internal/client
	0 internal/policy: internal/user
	0 internal/flow:   internal/user internal/audit internal/policy

	0 migrations:
	0 web:

	1 internal/factor:  @0
	1 internal/keyring: @0
	1 internal/sms:     @0
	1 internal/mail:    @0
	1 internal/words:   @0 web
	1 internal/breach:
	1 internal/fetch:
	1 internal/jose:    internal/fetch
	1 internal/mtls:    @0
	1 internal/store:   @0 migrations

	2 internal/notify:  @0 @1
	2 internal/lockout: @0 @1
	2 internal/passwords: @0 @1
	2 internal/rotation: @0 @1
	2 internal/login:   @0 @1 internal/notify internal/lockout internal/passwords
	2 internal/account: @0 @1 internal/notify internal/lockout internal/passwords
	2 internal/apps:    @0 @1
	2 internal/admin:   @0 @1 internal/lockout internal/passwords
	2 internal/oidc:    @0 @1
	2 internal/trail:   @0 @1
	2 internal/privacy: @0 @1
	2 internal/store/storetest: @0 @1 migrations
	2 internal/factor/factortest: @0 @1
	2 internal/mtls/mtlstest: @0 @1

	3 internal/server: @0 @1 @2 web
	3 internal/api:    @0 @1 @2

	4 internal/server/servertest: @0 @1 @2 internal/store/storetest internal/server web
	4 docs/stepup:
	4 cmd/portvakt: @0 @1 @2 @3 migrations web
	4 cmd/loadgen:  internal/audit internal/store
	4 internal:
`

// foreign is a statement of policy too: one package for each foreign library (docs/rules.md, rule 3). A line is a
// prefix of import paths and who may import it, each with the folders below. A library without a line is a new
// dependency: the commit that adds the line argues for it. Tests may use any library of go.mod, layer 0's may not.
const foreign = `
	github.com/ory/fosite:          internal/oidc
	github.com/ory/x:               internal/oidc
	github.com/go-jose/go-jose:     internal/oidc internal/jose
	github.com/pquerna/otp:         internal/factor
	github.com/go-webauthn:         internal/factor
	github.com/boombuler/barcode:   internal/factor
	golang.org/x/crypto/argon2:     internal/factor
	golang.org/x/crypto/cryptobyte: internal/keyring
	github.com/jackc/pgx:           internal/store
	modernc.org/sqlite:             internal/store
	github.com/twilio/twilio-go:    internal/sms
	github.com/nyaruka/phonenumbers: internal/sms
	github.com/wneessen/go-mail:    internal/mail
	golang.org/x/mod/sumdb:         internal/trail
	golang.org/x/text:              internal/factor
	github.com/alecthomas/kong:     cmd/portvakt
	github.com/goccy/go-yaml:       cmd/portvakt internal/admin
	github.com/coreos/go-oidc:      cmd/portvakt
	golang.org/x/oauth2:            cmd/portvakt
`

// impure lists what layer 0 may not import: what reads a clock, a file, the network or chance. A trailing / means the
// folder below. net/url, net/netip and time (but for its clock, see clock) are pure and fine.
const impure = "context crypto/rand database/sql database/sql/ io/fs io/ioutil log math/rand math/rand/ net net/http net/http/ " +
	"net/rpc net/rpc/ net/smtp net/textproto os os/ plugin runtime/debug syscall syscall/ testing testing/ unsafe embed"

// clock lists what layer 0 may not use of package time.
const clock = "After AfterFunc NewTicker NewTimer Now Since Sleep Tick Until"

// rule is one line of layers.
type rule struct {
	layer int
	may   []string
}

// listed is one package as the go command sees it; paths are made relative to the module.
type listed struct {
	ImportPath, Dir                    string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
	Error                              *struct{ Err string }
}

func TestLayers(t *testing.T) {
	rules, err := parseLayers(layers)
	if err != nil {
		t.Fatal(err)
	}
	owners, err := parseForeign(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		if p.Error != nil {
			t.Errorf("%s: %s", path, p.Error.Err)
		}
		r, ok := rules[path]
		if !ok {
			t.Errorf("%s is not in the table; place it in a layer in internal/layers_test.go and in docs/design.md §1", path)
			continue
		}
		for _, problem := range check(path, r, owners, p) {
			t.Error(problem)
		}
		if pure(path, r) {
			checkClock(t, p)
		}
	}
}

// check holds one package against both tables.
func check(path string, r rule, owners map[string][]string, p listed) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, imp := range p.Imports {
		own, inside := strings.CutPrefix(imp, module)
		switch {
		case inside && !slices.Contains(r.may, own):
			say("%s (layer %d) may not import %s", path, r.layer, own)
		case inside:
		case standard(imp):
			if pure(path, r) && listedIn(impure, imp) {
				say("%s is pure (layer 0) and may not import %s", path, imp)
			}
			if imp == "testing" && !strings.HasSuffix(path, "test") {
				say("%s is not a test helper and may not import testing", path)
			}
		default:
			if !owned(owners, imp, path) {
				say("%s may not import %s; one package for each foreign library (docs/rules.md, rule 3)", path, imp)
			}
		}
	}
	for _, imp := range append(p.TestImports, p.XTestImports...) {
		own, inside := strings.CutPrefix(imp, module)
		if inside && strings.HasPrefix(own, "cmd/") {
			say("a test of %s may not import %s", path, own)
		}
		if pure(path, r) && !standard(imp) && !(inside && (own == path || slices.Contains(r.may, own))) {
			say("a test of %s (layer 0) may not import %s; its tests stay in the standard library", path, imp)
		}
	}
	return out
}

// pure holds for the nouns of layer 0; the folders with embedded files stand beside them and only hold files.
func pure(path string, r rule) bool { return r.layer == 0 && strings.HasPrefix(path, "internal/") }

// standard is the go command's own rule: the first element of a path outside the standard library has a dot.
func standard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// listedIn looks for a word of a list; one with a / at its end stands for everything below.
func listedIn(list, imp string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(s string) bool {
		return s == imp || strings.HasSuffix(s, "/") && strings.HasPrefix(imp, s)
	})
}

// owned finds the longest prefix of an import that has a line, and asks it.
func owned(owners map[string][]string, imp, path string) bool {
	best := ""
	for prefix := range owners {
		if below(imp, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return slices.ContainsFunc(owners[best], func(o string) bool { return below(path, o) })
}

// below reports whether path is folder or inside it.
func below(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// checkClock refuses the clock of package time, which Imports cannot tell from its arithmetic.
func checkClock(t *testing.T, p listed) {
	t.Helper()
	fset := token.NewFileSet()
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, problem := range clockUses(fset, file) {
			t.Error(problem)
		}
	}
}

// clockUses finds time.Now and its relatives by syntax, under whatever name the file gives the package.
func clockUses(fset *token.FileSet, file *ast.File) []string {
	local := ""
	for _, s := range file.Imports {
		if path, err := strconv.Unquote(s.Path.Value); err == nil && path == "time" {
			if local = "time"; s.Name != nil {
				local = s.Name.Name
			}
		}
	}
	var out []string
	if local == "." {
		return append(out, fset.Position(file.Pos()).String()+": a pure package may not import time with a dot")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && local != "" && x.Name == local && listedIn(clock, sel.Sel.Name) {
			out = append(out, fmt.Sprintf("%s: a pure package takes now as an argument, not time.%s", fset.Position(sel.Pos()), sel.Sel.Name))
		}
		return true
	})
	return out
}

// list asks the go command for every package of the module.
func list(t *testing.T) []listed {
	t.Helper()
	// Opening the folders here tells the test cache what this test depends on; it does not look into child processes.
	if err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && len(d.Name()) > 2 && d.Name()[0] == '.' {
			return filepath.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports,Error", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("go list names no package")
	}
	return all
}
