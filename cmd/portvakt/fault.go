package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/portvakt/portvakt/internal/store"
)

// complain tells the operator what is wrong and what to do, in one line (one for each fault of a file), and gives the
// exit status back.
func complain(err error, status int) int {
	for line := range strings.Lines(explain(err)) {
		fmt.Fprintln(os.Stderr, "portvakt:", strings.TrimSpace(line))
	}
	return status
}

// explain gives the text of an error. What an engine or the system says is turned into what it means for the operator.
func explain(err error) string {
	var state interface{ SQLState() string }
	var code interface{ Code() int }
	switch {
	case errors.As(err, &state):
		return refusedBy(state.SQLState(), cause(err))
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full; make room and run it again (" + cause(err) + ")"
	case errors.As(err, &code):
		return saidBySQLite(code.Code(), cause(err))
	case errors.Is(err, store.ErrOutage):
		return "the database does not answer; check that it runs and that its address is right (" + cause(err) + ")"
	}
	return err.Error()
}

// refusedBy reads the classes of Postgres' SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func refusedBy(state, why string) string {
	switch {
	case strings.HasPrefix(state, "28"):
		return "the database refuses the user or the password; correct its address (" + why + ")"
	case strings.HasPrefix(state, "3D"):
		return "there is no such database; make it, or correct its address (" + why + ")"
	case state == "42501":
		return "the database user may not do this; give it the rights, or name its owner in the address (" + why + ")"
	}
	return "the database cannot do this now; see its log (" + why + ")"
}

// saidBySQLite reads SQLite's result codes (https://www.sqlite.org/rescode.html).
func saidBySQLite(code int, why string) string {
	switch {
	case code&0xff == 13, code == 4874: // SQLITE_FULL, SQLITE_IOERR_SHMSIZE: no room for the index of the -wal file
		return "the disk is full; make room and run it again (" + why + ")"
	case code&0xff == 11: // SQLITE_CORRUPT
		return "the database file is damaged; restore it from a backup (" + why + ")"
	case code&0xff == 5, code&0xff == 6: // SQLITE_BUSY, SQLITE_LOCKED
		return "another process keeps the database file locked; run it again when that has ended (" + why + ")"
	}
	return "the database file cannot be used; see that its disk is sound and that the user of portvakt can write to it (" + why + ")"
}

// cause gives the innermost error that says something: drivers wrap theirs many times over and name every attempt.
func cause(err error) string {
	best := err
	for _, leaf := range leaves(err) {
		if _, server := leaf.(interface{ SQLState() string }); server {
			return leaf.Error()
		}
		if leaf != store.ErrOutage {
			best = leaf
		}
	}
	text := strings.Join(strings.Fields(best.Error()), " ")
	if errors.Is(best, context.DeadlineExceeded) {
		text = "no answer in time"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && op.Addr != nil {
		return op.Addr.String() + ": " + text
	}
	return text
}

// leaves lists the errors that wrap no other.
func leaves(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return leaves(inner)
		}
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(all, leaves(inner)...)
		}
		return all
	}
	return []error{err}
}
