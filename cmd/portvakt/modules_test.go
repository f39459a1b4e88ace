package main

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// update writes anew what tests compare with: testdata/modules.txt and the table of README.md (make docs).
var update = flag.Bool("update", false, "write the golden files anew")

const modulesHead = `# The modules that the program is linked from. A line more is code from somebody else that signs people in, keeps keys
# and reads secrets: it is argued for in the commit that brings it (docs/rules.md, rule 3), and so is a new version.
# After such a change: go test ./cmd/portvakt -run TestModules -update
`

// TestModules compares the modules of the program, as it is built for servers, with testdata/modules.txt.
func TestModules(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{with .Replace}} => {{.Path}}{{end}}{{end}}{{end}}", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	lines = slices.DeleteFunc(slices.Compact(lines), func(s string) bool { return s == "" })
	golden(t, "testdata/modules.txt", modulesHead+strings.Join(lines, "\n")+"\n")
}

// golden compares a file with what it should be, or writes it.
func golden(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not up to date; if the change is meant, run: go test ./cmd/portvakt -run '^%s$' -update\n%s", file, t.Name(), difference(string(got), want))
	}
}

// difference lists the lines that only one of the texts has.
func difference(got, want string) string {
	was, is := strings.Split(got, "\n"), strings.Split(want, "\n")
	var out strings.Builder
	for _, line := range was {
		if !slices.Contains(is, line) {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			out.WriteString("+ " + line + "\n")
		}
	}
	return out.String()
}
