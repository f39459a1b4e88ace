package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// silent names in the variable the address of a listener that takes connections and never speaks.
func silent(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) == 1, "silent VARIABLE")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() }) // the kernel takes the connections; nobody reads them
	ts.Setenv(args[0], l.Addr().String())
}

// occupied names in the variable an address that is in use.
func occupied(ts *testscript.TestScript, neg bool, args []string) { silent(ts, neg, args) }

// disk mounts a small empty disk on a new folder; -readonly makes the one that is mounted there so.
func disk(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case !neg && len(args) == 1:
		unmount, err := mountSmall(ts.MkAbs(args[0]))
		ts.Check(err)
		ts.Defer(unmount)
	case !neg && len(args) == 2 && args[0] == "-readonly":
		ts.Check(syscall.Mount("", ts.MkAbs(args[1]), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	default:
		wants(ts, false, "disk [-readonly] FOLDER")
	}
}

// mountSmall mounts a disk of 2 MiB on a new folder.
func mountSmall(folder string) (unmount func(), err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount("portvakt-test", folder, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		return nil, fmt.Errorf("a small disk is needed to fill it, and mounting one on %s needs root: sudo make test (%w)", folder, err)
	}
	return func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) }, nil
}

// fill leaves no room on the disk of a folder; ! fill makes room again.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, len(args) == 1, "fill FOLDER")
	if neg {
		ts.Check(removeBallast(ts.MkAbs(args[0])))
		return
	}
	ts.Check(fillDisk(ts.MkAbs(args[0])))
}

func ballast(folder string) string { return filepath.Join(folder, "ballast") }

func removeBallast(folder string) error { return os.Remove(ballast(folder)) }

// fillDisk writes ballast until there is no room for another byte.
func fillDisk(folder string) error {
	f, err := os.Create(ballast(folder))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 1} {
		var err error
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return nil
}

// sized writes a file of so many MiB, all of it a comment in YAML.
func sized(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, !neg && len(args) == 2, "sized FILE MIB")
	mib, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := make([]byte, mib<<20)
	for i := range text {
		text[i] = '#'
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}
