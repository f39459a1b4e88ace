package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestMain makes the test binary the program itself when it is called portvakt, and puts it on the PATH by that name:
// scripts and other tests run the real thing.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else every command of a race build waits a second at its end
	testscript.Main(suite{m}, map[string]func(){"portvakt": main})
}

// suite is all tests of this package, with what lives as long as they do.
type suite struct{ m *testing.M }

// Run runs them. Another thing that all tests share is ended here too.
func (s suite) Run() int {
	defer storetest.Close()
	return s.m.Run()
}
