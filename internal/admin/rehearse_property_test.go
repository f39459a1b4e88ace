package admin

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/policy"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// world is everybody and everything that a rehearsal knows, drawn by chance.
type world struct {
	site    Site
	now     time.Time
	people  []standing
	clients []client.Client
	signIns []store.SignedIn
}

// rehearse holds two policies against the world.
func (w world) rehearse(was, is policy.Policy) *Rehearsal {
	j := newJudge(was, is, w.site, w.now)
	j.clients = w.clients
	for _, p := range w.people {
		j.people[p.user.ID] = &p
	}
	for _, in := range w.signIns {
		j.signIn(in)
	}
	return j.told()
}

func drawWorld(r *rand.Rand) world {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	ago := func(most time.Duration) time.Time { return now.Add(-time.Duration(r.Int64N(int64(most)))) }
	w := world{site: Site{Texts: true, Passkeys: r.IntN(5) > 0}, now: now}
	for i, acr := range []string{"", "urn:portvakt:acr:2fa", "phr"} {
		w.clients = append(w.clients, client.Client{ID: client.ID(fmt.Sprint("app", i)), MinimumACR: acr, AllowedGroups: [][]string{nil, {"a"}}[r.IntN(2)]})
	}
	proofs := [][]user.Method{{"pwd"}, {"pwd", "device"}, {"pwd", "otp"}, {"pwd", "sms"}, {"pwd", "swk", "user"}, {"swk", "user"}, {"pwd", "recovery"}}
	for i := range 1 + r.IntN(4) {
		p := standing{user: user.User{ID: user.ID(fmt.Sprint("u", i)), Username: fmt.Sprint("n", i), Groups: []string{"a", "b"}[:r.IntN(3)]}, password: r.IntN(5) > 0,
			changed: ago(500 * 24 * time.Hour), made: []string{"", "min_length=12 min_classes=0 blocklist=1", "min_length=20 min_classes=3 blocklist=0"}[r.IntN(3)], codes: r.IntN(2)}
		for _, f := range []store.Factor{{Kind: user.FactorTOTP}, {Kind: user.FactorSMS, Secret: "+46701740605"}, {Kind: user.FactorPasskey}} {
			if r.IntN(2) == 0 {
				f.UsedAt, f.StoppedAt = []time.Time{{}, now}[r.IntN(2)], []time.Time{{}, {}, {}, now}[r.IntN(4)]
				p.factors = append(p.factors, f)
			}
		}
		for range r.IntN(3) {
			seen := ago(10 * time.Hour)
			p.sessions = append(p.sessions, user.Session{User: p.user.ID, Proved: proofs[r.IntN(len(proofs))], SeenAt: seen, ExpiresAt: now.Add(time.Duration(1 + r.Int64N(int64(12*time.Hour)))),
				LockedAt: []time.Time{{}, {}, now}[r.IntN(3)]})
			p.devices = append(p.devices, store.Device{CreatedAt: ago(60 * 24 * time.Hour)})
		}
		for range r.IntN(4) {
			proved := proofs[r.IntN(len(proofs))]
			w.signIns = append(w.signIns, store.SignedIn{User: p.user.ID, Client: []client.ID{"", "app0", "app1", "app2", "removed"}[r.IntN(5)], ACR: user.Level(proved), Proved: proved})
		}
		w.people = append(w.people, p)
	}
	return w
}

// choices lists values of rules, the strictest last.
func choices() map[string][]string {
	return map[string][]string{
		"password.min_length": {"8", "12", "16", "24"}, "password.min_classes": {"0", "2", "4"}, "password.blocklist": {"false", "true"},
		"password.max_age": {"0d", "400d", "90d", "1d"}, "password.words": {"[]", "[portvakt]"}, "password.groups.a.min_length": {"none", "14", "30"}, "password.groups.b.max_age": {"none", "100d"},
		"session.idle": {"8h", "4h", "10m"}, "session.lock_after": {"0d", "12h", "1h", "1m"}, "session.groups.a.idle": {"none", "1h"}, "session.groups.a.kiosk": {"none", "true"},
		"factors.required": {"false", "true"}, "factors.minimum": {"none", "urn:portvakt:acr:1fa", "urn:portvakt:acr:2fa", "phr"}, "factors.remember_device": {"90d", "30d", "1d", "0d"},
		"factors.sms_with_passkey": {"true", "false"}, "factors.groups.a.required": {"none", "true"}, "factors.groups.b.minimum": {"none", "urn:portvakt:acr:2fa", "phr"},
		"factors.groups.a.no_remember_device": {"none", "true"},
	}
}

// drawPolicy gives a valid policy; from, unless it is nil, gives of each rule how strict it has to be at least, and takes how strict it is.
func drawPolicy(t *testing.T, r *rand.Rand, from map[string]int) policy.Policy {
	t.Helper()
	p := policy.Default()
	all := choices()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		i := from[key]
		i += r.IntN(len(all[key]) - i)
		from[key] = i
		var err error
		if p, err = p.With(key, all[key][i]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// drawAllowed gives lists of kinds, the second within the first. phr as a minimum needs passkeys.
func drawAllowed(r *rand.Rand, policies ...*policy.Policy) {
	kinds := []user.FactorKind{user.FactorTOTP, user.FactorSMS, user.FactorPasskey}
	for _, p := range policies {
		needs := p.Factors.Minimum == user.ACRPhR || p.Factors.Groups["b"].Minimum == user.ACRPhR
		kept := slices.DeleteFunc(slices.Clone(kinds), func(k user.FactorKind) bool { return r.IntN(3) == 0 && !(needs && k == user.FactorPasskey) })
		if len(kept) > 0 {
			kinds = kept
		}
		p.Factors.Allowed = slices.Clone(kinds)
	}
}

// TestRehearseProperties: a policy held against itself finds nobody; a stricter one frees nobody; whom one change stops the change back frees;
// and everybody is counted once.
func TestRehearseProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	places, frees := map[string]int{}, 0
	for i := range 800 {
		w, strict := drawWorld(r), map[string]int{}
		p := drawPolicy(t, r, strict)
		q := drawPolicy(t, r, strict)
		other := drawPolicy(t, r, map[string]int{})
		drawAllowed(r, &p, &q)
		drawAllowed(r, &other)
		if !slices.Contains(p.Factors.Allowed, user.FactorPasskey) && (q.Factors.Minimum == user.ACRPhR || q.Factors.Groups["b"].Minimum == user.ACRPhR) {
			continue // q is out of bounds
		}
		for _, valid := range []policy.Policy{p, q, other} {
			if err := valid.Validate(); err != nil {
				t.Fatalf("draw %d: the test draws an invalid policy: %v", i, err)
			}
		}
		if got := found(w.rehearse(p, p)); len(got) != 0 {
			t.Fatalf("draw %d: a policy held against itself finds %q", i, got)
		}
		for _, line := range found(w.rehearse(p, q)) {
			place, _, _ := strings.Cut(line, " ")
			places[place]++
			if strings.Contains(place, "freed") {
				t.Fatalf("draw %d: a stricter policy finds %q:\n%v\n%+v", i, line, policy.Diff(p, q), w)
			}
		}
		there, back := w.rehearse(p, other), w.rehearse(other, p)
		f, s, b := there.Factors, there.Sessions, there.Browsers
		for _, pair := range [][2][]string{
			{names(f.SetUp, f.Minimum, f.Disallowed, f.Shut), names(back.Factors.Freed)},
			{names(s.Ended, s.Locked), names(back.Sessions.Freed)},
			{names(b.Forgotten), names(back.Browsers.Freed)},
		} {
			frees += len(pair[1])
			if !slices.Equal(pair[0], pair[1]) {
				t.Fatalf("draw %d: one way stops %q, the way back frees %q:\n%v\n%+v", i, pair[0], pair[1], policy.Diff(p, other), w)
			}
		}
		total := func(ws ...Whom) (n int) {
			for _, w := range ws {
				n += w.Count + w.Already
			}
			return n
		}
		if n := f.Ready + total(f.SetUp, f.Minimum, f.Disallowed, f.Shut); n != len(w.people) || there.People != n {
			t.Fatalf("draw %d: %d people of %d have a fate", i, n, len(w.people))
		}
		passwords := len(slices.DeleteFunc(slices.Clone(w.people), func(p standing) bool { return !p.password }))
		if n := there.Passwords.Good + total(there.Passwords.Perhaps, there.Passwords.Must); n != passwords {
			t.Fatalf("draw %d: %d passwords of %d are judged", i, n, passwords)
		}
	}
	// A draw that never finds anything proves nothing.
	for _, place := range []string{"passwords.perhaps", "passwords.must", "factors.set_up", "factors.minimum", "factors.disallowed", "factors.shut",
		"sessions.ended", "sessions.locked", "sessions.shortened", "sessions.kiosk", "browsers.forgotten", "app"} {
		if places[place] == 0 {
			t.Errorf("no draw found %s: %v", place, places)
		}
	}
	if frees == 0 {
		t.Error("no draw freed anybody")
	}
}

func names(all ...Whom) []string {
	var out []string
	for _, w := range all {
		out = append(out, w.People...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestReadFloor(t *testing.T) {
	for made, want := range map[string]floor{
		"": {}, "min_length=12 min_classes=0 blocklist=1": {12, 0, true}, "min_length=14 min_classes=3 blocklist=0 more=x": {14, 3, false},
		"min_length": {}, "min_length=x blocklist=1": {0, 0, true},
	} {
		if got := readFloor(made); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", made, got, want)
		}
	}
}

// TestFates: how the next sign-in of people with these factors ends at best.
func TestFates(t *testing.T) {
	used := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	totp, number, key := store.Factor{Kind: user.FactorTOTP}, store.Factor{Kind: user.FactorSMS, Secret: "+46701740605"}, store.Factor{Kind: user.FactorPasskey}
	number.UsedAt = used
	stopped := totp
	stopped.StoppedAt = used
	for name, c := range map[string]struct {
		rules   string
		site    Site
		need    user.ACR
		codes   int
		bare    bool
		factors []store.Factor
		want    fate
	}{
		"nothing":                             {"factors.required=false", whole, "", 0, false, nil, free},
		"nothing, and one is needed":          {"factors.required=true", whole, "", 0, false, nil, setUp},
		"nothing that can be set up":          {"factors.allowed=[sms]", whole, "", 0, false, nil, shut},
		"a soft token":                        {"factors.required=true", whole, "", 0, false, []store.Factor{totp}, free},
		"a stopped one":                       {"factors.required=false", whole, "", 0, false, []store.Factor{stopped}, shut},
		"a stopped one and a code":            {"factors.required=false", whole, "", 1, false, []store.Factor{stopped}, setUp},
		"a number":                            {"factors.required=true", whole, "", 0, false, []store.Factor{number}, free},
		"a number that no message reaches":    {"sms.countries=[NO]", whole, "", 0, false, []store.Factor{number}, shut},
		"the same and a code":                 {"sms.countries=[NO]", whole, "", 1, false, []store.Factor{number}, setUp},
		"the same and a soft token":           {"sms.countries=[NO]", whole, "", 0, false, []store.Factor{number, totp}, free},
		"no text messages":                    {"factors.required=true", Site{Passkeys: true}, "", 0, false, []store.Factor{number}, shut},
		"a number that is allowed no more":    {"factors.allowed=[totp]", whole, "", 0, false, []store.Factor{number}, setUp},
		"a passkey":                           {"factors.minimum=phr", whole, "", 0, false, []store.Factor{key}, free},
		"a passkey alone":                     {"factors.minimum=phr", whole, "", 0, true, []store.Factor{key}, free},
		"a passkey alone, allowed no more":    {"factors.allowed=[totp]", whole, "", 0, true, []store.Factor{key}, shut},
		"a passkey, allowed no more":          {"factors.allowed=[totp]", whole, "", 0, false, []store.Factor{key}, setUp},
		"an application asks for more":        {"factors.required=false", whole, user.ACRPhR, 0, false, []store.Factor{totp}, setUp},
		"and no passkey can be had":           {"factors.required=false", Site{Texts: true}, user.ACRPhR, 0, false, []store.Factor{totp}, shut},
		"an application asks for two factors": {"factors.required=false", whole, user.ACR2FA, 0, false, nil, setUp},
	} {
		p, err := ProposalOf([]string{c.rules})
		if err != nil {
			t.Fatal(err)
		}
		rules, err := p.over(policy.Default(), nil)
		if err != nil {
			t.Fatal(err)
		}
		j := newJudge(rules, rules, c.site, used)
		one := &standing{password: !c.bare, codes: c.codes, factors: c.factors}
		if got := j.fate(j.view(one, rules), c.need); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestTellPassword: what is known of a password keeps it from being named.
func TestTellPassword(t *testing.T) {
	const made = "min_length=12 min_classes=2 blocklist=1"
	for _, tt := range []struct{ made, was, is, want string }{
		{made, "password.min_length=8", "password.min_length=12", "good"},
		{made, "password.min_length=8", "password.min_length=13", "perhaps"},
		{made, "password.min_length=13", "password.min_length=13", "already"},
		{made, "password.min_length=13", "password.min_length=12", "good freed"},
		{made, "password.min_classes=0", "password.min_classes=2", "good"},
		{made, "password.min_classes=0", "password.min_classes=3", "perhaps"},
		{made, "password.blocklist=false", "password.blocklist=true", "good"},
		{"", "password.blocklist=false", "password.blocklist=true", "perhaps"},
		{"", "password.blocklist=true", "password.history=5", "already"},
		{made, "password.words=[a]", "password.words=[a,b]", "perhaps"},
		{made, "password.words=[a,b]", "password.words=[b]", "good"},
		{made, "password.max_age=0d", "password.max_age=10d", "must"},
		{made, "password.max_age=0d", "password.max_age=11d", "good"},
		{made, "password.max_age=9d", "password.max_age=10d", "must already"},
	} {
		key, value, _ := strings.Cut(tt.was, "=")
		was, err := policy.Default().With(key, value)
		if err != nil {
			t.Fatal(err)
		}
		key, value, _ = strings.Cut(tt.is, "=")
		is, err := was.With(key, value)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
		w := world{now: now, people: []standing{{user: user.User{ID: "x", Username: "x"}, password: true, made: tt.made, changed: now.AddDate(0, 0, -10)}}}
		r := w.rehearse(was, is).Passwords
		var got []string
		for _, one := range []struct {
			word string
			n    int
		}{{"good", r.Good}, {"perhaps", r.Perhaps.Count}, {"already", r.Perhaps.Already}, {"must", r.Must.Count}, {"must already", r.Must.Already}, {"freed", r.Freed.Count}} {
			if one.n > 0 {
				got = append(got, one.word)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q, %s, %s: %q, want %s", tt.made, tt.was, tt.is, got, tt.want)
		}
	}
}
