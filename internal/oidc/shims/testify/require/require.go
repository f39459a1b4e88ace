// Package require is what fosite's test helpers call; no test of fosite runs here. The real one links a YAML reader and httptest.
package require

const notLinked = "testify is not linked: internal/oidc/shims"

func NoError(any, error, ...any) { panic(notLinked) }
func Less(any, any, any, ...any) { panic(notLinked) }
