package admin

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/portvakt/portvakt/internal/policy"
)

// later lists keys that docs/contract.md §5 names and this version does not know.
const later = "retention"

// yamlFault says in one line what is wrong with a file as YAML, which is called name. It quotes keys but no value: a value may be a secret.
func yamlFault(name string, text []byte, err error) error {
	var fault yaml.Error
	if !errors.As(err, &fault) || fault.GetToken() == nil {
		what := strings.TrimPrefix(err.Error(), "policy: ")
		if line := wrongDuration(text); line > 0 {
			return fmt.Errorf("%s, line %d: %s", name, line, what)
		}
		return fmt.Errorf("%s: %s", name, what)
	}
	token := fault.GetToken()
	return fmt.Errorf("%s, line %d: %s", name, token.Position.Line, sentence(fault, token.Value))
}

func sentence(fault yaml.Error, value string) string {
	switch e := fault.(type) {
	case *yaml.UnknownFieldError:
		if slices.Contains(strings.Fields(later), value) {
			return fmt.Sprintf("the key %q is not available in this version; remove it", value)
		}
		return fmt.Sprintf("there is no key %q; see docs/contract.md §5", value)
	case *yaml.DuplicateKeyError:
		return fmt.Sprintf("the key %q stands twice; remove one", value)
	case *yaml.OverflowError:
		return "the number is too large"
	case *yaml.TypeError:
		return "this is not " + wanted(e.DstType)
	case *yaml.UnexpectedNodeTypeError:
		switch e.Expected {
		case ast.SequenceType:
			return "this is not a list; write [a, b]"
		case ast.MappingType:
			return "here stand no keys and values; write key: value"
		}
	}
	said := fault.GetMessage()
	before, _, quotes := strings.Cut(said, `"`)
	if quotes && before != "mapping key " { // a value, or all of it but its first character
		said = strings.TrimRight(before, ": ") + "; put a value that begins with * & ! | > or { in quotation marks"
	}
	return said
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list; write [a, b]"
	case reflect.Struct, reflect.Map:
		return "a set of keys and values"
	}
	return "text; put it in quotation marks"
}

// tagged gives the line of the first tag, which would make nothing of the value that it begins; 0 if there is none.
func tagged(text []byte) int {
	v := &tags{}
	walk(v, text)
	return v.line
}

// walk shows v every node of a text that can be read.
func walk(v ast.Visitor, text []byte) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			ast.Walk(v, doc.Body)
		}
	}
}

type tags struct{ line int }

func (t *tags) Visit(n ast.Node) ast.Visitor {
	if tag, ok := n.(*ast.TagNode); ok && t.line == 0 {
		t.line = tag.Start.Position.Line
	}
	return t
}

// wrongDuration gives the line of the first duration that does not read, which the decoder does not tell; 0 if there
// is none.
func wrongDuration(text []byte) int {
	v := &durations{}
	walk(v, text)
	return v.line
}

// durations looks for the keys of policy.Policy that hold one.
type durations struct{ line int }

func (d *durations) Visit(n ast.Node) ast.Visitor {
	pair, ok := n.(*ast.MappingValueNode)
	if !ok || d.line > 0 {
		return d
	}
	switch pair.Key.GetToken().Value {
	case "window", "delay_max", "idle", "absolute", "lock_after", "max_age", "remember_device":
		token := pair.Value.GetToken()
		if new(policy.Duration).UnmarshalText([]byte(token.Value)) != nil {
			d.line = token.Position.Line
		}
	}
	return d
}
