package sms

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
)

const (
	rawMax     = 100 // bytes that a person may type for a number
	digitsMax  = 30  // digits among them; 15 of a number (ITU-T E.164 §6), the longest way abroad, and room
	prefixLess = 4   // digits that Prefix leaves out: a range is 10,000 numbers
)

// Number is a phone number in its one form: two spellings of a number are equal values.
type Number struct {
	E164    string // "+46701740605"
	Country string // ISO 3166 alpha-2, "SE"
	Prefix  string // the range it belongs to: E164 without its last four digits; limits are counted on it
}

// Parse reads a number as a person writes it: with spaces, dashes, dots, slashes and brackets, with + or 00 or in the
// national form of region, in European, full-width or Arabic digits. Letters and extensions are ErrNumber, so is what
// no plan of numbers holds. ErrNotMobile is a number to which no text message can go, that costs extra, or that belongs
// to no country (satellites). Parse of an E164 that Parse gave is the same Number, in any region.
func Parse(raw, region string) (Number, error) {
	s, ok := clean(raw)
	if !ok {
		return Number{}, ErrNumber
	}
	n, err := read(s, strings.ToUpper(region))
	if rest, found := strings.CutPrefix(s, "00"); errors.Is(err, ErrNumber) && found {
		n, err = read("+"+rest, "") // 00 is how most of the world dials abroad, though region may not
	}
	if err != nil {
		return Number{}, err
	}
	if again, err := read(n.E164, ""); err != nil || again != n {
		return Number{}, ErrNumber // a number without one form would have limits of its own for each
	}
	return n, nil
}

// read asks the numbering plans about an optional + and digits.
func read(s, region string) (Number, error) {
	world := readPlans()
	code, national := world.parse(s, region)
	t := world.find(code, national)
	if t == nil {
		return Number{}, ErrNumber
	}
	ok, mobile := t.valid(national)
	e164 := "+" + code + national
	if !ok || len(e164) <= prefixLess+1 || len(e164) > len("+")+15 {
		return Number{}, ErrNumber
	}
	if !mobile || t.id == noCountry { // satellites are mobile, and networks of no country
		return Number{}, ErrNotMobile
	}
	return Number{E164: e164, Country: t.id, Prefix: e164[:len(e164)-prefixLess]}, nil
}

// clean leaves an optional + and 1 to 30 European digits; false for anything that is not part of writing a number.
func clean(raw string) (string, bool) {
	if len(raw) > rawMax {
		return "", false
	}
	var b strings.Builder
	for _, r := range raw {
		switch d, isDigit := digit(r); {
		case isDigit:
			b.WriteByte(d)
		case (r == '+' || r == '＋') && b.Len() == 0:
			b.WriteByte('+')
		case !separates(r):
			return "", false
		}
	}
	s := b.String()
	count := len(strings.TrimPrefix(s, "+"))
	return s, count > 0 && count <= digitsMax
}

// digit knows the digits that libphonenumber knows: European, full-width, Arabic and Persian.
func digit(r rune) (byte, bool) {
	for _, zero := range [...]rune{'0', '０', '٠', '۰'} {
		if d := r - zero; d >= 0 && d <= 9 {
			return '0' + byte(d), true
		}
	}
	return 0, false
}

// separates holds for what people, keyboards and address books put between digits; Cf are invisible marks.
func separates(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf) || strings.ContainsRune(".()/（）．／−·", r)
}

// Masked is what a page may show: the last two digits, behind a fixed number of dots.
func (n Number) Masked() string { return masked(n.E164) }

// Format is Masked, whatever the verb, so that no log holds a number by accident.
func (n Number) Format(f fmt.State, _ rune) { io.WriteString(f, n.Masked()) }

// LogValue is what a log may hold.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.Masked()) }

func masked(e164 string) string {
	const dots = "••• •• "
	if len(e164) <= prefixLess+2 {
		return dots + "••"
	}
	return dots + e164[len(e164)-2:]
}
