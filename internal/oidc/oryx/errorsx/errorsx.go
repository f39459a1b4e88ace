// Package errorsx gives fosite the error helpers that it calls, without the stack traces.
package errorsx

// WithStack returns err as it is: Portvakt reads errors by their wrapped words, not by a stack.
func WithStack(err error) error { return err }

// Cause follows Cause methods down to the innermost error.
func Cause(err error) error {
	for err != nil {
		c, ok := err.(interface{ Cause() error })
		if !ok || c.Cause() == nil {
			return err
		}
		err = c.Cause()
	}
	return err
}

// The carriers are what fosite asserts that its own error type implements.
type (
	// DebugCarrier has a text for developers.
	DebugCarrier interface{ Debug() string }
	// ReasonCarrier has a hint for callers.
	ReasonCarrier interface{ Reason() string }
	// RequestIDCarrier has the id of a request.
	RequestIDCarrier interface{ RequestID() string }
	// StatusCarrier has the words of an HTTP status.
	StatusCarrier interface{ Status() string }
	// StatusCodeCarrier has the number of an HTTP status.
	StatusCodeCarrier interface{ StatusCode() int }
)
