package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Change is one rule that two policies set differently. A key is written as in password.min_length, or as in
// password.groups.admins.min_length for what tightens it for one group. A value is what JSON has for it; nil says nothing.
type Change struct {
	Key    string `json:"key"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// String is how people read it: password.min_length: 12 -> 14.
func (c Change) String() string { return c.Key + ": " + Text(c.Before) + " -> " + Text(c.After) }

// Text writes a value of a Change, or of its JSON, as With reads it.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case float64: // a whole number that came as JSON
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []string:
		return list(v)
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = fmt.Sprint(w)
		}
		return list(words)
	}
	return fmt.Sprint(v)
}

// list is [a,b], or JSON where a word would not come back from that.
func list(words []string) string {
	plain := "[" + strings.Join(words, ",") + "]"
	if again, err := readList(plain); err == nil && slices.Equal(again, words) {
		return plain
	}
	text, err := json.Marshal(words)
	if err != nil {
		panic(err) // words always marshal
	}
	return string(text)
}

// Rule is one rule of a policy and its value, as in a Change.
type Rule struct {
	Key   string
	Value any
}

// Rules lists every rule in the order of the contract, those for groups as far as they say something.
func (p Policy) Rules() []Rule {
	all := p.rules()
	out := make([]Rule, len(all.keys))
	for i, key := range all.keys {
		out[i] = Rule{key, all.value[key]}
	}
	return out
}

// Diff lists the rules in which two policies differ, in the order of the contract. It is empty if they say the same.
func Diff(was, is Policy) []Change {
	before, after := was.rules(), is.rules()
	var out []Change
	for _, key := range merged(before, after) {
		b, a := before.value[key], after.value[key]
		if Text(b) != Text(a) {
			out = append(out, Change{key, b, a})
		}
	}
	return out
}

// ruleSet is a policy as a list of rules; a rule for a group that says nothing is not among them.
type ruleSet struct {
	keys  []string
	value map[string]any
}

// merged gives the keys of both, those of groups behind the general ones of their section.
func merged(a, b ruleSet) []string {
	keys := slices.Clone(a.keys)
	for _, k := range b.keys {
		if _, known := a.value[k]; !known {
			keys = append(keys, k)
		}
	}
	order := map[string]int{}
	for i, s := range sections() {
		order[s.name] = i
	}
	rank := func(key string) int {
		section, rest, _ := strings.Cut(key, ".")
		if strings.HasPrefix(rest, "groups.") {
			return 2*order[section] + 1
		}
		return 2 * order[section]
	}
	slices.SortStableFunc(keys, func(x, y string) int { return rank(x) - rank(y) })
	return keys
}

func (p Policy) rules() ruleSet {
	out := ruleSet{value: map[string]any{}}
	add := func(key string, v any) { out.keys, out.value[key] = append(out.keys, key), v }
	root := reflect.ValueOf(p)
	for _, s := range sections() {
		v := root.Field(s.index)
		for _, f := range s.rules {
			add(s.name+"."+f.name, plain(v.Field(f.index), false))
		}
		if s.groups < 0 {
			continue
		}
		groups := v.Field(s.groups)
		names := groups.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			for _, f := range s.groupRules {
				if set := plain(groups.MapIndex(name).Field(f.index), true); set != nil && set != false {
					add(s.name+".groups."+name.String()+"."+f.name, set)
				}
			}
		}
	}
	return out
}

// plain is a value as JSON has it; what a rule of a group leaves open, and a class that is not demanded, is nil.
func plain(v reflect.Value, group bool) any {
	switch x := v.Interface().(type) {
	case Duration:
		if group && x == 0 {
			return nil
		}
		return x.String()
	case int:
		if group && x == 0 {
			return nil
		}
		return x
	case bool:
		return x
	}
	if v.Kind() == reflect.Slice {
		words := make([]string, v.Len())
		for i := range words {
			words[i] = v.Index(i).String()
		}
		return words
	}
	if v.String() == "" {
		return nil
	}
	return v.String()
}

// section is one block of a policy: its rules, and those that tighten it for a group.
type section struct {
	name       string
	index      int
	rules      []field
	groups     int // -1: the same for everybody
	groupRules []field
}

type field struct {
	name  string
	index int
}

// sections reads the blocks off the type, so that a rule that is added there is known here.
func sections() []section {
	var out []section
	root := reflect.TypeFor[Policy]()
	for i := range root.NumField() {
		s := section{name: tag(root.Field(i)), index: i, groups: -1}
		block := root.Field(i).Type
		for j := range block.NumField() {
			switch f := block.Field(j); {
			case tag(f) == "-":
			case f.Type.Kind() == reflect.Map:
				s.groups = j
				for k := range f.Type.Elem().NumField() {
					s.groupRules = append(s.groupRules, field{tag(f.Type.Elem().Field(k)), k})
				}
			default:
				s.rules = append(s.rules, field{tag(f), j})
			}
		}
		out = append(out, s)
	}
	return out
}

func tag(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// Keys lists every rule; group stands for the name of a group, and no rules of groups are listed where it is empty.
func Keys(group string) []string {
	var out []string
	for _, s := range sections() {
		for _, f := range s.rules {
			out = append(out, s.name+"."+f.name)
		}
		for _, f := range s.groupRules {
			if group != "" {
				out = append(out, s.name+".groups."+group+"."+f.name)
			}
		}
	}
	return out
}
