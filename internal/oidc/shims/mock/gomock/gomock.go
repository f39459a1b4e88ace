// Package gomock is what the generated mocks of fosite call; nobody makes one, so no Controller exists.
package gomock

import "reflect"

const notLinked = "gomock is not linked: internal/oidc/shims"

type Call struct{}

type Controller struct{ T interface{ Helper() } }

func (*Controller) Call(any, string, ...any) []any       { panic(notLinked) }
func (*Controller) RecordCall(any, string, ...any) *Call { panic(notLinked) }
func (*Controller) RecordCallWithMethodType(any, string, reflect.Type, ...any) *Call {
	panic(notLinked)
}
