package mtls_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/portvakt/portvakt/internal/mtls"
	"github.com/portvakt/portvakt/internal/mtls/mtlstest"
)

// FuzzCheck: no header but one with the very certificate that was issued lets anybody in.
func FuzzCheck(f *testing.F) {
	ca := mtlstest.NewAuthority(f, "Exempel CA")
	list, der := mtlstest.List(f, ca), ca.Issue(f).Certificate[0]
	sum := sha256.Sum256(der)
	for _, seed := range []string{mtlstest.Sequence(der), mtlstest.Escaped(der), mtlstest.Spaced(der), ":", "::", "-----BEGIN CERTIFICATE-----", "%", mtlstest.Sequence(ca.Cert.Raw)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		thumbprint, err := list.Check([]string{text}, byDN(billing), now)
		if err == nil && thumbprint != base64.RawURLEncoding.EncodeToString(sum[:]) || err != nil && !errors.Is(err, mtls.ErrRefused) {
			t.Errorf("%q: %q, %v", text, thumbprint, err)
		}
	})
}
