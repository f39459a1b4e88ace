package server

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/words"
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

// spelledKeys are those that no template spells out: the server and package notify put them together, or templates from a kind.
func spelledKeys() []string {
	keys := append(append(noticeKeys(), appKeys()...), "alert.code_sms", "alert.code_sms_used", "alert.sms_none", "alert.user_code")
	for prefix, ends := range map[string]string{
		"method.": "password totp sms webauthn recovery device", "password.": "setup invitation reset",
		"kind.": "totp sms webauthn recovery", "ways.": "totp sms webauthn recovery password", "instead.": "totp sms webauthn",
		"add.": "totp sms webauthn", "remove.": "totp sms webauthn", "sms.": "sending sent failed body body_own",
		"scope.": "profile email phone groups offline_access other",
	} {
		for end := range strings.FieldsSeq(ends) {
			keys = append(keys, prefix+end)
		}
	}
	for key := range mailKeys() {
		keys = append(keys, key+".subject", key+".body")
	}
	return keys
}

// mailKeys are the mails that package notify sends, and whether each is told the factor beside what every mail is told.
func mailKeys() map[string]bool {
	return map[string]bool{"mail.factor_added": true, "mail.factor_removed": true, "mail.factor_stopped": true, "mail.factor_allowed": true,
		"mail.recovery_used": false, "mail.recovery_made": false, "mail.device_remembered": false, "mail.device_connected": false, "mail.passkey_cloned": false,
		"mail.disowned": false, "mail.number_changed": false, "mail.password_changed": false, "mail.password_forgotten": false, "mail.guessed": false}
}

// TestKeys: both languages have the same keys, and they are those that templates and server name, no more and no fewer.
func TestKeys(t *testing.T) {
	all, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	used := append(alertKeys(), spelledKeys()...)
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
	all, err := words.Load(web.FS)
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

// TestMails: what package notify gives is enough, and each mail says who, where, when and what to do.
func TestMails(t *testing.T) {
	all, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	for lang, texts := range all {
		for key, factor := range mailKeys() {
			args := []any{"name", "(name)", "brand", "(brand)", "url", "(url)", "time", "(time)", "agent", "(agent)"}
			if factor {
				args = append(args, "factor", "(factor)")
			}
			if key == "mail.device_connected" {
				args = append(args, "app", "(app)", "address", "(address)", "from", "(from)")
			}
			if key == "mail.guessed" {
				args = append(args, "link", "(link)", "minutes", "(minutes)")
			}
			subject, err := texts.Plain(key+".subject", args)
			if err != nil || len(subject) > 60 || strings.ContainsAny(subject, "\n(") {
				t.Errorf("%s %s: subject %q, %v", lang, key, subject, err)
			}
			body, err := texts.Plain(key+".body", args)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(args); i += 2 {
				if !strings.Contains(body, args[i].(string)) {
					t.Errorf("%s %s: does not tell the %s", lang, key, args[i])
				}
			}
			if support := map[string]string{"en": "IT support", "sv": "IT-supporten"}[lang]; !strings.Contains(body, support) {
				t.Errorf("%s %s: names nobody to turn to", lang, key)
			}
		}
	}
}

// TestTextMessage: one message, of at most 160 characters that all stand in the GSM alphabet (3GPP TS 23.038 §6.2.1); with any
// other it would be cut at 70, and cost double.
func TestTextMessage(t *testing.T) {
	all, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	const gsm = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	const origin = "\n\n@inloggning.exempelbolaget.se #123456"
	for lang, texts := range all {
		for _, key := range []string{"sms.body", "sms.body_own"} {
			body, err := texts.Plain(key, []any{"app", "Exempelbolagets intranät", "code", "123456", "mark", "KX", "time", "09:42"})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range body {
				if !strings.ContainsRune(gsm, r) {
					t.Errorf("%s %s: %q is not in the GSM alphabet", lang, key, r)
				}
			}
			if n := len([]rune(body + origin)); n > 160 {
				t.Errorf("%s %s: %d characters: %s", lang, key, n, body)
			}
		}
	}
}

// TestTone: nobody is shouted at, and dashes, quotes and dots are those of the language.
func TestTone(t *testing.T) {
	all, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	for lang, texts := range all {
		for key, text := range texts {
			if strings.ContainsAny(text, "!'\"") || strings.Contains(text, "...") || strings.Contains(text, "  ") || lang == "sv" && strings.ContainsAny(text, "“‘") {
				t.Errorf("%s %s: %s", lang, key, text)
			}
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
	w := words.Texts{"plain": "as it is", "two": "{a} & {b}, {a}", "open": "{a", "count": "{n|one <|many >}"}
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
		plain, err := w.Plain(c.key, c.args)
		if plain != c.plain || (err != nil) != (c.plain == "") {
			t.Errorf("plain %s %v: %q, %v", c.key, c.args, plain, err)
		}
		rich, err := w.Rich(c.key, c.args)
		if rich != c.rich || (err != nil) != (c.rich == "") {
			t.Errorf("rich %s %v: %q, %v", c.key, c.args, rich, err)
		}
	}
}
