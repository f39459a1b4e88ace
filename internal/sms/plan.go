package sms

import (
	_ "embed"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The world's numbering plans, as libphonenumber knows them: plan.txt is made from github.com/nyaruka/phonenumbers by
// TestPlan -update, and TestPlanAgrees compares what is read here with what it reads. The library itself is in the tests
// alone: with the world's place names and protobuf it is 4 MiB of program, of which a sign-in needs these 90 KB, and it
// unpacks all of it at each start.
//
//go:embed plan.txt
var planText string

// territory is a country's plan, or that of a network of no country ("001").
type territory struct {
	id, code  string   // "SE", "46"
	abroad    *pattern // what is dialled before a foreign number
	trunk     *pattern // what is dialled before a national one
	transform string   // what replaces trunk, if not nothing
	leading   *pattern // how numbers of this country begin, among those that share its code
	all       kind     // every number
	local     []int    // lengths that are dialled within an area alone
	priced    []kind   // numbers that cost extra, or are no telephone
	fixed     kind
	mobile    kind
	same      bool // nobody can tell fixed from mobile
}

// kind is one kind of number: a pattern and its lengths, none if they are those of all.
type kind struct {
	*pattern
	lengths []int
}

// pattern is a regular expression that is compiled when it is first needed.
type pattern struct{ compile func() *regexp.Regexp }

func newPattern(expr string) *pattern {
	return &pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })}
}

func (k kind) has(national string) bool {
	return k.pattern != nil && (len(k.lengths) == 0 || slices.Contains(k.lengths, len(national))) && k.compile().MatchString(national)
}

// plans are all territories by id, and by code in the order in which they are asked.
type plans struct {
	region map[string]*territory
	code   map[string][]*territory
}

// readPlans reads planText: a line for each territory, and below it, indented, what is known of it.
var readPlans = sync.OnceValue(func() plans {
	p := plans{map[string]*territory{}, map[string][]*territory{}}
	var t *territory
	for line := range strings.Lines(planText) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == "" || word == "#":
		case line[0] != ' ':
			t = &territory{id: word, code: rest}
			p.code[t.code] = append(p.code[t.code], t)
			if t.id != noCountry {
				p.region[t.id] = t
			}
		default:
			t.learn(word, rest)
		}
	}
	return p
})

const noCountry = "001"

func (t *territory) learn(word, rest string) {
	switch word {
	case "abroad":
		t.abroad = newPattern(rest)
	case "trunk":
		t.trunk = newPattern("^(?:" + rest + ")")
	case "transform":
		t.transform = rest
	case "leading":
		t.leading = newPattern("^(?:" + rest + ")")
	case "local":
		t.local = numbers(rest)
	case "same":
		t.same = true
	default:
		lengths, expr, _ := strings.Cut(rest, " ")
		k := kind{newPattern("^(?:" + expr + ")$"), numbers(lengths)}
		switch word {
		case "all":
			t.all = k
		case "fixed":
			t.fixed = k
		case "mobile":
			t.mobile = k
		default:
			t.priced = append(t.priced, k)
		}
	}
}

// numbers reads "6,7,8"; "-" is none.
func numbers(text string) []int {
	var out []int
	for word := range strings.SplitSeq(text, ",") {
		if n, err := strconv.Atoi(word); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// valid reports whether national is a number of t, and whether it can be a mobile one.
func (t *territory) valid(national string) (ok, mobile bool) {
	if !t.all.has(national) {
		return false, false
	}
	if slices.ContainsFunc(t.priced, func(k kind) bool { return k.has(national) }) {
		return true, false
	}
	if t.fixed.has(national) {
		return true, t.same || t.mobile.has(national)
	}
	mobile = !t.same && t.mobile.has(national)
	return mobile, mobile
}

// find gives the country of a national number under a code, nil if it is none's.
func (p plans) find(code, national string) *territory {
	sharing := p.code[code]
	if len(sharing) == 1 {
		return sharing[0]
	}
	for _, t := range sharing {
		if t.leading != nil {
			if t.leading.compile().MatchString(national) {
				return t
			}
		} else if ok, _ := t.valid(national); ok {
			return t
		}
	}
	return nil
}

// parse takes a + and digits, or digits as they are dialled in region, apart; "" if no plan allows them. It decides as
// libphonenumber's parseHelper does.
func (p plans) parse(s, region string) (code, national string) {
	home := p.region[region]
	digits, plus := strings.CutPrefix(s, "+")
	if len(digits) < 2 || plus && len(digits) < 3 || !plus && home == nil {
		return "", ""
	}
	var foreign bool
	if plus {
		if code, national = p.split(digits); code == "" && len(digits) > 2 {
			code, national, foreign = p.dialled(digits, home) // a + before what is dialled
			if code == "" {
				return "", ""
			}
		}
	} else {
		code, national, foreign = p.dialled(digits, home)
	}
	switch {
	case code != "":
		home = p.code[code][0]
	case foreign || home == nil:
		return "", ""
	default:
		code, national = home.code, digits
	}
	if len(national) < 2 {
		return "", ""
	}
	if rest := home.strip(national); home.possible(rest) {
		national = rest
	}
	if len(national) < 2 || len(national) > 17 {
		return "", ""
	}
	return code, national
}

// split takes the code of a country off digits.
func (p plans) split(digits string) (code, national string) {
	for n := 1; n <= 3 && n <= len(digits); n++ {
		if _, ok := p.code[digits[:n]]; ok {
			return digits[:n], digits[n:]
		}
	}
	return "", ""
}

// dialled takes a code off what is dialled in home: behind the digits that lead abroad, or home's own code where the
// number makes sense without it alone. foreign says that the digits lead abroad, code "" then that they lead nowhere.
func (p plans) dialled(digits string, home *territory) (code, national string, foreign bool) {
	if home == nil {
		return "", "", false
	}
	if home.abroad != nil {
		if at := home.abroad.compile().FindStringIndex(digits); at != nil && at[0] == 0 && !strings.HasPrefix(digits[at[1]:], "0") {
			if rest := digits[at[1]:]; len(rest) > 2 {
				code, national = p.split(rest)
			}
			return code, national, true
		}
	}
	if rest, ok := strings.CutPrefix(digits, home.code); ok {
		rest = home.strip(rest)
		all := home.all.compile()
		if !all.MatchString(digits) && all.MatchString(rest) || len(digits) > slices.Max(home.all.lengths) && !slices.Contains(home.local, len(digits)) {
			return home.code, rest, false
		}
	}
	return "", "", false
}

// strip takes the trunk prefix off a national number, unless it is a part of it.
func (t *territory) strip(national string) string {
	if national == "" || t.trunk == nil {
		return national
	}
	trunk, all := t.trunk.compile(), t.all.compile()
	at := trunk.FindStringSubmatchIndex(national)
	if at == nil {
		return national
	}
	rest := national[at[1]:]
	if t.transform != "" && at[len(at)-2] >= 0 {
		rest = trunk.ReplaceAllString(national, t.transform)
	}
	if all.MatchString(national) && !all.MatchString(rest) {
		return national
	}
	return rest
}

// possible reports whether a number of that length can be dialled from abroad, or is too long.
func (t *territory) possible(national string) bool {
	n := len(national)
	return !slices.Contains(t.local, n) && (slices.Contains(t.all.lengths, n) || n > slices.Max(t.all.lengths))
}
