// Package randx makes the user codes of fosite's device flow.
package randx

import (
	"crypto/rand"
	"math/big"
)

// AlphaUpper is fosite's default alphabet.
var AlphaUpper = []rune("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

// RuneSequence returns l runes drawn evenly from allowed.
func RuneSequence(l int, allowed []rune) ([]rune, error) {
	seq := make([]rune, l)
	for i := range seq {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(allowed))))
		if err != nil {
			return nil, err
		}
		seq[i] = allowed[n.Int64()]
	}
	return seq, nil
}
