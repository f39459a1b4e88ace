package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

// Run prints version, commit and Go version.
func (versionCmd) Run() error {
	fmt.Printf("portvakt %s, commit %s, %s\n", version(), commit(), runtime.Version())
	return nil
}

// release is set by the linker: -ldflags '-X main.release=v1.2.3'.
var release = "unreleased"

func version() string { return release }

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
