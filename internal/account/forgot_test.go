package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

var linked = regexp.MustCompile(`https://login\.example\.se/link/([A-Z2-7]{52})\n`)

// forgets asks for a new password and gives the token that is mailed to p, or "".
func (r *rig) forgets(s *Service, p *store.Person, o audit.Origin, login string) string {
	r.t.Helper()
	if err := s.Forgot(ctx, o, login, ""); err != nil {
		r.t.Fatal(err)
	}
	token := ""
	err := s.DB.Housekeep(context.Background(), func(t *store.Tx) error {
		all, err := t.ClaimMail(100, time.Hour)
		for _, m := range all {
			found := linked.FindStringSubmatch(m.Body)
			if found == nil || m.To != p.Email || m.User != p.ID || m.Subject != s.Notify.Word(p, "mail.password_forgotten.subject") || token != "" {
				r.t.Errorf("a mail that is not hers: %+v", m)
				continue
			}
			token = found[1]
			t.DropMail(m.ID)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// TestForgot: by user name or mail address a person gets a link to the configured address, for 20 minutes; a newer one makes it worthless, and so
// does a new password. With it they choose one, and all that went on ends.
func TestForgot(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		first := r.forgets(r.s, r.anna, from(1), " ANNA ")
		second := r.forgets(r.other, r.anna, from(1), "Anna@example.se")
		if first == "" || second == "" || first == second {
			t.Fatalf("links %q and %q", first, second)
		}
		_, err := r.s.ReadLink(ctx, first)
		r.is("RS-03: the older link", err, ErrLinkGone)
		r.is("RS-03: the older link", r.s.UseLink(ctx, from(2), first, password(better)), ErrLinkGone)
		r.clock.Add(20*time.Minute - time.Second)
		got, err := r.s.ReadLink(ctx, second)
		if err != nil || got.Kind != LinkReset || got.Person.ID != r.anna.ID {
			t.Errorf("a second before its end: %+v (%v)", got, err)
		}
		r.clock.Add(time.Second)
		r.is("RS-03: after 20 minutes", r.s.UseLink(ctx, from(2), second, password(better)), ErrLinkGone)
		if !r.knows(r.anna, good) || len(r.events(r.anna, audit.PasswordChanged)) != 1 {
			t.Error("the password changed")
		}

		r.clock.Add(time.Hour)
		token := r.forgets(r.s, r.anna, from(1), "anna")
		me, thief := r.signIn(r.anna), r.signIn(r.anna)
		r.underWay(me, thief)
		use := func(s *Service) func() error {
			return func() error { return s.UseLink(ctx, from(3), token, password(better)) }
		}
		if n := r.won(race(use(r.s), use(r.other), use(r.s), use(r.other)), ErrLinkGone); n != 1 {
			t.Errorf("RS-03: %d of 4 rivals used the link", n)
		}
		r.is("RS-03: used", r.s.UseLink(ctx, from(3), token, password(good)), ErrLinkGone)
		if !r.knows(r.anna, better) {
			t.Error("the password is not the new one")
		}
		r.allOver(me, thief)
		r.mailed(r.anna, "mail.password_changed")
		r.trail(map[audit.Kind]int{audit.PasswordForgot: 3, audit.LinkIssued: 3, audit.LinkUsed: 1, audit.PasswordChanged: 2})
	})
}

// allOver: no session, grant or remembered browser of anna's is left.
func (r *rig) allOver(of ...Self) {
	r.t.Helper()
	storetest.View(r.t, r.s.DB, func(t *store.Tx) error {
		open, err := t.SessionsOf(r.anna.ID)
		devices, err2 := t.DevicesOf(r.anna.ID)
		if len(open) > 0 || len(devices) > 0 {
			r.t.Errorf("sessions %v, devices %v", open, devices)
		}
		for _, one := range of {
			if g, err := t.GrantByID("g" + string(one.Session.ID)); err != nil || g.Revoked.IsZero() {
				r.t.Errorf("the grant of %s goes on (%v)", one.Session.ID, err)
			}
		}
		return errors.Join(err, err2)
	})
}

// trail fails the test unless these events about anna, and no other of their kinds, are on record, none of them a refusal.
func (r *rig) trail(want map[audit.Kind]int) {
	r.t.Helper()
	for kind, n := range want {
		all := r.events(r.anna, kind)
		for _, e := range all {
			if e.Outcome != audit.Success || kind == audit.LinkIssued && (e.Detail["link"] != LinkReset || e.Detail["by"] != "self") {
				r.t.Errorf("the trail has %+v", e)
			}
		}
		if len(all) != n {
			r.t.Errorf("%d events %s, want %d", len(all), kind, n)
		}
	}
}

// TestForgotIsSilent (EN-03): for a name that is nobody's, a person who may not sign in and one without a mail address the work is the same, nothing
// is mailed, and the trail knows why.
func TestForgotIsSilent(t *testing.T) {
	engines(t, func(r *rig) {
		disabled, mailless := r.person("dora"), r.person("mia")
		storetest.Change(t, r.s.DB, func(tx *store.Tx) error {
			tx.SetDisabled(disabled.ID, true)
			u := mailless.User
			u.Email = ""
			return errors.Join(tx.UpdateUser(u), storetest.Event(tx, u.ID))
		})
		for range 3 { // eve has had hers
			r.forgets(r.s, r.eve, from(8), "eve")
		}
		for i := range 20 {
			r.forgets(r.s, r.anna, from(9), fmt.Sprint("somebody", i))
		}
		var cost [2]int64
		for i, c := range []struct {
			name  string
			place int
			want  audit.Reason
		}{{"anna", 1, ""}, {"nobody", 1, audit.UnknownUser}, {"", 1, audit.UnknownUser}, {"dora", 1, audit.Disabled}, {"mia", 1, audit.NotAllowed}, {"anna\x00", 1, audit.UnknownUser},
			{"\xff", 1, audit.UnknownUser}, {strings.Repeat("x", 4000), 1, audit.UnknownUser}, {"eve", 1, audit.Delayed}, {"anna", 9, audit.Delayed}, {"nobody", 9, audit.Delayed}} {
			reads, writes := r.s.DB.Trips()
			if err := r.s.Forgot(ctx, from(c.place), c.name, ""); err != nil {
				t.Fatal(err)
			}
			after, afterWrites := r.s.DB.Trips()
			if spent := [2]int64{after - reads, afterWrites - writes}; i == 0 {
				cost = spent
			} else if spent != cost {
				t.Errorf("%.20q: %v reads and writes, the first %v", c.name, spent, cost)
			}
			last := r.last(audit.PasswordForgot)
			if last.Reason != c.want || (last.Outcome == audit.Refused) != (c.want != "") {
				t.Errorf("%.20q from %d: the trail has %+v, want %q", c.name, c.place, last, c.want)
			}
		}
		r.mailed(r.anna, "mail.password_forgotten")
		for _, p := range []*store.Person{disabled, mailless} {
			if len(r.events(p, audit.PasswordForgot)) != 1 || len(r.events(p, audit.LinkIssued)) != 0 {
				t.Errorf("about %s the trail has %+v", p.Username, r.events(p))
			}
		}
	})
}

// last gives the newest event of a kind.
func (r *rig) last(kind audit.Kind) (last audit.Event) {
	r.t.Helper()
	storetest.View(r.t, r.s.DB, func(t *store.Tx) error {
		return t.Events(store.EventFilter{Kinds: []audit.Kind{kind}, Limit: 1000}, func(e audit.Event) error { last = e; return nil })
	})
	return last
}

// TestForgotIsCounted (RS-04): three an hour for a person, by whichever of their names and from wherever, and twenty for an address. What was
// refused makes no earlier link worthless, and is not counted against anybody else.
func TestForgotIsCounted(t *testing.T) {
	engines(t, func(r *rig) {
		var asks []func() error
		for i := range 12 {
			asks = append(asks, func() error {
				return []*Service{r.s, r.other}[i%2].Forgot(ctx, from(100+i), []string{"anna", "anna@example.se"}[i%2], "")
			})
		}
		if n := r.won(race(asks...), nil); n != 12 {
			t.Errorf("%d of 12 got an answer", n)
		}
		r.mailed(r.anna, "mail.password_forgotten", "mail.password_forgotten", "mail.password_forgotten")
		r.clock.Add(59 * time.Minute)
		if token := r.forgets(r.s, r.anna, from(1), "anna"); token != "" {
			t.Error("RS-04: a fourth link within the hour")
		}
		r.clock.Add(time.Minute)
		token := r.forgets(r.s, r.anna, from(1), "anna")
		if token == "" {
			t.Fatal("no link after the hour")
		}
		for i := range 30 {
			r.forgets(r.s, r.eve, from(7), fmt.Sprint("somebody", i))
		}
		if r.forgets(r.s, r.anna, from(7), "anna") != "" || r.forgets(r.s, r.anna, audit.Origin{IP: "198.51.100.7", Agent: "other"}, "anna") != "" {
			t.Error("RS-04: a link over the limit of an address")
		}
		if _, err := r.s.ReadLink(ctx, token); err != nil {
			t.Errorf("a request that was refused made the link worthless: %v", err)
		}
		for i := range 2 {
			if r.forgets(r.s, r.anna, from(20+i), "anna") == "" {
				t.Error("the person's own count was filled from an address over its limit")
			}
		}
		if r.forgets(r.s, r.anna, from(30), "anna") != "" {
			t.Error("RS-04: a fourth link")
		}
	})
}

// TestForgotAndAdministrator: what a stranger asks for does not take away the link that an administrator gave; a used one takes away both.
func TestForgotAndAdministrator(t *testing.T) {
	engines(t, func(r *rig) {
		given := link(t, r.s, LinkReset, r.anna.ID, time.Hour)
		asked := r.forgets(r.s, r.anna, from(1), "anna")
		for _, token := range []string{given, asked} {
			if _, err := r.s.ReadLink(ctx, token); err != nil {
				t.Errorf("%s: %v", token, err)
			}
		}
		me, thief := r.signIn(r.anna), r.signIn(r.anna)
		r.underWay(me, thief)
		r.is("the given one", r.s.UseLink(ctx, from(1), given, password(good)), nil)
		r.allOver(me, thief)
		_, err := r.s.ReadLink(ctx, asked)
		r.is("RS-03: after a new password", err, ErrLinkGone)
		r.mailed(r.anna, "mail.password_changed")
	})
}

// TestLinkOfDisabled: a link is worthless while its person may not sign in, also if they were stopped while they chose.
func TestLinkOfDisabled(t *testing.T) {
	engines(t, func(r *rig) {
		r.hasPassword(r.anna, good)
		token := r.forgets(r.s, r.anna, from(1), "anna")
		l, err := r.s.ReadLink(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		made, err := r.s.chosen(ctx, l, password(better))
		if err != nil {
			t.Fatal(err)
		}
		storetest.Change(t, r.s.DB, func(tx *store.Tx) error { tx.SetDisabled(r.anna.ID, true); return storetest.Event(tx, r.anna.ID) })
		_, err = r.s.ReadLink(ctx, token)
		r.is("read", err, ErrLinkGone)
		r.is("used", r.s.UseLink(ctx, from(1), token, password(better)), ErrLinkGone)
		r.is("written", r.s.DB.Change(ctx, from(1), func(tx *store.Tx) error { return r.s.takeUp(tx, token, l, made) }), store.ErrConflict)
		if !r.knows(r.anna, good) {
			t.Error("the password changed")
		}
	})
}

// TestForgotWithoutMail: where no mail goes out nothing is written.
func TestForgotWithoutMail(t *testing.T) {
	each(t, func(t *testing.T, s, _ *Service) {
		storetest.AddUser(t, s.DB, "anna")
		_, before := s.DB.Trips()
		if err := s.Forgot(ctx, from(1), "anna", ""); !errors.Is(err, ErrMailOff) || s.Mails() {
			t.Errorf("%v", err)
		}
		if _, after := s.DB.Trips(); after != before {
			t.Error("something was written")
		}
	})
}
