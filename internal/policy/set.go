package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// With gives p with one rule set to what text says; p stays as it is. "none", or nothing, takes back what is said for a group, and a class.
func (p Policy) With(key, text string) (Policy, error) {
	return p.put(key, func(v reflect.Value, group bool) error {
		if err := read(v, strings.TrimSpace(text), group); err != nil {
			return fmt.Errorf("%s %q: %w", key, text, err)
		}
		return nil
	})
}

// Take gives p with one rule as from has it.
func (p Policy) Take(from Policy, key string) (Policy, error) {
	var value reflect.Value
	if _, err := from.put(key, func(v reflect.Value, _ bool) error { value = reflect.ValueOf(v.Interface()); return nil }); err != nil {
		return p, err
	}
	return p.put(key, func(v reflect.Value, _ bool) error { v.Set(value); return nil })
}

// Normal gives p without what says nothing: rules of groups that are all empty, lists of nothing. Two that mean the same are then the same JSON.
func (p Policy) Normal() Policy {
	p.Password.Groups, p.Session.Groups, p.Factors.Groups = full(p.Password.Groups), full(p.Session.Groups), full(p.Factors.Groups)
	return p
}

func full[R comparable](groups map[string]R) map[string]R {
	var nothing R
	out := maps.Clone(groups)
	maps.DeleteFunc(out, func(_ string, r R) bool { return r == nothing })
	if len(out) == 0 {
		return nil
	}
	return out
}

// put calls fn with the place of one rule in a copy of p, and gives the copy.
func (p Policy) put(key string, fn func(v reflect.Value, group bool) error) (Policy, error) {
	out := p
	name, rest, _ := strings.Cut(key, ".")
	for _, s := range sections() {
		if s.name != name {
			continue
		}
		block := reflect.ValueOf(&out).Elem().Field(s.index)
		for _, f := range s.rules {
			if f.name == rest {
				if err := fn(block.Field(f.index), false); err != nil {
					return p, err
				}
				return out, nil
			}
		}
		group, rule := groupKey(rest)
		for _, f := range s.groupRules {
			if group == "" || f.name != rule {
				continue
			}
			if err := putGroup(block.Field(s.groups), group, func(r reflect.Value) error { return fn(r.Field(f.index), true) }); err != nil {
				return p, err
			}
			return out.Normal(), nil
		}
	}
	return p, fmt.Errorf("there is no rule %q; the closest are %s", key, strings.Join(Closest(key, Keys(likelyGroup(key))), ", "))
}

// groupKey reads groups.NAME.RULE; a name may hold dots, a rule does not.
func groupKey(rest string) (group, rule string) {
	name, ok := strings.CutPrefix(rest, "groups.")
	if i := strings.LastIndexByte(name, '.'); ok && i > 0 {
		return name[:i], name[i+1:]
	}
	return "", ""
}

// putGroup changes the rules of one group in a copy of the map, which takes the map's place.
func putGroup(groups reflect.Value, name string, fn func(reflect.Value) error) error {
	clone := reflect.MakeMap(groups.Type())
	for i := groups.MapRange(); i.Next(); {
		clone.SetMapIndex(i.Key(), i.Value())
	}
	rules := reflect.New(groups.Type().Elem()).Elem()
	if was := clone.MapIndex(reflect.ValueOf(name)); was.IsValid() {
		rules.Set(was)
	}
	if err := fn(rules); err != nil {
		return err
	}
	clone.SetMapIndex(reflect.ValueOf(name), rules)
	groups.Set(clone)
	return nil
}

// read sets v to what text says, by the type of v.
func read(v reflect.Value, text string, group bool) error {
	nothing := text == "" || text == "none"
	switch {
	case group && nothing:
		v.SetZero()
		return nil
	case v.Type() == reflect.TypeFor[Duration]():
		var d Duration
		err := d.UnmarshalText([]byte(text))
		v.SetInt(int64(d))
		if err != nil {
			return fmt.Errorf("is no duration; give a whole number and s, m, h or d, such as 15m")
		}
		return nil
	case v.Kind() == reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		v.SetInt(n)
		if err != nil {
			return fmt.Errorf("is not a whole number")
		}
		return nil
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("is not true or false")
		}
		v.SetBool(text == "true")
		return nil
	case v.Kind() == reflect.Slice:
		words, err := readList(text)
		v.SetZero()
		for _, w := range words {
			v.Set(reflect.Append(v, reflect.ValueOf(w).Convert(v.Type().Elem())))
		}
		return err
	}
	if nothing {
		text = ""
	}
	v.SetString(text)
	return nil
}

// readList reads [a,b], a,b, a JSON array of words for those that hold a comma or a quotation mark, and [] or nothing.
func readList(text string) ([]string, error) {
	var words []string
	if strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &words) == nil {
		return words, nil
	}
	inner, open := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if open != closed || strings.ContainsAny(inner, `[]"{}`) {
		return nil, fmt.Errorf("is not a list; write [a,b]")
	}
	if strings.TrimSpace(inner) == "" {
		return nil, nil
	}
	for w := range strings.SplitSeq(inner, ",") {
		if w = strings.TrimSpace(w); w == "" {
			return nil, fmt.Errorf("is not a list; write [a,b]")
		}
		words = append(words, w)
	}
	return words, nil
}

// likelyGroup is the group that a mistaken key may mean.
func likelyGroup(key string) string {
	parts := strings.Split(key, ".")
	if len(parts) < 4 {
		return ""
	}
	return strings.Join(parts[2:len(parts)-1], ".")
}

// Closest gives up to three of all that are spelt most like word, the closest first.
func Closest(word string, all []string) []string {
	type near struct {
		word     string
		distance int
	}
	var found []near
	for _, w := range all {
		found = append(found, near{w, distance(word, w)})
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	var out []string
	for i, n := range found {
		if i == 0 || i < 3 && n.distance <= found[0].distance+3 {
			out = append(out, n.word)
		}
	}
	return out
}

// distance counts the letters to put in, take out or change (Levenshtein). What stands too far from any rule is cut.
func distance(a, b string) int {
	a, b = a[:min(len(a), 256)], b[:min(len(b), 256)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			last, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, last+cost)
		}
	}
	return row[len(b)]
}
