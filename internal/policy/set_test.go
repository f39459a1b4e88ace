package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

func TestWith(t *testing.T) {
	for _, tt := range []struct{ key, text, change string }{
		{"password.min_length", "14", "password.min_length: 12 -> 14"},
		{"password.min_length", "12", ""},
		{"password.blocklist", "false", "password.blocklist: true -> false"},
		{"password.max_age", "90d", "password.max_age: 0d -> 90d"},
		{"password.words", "[portvakt, gatekeeper]", "password.words: [] -> [portvakt,gatekeeper]"},
		{"password.words", `["a, b","c"]`, `password.words: [] -> ["a, b","c"]`},
		{"password.words", "", ""},
		{"session.lock_after", "15m", "session.lock_after: 30m -> 15m"},
		{"session.groups.kiosk.kiosk", "true", "session.groups.kiosk.kiosk: none -> true"},
		{"session.groups.kiosk.kiosk", "false", ""},
		{"password.groups.a.b.min_length", "16", "password.groups.a.b.min_length: none -> 16"},
		{"password.groups.admins.min_length", "none", ""},
		{"factors.allowed", "[totp,webauthn]", "factors.allowed: [totp,sms,webauthn] -> [totp,webauthn]"},
		{"factors.allowed", "totp", "factors.allowed: [totp,sms,webauthn] -> [totp]"},
		{"factors.minimum", "phr", "factors.minimum: none -> phr"},
		{"factors.minimum", "none", ""},
		{"factors.groups.admins.required", "true", "factors.groups.admins.required: none -> true"},
		{"sms.countries", "[SE,NO]", "sms.countries: [SE] -> [SE,NO]"},
	} {
		p, err := Default().With(tt.key, tt.text)
		var lines []string
		for _, c := range Diff(Default(), p) {
			lines = append(lines, c.String())
		}
		if got := strings.Join(lines, "\n"); err != nil || got != tt.change {
			t.Errorf("%s=%s: %q (%v), want %q", tt.key, tt.text, got, err, tt.change)
		}
	}
	for _, tt := range []struct{ key, text, want string }{
		{"password.min_lenght", "1", `there is no rule "password.min_lenght"; the closest are password.min_length`},
		{"password.groups.admins.lenght", "1", `there is no rule "password.groups.admins.lenght"; the closest are `},
		{"password", "1", `there is no rule "password"; the closest are `},
		{"password.groups..min_length", "1", `there is no rule "password.groups..min_length"`},
		{"password.groups.min_length", "1", `there is no rule "password.groups.min_length"`},
		{"session.kiosk", "true", `there is no rule "session.kiosk"`},
		{"lockout.groups.admins.attempts", "1", `there is no rule `},
		{"", "1", `there is no rule ""`},
		{"password.min_length", "twelve", `password.min_length "twelve": is not a whole number`},
		{"password.min_length", "", `password.min_length "": is not a whole number`},
		{"password.min_length", "99999999999", `password.min_length "99999999999": is not a whole number`},
		{"password.blocklist", "yes", `password.blocklist "yes": is not true or false`},
		{"session.idle", "8 hours", `session.idle "8 hours": is no duration; give a whole number and s, m, h or d, such as 15m`},
		{"factors.allowed", "[totp", `factors.allowed "[totp": is not a list; write [a,b]`},
		{"factors.allowed", "totp,,sms", `factors.allowed "totp,,sms": is not a list; write [a,b]`},
	} {
		p, err := Default().With(tt.key, tt.text)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !reflect.DeepEqual(p, Default()) {
			t.Errorf("%s=%s: %v, want %s", tt.key, tt.text, err, tt.want)
		}
	}
}

// TestClosest: of a rule with a letter too few, too many or changed, the rule itself is named first.
func TestClosest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	keys := Keys("admins")
	for _, key := range keys {
		i := len(key) - 1 - r.IntN(3)
		for _, wrong := range []string{key[:i] + key[i+1:], key[:i] + "x" + key[i:], key[:i] + "x" + key[i+1:]} {
			if got := Closest(wrong, keys); got[0] != key || len(got) > 3 {
				t.Errorf("%s: %q, want %s first", wrong, got, key)
			}
		}
	}
	if got := Keys(""); slices.Contains(got, "session.kiosk") || !slices.Contains(got, "sms.alarm_below") || len(got) >= len(keys) {
		t.Errorf("%q", got)
	}
}

// TestSetProperties draws two policies: what Diff says, taken or written rule by rule, makes the one of the other; neither changes meanwhile.
func TestSetProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		p, _ := draw(r)
		q, _ := draw(r)
		if r.IntN(2) == 0 {
			q.Password.Words = []string{"one", "a, b", `"`, "none", " x"}[:r.IntN(6)]
			q.Factors.Allowed = []user.FactorKind{user.FactorTOTP, user.FactorPasskey}[:1+r.IntN(2)]
		}
		q.SMS.PerDay = 1 + r.IntN(1_000_000)
		before := fmt.Sprintf("%+v %+v", p, q)
		taken, written := p, p
		for _, c := range Diff(p, q) {
			var err, fault error
			taken, err = taken.Take(q, c.Key)
			written, fault = written.With(c.Key, Text(c.After))
			if err != nil || fault != nil {
				t.Fatalf("draw %d: %s: %v, %v", i, c, err, fault)
			}
		}
		for name, got := range map[string]Policy{"taken": taken, "written": written} {
			if left := Diff(got, q); len(left) != 0 || mustJSON(t, got.Normal()) != mustJSON(t, q.Normal()) {
				t.Fatalf("draw %d: %s: still differs in %v", i, name, left)
			}
		}
		if len(Diff(p, p)) != 0 || fmt.Sprintf("%+v %+v", p, q) != before {
			t.Fatalf("draw %d: a policy changed while it was looked at, or differs from itself", i)
		}
		var again []Change
		if err := json.Unmarshal([]byte(mustJSON(t, Diff(p, q))), &again); err != nil {
			t.Fatal(err)
		}
		for j, c := range Diff(p, q) {
			if c.String() != again[j].String() {
				t.Fatalf("draw %d: %s reads as %s from JSON", i, c, again[j])
			}
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDiffOrder: rules stand in the order of the contract, those of groups behind the general ones.
func TestDiffOrder(t *testing.T) {
	p := Default()
	p.Password.Groups = map[string]PasswordRule{"b": {MinLength: 16}, "a": {MaxAge: day, MinLength: 20}}
	p.Session.Idle, p.Password.History = Duration(time.Hour), 5
	p.Factors.Groups = map[string]FactorRule{"a": {}}
	var keys []string
	for _, c := range Diff(Default(), p) {
		keys = append(keys, c.Key)
	}
	if want := []string{"password.history", "password.groups.a.min_length", "password.groups.a.max_age", "password.groups.b.min_length", "session.idle"}; !slices.Equal(keys, want) {
		t.Errorf("%q, want %q", keys, want)
	}
}
