// Package gomock is what the generated mock in twilio-go's client package calls. Nobody makes one, so go.mod at the root puts
// this in the place of a library for tests.
package gomock

import "reflect"

const notLinked = "gomock is not linked: internal/sms/shims"

type Call struct{}

type Controller struct{ T interface{ Helper() } }

func (*Controller) Call(any, string, ...any) []any { panic(notLinked) }
func (*Controller) RecordCallWithMethodType(any, string, reflect.Type, ...any) *Call {
	panic(notLinked)
}
