// Package words holds the texts that people read, in every language: pages, mails and text messages take them from here by key.
package words

import (
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"strings"
)

// Texts are the texts of one language, by key. In a text {name} stands for a value, and {name|one|other} for the first word when
// the value is 1 and the second otherwise.
type Texts map[string]string

// Load reads the texts of every language there is.
func Load(files fs.FS) (map[string]Texts, error) {
	all := make(map[string]Texts, 2)
	for _, lang := range []string{"en", "sv"} {
		raw, err := fs.ReadFile(files, "locales/"+lang+".json")
		if err != nil {
			return nil, fmt.Errorf("words: read texts: %w", err)
		}
		texts := make(Texts, 256)
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("words: read texts %s: %w", lang, err)
		}
		all[lang] = texts
	}
	return all, nil
}

// Plain fills a text's placeholders from args: a name, its value, the next name, its value; or all of that in one []any. What a
// text does not use is ignored; a key that does not exist or a value that is missing is an error.
func (w Texts) Plain(key string, args []any) (string, error) {
	same := func(s string) string { return s }
	return w.fill(key, args, same, same)
}

// Rich is Plain for HTML: all is escaped, and each value is in a <strong>.
func (w Texts) Rich(key string, args []any) (string, error) {
	strong := func(s string) string { return "<strong>" + html.EscapeString(s) + "</strong>" }
	return w.fill(key, args, html.EscapeString, strong)
}

func (w Texts) fill(key string, args []any, text, value func(string) string) (string, error) {
	rest, ok := w[key]
	if !ok {
		return "", fmt.Errorf("words: no text %q", key)
	}
	if len(args) == 1 {
		if list, ok := args[0].([]any); ok {
			args = list
		}
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(rest, "{")
		out.WriteString(text(before))
		if !found {
			return out.String(), nil
		}
		inner, next, closed := strings.Cut(after, "}")
		name, forms, counted := strings.Cut(inner, "|")
		v, ok := argument(args, name)
		if !closed || !ok {
			return "", fmt.Errorf("words: text %q lacks its %q", key, name)
		}
		if counted {
			one, other, _ := strings.Cut(forms, "|")
			if v != "1" {
				one = other
			}
			out.WriteString(text(one))
		} else {
			out.WriteString(value(v))
		}
		rest = next
	}
}

// argument finds a value by its name in a list of names and values.
func argument(args []any, name string) (string, bool) {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == name {
			return fmt.Sprint(args[i+1]), true
		}
	}
	return "", false
}
