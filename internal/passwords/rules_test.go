package passwords

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/portvakt/portvakt/internal/breach"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/user"
	"github.com/portvakt/portvakt/web"
)

var anna = user.User{Username: "anna.svensson82", Name: "Anna-Karin Ångström Öst", Email: "annak@mail.exempel-bolaget.se", Groups: []string{"staff"}}

// judges is a service for what needs no database.
func judges() *Service { return New(Options{Organisation: "Mjölk & Ost AB"}) }

func TestFits(t *testing.T) {
	s := judges()
	standard := policy.Default().Password
	short := standard
	short.MinLength = 8
	strict := policy.Default().Password
	strict.MinLength, strict.MinClasses, strict.Words = 8, 3, []string{"Björnloka", "örn"}
	bare := short
	bare.Blocklist = false
	grouped := policy.Default()
	grouped.Password.Groups = map[string]policy.PasswordRule{"staff": {MinLength: 16}, "board": {MinClasses: 4}}
	staff, board := grouped.For([]string{"staff"}).Password, grouped.For([]string{"staff", "board"}).Password
	for _, c := range []struct {
		rules    policy.Password
		password string
		want     error
	}{
		{standard, "correct horse battery staple", nil},
		{standard, "tolv tecken.", nil},
		{standard, "elva tecken", factor.ErrTooShort},
		{standard, "", factor.ErrNotText},
		{standard, strings.Repeat("en väldigt lång fras ", 20), factor.ErrTooLong},
		{standard, strings.Repeat("x", 1025), factor.ErrTooLong},
		{standard, "sixteen\x00 letters", factor.ErrNotText},
		{standard, "åäöåäöåäö!qx", nil}, // 12 characters in more bytes

		// lists, in other spellings too
		{standard, "1q2w3e4r5t6y", ErrListed},
		{standard, "1Q2W3E4R5T6Y", ErrListed},
		{standard, "Unbelievable", ErrListed},
		{short, "Password1", ErrListed},
		{short, "relationship", ErrListed},
		{bare, "Password1", nil},

		// patterns
		{standard, "aaaaaaaaaaaa", ErrListed},
		{standard, "AaAaAaAaAaAa", ErrListed},
		{standard, "ÅÅÅÅÅÅÅÅÅÅÅÅÅ", ErrListed},
		{standard, "            ", ErrListed},
		{standard, "abcabcabcabc", ErrListed},
		{standard, "abcdabcdabcdab", ErrListed},
		{standard, "🔑🧂🔑🧂🔑🧂🔑🧂🔑🧂🔑🧂", ErrListed},
		{standard, "abcdefghijkl", ErrListed},
		{standard, "lkjihgfedcba", ErrListed},
		{standard, "1234567890123", ErrListed},
		{standard, "098765432109", ErrListed},
		{standard, "qwertyuiopåasdf", ErrListed},
		{standard, "Qwertyuiop123456", ErrListed},
		{standard, "1qaz2wsx3edc", ErrListed},
		{standard, "zaq1xsw2cde3", ErrListed},
		{standard, "111222333444", ErrListed},
		{standard, "qwertyuiop 12", nil}, // not the whole
		{standard, "vattenvattenvatten", ErrListed},
		{standard, "vattnet rinnervattnet rinner", nil}, // no short block
		{bare, "abcdefghijkl", nil},

		// words of the person and the place
		{standard, "Annakarin2026!", ErrContext},
		{standard, "anna-karin-2026", ErrContext},
		{standard, "SVENSSON82svensson82", ErrContext},
		{standard, "ångström ANGSTROM", nil}, // nine left
		{standard, "ÅNGSTRÖM12345", ErrContext},
		{standard, "A\u030angstro\u0308m 2026", ErrContext},
		{standard, "Exempel-Bolaget1", ErrContext},
		{standard, "bolaget bolaget 1", ErrContext},
		{standard, "MjölkMjölk-ost2", ErrContext},
		{standard, "Intranet2026!", ErrContext},
		{standard, "Min ost är god idag", nil},
		{standard, "correct horse intranet battery", nil},
		{standard, "Öst öst öst öst!!", nil}, // three characters of a person's name are no word
		{short, "loka örn", nil},
		{strict, "Loka örn x1", nil},
		{strict, "Lok örn x1", ErrContext},
		{strict, "Björnloka 1234567", nil},
		{strict, "Björnloka 123456", ErrContext},
		{bare, "Intranet2026!", ErrContext}, // in any case

		// kinds of characters
		{strict, "grön elefant", ErrClasses},
		{strict, "Grön elefant", nil},
		{strict, "GRÖNAELEFANTER1", ErrClasses},
		{strict, "Δέλτα και μετά", nil},
		{strict, "密码密码很长很长密码abc", ErrClasses},
		{strict, "grön٣elefant!", nil}, // a digit of another script

		// groups
		{staff, "tolv tecken.", factor.ErrTooShort},
		{staff, "sexton tecken är", nil},
		{board, "sexton tecken är", ErrClasses},
		{board, "Sexton tecken är 1", nil},
	} {
		got, err := s.Fits(c.rules, anna, c.password, "Intranet")
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%q: %v; want %v", c.password, err, c.want)
		}
		if normal, bad := factor.Normal(c.password); err == nil && (bad != nil || got != normal) {
			t.Errorf("%q becomes %q", c.password, got)
		}
		if r := (*Refused)(nil); err != nil && (!errors.As(err, &r) || r.Rules.MinLength != c.rules.MinLength || got != "") {
			t.Errorf("%q: %v does not tell the rules", c.password, err)
		}
	}
}

// TestUnicode: one password in its several forms is the same password, and is counted in characters.
func TestUnicode(t *testing.T) {
	s, rules := judges(), policy.Default().Password
	for _, c := range []struct {
		name, composed, other string
		want                  error
	}{
		{"NFD", "gr\u00f6na \u00e5ar h\u00e4r", "gro\u0308na a\u030aar ha\u0308r", nil},
		{"too short, with marks that make it look longer", "gr\u00f6n \u00e5 h\u00e4r", "gro\u0308n a\u030a ha\u0308r", factor.ErrTooShort},
		{"no-break space", "en sak och en till", "en\u00a0sak\u3000och en\u2003till", nil},
		{"emoji", "🦊 och 🦉 i 🌲", "🦊\u00a0och 🦉 i 🌲", factor.ErrTooShort},
		{"a family", "👩\u200d👩\u200d👧\u200d👦 i skogen", "👩\u200d👩\u200d👧\u200d👦\u00a0i skogen", nil}, // seven code points
	} {
		a, errA := s.Fits(rules, anna, c.composed)
		b, errB := s.Fits(rules, anna, c.other)
		if a != b || !errors.Is(errA, c.want) || !errors.Is(errB, c.want) || c.want == nil && (errA != nil || errB != nil) {
			t.Errorf("%s: %q, %v and %q, %v", c.name, a, errA, b, errB)
		}
	}
	if got, err := s.Fits(rules, anna, "  två blanka  "); err != nil || got != "  två blanka  " {
		t.Errorf("spaces: %q, %v", got, err)
	}
}

// TestListed: a list is asked for what was typed, its one spelling and lower case, and a fault of it is no answer.
func TestListed(t *testing.T) {
	known := []string{"åsnan går hem", "Stora Ord I Rad", "A\u030asnan Skriver"}
	list := listOf(t, known...)
	for password, want := range map[string]bool{
		"åsnan går hem": true, "A\u030aSNAN GA\u030aR HEM": true, "åsnan\u00a0går hem": true, "Stora Ord I Rad": true, "stora ord i rad": false, "Stora\u00a0Ord I Rad": true,
		"A\u030asnan Skriver": true, "Åsnan Skriver": false, "åsnan går ut": false, "": false, "\xff": false,
	} {
		if got, err := Listed(list, password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	s := New(Options{Breached: list})
	if _, err := s.Fits(policy.Default().Password, anna, "Åsnan Går Hem"); !errors.Is(err, ErrListed) {
		t.Error(err)
	}
	list.Close()
	_, err := s.Fits(policy.Default().Password, anna, "något helt annat")
	if r := (*Refused)(nil); err == nil || errors.As(err, &r) {
		t.Errorf("a list that cannot be read: %v", err)
	}
}

// listOf imports a list of these passwords.
func listOf(t *testing.T, passwords ...string) *breach.List {
	t.Helper()
	to := filepath.Join(t.TempDir(), "list")
	if _, err := breach.Import(t.Context(), hashes(t, passwords...), to, 1); err != nil {
		t.Fatal(err)
	}
	list, err := breach.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { list.Close() })
	return list
}

// TestStricter draws policies and passwords: a policy that asks for more in any way never accepts what one that asks for less refuses.
func TestStricter(t *testing.T) {
	s, r := judges(), rand.New(rand.NewPCG(1, 2))
	bits := strings.Fields("anna Anna svensson ångström mjölk ost intranet Intranet abc 123 qwerty aaaa 2026 ! åäö korrekt häst batteri Q ? x 7 password 🔑 lund örn")
	plain := strings.Fields("abc 123 qwerty aaaa 7777 password unbelievable")
	words := strings.Fields("lund örn batteri korrekt")
	accepted, refused := 0, map[error]int{}
	for range 20_000 {
		var password strings.Builder
		of := bits
		if r.IntN(8) == 0 {
			of = plain
		}
		for range 1 + r.IntN(6) {
			password.WriteString(of[r.IntN(len(of))])
		}
		lax := policy.Password{MinLength: 8 + r.IntN(8), MaxLength: 256, Blocklist: r.IntN(2) == 0, MinClasses: r.IntN(3), Words: words[:r.IntN(3)]}
		tight := lax
		tight.MinLength += r.IntN(3)
		tight.MinClasses += r.IntN(2)
		tight.Blocklist = lax.Blocklist || r.IntN(2) == 0
		tight.Words = words[:len(lax.Words)+r.IntN(2)]
		_, laxly := s.Fits(lax, anna, password.String())
		_, tightly := s.Fits(tight, anna, password.String(), []string{"Intranet", "x"}[r.IntN(2)])
		if tightly == nil && laxly != nil {
			t.Fatalf("%q: %+v accepts it and %+v does not: %v", password.String(), tight, lax, laxly)
		}
		if tightly == nil {
			accepted++
		} else {
			refused[errors.Unwrap(tightly)]++
		}
	}
	for _, why := range []error{factor.ErrTooShort, ErrClasses, ErrContext, ErrListed} {
		if refused[why] < 100 || accepted < 100 {
			t.Errorf("the test draws too few of some kind: %d accepted, %v", accepted, refused)
		}
	}
}

// TestCost: threats.md CR-02: a megabyte is refused before any work, and the longest password that is not is judged in a moment.
func TestCost(t *testing.T) {
	s, rules := judges(), policy.Default().Password
	rules.MaxLength = 1024
	for i := range 100 {
		rules.Words = append(rules.Words, strings.Repeat("a", 3+i%50)+fmt.Sprint(i))
	}
	best := func(limit time.Duration, want error, passwords ...string) time.Duration {
		out := time.Hour
		for end := time.Now().Add(20 * time.Second); out > limit && time.Now().Before(end); { // the machine may be busy with other things
			start := time.Now()
			for _, p := range passwords {
				if _, err := s.Fits(rules, anna, p, strings.Repeat("a", 200)); want != nil && !errors.Is(err, want) {
					t.Fatal(err)
				}
			}
			out = min(out, time.Since(start)/time.Duration(len(passwords)))
		}
		return out
	}
	if took := best(time.Millisecond, factor.ErrTooLong, strings.Repeat("å", 1<<19), strings.Repeat("a", 1<<20), strings.Repeat("\xff", 1<<20)); took > time.Millisecond {
		t.Errorf("a megabyte takes %v", took)
	}
	if took := best(20*time.Millisecond, nil, strings.Repeat("a", 1024), strings.Repeat("a", 1023)+"z", strings.Repeat("abc", 340)+"q", strings.Repeat("e\u0301", 340)); took > 20*time.Millisecond {
		t.Errorf("1,024 bytes take %v", took)
	}
}

// TestScript: the page's script knows the same rows.
func TestScript(t *testing.T) {
	text, err := fs.ReadFile(web.FS, "static/strength.js")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("\" +\n  \"", "", `\"`, `"`).Replace(string(text))
	if !strings.Contains(script, rows) || !strings.Contains(script, fmt.Sprintf("least = %d;", least)) || !strings.Contains(script, fmt.Sprintf("Math.min(%d,", shortBlock)) {
		t.Error("web/static/strength.js judges by other rules than package passwords")
	}
}

func TestFoldKeepsLength(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if n := utf8.RuneCountInString(fold(string(r))); n != 1 {
			t.Fatalf("%U becomes %d characters", r, n)
		}
	}
}

func TestLeft(t *testing.T) {
	for _, c := range []struct {
		password, words string
		want            int
	}{
		{"ababa", "aba", 0}, {"ababab", "aba", 1}, {"åäöåäöå", "äöå öå", 1}, {"anna", "annan", 4}, {"annan", "anna nan", 0}, {"xannax", "anna ann", 2}, {"🔑🔑", "", 2},
	} {
		if got := left(c.password, strings.Fields(c.words)); got != c.want {
			t.Errorf("%q without %q: %d are left, want %d", c.password, c.words, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	rules := policy.Password{Words: []string{"Kod 7", "örn"}}
	got := judges().Hint(rules, anna, "Lön & Tid", "App")
	want := strings.Fields("anna annak svensson82 anna.svensson82 karin ångström exempel bolaget exempel-bolaget mail mjölk ost örn")
	want = append(want, "anna-karin ångström öst", "mjölk & ost ab", "kod 7", "lön & tid")
	slices.Sort(want)
	if !slices.Equal(got.Words, want) {
		t.Errorf("got  %q\nwant %q", got.Words, want)
	}
}
