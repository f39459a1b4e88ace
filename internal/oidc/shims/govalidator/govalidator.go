// Package govalidator has the one function of it that fosite calls. The real one compiles over 40 regular expressions at each start.
package govalidator

import "net/url"

// IsRequestURL reports whether raw is a request URI with a scheme.
func IsRequestURL(raw string) bool {
	u, err := url.ParseRequestURI(raw)
	return err == nil && u.Scheme != ""
}
