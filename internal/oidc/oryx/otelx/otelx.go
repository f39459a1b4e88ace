// Package otelx ends the spans that fosite begins. Portvakt installs no tracer, so they cost nothing.
package otelx

import "go.opentelemetry.io/otel/trace"

// End ends span; the error behind err stays with the caller.
func End(span trace.Span, _ *error) { span.End() }
