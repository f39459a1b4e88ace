package client

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// Attribute is a type and a value of a distinguished name (RFC 4514 §2.3).
type Attribute struct {
	Type string // an object identifier, dotted
	Text string // the value, if it was written as text
	DER  []byte // else the value with its tag and length, which was written as #hex
}

// attributeTypes are the names that a type may be written with, in small letters: those of RFC 4514 §3, and those that certificates of organisations
// and machines have beside them. Every other one is written as its object identifier.
var attributeTypes = [...][2]string{
	{"cn", "2.5.4.3"}, {"l", "2.5.4.7"}, {"st", "2.5.4.8"}, {"o", "2.5.4.10"}, {"ou", "2.5.4.11"}, {"c", "2.5.4.6"}, {"street", "2.5.4.9"},
	{"dc", "0.9.2342.19200300.100.1.25"}, {"uid", "0.9.2342.19200300.100.1.1"},
	{"serialnumber", "2.5.4.5"}, {"organizationidentifier", "2.5.4.97"}, {"emailaddress", "1.2.840.113549.1.9.1"},
}

const attributeNames = "CN, L, ST, O, OU, C, STREET, DC, UID, serialNumber, organizationIdentifier, emailAddress"

// Special characters of a value (RFC 4514 §3): mustEscape stand only behind a \, and mayEscape may.
const (
	mustEscape = `"+,;<>\`
	mayEscape  = mustEscape + " #="
)

var (
	errNameEmpty  = errors.New("names nothing between two commas, or at an end; write TYPE=value,TYPE=value without spaces between")
	errNameType   = errors.New("has a type that is not known; use " + attributeNames + ", or an object identifier such as 2.5.4.3, with no space around it, and = behind it")
	errNameValue  = errors.New(`has a value that is empty, begins with a space or #, ends with a space, or has a control character or " + , ; < > \ without a \ before it (RFC 4514 §3)`)
	errNameHex    = errors.New("has a value of # without pairs of hexadecimal digits behind it")
	errNameTwice  = errors.New("has a type and value twice, joined by +; remove one")
	errNameCoding = errors.New(`has a value that is not UTF-8; write each byte of a character as \ and two hexadecimal digits, or the character itself`)
)

// ParseDN reads the text of a distinguished name (RFC 4514 §3), strictly: no space and no quotation mark stands around anything. It gives the
// relative names in the order of the text, which begins with what a certificate has last.
func ParseDN(text string) ([][]Attribute, error) {
	name := [][]Attribute{nil}
	for {
		one, end, err := readAttribute(text)
		if err != nil {
			return nil, err
		}
		last := &name[len(name)-1]
		if slices.ContainsFunc(*last, func(a Attribute) bool {
			return a.Type == one.Type && a.Text == one.Text && string(a.DER) == string(one.DER)
		}) {
			return nil, errNameTwice
		}
		*last = append(*last, one)
		if end == len(text) {
			return name, nil
		}
		if text[end] == ',' {
			name = append(name, nil)
		}
		text = text[end+1:]
	}
}

// readAttribute reads a type and value and gives where they end: at the end of text, or at a comma or plus sign.
func readAttribute(text string) (a Attribute, end int, err error) {
	if text == "" || text[0] == ',' || text[0] == '+' {
		return a, 0, errNameEmpty
	}
	equals := strings.IndexByte(text, '=')
	if equals < 0 {
		return a, 0, errNameType
	}
	if a.Type = attributeType(text[:equals]); a.Type == "" {
		return a, 0, errNameType
	}
	value := text[equals+1:]
	if strings.HasPrefix(value, "#") {
		n := len(value)
		if i := strings.IndexAny(value, ",+"); i >= 0 {
			n = i
		}
		if a.DER, err = hex.DecodeString(value[1:n]); err != nil || n == 1 {
			return a, 0, errNameHex
		}
		return a, equals + 1 + n, nil
	}
	var n int
	a.Text, n, err = readValue(value)
	return a, equals + 1 + n, err
}

// readValue reads a value that is text, without its escapes.
func readValue(value string) (string, int, error) {
	var out []byte
	n, space := 0, false // space: it ends with one that is not escaped
	for n < len(value) && value[n] != ',' && value[n] != '+' {
		c := value[n]
		switch {
		case c == '\\' && n+1 < len(value) && strings.IndexByte(mayEscape, value[n+1]) >= 0:
			out, n, space = append(out, value[n+1]), n+2, false
		case c == '\\':
			b, err := hex.DecodeString(value[min(n+1, len(value)):min(n+3, len(value))])
			if err != nil || len(b) != 1 {
				return "", 0, errNameValue
			}
			out, n, space = append(out, b[0]), n+3, false
		case strings.IndexByte(mustEscape, c) >= 0, c < ' ', c == 0x7f, c == ' ' && n == 0:
			return "", 0, errNameValue
		default:
			out, n, space = append(out, c), n+1, c == ' '
		}
	}
	if len(out) == 0 || space {
		return "", 0, errNameValue
	}
	if !utf8.Valid(out) {
		return "", 0, errNameCoding
	}
	return string(out), n, nil
}

// attributeType gives the object identifier that a name stands for, or that is one already; empty if it is neither.
func attributeType(name string) string {
	for _, t := range attributeTypes {
		if strings.ToLower(name) == t[0] {
			return t[1]
		}
	}
	for _, arc := range strings.Split(name, ".") {
		if arc == "" || len(arc) > 1 && arc[0] == '0' || strings.ContainsFunc(arc, func(r rune) bool { return r < '0' || r > '9' }) {
			return ""
		}
	}
	if !strings.Contains(name, ".") {
		return ""
	}
	return name
}
