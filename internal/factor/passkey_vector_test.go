package factor_test

import (
	"encoding/hex"
	"testing"

	"github.com/portvakt/portvakt/internal/factor"
)

// WebAuthn L3 §16.3, ES256 Credential with Self Attestation: an authenticator that we did not write.
func TestPasskeyVector(t *testing.T) {
	const (
		head = `{"id":"RV7zTiBDqH2z1K_rObvLbMMt-TR8eJqGXs3KEpy-9Yw",` +
			`"rawId":"RV7zTiBDqH2z1K_rObvLbMMt-TR8eJqGXs3KEpy-9Yw","type":"public-key","response":{"clientDataJSON":"`
		registration = head + "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIiwiY2hhbGxlbmdlIjoiZUduQ3QzTFV0WTY2azNqUGp5bmliUGsxcW5mZkRhaWZxWndM" +
			"M0FwMjktVSIsIm9yaWdpbiI6Imh0dHBzOi8vZXhhbXBsZS5vcmciLCJjcm9zc09yaWdpbiI6ZmFsc2UsImV4dHJhRGF0YSI6ImNs" +
			"aWVudERhdGFKU09OIG1heSBiZSBleHRlbmRlZCB3aXRoIGFkZGl0aW9uYWwgZmllbGRzIGluIHRoZSBmdXR1cmUsIHN1Y2ggYXMg" +
			"dGhpczogVTloVFh2S0UyVVJrTW5iXzB4WUhWZyJ9" +
			`","attestationObject":"` + "o2NmbXRmcGFja2VkZ2F0dFN0bXSiY2FsZyZjc2lnWEYwRAIgBnogdUq5JQBdvzeAl8khIAMVgccyKNH7T1uIG819qYMCIH_HsUdV" +
			"jHwOujrxi9nRIfo9OibRf-PyICchePRztgBtaGF1dGhEYXRhWKS_q8N0MpWLBjNg061kYcnEc1rn-O3UZZKl4PAUUrLktV0AAAAA" +
			"34UOCdtq-9-rUWl3kVBs_AAgRV7zTiBDqH2z1K_rObvLbMMt-TR8eJqGXs3KEpy-9YylAQIDJiABIVgg6xUcgXayJcxlFVn-zwev" +
			"RQ_YWAIEZlazTBj2zxk4Q8UiWCCSe4qkJ6K-G4g00jOi009h8Tv9RBGcMl1YluGD_uSE8g" + `"}}`
		assertion = head + "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoiUkhpaEN4TlNOSTNSWU1FMU93MUdtMTJ4bnJrY0pfZmZwdjdUbi1K" +
			"cThncyIsIm9yaWdpbiI6Imh0dHBzOi8vZXhhbXBsZS5vcmciLCJjcm9zc09yaWdpbiI6ZmFsc2UsImV4dHJhRGF0YSI6ImNsaWVu" +
			"dERhdGFKU09OIG1heSBiZSBleHRlbmRlZCB3aXRoIGFkZGl0aW9uYWwgZmllbGRzIGluIHRoZSBmdXR1cmUsIHN1Y2ggYXMgdGhp" +
			"czogZ1RiNTNyejZFaFNXb21YR3ppbUMxUSJ9" +
			`","authenticatorData":"v6vDdDKViwYzYNOtZGHJxHNa5_jt1GWSpeDwFFKy5LUJAAAAAA","signature":"` +
			"MEQCIDMQuUMZA8QB8b4r3I0jpAB2gtu93PhGmUlHt_Rl2vhAAiBOlN0ABHsxYGGzuZdyt-_ZWZSoPvWEs7a4Jeo1UCUbZg" + `"}}`
	)
	p, err := factor.NewPasskeys("example.org", "Test vectors", []string{"https://example.org"})
	if err != nil {
		t.Fatal(err)
	}
	challenge := unhex(t, "7869c2b772d4b58eba9378cf8f29e26cf935aa77df0da89fa99c0bdc0a76f7e5")
	c, err := p.Register(astrid, []byte(registration), challenge, factor.PasskeyRule{Attestation: true})
	if err != nil || !c.Attested || c.Model() != "df850e09-db6a-fbdf-ab51-697791506cfc" {
		t.Fatalf("%+v, %v", c, err)
	}
	challenge = unhex(t, "4478a10b1352348dd160c1353b0d469b5db19eb91c27f7dfa6fed39fe26af20b")
	if proof, err := p.Check(read(t, []byte(assertion)), astrid, c, challenge, false, false); err != nil || proof.UserVerified {
		t.Errorf("%+v, %v", proof, err)
	}
	_, err = p.Check(read(t, []byte(assertion)), astrid, c, challenge, true, false)
	refusedFor(t, "the user was not verified", err, "verification required")
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
