package factor

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	secretLen = 20 // bytes of a new secret (RFC 4226 §4 R6)
	minSecret = 10 // bytes; what the oldest authenticators used
	maxSecret = 128
	maxURI    = 4096 // bytes
	maxCode   = 64   // bytes, with the spaces that people type
)

// TOTP is the secret that a person's authenticator app shares with us, and how
// it makes codes (RFC 6238). Digits is 6 or 8, Period 30 or 60 seconds,
// Algorithm SHA1, SHA256 or SHA512; a zero field is the first of these. With
// other values, or with a secret under 10 bytes, there are no codes and none
// matches: an empty column must not be a key that everyone knows.
type TOTP struct {
	Secret    []byte
	Digits    int
	Period    int
	Algorithm string
}

// NewTOTP makes a random secret of 20 bytes for codes of 6 digits, 30 seconds
// and SHA1, which every app knows.
func NewTOTP() TOTP {
	t := TOTP{Secret: make([]byte, secretLen), Digits: 6, Period: 30, Algorithm: "SHA1"}
	rand.Read(t.Secret)
	return t
}

// ParseTOTP reads a key URI (otpauth://totp/…) that was made elsewhere. It
// takes the secret in base32 with or without padding, in either case and with
// spaces, of 10 to 128 bytes; and the digits, periods and algorithms of TOTP.
// Other parameters are passed over. The error never shows the URI.
func ParseTOTP(uri string) (TOTP, error) {
	if len(uri) > maxURI {
		return TOTP{}, errors.New("factor: the TOTP URI is longer than 4,096 bytes")
	}
	u, err := url.Parse(uri)
	if err != nil { // it quotes the secret
		return TOTP{}, errors.New("factor: the TOTP URI is no URI")
	}
	if u.Scheme != "otpauth" || !strings.EqualFold(u.Host, "totp") {
		return TOTP{}, errors.New("factor: the URI does not begin with otpauth://totp/")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return TOTP{}, errors.New("factor: the parameters of the TOTP URI are not readable")
	}
	if len(query["secret"]) != 1 {
		return TOTP{}, errors.New("factor: the TOTP URI does not have one secret")
	}
	var t TOTP
	digits, digitsErr := choose(query, "digits", "6", "8")
	period, periodErr := choose(query, "period", "30", "60")
	algorithm, algorithmErr := choose(query, "algorithm", "SHA1", "SHA256", "SHA512")
	if err := cmp.Or(digitsErr, periodErr, algorithmErr); err != nil {
		return TOTP{}, err
	}
	t.Digits, _ = strconv.Atoi(digits)
	t.Period, _ = strconv.Atoi(period)
	t.Algorithm = algorithm
	if t.Secret, err = decodeSecret(query.Get("secret")); err != nil {
		return TOTP{}, err
	}
	if _, err := t.options(); err != nil {
		return TOTP{}, err
	}
	return t, nil
}

// choose is the value of a parameter, in upper case: one of those allowed, or
// the first of them if it is not there.
func choose(query url.Values, name string, allowed ...string) (string, error) {
	values := query[name]
	if len(values) == 0 {
		return allowed[0], nil
	}
	value := strings.ToUpper(values[0])
	if len(values) > 1 || !slices.Contains(allowed, value) {
		return "", fmt.Errorf("factor: the %s of the TOTP URI is not one of %s", name, strings.Join(allowed, ", "))
	}
	return value, nil
}

func decodeSecret(text string) ([]byte, error) {
	text = strings.ToUpper(strings.TrimRight(withoutSpaces(text), "="))
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	// The library passes over a character that no length of bytes ends with.
	if left := len(text) % 8; err != nil || left == 1 || left == 3 || left == 6 {
		return nil, errors.New("factor: the TOTP secret is not base32")
	}
	return secret, nil
}

// options are t's in the words of pquerna/otp, and the check of all of t.
func (t TOTP) options() (hotp.ValidateOpts, error) {
	var o hotp.ValidateOpts
	switch {
	case len(t.Secret) < minSecret || len(t.Secret) > maxSecret:
		return o, errors.New("factor: the TOTP secret is not 10 to 128 bytes")
	case t.Period != 0 && t.Period != 30 && t.Period != 60:
		return o, errors.New("factor: the TOTP period is not 30 or 60 seconds")
	}
	switch t.Digits {
	case 0, 6:
		o.Digits = otp.DigitsSix
	case 8:
		o.Digits = otp.DigitsEight
	default:
		return o, errors.New("factor: the TOTP digits are not 6 or 8")
	}
	switch t.Algorithm {
	case "", "SHA1":
		o.Algorithm = otp.AlgorithmSHA1
	case "SHA256":
		o.Algorithm = otp.AlgorithmSHA256
	case "SHA512":
		o.Algorithm = otp.AlgorithmSHA512
	default:
		return o, errors.New("factor: the TOTP algorithm is not SHA1, SHA256 or SHA512")
	}
	return o, nil
}

// URI is the key URI that an authenticator app reads from a QR code. A colon
// parts issuer and account in it, so those within them become hyphens.
func (t TOTP) URI(issuer, account string) string {
	part := func(s string) string { return escape(strings.ReplaceAll(s, ":", "-")) }
	label, suffix := part(account), ""
	if issuer != "" {
		label, suffix = part(issuer)+":"+label, "&issuer="+part(issuer)
	}
	algorithm, digits := t.Algorithm, t.Digits
	if algorithm == "" {
		algorithm = "SHA1"
	}
	if digits == 0 {
		digits = 6
	}
	return fmt.Sprintf("otpauth://totp/%s?secret=%s&algorithm=%s&digits=%d&period=%d%s",
		label, t.base32(), escape(algorithm), digits, t.period(), suffix)
}

// escape writes a space as %20: apps show a plus as it is.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(strings.ToValidUTF8(s, "\uFFFD")), "+", "%20")
}

// Key is the secret in base32, in groups of four, for typing.
func (t TOTP) Key() string {
	text := t.base32()
	var groups []string
	for len(text) > 4 {
		groups, text = append(groups, text[:4]), text[4:]
	}
	return strings.Join(append(groups, text), " ")
}

func (t TOTP) base32() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(t.Secret)
}

func (t TOTP) period() int64 {
	if t.Period == 0 {
		return 30
	}
	return int64(t.Period)
}

// Code is the code at a time, empty if t is not valid or the time is before 1970.
func (t TOTP) Code(at time.Time) string {
	o, err := t.options()
	if err != nil || at.Unix() < 0 {
		return ""
	}
	code, err := hotp.GenerateCodeCustom(t.base32(), uint64(at.Unix()/t.period()), o)
	if err != nil {
		return ""
	}
	return code
}

// Check looks for the step of which code is the code: the step at the time,
// the one before and the one after it (RFC 6238 §5.2), and only one later than
// last, the step that was last used (0 for never). The caller stores step by a
// write that succeeds only while the stored one is smaller; without that the
// code could work twice. Spaces in code do not count; all else must be ASCII
// digits in the right number. Each comparison takes constant time.
func (t TOTP) Check(code string, at time.Time, last int64) (step int64, ok bool) {
	o, err := t.options()
	if err != nil || len(code) > maxCode || at.Unix() < 0 {
		return 0, false
	}
	code = withoutSpaces(code)
	if len(code) != o.Digits.Length() || strings.Trim(code, "0123456789") != "" {
		return 0, false
	}
	now, secret := at.Unix()/t.period(), t.base32()
	for _, s := range []int64{now, now - 1, now + 1} {
		if s < 0 {
			continue
		}
		match, err := hotp.ValidateCustom(code, uint64(s), secret, o)
		if err == nil && match && s > last && !ok {
			step, ok = s, true // no early end: each call tries all three
		}
	}
	return step, ok
}

func withoutSpaces(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// String shows all but the secret.
func (t TOTP) String() string {
	return fmt.Sprintf("totp %s, %d digits, %d s", t.Algorithm, t.Digits, t.Period)
}

// LogValue is String: a TOTP that is logged shows no secret.
func (t TOTP) LogValue() slog.Value { return slog.StringValue(t.String()) }
