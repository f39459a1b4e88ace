package factor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"
)

// RecoveryCodes is how many there are in a set.
const RecoveryCodes = 10

// recoveryAlphabet lacks what is taken for something else: I, L, O, U, 0, 1.
const recoveryAlphabet = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewRecoveryCodes gives a set: ten letters and digits each (49 bits), shown in two groups of five.
func NewRecoveryCodes() []string {
	codes := make([]string, RecoveryCodes)
	for i := range codes {
		var out [10]byte
		for n := 0; n < len(out); {
			var b [1]byte
			rand.Read(b[:])     // never fails (crypto/rand)
			if b[0] < 8*len30 { // the rest of the bytes would favour some
				out[n] = recoveryAlphabet[b[0]%len30]
				n++
			}
		}
		codes[i] = string(out[:5]) + "-" + string(out[5:])
	}
	return codes
}

const len30 = byte(len(recoveryAlphabet))

// RecoveryMAC is how a person's recovery code stands in its row. Case, spaces and dashes do not matter; what cannot be a code has
// a MAC that is nobody's, at the same price.
func RecoveryMAC(key []byte, person, code string) []byte {
	plain := ""
	if len(code) <= 64 {
		plain = strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "–", "").Replace(code))
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("recovery code\x00" + person + "\x00" + plain))
	return m.Sum(nil)
}
