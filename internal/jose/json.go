package jose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const maxDepth = 32 // of objects and arrays within each other

// strict refuses set bits after the end of the data. It is never changed.
var strict = base64.RawURLEncoding.Strict()

// decodePart decodes canonical base64url: no padding, no stray bits, and none of the line ends that encoding/base64
// would skip (RFC 7515 §2).
func decodePart(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("has a line end")
	}
	return strict.DecodeString(s)
}

// object is a JSON object whose members are found by their exact names. encoding/json would take ISS for iss and let
// the last of two members win, so that two readers could see two different tokens (RFC 8725 §2.4, RFC 7515 §4).
type object map[string]json.RawMessage

// parseObject reads one JSON object and refuses invalid UTF-8, which a later reader would replace, and a name that
// stands twice in an object, at whatever depth.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errors.New("is not JSON")
	}
	s := scanner{data: data}
	s.space()
	if s.data[s.at] != '{' {
		return nil, errors.New("is no JSON object")
	}
	return s.object(1)
}

// Members reads one JSON object strictly: UTF-8, each name once at whatever depth, nested at most 32 deep. Its values are as they were sent.
// The error says what is wrong in words that go after "the document".
func Members(data []byte) (map[string]json.RawMessage, error) { return parseObject(data) }

// scanner walks over what is already known to be valid JSON.
type scanner struct {
	data []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.data) && strings.IndexByte(" \t\r\n", s.data[s.at]) >= 0 {
		s.at++
	}
}

// more steps to the next element before end, or over end. It passes a comma.
func (s *scanner) more(end byte) bool {
	s.space()
	if s.data[s.at] == ',' {
		s.at++
		s.space()
	}
	if s.data[s.at] == end {
		s.at++
		return false
	}
	return true
}

func (s *scanner) object(depth int) (object, error) {
	o := object{}
	s.at++
	for s.more('}') {
		name, err := text(s.token())
		if err != nil {
			return nil, err
		}
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("holds %.40q twice", name)
		}
		s.space()
		s.at++ // the colon
		s.space()
		start := s.at
		if err := s.value(depth); err != nil {
			return nil, err
		}
		o[name] = s.data[start:s.at]
	}
	return o, nil
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("is nested deeper than %d", maxDepth)
	}
	switch s.data[s.at] {
	case '{':
		_, err := s.object(depth + 1)
		return err
	case '[':
		s.at++
		for s.more(']') {
			if err := s.value(depth + 1); err != nil {
				return err
			}
		}
		return nil
	}
	s.token()
	return nil
}

// token steps over a string, a number or a word.
func (s *scanner) token() json.RawMessage {
	start := s.at
	if s.data[s.at] != '"' {
		for s.at < len(s.data) && strings.IndexByte(",]} \t\r\n", s.data[s.at]) < 0 {
			s.at++
		}
		return s.data[start:s.at]
	}
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.data[start:s.at]
}

var errNoText = errors.New("is no string")

// text reads a JSON string.
func text(raw json.RawMessage) (string, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", errNoText
	}
	inner := string(raw[1 : len(raw)-1])
	if !strings.Contains(inner, `\`) {
		return inner, nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// text reads a member that is a string; one that is missing is empty.
func (o object) text(name string) (string, error) {
	raw, ok := o[name]
	if !ok {
		return "", nil
	}
	s, err := text(raw)
	if err != nil {
		return "", fmt.Errorf("%s %w", name, err)
	}
	return s, nil
}

// texts reads a list of strings.
func texts(raw json.RawMessage) ([]string, error) {
	var items []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		return nil, errors.New("is no list")
	}
	out := make([]string, len(items))
	for i, item := range items {
		var err error
		if out[i], err = text(item); err != nil {
			return nil, errors.New("is no list of strings")
		}
	}
	return out, nil
}

// hasControl reports a control character: nothing that travels in a token has a use for one, and PostgreSQL stores no
// NUL.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
