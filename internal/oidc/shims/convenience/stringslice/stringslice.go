// Package stringslice has the two functions of go-convenience that fosite calls.
package stringslice

import "slices"

// Has reports whether needle is in haystack.
func Has(haystack []string, needle string) bool { return slices.Contains(haystack, needle) }

// Unique gives the words of in, each once, in their order.
func Unique(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
