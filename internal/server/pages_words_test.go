package server

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/web"
)

// templates gives the text of every template.
func templates(t *testing.T) string {
	t.Helper()
	names, err := fs.Glob(web.FS, "templates/*.html")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	var sb strings.Builder
	for _, name := range names {
		raw, err := fs.ReadFile(web.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		sb.Write(raw)
	}
	return sb.String()
}

// TestKeys: both languages have the same keys, and they are those that templates and server name, no more and no fewer.
func TestKeys(t *testing.T) {
	all, err := loadWords(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	used := alertKeys()
	used = append(used, "method.password", "method.totp", "password.setup", "password.invitation", "password.reset")
	for _, name := range problemNames() {
		used = append(used, "problem."+name+".title", "problem."+name+".lead", "problem."+name+".next")
	}
	for _, m := range regexp.MustCompile(`\.(?:T|Rich) "([^"]+)"`).FindAllStringSubmatch(templates(t), -1) {
		used = append(used, m[1])
	}
	slices.Sort(used)
	used = slices.Compact(used)
	for lang, texts := range all {
		keys := slices.Sorted(maps.Keys(texts))
		for _, k := range used {
			if _, ok := texts[k]; !ok {
				t.Errorf("%s lacks %s", lang, k)
			}
		}
		for _, k := range keys {
			if !slices.Contains(used, k) {
				t.Errorf("%s has %s, which nobody uses", lang, k)
			}
			if strings.TrimSpace(texts[k]) != texts[k] || texts[k] == "" {
				t.Errorf("%s: %s is empty or has space around it", lang, k)
			}
		}
	}
}

// TestPlaceholders: a text names the same values in both languages, and closes what it opens.
func TestPlaceholders(t *testing.T) {
	all, err := loadWords(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	good := regexp.MustCompile(`\{([a-z]+)(\|[^{}|]+\|[^{}|]+)?\}`)
	names := func(s string) []string {
		var out []string
		for _, m := range good.FindAllStringSubmatch(s, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	for key, en := range all["en"] {
		sv := all["sv"][key]
		if !slices.Equal(names(en), names(sv)) {
			t.Errorf("%s: %v in English, %v in Swedish", key, names(en), names(sv))
		}
		if rest := good.ReplaceAllString(en+sv, ""); strings.ContainsAny(rest, "{}|<>&") {
			t.Errorf("%s: what is left of it, %q, has marks in it", key, rest)
		}
	}
}

func TestPlurals(t *testing.T) {
	p := mustPages(t)
	for _, c := range []struct{ lang, n, want string }{
		{"en", "1", "Wait 1 minute,"}, {"en", "3", "Wait 3 minutes,"}, {"en", "0", "Wait 0 minutes,"}, {"en", "11", "Wait 11 minutes,"},
		{"sv", "1", "Vänta 1 minut "}, {"sv", "3", "Vänta 3 minuter "}, {"sv", "21", "Vänta 21 minuter "},
	} {
		got, err := p.page(c.lang).T("alert.delayed", []any{"minutes", c.n})
		if err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %q, %v", c.lang, c.n, got, err)
		}
	}
}

func TestFill(t *testing.T) {
	w := words{"plain": "as it is", "two": "{a} & {b}, {a}", "open": "{a", "count": "{n|one <|many >}"}
	for _, c := range []struct {
		key         string
		args        []any
		plain, rich string // "" for an error
	}{
		{"plain", nil, "as it is", "as it is"},
		{"plain", []any{"unused", 1}, "as it is", "as it is"},
		{"two", []any{"a", "<1>", "b", 2}, "<1> & 2, <1>", "<strong>&lt;1&gt;</strong> &amp; <strong>2</strong>, <strong>&lt;1&gt;</strong>"},
		{"two", []any{[]any{"a", "{b}", "b", "x"}}, "{b} & x, {b}", "<strong>{b}</strong> &amp; <strong>x</strong>, <strong>{b}</strong>"},
		{"two", []any{"a", 1, "b"}, "", ""},
		{"two", []any{"a", 1}, "", ""},
		{"open", []any{"a", 1}, "", ""},
		{"nothing", nil, "", ""},
		{"count", []any{"n", 1}, "one <", "one &lt;"},
		{"count", []any{"n", int64(2)}, "many >", "many &gt;"},
	} {
		plain, err := w.plain(c.key, c.args)
		if plain != c.plain || (err != nil) != (c.plain == "") {
			t.Errorf("plain %s %v: %q, %v", c.key, c.args, plain, err)
		}
		rich, err := w.rich(c.key, c.args)
		if rich != c.rich || (err != nil) != (c.rich == "") {
			t.Errorf("rich %s %v: %q, %v", c.key, c.args, rich, err)
		}
	}
}
