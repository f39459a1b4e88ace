package passwords

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/user"
)

const (
	least = 8 // characters that are left of a password without the words that anybody can guess

	wordOfPerson = 4 // characters from which a word counts: a person's or an application's
	wordOfPlace  = 3 // the organisation's or the policy's

	shortBlock = 7 // characters of a block that a password must not be made of by repeating it
	shortRun   = 3 // characters of a run
)

// fold makes letters that differ in case alone the same. It changes no length in characters.
func fold(s string) string {
	return strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, s)
}

// classes counts the kinds of characters: lower case, upper case, digits, everything else.
func classes(password string) int {
	var has [4]int
	for _, r := range password {
		switch {
		case unicode.IsLower(r):
			has[0] = 1
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			has[1] = 1
		case unicode.IsDigit(r):
			has[2] = 1
		default:
			has[3] = 1
		}
	}
	return has[0] + has[1] + has[2] + has[3]
}

// words are those that anybody can guess: of the person, the organisation, the policy and more, each whole and in its parts.
func (s *Service) words(rules policy.Password, u user.User, more []string) []string {
	var out []string
	add := func(shortest int, texts ...string) {
		for _, text := range texts {
			if text, err := factor.Normal(text); err == nil && utf8.RuneCountInString(text) >= shortest {
				out = append(out, fold(text))
			}
		}
	}
	parts := func(text string) []string {
		return append(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }), strings.TrimSpace(text))
	}
	local, domain, _ := strings.Cut(u.Email, "@")
	for _, text := range append([]string{u.Username, u.Name, local}, more...) {
		add(wordOfPerson, parts(text)...)
	}
	for label := range strings.SplitSeq(domain, ".") {
		add(wordOfPerson, parts(label)...)
	}
	add(wordOfPlace, parts(s.Organisation)...)
	add(wordOfPlace, rules.Words...)
	slices.Sort(out)
	return slices.Compact(out)
}

// left counts the characters of a folded password that stand in none of the words.
func left(password string, words []string) int {
	taken := make([]bool, len(password))
	for _, w := range words {
		for from, done := 0, 0; ; {
			i := strings.Index(password[from:], w)
			if i < 0 {
				break
			}
			at := from + i
			for done = max(done, at); done < at+len(w); done++ {
				taken[done] = true
			}
			_, size := utf8.DecodeRuneInString(password[at:])
			from = at + size // occurrences may overlap
		}
	}
	n := 0
	for i := range password {
		if !taken[i] {
			n++
		}
	}
	return n
}

// steps says which two characters stand side by side in a row that everybody knows; each row and direction has a bit.
type steps map[[2]rune]uint64

// rows are alphabets, digits and keyboards: Swedish and English, German, French; the last are columns.
const rows = "abcdefghijklmnopqrstuvwxyzåäö 01234567890 qwertyuiopå asdfghjklöä zxcvbnm qwertzuiopü yxcvbnm azertyuiop qsdfghjklm wxcvbn " +
	"!@#$%^&*() !\"#¤%&/()= 1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm 8ik 9ol 0p"

func newSteps() steps {
	out := steps{}
	for i, row := range strings.Fields(rows) {
		var last rune
		for n, r := range row {
			if n > 0 {
				out[[2]rune{last, r}] |= 1 << (2 * i)
				out[[2]rune{r, last}] |= 2 << (2 * i)
			}
			last = r
		}
	}
	return out
}

// same is the bit of a character that follows itself.
const same = 1 << 63

func (s steps) between(a, b rune) uint64 {
	bits := s[[2]rune{a, b}]
	if a == b {
		bits |= same
	}
	return bits
}

// plain reports whether a folded password is one short block again and again, or nothing but runs of three or more characters that
// stand side by side in a row or are the same: aaaaaaaa, abcabcabc, 12345678, qwertyasdfgh, 111222333.
func (s steps) plain(password string) bool {
	p := []rune(password)
	for block := 1; block <= min(shortBlock, len(p)/2); block++ {
		if repeats(p, block) {
			return true
		}
	}
	ends := make([]bool, len(p)+1) // whether runs can end before a character
	ends[0] = true
	for from := range p {
		if !ends[from] {
			continue
		}
		bits := ^uint64(0)
		for to := from + 1; to < min(len(p), from+2*shortRun-1); to++ { // a longer run is runs of 3 to 5
			if bits &= s.between(p[to-1], p[to]); bits == 0 {
				break
			}
			if to-from+1 >= shortRun {
				ends[to+1] = true
			}
		}
	}
	return ends[len(p)]
}

// repeats reports whether every character is the one so many before it.
func repeats(p []rune, block int) bool {
	for i := block; i < len(p); i++ {
		if p[i] != p[i-block] {
			return false
		}
	}
	return true
}
