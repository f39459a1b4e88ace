package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
	"github.com/portvakt/portvakt/internal/user"
)

// set sets rules from KEY=VALUE and gives the lines of the change.
func set(t testing.TB, s *Service, args ...string) []string {
	t.Helper()
	changes, err := s.SetPolicy(context.Background(), storetest.Origin, proposal(t, args...), false)
	if err != nil {
		t.Fatal(err)
	}
	return lines(changes)
}

func proposal(t testing.TB, args ...string) Proposal {
	t.Helper()
	p, err := ProposalOf(args)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func lines(changes []policy.Change) []string {
	out := []string{}
	for _, c := range changes {
		out = append(out, c.String())
	}
	return out
}

// changesOnRecord lists what the events of policy say, the oldest first.
func changesOnRecord(t *testing.T, s *Service) (out [][]string) {
	t.Helper()
	storetest.View(t, s.db, func(tx *store.Tx) error {
		return tx.Events(store.EventFilter{Kinds: []audit.Kind{audit.PolicyChanged}}, func(e audit.Event) error {
			var before, after map[string]any
			err := errors.Join(json.Unmarshal([]byte(e.Detail["before"]), &before), json.Unmarshal([]byte(e.Detail["after"]), &after))
			var one []string
			for _, key := range slices.Sorted(maps.Keys(after)) {
				one = append(one, policy.Change{Key: key, Before: before[key], After: after[key]}.String())
			}
			out = append(out, one)
			return err
		})
	})
	return out
}

// TestSetPolicy: what is said changed is what is on record and in force, with one event each time; a file and arguments do the same, and
// what neither names stays.
func TestSetPolicy(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		ctx := context.Background()
		apply(t, s, "groups: [admins]\npolicies: {password: {words: [hemlig], groups: {admins: {history: 5}}}}")
		would, err := s.SetPolicy(ctx, storetest.Origin, proposal(t, "password.min_length=14", "session.lock_after=15m"), true)
		want := []string{"password.min_length: 12 -> 14", "session.lock_after: 30m -> 15m"}
		if err != nil || !slices.Equal(lines(would), want) || len(changesOnRecord(t, s)) != 1 {
			t.Errorf("a dry run says %q and leaves %d events (%v)", lines(would), len(changesOnRecord(t, s)), err)
		}
		if got := set(t, s, "password.min_length=14", "session.lock_after=15m"); !slices.Equal(got, want) {
			t.Errorf("it says %q", got)
		}
		if got := set(t, other, "session.lock_after=15m", "password.min_length=14"); len(got) != 0 {
			t.Errorf("the second time it says %q", got)
		}
		file, err := ReadProposal(strings.NewReader("policies: {password: {groups: {admins: {min_length: 16}}}, factors: {allowed: [totp, webauthn]}}"))
		if err != nil {
			t.Fatal(err)
		}
		changed, err := other.SetPolicy(ctx, storetest.Origin, file, false)
		wantFile := []string{"password.groups.admins.min_length: none -> 16", "factors.allowed: [totp,sms,webauthn] -> [totp,webauthn]"}
		if err != nil || !slices.Equal(lines(changed), wantFile) {
			t.Errorf("a file: %q (%v)", lines(changed), err)
		}
		if got := set(t, s, "password.groups.admins.history=none", "password.words=[]"); len(got) != 2 {
			t.Errorf("taken back: %q", got)
		}
		p, err := s.Policy(ctx)
		if left := lines(policy.Diff(policy.Default(), p)); err != nil || !slices.Equal(left, []string{"password.min_length: 12 -> 14",
			"password.groups.admins.min_length: none -> 16", "session.lock_after: 30m -> 15m", "factors.allowed: [totp,sms,webauthn] -> [totp,webauthn]"}) {
			t.Errorf("in force is %q (%v)", left, err)
		}
		slices.Sort(wantFile)
		if got := changesOnRecord(t, s); len(got) != 4 || !slices.Equal(got[1], want) || !slices.Equal(got[2], wantFile) {
			t.Errorf("on record is %q", got)
		}
	})
}

func TestPolicyOf(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		ctx := context.Background()
		apply(t, s, "groups: [admins, staff]\nusers: [{username: anna, groups: [admins]}]\npolicies: {password: {groups: {admins: {min_length: 16}}}}")
		for _, tt := range []struct {
			groups []string
			want   int
		}{{nil, 12}, {[]string{"staff"}, 12}, {[]string{"staff", "admins"}, 16}} {
			if p, err := s.PolicyOf(ctx, tt.groups); err != nil || p.Password.MinLength != tt.want || p.Password.Groups != nil {
				t.Errorf("%q: %+v (%v)", tt.groups, p.Password, err)
			}
		}
		if _, err := s.PolicyOf(ctx, []string{"boss"}); err == nil || !strings.Contains(err.Error(), `there is no group "boss"`) {
			t.Errorf("a group that does not exist: %v", err)
		}
		if p, groups, err := s.PolicyOfUser(ctx, "ANNA"); err != nil || p.Password.MinLength != 16 || !slices.Equal(groups, []string{"admins"}) {
			t.Errorf("%q: %+v (%v)", groups, p.Password, err)
		}
		if _, _, err := s.PolicyOfUser(ctx, "nobody"); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// TestSetPolicyRefused: what is refused says everything that is wrong, and changes nothing.
func TestSetPolicyRefused(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		for _, tt := range []struct {
			args []string
			want string
		}{
			{[]string{"password.min_length=7"}, "password.min_length 7: is out of bounds; give 8 to 256"},
			{[]string{"password.min_length=7", "session.idle=13h"}, "password.min_length 7: is out of bounds; give 8 to 256\nsession.idle 13h: is out of bounds; give 1s to 12h in whole seconds"},
			{[]string{"password.min_lenght=14", "password.history=many", "lockout.window=1m"},
				"there is no rule \"password.min_lenght\"; the closest are password.min_length, password.max_length\npassword.history \"many\": is not a whole number"},
			{[]string{"factors.minimum=phr", "factors.allowed=totp"}, "factors.minimum phr: nobody could sign in, since factors.allowed lacks webauthn"},
			{[]string{"factors.groups.bosses.required=true"}, `there is no group "bosses"; add it under groups: in an apply file`},
		} {
			for _, dry := range []bool{true, false} {
				_, err := s.SetPolicy(context.Background(), storetest.Origin, proposal(t, tt.args...), dry)
				if err == nil || err.Error() != tt.want {
					t.Errorf("%q:\n got %v\nwant %s", tt.args, err, tt.want)
				}
			}
		}
		if p, err := s.Policy(context.Background()); err != nil || len(policy.Diff(p, policy.Default())) != 0 || len(kinds(t, s)) != 0 {
			t.Errorf("something changed: %v, %v (%v)", policy.Diff(policy.Default(), p), kinds(t, s), err)
		}
	})
}

// TestSetPolicyRivals: of operators who looked at the same policy one writes, whether one was set before or not; the other learns of it.
func TestSetPolicyRivals(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		for round := range 3 {
			read := func(tx *store.Tx) error { _, err := tx.Policy(); return err }
			was, row := policy.Policy{}, ""
			storetest.View(t, s.db, func(tx *store.Tx) (err error) { was, row, err = tx.PolicyRow(); return err })
			is, err := was.With("password.min_length", fmt.Sprint(20+round))
			if err != nil {
				t.Fatal(err)
			}
			if wins := storetest.Race(t, 6, []*store.DB{s.db, other.db}, read, swapPolicy(was, is, row)); wins != 1 {
				t.Errorf("round %d: %d operators were told that they changed the policy", round, wins)
			}
			if got := changesOnRecord(t, s); len(got) != round+1 {
				t.Errorf("round %d: %d events", round, len(got))
			}
		}
	})
}

// TestSetPolicyAtOnce: operators who change different rules at once, and run it again when told to, lose none.
func TestSetPolicyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		rules := []string{"password.min_length=14", "password.history=5", "lockout.attempts=7", "session.idle=1h", "sms.per_day=500", "factors.remember_device=30d"}
		var all sync.WaitGroup
		for i, r := range rules {
			p := proposal(t, r)
			all.Go(func() {
				for {
					_, err := []*Service{s, other}[i%2].SetPolicy(context.Background(), storetest.Origin, p, false)
					if err == nil {
						return
					}
					if !strings.Contains(err.Error(), "somebody else changed the policy at the same time; run it again") {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		if left := set(t, s, rules...); len(left) != 0 {
			t.Errorf("lost: %q", left)
		}
		if got := changesOnRecord(t, s); len(got) != len(rules) {
			t.Errorf("%d events for %d changes: %q", len(got), len(rules), got)
		}
	})
}

// TestPolicyReaches: what one instance sets, another that watches has in force soon.
func TestPolicyReaches(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		other.db.Watch()
		if p, err := other.db.Policy(context.Background()); err != nil || p.Password.MinLength != 12 {
			t.Fatalf("%+v (%v)", p.Password, err)
		}
		set(t, s, "password.min_length=20")
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			p, err := other.db.Policy(context.Background())
			if err == nil && p.Password.MinLength == 20 {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the other instance still has %+v (%v)", p.Password, err)
			}
		}
	})
}

func TestReadProposalFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "the policy file says nothing under policies:, such as policies: {password: {min_length: 14}}"},
		{"policies:\n", "the policy file says nothing under policies:, such as policies: {password: {min_length: 14}}"},
		{"groups: [a]\npolicies: {password: {min_length: 14}}", "the policy file has a block groups: besides policies:; here policies stand alone, and portvakt apply takes the rest"},
		{"users: [{username: a}]", "the policy file has a block users: besides policies:; here policies stand alone, and portvakt apply takes the rest"},
		{"password: {min_length: 14}", `the policy file, line 1: there is no key "password" here; see docs/contract.md §5`},
		{"policies:\n  password:\n    min_lenght: 14\n", `the policy file, line 3: there is no key "min_lenght"; the closest are min_length, max_length`},
		{"policies:\n  password: {min_length: 14}\n  retention: {audit: 30d}\n", `the policy file, line 3: the key "retention" is not available in this version; remove it`},
		{"policies:\n  password: {max_age: 3 months}\n", `the policy file, line 2: duration "3 months": give a whole number and s, m, h or d, such as 15m`},
		{"policies: {password: {min_length: 14}}\n---\npolicies: {}\n", "the policy file holds more than one document; remove the line --- and what follows it"},
		{"policies: [a]", "the policy file, line 1: here stand no keys and values; write key: value"},
		{strings.Repeat("#", maxFile+1), "the policy file is larger than 16 MiB"},
	} {
		_, err := ReadProposal(strings.NewReader(tt.text))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%.60q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
	if _, err := ReadProposal(errReader{}); !errors.Is(err, errRead) {
		t.Errorf("a reader that fails: %v", err)
	}
	for _, tt := range []struct{ args, want string }{
		{"password.min_length", `"password.min_length" is not KEY=VALUE, such as password.min_length=14`},
		{"a=1 a=2", "a stands twice; give it once"},
	} {
		if _, err := ProposalOf(strings.Fields(tt.args)); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v", tt.args, err)
		}
	}
}

// FuzzReadProposal: a file is read or refused; what is read names no rule that there is not, and puts nothing out of bounds into force.
func FuzzReadProposal(f *testing.F) {
	for _, text := range []string{"policies: {password: {min_length: 14, groups: {a: {history: 5}}}}", "policies: {session: {idle: 0s}}", "policies: {factors: {groups: {a.b: {minimum: x}}}}",
		"policies: &a {password: *a}", "policies: {sms: {countries: [se]}}", "policies: {password: {groups: {'': {history: 1}}}}", "policies: {password: ~}", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ReadProposal(strings.NewReader(text))
		if err != nil {
			return
		}
		is, err := p.over(policy.Default(), []string{"a", "a.b"})
		if err == nil && is.Validate() != nil {
			t.Errorf("in force would be %+v", is)
		}
		if err != nil && strings.Contains(err.Error(), "there is no rule") {
			t.Errorf("read, and then: %v", err)
		}
	})
}
