package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

func TestDefault(t *testing.T) {
	b, err := json.Marshal(Default())
	want := `{"password":{"min_length":12,"max_length":256,"blocklist":true,"history":0,"max_age":"0d","min_classes":0},` +
		`"lockout":{"attempts":5,"window":"15m","delay_max":"15m","notify":true},` +
		`"session":{"idle":"8h","absolute":"12h","lock_after":"30m"},"factors":{"required":true,"allowed":["totp","sms","webauthn"]},` +
		`"sms":{"countries":["SE"],"per_number_day":10,"per_person_day":20,"per_address_day":50,"per_prefix_day":200,"per_day":1000,"alarm_below":30}}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v; want %s", b, err, want)
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is invalid: %v", err)
	}
	if err := (Policy{}).Validate(); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty policy: %v", err)
	}
}

func TestValidate(t *testing.T) {
	groups := func(r SessionRule) map[string]SessionRule { return map[string]SessionRule{"admins": r} }
	lengths := func(n int) map[string]PasswordRule { return map[string]PasswordRule{"admins": {MinLength: n}} }
	for _, tt := range []struct {
		change func(*Policy)
		want   string // the only line's beginning; "" for none
	}{
		{func(p *Policy) { p.Password.MinLength = 8 }, ""},
		{func(p *Policy) { p.Password.MinLength = 7 }, "password.min_length 7: "},
		{func(p *Policy) { p.Password.MinLength = 0 }, "password.min_length 0: "},
		{func(p *Policy) { p.Password.MinLength = 257 }, "password.min_length 257: is out of bounds; give 8 to 256"},
		{func(p *Policy) { p.Password.MaxLength = 255 }, "password.max_length 255: "},
		{func(p *Policy) { p.Password.MaxLength = 1025 }, "password.max_length 1025: "},
		{func(p *Policy) { p.Password.Groups = lengths(16) }, ""},
		{func(p *Policy) { p.Password.Groups = lengths(0) }, ""},
		{func(p *Policy) { p.Password.Groups = lengths(9) }, ""}, // says less than the general rule: harmless
		{func(p *Policy) { p.Password.Groups = lengths(300) }, "password.groups.admins.min_length 300: "},
		{func(p *Policy) { p.Password.Groups = lengths(-1) }, "password.groups.admins.min_length -1: "},
		{func(p *Policy) { p.Password.Groups = map[string]PasswordRule{"": {}} }, `password.groups "": `},
		{func(p *Policy) { p.Password.History = 24 }, ""},
		{func(p *Policy) { p.Password.History = 25 }, "password.history 25: "},
		{func(p *Policy) { p.Password.MinClasses = 5 }, "password.min_classes 5: "},
		{func(p *Policy) { p.Password.MaxAge = 90 * day }, ""},
		{func(p *Policy) { p.Password.MaxAge = Duration(time.Hour) }, "password.max_age 1h: "},
		{func(p *Policy) { p.Password.MaxAge = 4000 * day }, "password.max_age 4000d: "},
		{func(p *Policy) { p.Password.Words = []string{"portvakt"} }, ""},
		{func(p *Policy) { p.Password.Words = []string{"ab"} }, `password.words "ab", its length 2: `},
		{func(p *Policy) { p.Password.Groups = map[string]PasswordRule{"a": {MinClasses: 5}} }, "password.groups.a.min_classes 5: "},
		{func(p *Policy) { p.Password.Groups = map[string]PasswordRule{"a": {MaxAge: 1}} }, "password.groups.a.max_age "},
		{func(p *Policy) { p.Lockout.DelayMax = 0 }, "lockout.delay_max 0d: "},
		{func(p *Policy) { p.Session.LockAfter = 0 }, ""},
		{func(p *Policy) { p.Session.LockAfter = 31 * day }, "session.lock_after 31d: "},
		{func(p *Policy) { p.Session.Groups = groups(SessionRule{LockAfter: -1}) }, "session.groups.admins.lock_after "},
		{func(p *Policy) { p.Lockout.Attempts = 0 }, "lockout.attempts 0: "},
		{func(p *Policy) { p.Lockout.Attempts = 101 }, "lockout.attempts 101: "},
		{func(p *Policy) { p.Lockout.Window = 0 }, "lockout.window 0d: is out of bounds; give 1s to 1d"},
		{func(p *Policy) { p.Lockout.Window = 2 * day }, "lockout.window 2d: "},
		{func(p *Policy) { p.Lockout.Window = Duration(1500 * time.Millisecond) }, "lockout.window 1.5s: "},
		{func(p *Policy) { p.Session.Idle = 0 }, "session.idle 0d: "},
		{func(p *Policy) { p.Session.Idle = p.Session.Absolute }, ""},
		{func(p *Policy) { p.Session.Idle = day }, "session.idle 1d: is out of bounds; give 1s to 12h"},
		{func(p *Policy) { p.Session.Absolute = 31 * day }, "session.absolute 31d: "},
		{func(p *Policy) { p.Session.Groups = groups(SessionRule{Idle: Duration(time.Minute)}) }, ""},
		{func(p *Policy) { p.Session.Groups = groups(SessionRule{Idle: -1}) }, "session.groups.admins.idle "},
		{func(p *Policy) { p.Session.Groups = groups(SessionRule{Absolute: 31 * day}) }, "session.groups.admins.absolute 31d: "},
		{func(p *Policy) { p.Session.Groups = map[string]SessionRule{"": {}} }, `session.groups "": `},
		{func(p *Policy) { p.Factors.Groups = map[string]FactorRule{"": {}} }, `factors.groups "": `},
		{func(p *Policy) { p.Factors.Required = false }, ""},
		{func(p *Policy) { p.Factors.Allowed = nil }, "factors.allowed: is empty"},
		{func(p *Policy) { p.Factors.Allowed = []user.FactorKind{"recovery"} }, `factors.allowed "recovery": `},
		{func(p *Policy) { p.Factors.Minimum = user.ACRPhR }, ""},
		{func(p *Policy) { p.Factors.Minimum = "loa3" }, `factors.minimum "loa3": is no class`},
		{func(p *Policy) { p.Factors.Minimum = user.ACRPhRH }, "factors.minimum phrh: nobody"},
		{func(p *Policy) {
			p.Factors.Minimum, p.Factors.Allowed = user.ACRPhR, []user.FactorKind{user.FactorTOTP}
		}, "factors.minimum phr: nobody"},
		{func(p *Policy) { p.Factors.Groups = map[string]FactorRule{"admins": {Minimum: "x"}} }, `factors.groups.admins.minimum "x": `},
		{func(p *Policy) { p.Factors.RememberDevice = 91 * day }, "factors.remember_device 91d: "},
		{func(p *Policy) { p.Factors.AAGUIDs = []string{"2fc0579f-8113-47ea-b116-bb5a8db9202a"} }, "factors.passkey_aaguids: "},
		{func(p *Policy) { p.Factors.Attestation, p.Factors.AAGUIDs = true, []string{"x"} }, `factors.passkey_aaguids "x": `},
		{func(p *Policy) { p.SMS.Countries = []string{"se"} }, `sms.countries "se": `},
		{func(p *Policy) { p.SMS.Countries = nil }, ""}, // no messages at all
		{func(p *Policy) { p.SMS.PerDay = 0 }, "sms.per_day 0: "},
		{func(p *Policy) { p.SMS.AlarmBelow = 101 }, "sms.alarm_below 101: "},
	} {
		p := Default()
		tt.change(&p)
		err := p.Validate()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("refused: %v", err)
		case tt.want != "" && (!errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("got %v, want one line that begins with %q", err, tt.want)
		}
	}
}

func TestFor(t *testing.T) {
	p := Default()
	p.Factors.Required = false
	p.Password.Groups = map[string]PasswordRule{"admins": {MinLength: 16}, "guests": {MinLength: 8}}
	p.Session.Groups = map[string]SessionRule{
		"admins": {Idle: Duration(time.Hour), Absolute: Duration(10 * time.Hour)}, "kiosk": {Absolute: Duration(time.Minute), Kiosk: true},
	}
	p.Factors.Groups = map[string]FactorRule{"admins": {Required: true}, "guests": {}}
	hours := func(n int) Duration { return Duration(n) * Duration(time.Hour) }
	for _, tt := range []struct {
		groups         []string
		length         int
		idle, absolute Duration
		required       bool
	}{
		{nil, 12, hours(8), hours(12), false},
		{[]string{"unknown", ""}, 12, hours(8), hours(12), false},
		{[]string{"guests"}, 12, hours(8), hours(12), false}, // a group cannot loosen
		{[]string{"admins"}, 16, hours(1), hours(10), true},
		{[]string{"guests", "admins", "admins"}, 16, hours(1), hours(10), true},
		{[]string{"kiosk"}, 12, Duration(time.Minute), Duration(time.Minute), false}, // idle is cut to absolute
	} {
		want := p
		want.Password.MinLength, want.Password.Groups = tt.length, nil
		want.Session = Session{Idle: tt.idle, Absolute: tt.absolute, LockAfter: p.Session.LockAfter, Kiosk: slices.Contains(tt.groups, "kiosk")}
		want.Factors.Required, want.Factors.Groups = tt.required, nil
		if got := p.For(tt.groups); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", tt.groups, got, want)
		}
	}
}

// TestForProperties draws policies and groups: For never loosens, more groups never loosen, order and repetition do
// not matter, asking twice changes nothing, the policy itself stays as it was, and what was valid stays valid.
func TestForProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		p, names := draw(r)
		if err := p.Validate(); err != nil {
			t.Fatalf("draw %d: the test draws an invalid policy: %v", i, err)
		}
		before := fmt.Sprintf("%+v", p)
		groups := names[:r.IntN(len(names)+1)]
		got := p.For(groups)
		if !noLooser(got, p.For(nil)) || !noLooser(p.For(names), got) {
			t.Fatalf("draw %d: %+v is looser than without groups %q of %+v", i, got, groups, p)
		}
		shuffled := append([]string{"unknown"}, groups...)
		shuffled = append(shuffled, groups...)
		r.Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		if again := p.For(shuffled); !reflect.DeepEqual(again, got) {
			t.Fatalf("draw %d: %q gives %+v, %q gives %+v", i, groups, got, shuffled, again)
		}
		if !reflect.DeepEqual(got.For(names), got) || fmt.Sprintf("%+v", p) != before {
			t.Fatalf("draw %d: the answer or the policy changes when asked again", i)
		}
		if err := got.Validate(); err != nil {
			t.Fatalf("draw %d: a valid policy gives %v", i, err)
		}
	}
}

// noLooser compares every rule; Groups are not part of an answer.
func noLooser(a, b Policy) bool {
	within := func(a, b Duration) bool { return b == 0 || a != 0 && a <= b }
	return a.Password.MinLength >= b.Password.MinLength && a.Password.MaxLength <= b.Password.MaxLength &&
		a.Password.History >= b.Password.History && a.Password.MinClasses >= b.Password.MinClasses && within(a.Password.MaxAge, b.Password.MaxAge) &&
		within(a.Session.LockAfter, b.Session.LockAfter) && (a.Session.Kiosk || !b.Session.Kiosk) &&
		a.Lockout == b.Lockout && a.Session.Idle <= b.Session.Idle && a.Session.Absolute <= b.Session.Absolute &&
		(a.Factors.Required || !b.Factors.Required) && a.Factors.Minimum.Meets(b.Factors.Minimum) && a.Factors.RememberDevice <= b.Factors.RememberDevice
}

// draw makes a valid policy with rules for some of five groups, and the names of the groups in some order.
func draw(r *rand.Rand) (Policy, []string) {
	span := func(limit Duration) Duration {
		return Duration(1+r.Int64N(int64(limit/Duration(time.Second)))) * Duration(time.Second)
	}
	p := Default()
	p.Password = Password{MinLength: 8 + r.IntN(20), MaxLength: 256 + r.IntN(100), History: r.IntN(25), MinClasses: r.IntN(5), MaxAge: Duration(r.IntN(500)) * day, Groups: map[string]PasswordRule{}}
	p.Session.Absolute, p.Session.Groups = span(30*day), map[string]SessionRule{}
	p.Session.Idle = span(p.Session.Absolute)
	p.Session.LockAfter = []Duration{0, span(30 * day)}[r.IntN(2)]
	classes := []user.ACR{user.ACRNone, user.ACR1FA, user.ACR2FA, user.ACRPhR}
	p.Factors.Required, p.Factors.Minimum, p.Factors.Groups = r.IntN(2) == 0, classes[r.IntN(4)], map[string]FactorRule{}
	p.Factors.RememberDevice = []Duration{0, span(90 * day)}[r.IntN(2)]
	var names []string
	for _, i := range r.Perm(5) {
		g := string(rune('a' + i))
		names = append(names, g)
		if r.IntN(2) == 0 {
			p.Password.Groups[g] = PasswordRule{MinLength: []int{0, 8 + r.IntN(30)}[r.IntN(2)], History: r.IntN(25), MinClasses: r.IntN(5), MaxAge: Duration(r.IntN(500)) * day}
		}
		if r.IntN(2) == 0 {
			p.Session.Groups[g] = SessionRule{Idle: []Duration{0, span(30 * day)}[r.IntN(2)], Absolute: []Duration{0, span(30 * day)}[r.IntN(2)],
				LockAfter: []Duration{0, span(30 * day)}[r.IntN(2)], Kiosk: r.IntN(4) == 0}
		}
		if r.IntN(2) == 0 {
			p.Factors.Groups[g] = FactorRule{Required: r.IntN(2) == 0, Minimum: classes[r.IntN(4)], NoRememberDevice: r.IntN(2) == 0}
		}
	}
	return p, names
}

// TestTags pins that JSON and YAML use the same names.
func TestTags(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[Policy](), reflect.TypeFor[Password](), reflect.TypeFor[PasswordRule](),
		reflect.TypeFor[Lockout](), reflect.TypeFor[Session](), reflect.TypeFor[SessionRule](), reflect.TypeFor[Factors](), reflect.TypeFor[FactorRule](), reflect.TypeFor[SMS]()} {
		for f := range typ.Fields() {
			if f.Name == "Kiosk" && typ == reflect.TypeFor[Session]() {
				continue // is not written: see For
			}
			if j, y := f.Tag.Get("json"), f.Tag.Get("yaml"); j == "" || j != y || j != strings.ToLower(j) {
				t.Errorf("%s.%s: json %q, yaml %q", typ.Name(), f.Name, j, y)
			}
		}
	}
}

func TestOutlived(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		age     time.Duration
		changed time.Time
		want    bool
	}{
		{0, now.Add(-5000 * day), false},
		{0, time.Time{}, false},
		{90 * day, time.Time{}, true},
		{90 * day, now.Add(-90 * day), true},
		{90 * day, now.Add(-90*day + time.Microsecond), false},
		{90 * day, now, false},
		{90 * day, now.Add(day), false}, // the clock went back
	} {
		if got := (Password{MaxAge: Duration(c.age)}).Outlived(c.changed, now); got != c.want {
			t.Errorf("%v after %v: %v", c.changed, c.age, got)
		}
	}
}
