package admin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

const wholeFile = `
groups: [staff, admins]
users:
  - {username: anna, email: anna@example.se, groups: [staff], password: correct horse battery staple}
  - {username: bo, email: bo@example.se, roles: [admin], groups: [admins], phone: "+46701740605",
     totp: "otpauth://totp/Portvakt:bo?secret=JBSWY3DPEHPK3PXP"}
clients:
  - {client_id: app, client_secret: a-long-random-string, redirect_uris: [https://app.example.se/], allowed_groups: [staff]}
policies:
  password: {min_length: 14}
`

func read(t testing.TB, text string) *File {
	t.Helper()
	f, err := ReadFile(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func apply(t testing.TB, s *Service, text string) []string {
	t.Helper()
	lines, err := s.Apply(context.Background(), storetest.Origin, read(t, text), false)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestApplyTwice: each line is on record, and the second time there is none.
func TestApplyTwice(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		would, err := s.Apply(context.Background(), storetest.Origin, read(t, wholeFile), true)
		if err != nil || len(kinds(t, s)) != 0 {
			t.Fatalf("a dry run left events %v (%v)", kinds(t, s), err)
		}
		lines := apply(t, s, wholeFile)
		if want := []string{"group staff: created", "group admins: created", "policies: changed", "user anna: created", "user bo: created",
			"user bo: text-message number set", "user bo: soft token set", "client app: created"}; !slices.Equal(lines, want) || !slices.Equal(would, want) {
			t.Errorf("it did %q and would have done %q", lines, would)
		}
		total := 0
		for _, n := range kinds(t, s) {
			total += n
		}
		if total != len(lines) {
			t.Errorf("%d events for %d lines", total, len(lines))
		}
		if again := apply(t, other, wholeFile); len(again) != 0 {
			t.Errorf("the second time it did %q", again)
		}
	})
}

// TestApplyAtOnce: of operators who apply the same file at the same time each succeeds or is told to try again, and what
// stands in the end is the file, once.
func TestApplyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		var all sync.WaitGroup
		for i := range 6 {
			file := read(t, wholeFile)
			all.Go(func() {
				_, err := []*Service{s, other}[i%2].Apply(context.Background(), storetest.Origin, file, false)
				if err != nil && !strings.Contains(err.Error(), "nothing was applied") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if again := apply(t, s, wholeFile); len(again) != 0 {
			t.Errorf("afterwards there was still to do: %q", again)
		}
		got := kinds(t, s)
		if got[audit.UserCreated] != 2 || got[audit.GroupCreated] != 2 {
			t.Errorf("created more than once: %v", got)
		}
	})
}

// TestApplyWholeOrNot: a file that the database refuses in the middle leaves nothing behind.
func TestApplyWholeOrNot(t *testing.T) {
	each(t, func(t *testing.T, s, other *Service) {
		apply(t, s, "users: [{username: anna, email: one@example.se}, {username: bo, email: two@example.se}]")
		before := kinds(t, s)
		_, err := s.Apply(context.Background(), storetest.Origin, read(t,
			"groups: [staff]\nusers: [{username: anna, email: two@example.se}, {username: bo, email: one@example.se}]"), false)
		if err == nil || !strings.Contains(err.Error(), "two people swap mail addresses") {
			t.Errorf("two people swap mail addresses: %v", err)
		}
		if after := kinds(t, s); after[audit.UserChanged] != before[audit.UserChanged] || after[audit.GroupCreated] != 0 {
			t.Errorf("half of the file was applied: %v", after)
		}
		if lines := apply(t, other, "users: [{username: anna, email: ''}, {username: bo, email: one@example.se}]"); len(lines) != 2 {
			t.Errorf("one after the other: %q", lines)
		}
	})
}

// TestApplyKeeps: what a file does not say about somebody stays.
func TestApplyKeeps(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		apply(t, s, wholeFile)
		if lines := apply(t, s, `users: [{username: bo, email: bo@example.se, roles: [admin], groups: [admins], phone: "+46701740605"}]`); len(lines) != 0 {
			t.Errorf("it did %q", lines)
		}
		p, _, err := s.User(context.Background(), "bo")
		if err != nil || p.TOTP == "" || p.Phone != "+46701740605" {
			t.Errorf("%+v (%v)", p, err)
		}
		if _, err := s.Apply(context.Background(), storetest.Origin, read(t, "users: [{username: carl, email: anna@example.se}]"), true); err == nil ||
			!strings.Contains(err.Error(), "belongs to anna") {
			t.Errorf("somebody else's mail address: %v", err)
		}
	})
}

func TestReadFileFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"users:\n- username: a\n  pasword: x\n", `the apply file, line 3: there is no key "pasword"; see docs/contract.md §5`},
		{"policies:\n  retention: {audit: 5d}\n", `the apply file, line 2: the key "retention" is not available in this version; remove it`},
		{"groups: a\n", "the apply file, line 1: this is not a list; write [a, b]"},
		{"users: [a]\n", "the apply file, line 1: here stand no keys and values; write key: value"},
		{"policies: {factors: {required: perhaps}}\n", "the apply file, line 1: this is not true or false"},
		{"policies: {lockout: {attempts: 99999999999999999999}}\n", "the apply file, line 1: the number is too large"},
		{"policies:\n  lockout:\n    window: 1.5h\n", `the apply file, line 3: duration "1.5h": give a whole number and s, m, h or d, such as 15m`},
		{"groups: [a]\n--- \ngroups: [b]\n", "the apply file holds more than one document; remove the line --- and what follows it"},
		{"users: [{username: a, email: x@example.se}, {username: b, email: X@example.se}]", "user b: somebody else in the file has the mail address X@example.se"},
		{"clients: [{client_id: a, token_endpoint_auth_method: none, client_secret: abcdefghijkl, redirect_uris: [http://127.0.0.1/]}]",
			"client a: client_secret: a client with token_endpoint_auth_method none has none; remove it"},
		{"policies: {session: {idle: 0s}}", "policies.session.idle 0d: is out of bounds; give 1s to 12h in whole seconds"},
		{strings.Repeat("#", maxFile+1), "the apply file is larger than 16 MiB"},
	} {
		_, err := ReadFile(strings.NewReader(tt.text))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.60q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// FuzzReadFile: a file is read or refused, never half; what is refused names no secret of it; and what was read once is
// read the same again.
func FuzzReadFile(f *testing.F) {
	for _, text := range []string{wholeFile, "", "groups:", "policies: {lockout: {window: 1m}}", "a: &a [*a]", "users: [{username: x, password: [hush-hush]}]",
		"clients: [{client_id: c, client_secret: {a: hush-hush}}]", "{", "\xff", "groups: [a]\n---\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ReadFile(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("the refusal quotes a value: %v", err)
			}
			return
		}
		if err := file.check(); err != nil {
			t.Errorf("read, and refused when looked at again: %v", err)
		}
		if _, err := ReadFile(errReader{}); !errors.Is(err, errRead) {
			t.Errorf("a reader that fails: %v", err)
		}
	})
}

var errRead = errors.New("no more")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errRead }
