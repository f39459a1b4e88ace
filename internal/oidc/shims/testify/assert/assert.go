// Package assert is named by tests of libraries, which go mod tidy looks up and nobody runs here.
package assert
