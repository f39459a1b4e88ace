package factortest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// The algorithms of Authenticator.Algorithm (IANA COSE).
const (
	ES256 = -7
	EdDSA = -8
	ES384 = -35
	RS256 = -257
)

// key is a passkey's private key and its public one as COSE_Key.
type key struct {
	crypto.Signer
	alg  int
	hash crypto.Hash // none for EdDSA
	cose []byte
}

func newKey(alg int) (key, error) {
	switch alg {
	case 0, ES256:
		return newEC(ES256, elliptic.P256(), 1, crypto.SHA256)
	case ES384:
		return newEC(ES384, elliptic.P384(), 2, crypto.SHA384)
	case EdDSA:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		cose := cborMap(cborInt(1), cborInt(1), cborInt(3), cborInt(alg), cborInt(-1), cborInt(6), cborInt(-2), cborBytes(public))
		return key{private, alg, 0, cose}, err
	case RS256:
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return key{}, err
		}
		cose := cborMap(cborInt(1), cborInt(3), cborInt(3), cborInt(alg),
			cborInt(-1), cborBytes(private.N.Bytes()), cborInt(-2), cborBytes([]byte{1, 0, 1}))
		return key{private, alg, crypto.SHA256, cose}, nil
	}
	return key{}, fmt.Errorf("factortest: no algorithm %d", alg)
}

func newEC(alg int, curve elliptic.Curve, number int, hash crypto.Hash) (key, error) {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return key{}, err
	}
	point, err := private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return key{}, err
	}
	half := len(point) / 2
	cose := cborMap(cborInt(1), cborInt(2), cborInt(3), cborInt(alg), cborInt(-1), cborInt(number),
		cborInt(-2), cborBytes(point[1:1+half]), cborInt(-3), cborBytes(point[1+half:]))
	return key{private, alg, hash, cose}, nil
}

func (k key) sign(message []byte) ([]byte, error) {
	if k.hash != 0 {
		h := k.hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	return k.Sign(rand.Reader, message, k.hash)
}

// sign signs with k, or with another key of its kind for WrongKey.
func (a *Authenticator) sign(k key, message []byte) ([]byte, error) {
	if a.WrongKey {
		var err error
		if k, err = newKey(k.alg); err != nil {
			return nil, err
		}
	}
	return k.sign(message)
}

// attest makes the attestation object (WebAuthn L3 §6.5.4, §8.2, §8.7).
func (a *Authenticator) attest(p passkey, authData, clientData []byte) ([]byte, error) {
	format, statement := "none", cborMap()
	signer, chain := p.key, []byte(nil)
	switch a.Format {
	case "", None:
	case PackedCert:
		var err error
		if signer, chain, err = certified(a.AAGUID); err != nil {
			return nil, err
		}
		fallthrough
	case PackedSelf:
		signature, err := a.sign(signer, signed(authData, clientData))
		if err != nil {
			return nil, err
		}
		pairs := [][]byte{cborText("alg"), cborInt(signer.alg), cborText("sig"), cborBytes(signature)}
		if chain != nil {
			pairs = append(pairs, cborText("x5c"), append(cborHead(4, 1), cborBytes(chain)...))
		}
		format, statement = "packed", cborMap(pairs...)
	default:
		return nil, errors.New("factortest: no format " + a.Format)
	}
	return cborMap(cborText("fmt"), cborText(format), cborText("attStmt"), statement, cborText("authData"), cborBytes(authData)), nil
}

// certified is a key and its certificate as WebAuthn L3 §8.2.1 wants one,
// signed by nobody but itself.
func certified(aaguid [16]byte) (key, []byte, error) {
	k, err := newKey(ES256)
	if err != nil {
		return key{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{
			Country: []string{"SE"}, Organization: []string{"factortest"},
			OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "a software authenticator",
		},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(time.Hour),
		BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{{ // id-fido-gen-ce-aaguid
			Id: []int{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: append([]byte{4, 16}, aaguid[:]...),
		}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k.Signer)
	return k, der, err
}

// cborHead begins an item of a major type (RFC 8949 §3), in its shortest form.
func cborHead(major byte, n uint64) []byte {
	switch major <<= 5; {
	case n < 24:
		return []byte{major | byte(n)}
	case n < 1<<8:
		return []byte{major | 24, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{major | 25}, uint16(n))
	}
	return binary.BigEndian.AppendUint32([]byte{major | 26}, uint32(n))
}

func cborInt(n int) []byte {
	if n < 0 {
		return cborHead(1, uint64(-1-n))
	}
	return cborHead(0, uint64(n))
}

func cborBytes(b []byte) []byte { return append(cborHead(2, uint64(len(b))), b...) }

func cborText(s string) []byte { return append(cborHead(3, uint64(len(s))), s...) }

// cborMap joins keys and values, which stand in turn and in CTAP2's order.
func cborMap(items ...[]byte) []byte {
	m := cborHead(5, uint64(len(items)/2))
	for _, item := range items {
		m = append(m, item...)
	}
	return m
}
