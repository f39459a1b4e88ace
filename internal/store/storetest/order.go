package storetest

import (
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/store"
)

// The order in which units write. Two that write in two orders wait for each other, and Postgres breaks that ring after a second:
//
//   - Counts of wrong answers come first.
//   - Then comes the person (Tx.Hold), and after that what is theirs, in any order: who writes it has waited for the person. What several people of one
//     browser share (shared) is written in the order of places all the same.
//   - A unit that holds no person writes in the order of places.
//   - The revision of clients and policies comes last.
//
// What this does not see: tables that places does not name, rows of one table, several people in one unit (an apply), units that are undone, and Tx.Sweep.
var places = map[string]int{
	"counts": 1, "links": 2, "limits": 3, "challenges": 4, "clients": 5, "sessions": 6, "grants": 7, "logouts": 8, "trials": 9, "flows": 10,
	"devices": 11, "factors": 12, "recovery_codes": 13, "password_history": 14, "outbox": 15, "revision": 16,
}

var shared = map[string]bool{"sessions": true, "grants": true, "logouts": true, "flows": true}

var written = regexp.MustCompile(`(?:^|[(\s])(update|delete from|insert into) (\w+)`)

// inOrder gives a watch that fails the test for a unit that writes in another order. What a test itself puts together may.
func inOrder(t testing.TB) func([]store.Statement) {
	var mu sync.Mutex
	over := false
	t.Cleanup(func() { mu.Lock(); defer mu.Unlock(); over = true })
	return func(ran []store.Statement) {
		fault, unit := misplaced(ran)
		if fault == "" {
			return
		}
		who := caller()
		mu.Lock()
		defer mu.Unlock()
		if who != "" && !over {
			t.Errorf("%s writes %s; see storetest.places. All it writes: %s", who, fault, strings.Join(unit, ", "))
		}
	}
}

// misplaced says what is out of its place in a unit; "" if nothing is.
func misplaced(ran []store.Statement) (fault string, unit []string) {
	seen := map[string]bool{}
	held, last := false, ""
	for _, s := range ran {
		for _, what := range rows(s) {
			if seen[what] {
				continue
			}
			seen[what] = true
			unit = append(unit, what)
			switch {
			case what == "a new person": // nobody waits for what is theirs
				held, last = true, ""
			case what == "users" && !held && places[last] > places["counts"]:
				return last + " before their person", unit
			case what == "users":
				held, last = true, ""
			case what == "revision":
				last = what
			case last == "revision":
				return what + " after the revision", unit
			case held && what == "counts":
				return "counts of wrong answers after the person", unit
			case held && !shared[what]:
			case places[what] != 0 && places[what] < places[last]:
				return last + " before " + what, unit
			case places[what] != 0:
				last = what
			}
		}
	}
	return "", unit
}

// rows names the kinds of rows that a statement locks.
func rows(s store.Statement) []string {
	if strings.Contains(s.SQL, "limit 1000") {
		return nil // Tx.Sweep: what is long over
	}
	var out []string
	for _, m := range written.FindAllStringSubmatch(s.SQL, -1) {
		table, makes := m[2], m[1] == "insert into" && !strings.Contains(s.SQL, "on conflict")
		switch {
		case table == "set": // on conflict do update
		case table == "users" && makes:
			out = append(out, "a new person")
		case makes:
		case table == "instance" && strings.Contains(s.SQL, "'revision'"):
			out = append(out, "revision")
		case table == "attempts":
			out = append(out, count(s))
		default:
			out = append(out, table)
		}
	}
	return out
}

// count tells counts of wrong answers from limits of what is sent and of what one session bears.
func count(s store.Statement) string {
	lane, _ := s.Args[0].(string)
	for _, limit := range []string{"sms:", "mail:", "told:", "unlock:"} {
		if strings.HasPrefix(lane, limit) {
			return "limits"
		}
	}
	return "counts"
}

// caller names the function that asked the store for the unit; "" if it is a test's.
func caller() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	for {
		f, more := frames.Next()
		switch own := strings.Contains(f.Function, "/internal/store.") || strings.HasSuffix(f.File, "storetest/order.go"); {
		case own && !strings.HasSuffix(f.File, "_test.go"):
		case strings.HasSuffix(f.File, "_test.go") || strings.Contains(f.Function, "/storetest."):
			return ""
		case strings.Contains(f.Function, "/internal/"):
			return f.Function[strings.LastIndex(f.Function, "/")+1:]
		}
		if !more {
			return ""
		}
	}
}
