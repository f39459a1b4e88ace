package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// configFile is a flag that names a YAML file with settings. The environment and the command line win over it.
type configFile string

// BeforeResolve reads the file and lets it resolve what nobody else has set. Kong calls it by its name.
func (configFile) BeforeResolve(_ *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(configFile))
	if path == "" { // PORTVAKT_CONFIG= is no file
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	values, err := readConfig(text)
	if err != nil {
		return fmt.Errorf("the configuration file %s, %w", path, err)
	}
	ctx.AddResolver(&fileConfig{path, values})
	return nil
}

// setting is one key of a configuration file.
type setting struct {
	key, value string
	line       int
}

// readConfig reads keys with a value, or a list of values, each. Its errors begin with the line.
func readConfig(text []byte) ([]setting, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		var fault yaml.Error
		if errors.As(err, &fault) && fault.GetToken() != nil {
			return nil, fmt.Errorf("line %d: %s", fault.GetToken().Position.Line, fault.GetMessage())
		}
		return nil, err
	}
	var all []setting
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		pairs, ok := doc.Body.(ast.MapNode)
		if !ok {
			return nil, fmt.Errorf("line %d: here stand no keys and values; write key: value", doc.Body.GetToken().Position.Line)
		}
		for each := pairs.MapRange(); each.Next(); {
			one := setting{key: each.Key().GetToken().Value, line: each.Key().GetToken().Position.Line}
			if one.value, ok = plain(each.Value()); !ok {
				return nil, fmt.Errorf("line %d: the key %q needs one value, or a list of values", one.line, one.key)
			}
			if slices.ContainsFunc(all, func(s setting) bool { return s.key == one.key }) {
				return nil, fmt.Errorf("line %d: the key %q stands twice", one.line, one.key)
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// plain gives a value as a flag would have it: a list with commas.
func plain(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.SequenceNode:
		words := make([]string, len(n.Values))
		for i, v := range n.Values {
			word, ok := plain(v)
			if !ok || strings.Contains(word, ",") {
				return "", false
			}
			words[i] = word
		}
		return strings.Join(words, ","), true
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// fileConfig resolves settings from a file.
type fileConfig struct {
	path   string
	values []setting
}

// Validate refuses keys that are no settings.
func (c *fileConfig) Validate(app *kong.Application) error {
	for _, s := range c.values {
		if !slices.ContainsFunc(app.Flags, func(f *kong.Flag) bool { return f.Name == s.key && f.Name != "config" && f.Name != "help" }) {
			return fmt.Errorf("the configuration file %s, line %d: the key %q is not a setting", c.path, s.line, s.key)
		}
	}
	return nil
}

// Resolve gives the file's value unless the environment has one.
func (c *fileConfig) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	for _, s := range c.values {
		if s.key == flag.Name {
			return s.value, nil
		}
	}
	return nil, nil
}

// unknownEnvironment refuses PORTVAKT_ variables that are no settings: most are misspelt.
func unknownEnvironment(app *kong.Application) error {
	known := map[string]bool{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok {
			for _, env := range f.Envs {
				known[env] = true
			}
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "PORTVAKT_") && !known[name] {
			return fmt.Errorf("the environment variable %s is not a setting", name)
		}
	}
	return nil
}
