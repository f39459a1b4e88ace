// Package json would read the claims of a JWT for fosite; see package jose.
package json

import "io"

const notLinked = "go-jose v3 is not linked: internal/oidc/shims"

// UnmarshalIntOrFloat is a way to read numbers.
const UnmarshalIntOrFloat = 0

type Decoder struct{}

func NewDecoder(io.Reader) *Decoder { panic(notLinked) }
func (*Decoder) SetNumberType(int)  { panic(notLinked) }
func (*Decoder) Decode(any) error   { panic(notLinked) }
