package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

//go:generate go test . -run TestReadmeSettings -update

const (
	readme       = "../../README.md"
	settingsHead = "<!-- settings -->\n"
	settingsTail = "<!-- /settings -->\n"
)

// TestReadmeSettings compares the table of settings in README.md with the settings that there are.
func TestReadmeSettings(t *testing.T) {
	parser, err := newParser(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, readme)
	before, rest, ok := strings.Cut(text, settingsHead)
	_, after, ok2 := strings.Cut(rest, settingsTail)
	if !ok || !ok2 {
		t.Fatalf("%s has not the two lines %s%s", readme, settingsHead, settingsTail)
	}
	golden(t, readme, before+settingsHead+settingsTable(parser.Model.Flags)+settingsTail+after)
}

func settingsTable(flags []*kong.Flag) string {
	var out strings.Builder
	out.WriteString("| setting | default | meaning |\n| --- | --- | --- |\n")
	for _, f := range flags {
		if f.Name == "help" {
			continue
		}
		unset := "–"
		if f.HasDefault {
			unset = "`" + f.Default + "`"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.Name, unset, f.Help)
	}
	return out.String()
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var commandLine = regexp.MustCompile(`(?m)^ *\$ (.*?)(?: +#.*)?$`)

// TestReadmeCommands: every command that README.md shows is run by testdata/readme.txtar; those of make are targets.
func TestReadmeCommands(t *testing.T) {
	text := read(t, readme)
	if n := strings.Count(text, "\n"); n > 150 {
		t.Errorf("README.md has %d lines; it is to fit a sitting: 150", n)
	}
	script, makefile := read(t, "testdata/readme.txtar"), read(t, "../../Makefile")
	lines := commandLine.FindAllStringSubmatch(text, -1)
	if len(lines) < 10 {
		t.Errorf("only %d commands were found in README.md", len(lines))
	}
	for _, m := range lines {
		command := strings.Replace(m[1], "go run ./cmd/portvakt", "portvakt", 1)
		if target, ok := strings.CutPrefix(command, "make "); ok {
			if !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("README.md: there is no target %s in the Makefile", target)
			}
			continue
		}
		if !runs(script, command) {
			t.Errorf("README.md: testdata/readme.txtar does not run: %s", command)
		}
	}
}

// runs reports whether a script runs a command to its end ("exec"), or beside it ("start", perhaps with more flags).
func runs(script, command string) bool {
	command = strings.ReplaceAll(command, `"`, "'") // testscript's quotation marks
	args, ours := strings.CutPrefix(command, "portvakt ")
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "exec "+command {
			return true
		}
		if _, rest, ok := strings.Cut(strings.TrimPrefix(line, "start "), " "); ours && ok && strings.HasPrefix(line, "start ") &&
			(rest == args || strings.HasPrefix(rest, args+" ")) {
			return true
		}
	}
	return false
}
