// Package jose is what fosite's JWT signer and its checks of client assertions and request objects name. Portvakt composes
// neither: its ID tokens are signed by internal/keyring, and internal/oidc refuses assertions before fosite sees them.
package jose

const notLinked = "go-jose v3 is not linked: internal/oidc/shims"

type (
	SignatureAlgorithm string
	HeaderKey          string

	JSONWebKey struct {
		Key                   any
		KeyID, Algorithm, Use string
	}
	JSONWebKeySet struct{ Keys []JSONWebKey }
	Header        struct {
		KeyID, Algorithm string
		ExtraHeaders     map[HeaderKey]any
	}

	// Signer and OpaqueSigner have no implementation.
	Signer       interface{ notLinked() }
	OpaqueSigner interface {
		Public() *JSONWebKey
		Algs() []SignatureAlgorithm
		notLinked()
	}
	SigningKey struct {
		Algorithm SignatureAlgorithm
		Key       any
	}
	SignerOptions struct{ ExtraHeaders map[HeaderKey]any }
)

const (
	HS256 SignatureAlgorithm = "HS256"
	HS384 SignatureAlgorithm = "HS384"
	HS512 SignatureAlgorithm = "HS512"
	RS256 SignatureAlgorithm = "RS256"
	RS384 SignatureAlgorithm = "RS384"
	RS512 SignatureAlgorithm = "RS512"
	PS256 SignatureAlgorithm = "PS256"
	PS384 SignatureAlgorithm = "PS384"
	PS512 SignatureAlgorithm = "PS512"
	ES256 SignatureAlgorithm = "ES256"
	ES384 SignatureAlgorithm = "ES384"
	ES512 SignatureAlgorithm = "ES512"
)

func (*JSONWebKeySet) Key(string) []JSONWebKey             { panic(notLinked) }
func NewSigner(SigningKey, *SignerOptions) (Signer, error) { panic(notLinked) }
