package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
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

// TestAlertForPassword: each refusal has its sentence, which tells the numbers of the rules that refused; a fault has none.
func TestAlertForPassword(t *testing.T) {
	p := mustPages(t)
	for _, c := range []struct {
		err   error
		key   string
		tells string
	}{
		{factor.ErrTooShort, "alert.short", "14"}, {factor.ErrTooLong, "alert.long", "300"}, {factor.ErrNotText, "alert.not_text", ""},
		{passwords.ErrClasses, "alert.classes", "3"}, {passwords.ErrContext, "alert.context", ""}, {passwords.ErrListed, "alert.listed", ""},
		{passwords.ErrUsed, "alert.used", ""}, {account.ErrMismatch, "alert.mismatch", ""}, {store.ErrOutage, "", ""}, {nil, "", ""},
	} {
		err := c.err
		if err != nil && c.tells != "" {
			err = fmt.Errorf("wrapped: %w", &passwords.Refused{Because: err, Rules: policy.Password{MinLength: 14, MaxLength: 300, MinClasses: 3}})
		}
		key, args := alertForPassword(err)
		if key != c.key {
			t.Errorf("%v: %q, want %q", c.err, key, c.key)
		}
		if key == "" {
			continue
		}
		said, bad := p.page("sv").T(key, args)
		if bad != nil || !strings.Contains(said, c.tells) || !errors.Is(err, c.err) || blames(key, "password", "x") != (key != "alert.mismatch") {
			t.Errorf("%v: %q, %v", c.err, said, bad)
		}
	}
}
