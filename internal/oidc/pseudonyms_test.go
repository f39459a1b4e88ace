package oidc

import (
	"bytes"
	"strings"
	"testing"
)

// TestPseudonyms: a name leads back to its id in its own sector and purpose, whatever the id's form, and nowhere else.
func TestPseudonyms(t *testing.T) {
	n := newPseudonyms(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32))
	seen := map[string]bool{}
	for _, id := range []string{"ABCDEFGHIJKLMNOPQRSTUVWXY2", "ABCDEFGHIJKLMNOPQRSTUVWXY3", "a", "å", "x\ny", strings.Repeat("x", 100)} {
		name := n.name("a.example", ofPerson, id)
		if got, ok := n.id("a.example", ofPerson, name); !ok || got != id || seen[name] || name != n.name("a.example", ofPerson, id) || len(name) > maxSubject {
			t.Errorf("%q: %q leads to %q, %v", id, name, got, ok)
		}
		seen[name] = true
		for _, other := range [][2]string{{"b.example", ofPerson}, {"a.example", ofSession}, {"a.example\nsub", ofPerson}, {"", ofPerson}} {
			if got, ok := n.id(other[0], other[1], name); ok || n.name(other[0], other[1], id) == name {
				t.Errorf("%q: its name counts in %q: %q", id, other, got)
			}
		}
		for i := range name {
			changed := []byte(name)
			if changed[i] = 'A'; name[i] == 'A' {
				changed[i] = 'B'
			}
			if _, ok := n.id("a.example", ofPerson, string(changed)); ok {
				t.Errorf("%q: changed at %d, its name counts", id, i)
			}
		}
	}
	for _, name := range []string{"", "x", "!", strings.Repeat("A", 22), n.name("a.example", ofPerson, "a") + "="} {
		if _, ok := n.id("a.example", ofPerson, name); ok {
			t.Errorf("%q is a name", name)
		}
	}
}
