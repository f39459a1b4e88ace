package factor

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ErrTooShort says that a chosen password has fewer characters than policy asks for.
var ErrTooShort = errors.New("factor: the password is too short")

// Acceptable gives a newly chosen password in its one spelling (Normal), or says why it is refused: ErrTooShort,
// ErrTooLong, ErrNotText. Lengths count code points (NIST SP 800-63B-4 §3.1.1.2).
func Acceptable(password string, least, most int) (string, error) {
	normal, err := Normal(password)
	if err != nil {
		return "", err
	}
	switch n := utf8.RuneCountInString(normal); {
	case n < least:
		return "", ErrTooShort
	case n > most:
		return "", ErrTooLong
	}
	return normal, nil
}

// Name gives a user name in the spelling that rows have (Unicode NFC), or, for what can be nobody's name, a text that is nobody's either.
func Name(name string) string {
	if len(name) > 512 || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return "?"
	}
	return norm.NFC.String(name)
}
