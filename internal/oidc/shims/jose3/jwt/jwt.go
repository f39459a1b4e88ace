// Package jwt would read and write JWTs for fosite; see package jose.
package jwt

import "github.com/go-jose/go-jose/v3"

const notLinked = "go-jose v3 is not linked: internal/oidc/shims"

type (
	Builder      struct{}
	JSONWebToken struct{ Headers []jose.Header }
)

func Signed(jose.Signer) Builder                                   { panic(notLinked) }
func (Builder) Claims(any) Builder                                 { panic(notLinked) }
func (Builder) CompactSerialize() (string, error)                  { panic(notLinked) }
func ParseSigned(string) (*JSONWebToken, error)                    { panic(notLinked) }
func (*JSONWebToken) Claims(any, ...any) error                     { panic(notLinked) }
func (*JSONWebToken) UnsafeClaimsWithoutVerification(...any) error { panic(notLinked) }
