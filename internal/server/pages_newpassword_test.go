package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// TestNewPasswordField: what strength.js reads is there, in every state of a page with a new password, and hidden until it runs.
func TestNewPasswordField(t *testing.T) {
	p := mustPages(t)
	seen := 0
	for _, lang := range []string{"en", "sv"} {
		for _, s := range everyPage(p, lang) {
			_, doc := show(t, p, s)
			fields := slices.DeleteFunc(elements(doc, "input"), func(n *html.Node) bool { return get(n, "autocomplete") != "new-password" })
			if len(fields) == 0 {
				continue
			}
			seen++
			var words []string
			if err := json.Unmarshal([]byte(get(fields[0], "data-words")), &words); err != nil || words == nil || get(fields[0], "data-min") != "12" {
				t.Errorf("%s %s: %v", s.name, lang, err)
			}
			if len(words) > 0 && words[2] != `a "b" <c>` {
				t.Errorf("%s %s: words %q", s.name, lang, words)
			}
			if len(fields) != 2 || get(fields[0], "name") != "password" || get(fields[1], "name") != "repeat" || has(fields[1], "data-min") {
				t.Errorf("%s %s: the fields are others", s.name, lang)
			}
			boxes := find(doc, "class", "strength")
			if len(boxes) != 1 || !has(boxes[0], "hidden") || boxes[0].Parent != fields[0].Parent || len(find(boxes[0], "role", "status")) != 1 {
				t.Fatalf("%s %s: no place for the answer", s.name, lang)
			}
			for _, name := range strings.Fields("last missing context pattern kinds good") {
				if said := get(boxes[0], "data-"+name); said == "" || strings.Contains(said, `"`) {
					t.Errorf("%s %s: data-%s is %q", s.name, lang, name, said)
				}
			}
			if !strings.Contains(get(boxes[0], "data-missing"), "{n}") || !strings.Contains(get(boxes[0], "data-last"), "1") {
				t.Errorf("%s %s: the number has no place", s.name, lang)
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d pages with a new password", seen)
	}
}
