package server_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/factor/factortest"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestAttackFactorSkew (F5, WA-01): two instances whose clocks differ by half a minute take each other's passkey pages.
func TestAttackFactorSkew(t *testing.T) {
	t.Parallel()
	factorSites(t, "", func(t *testing.T, a *attack) {
		key := factortest.New(oneIssuer)
		a.withPasskey(t, "newcomer", key)
		second := a.Second(t)
		for name, sites := range map[string][2]*servertest.Site{"behind": {a.Site, second}, "before": {second, a.Site}} {
			b := a.Browser(t)
			p := start(t, at(b, sites[0]))
			skew := -30 * time.Second // the clock of both is one: it is set back between the two requests, or forward
			if name == "before" {
				skew = 30 * time.Second
			}
			a.clock.Add(skew)
			if p = at(b, sites[1]).Passkey(p, key.Get); p.Status != http.StatusSeeOther {
				t.Errorf("F5: an instance whose clock is %s the other's: %d %q", name, p.Status, p.Alert())
			}
			a.clock.Add(-skew)
		}
	})
}

// TestAttackFactorLostLimit (EN-03, OT-07): /lost says that it has checked a code only if it has. The limit is the address's, and tells nothing of anybody.
//
// your code”, and the stolen phone goes on working.
func TestAttackFactorLostLimit(t *testing.T) {
	t.Parallel()
	a := factorSite(t, storetest.SQLite(t), "")
	codes := a.recoveryCodes(t, "alice")
	stranger := a.Browser(t)
	for range 50 {
		sayLost(t, stranger, "nobody", "AAAAA-AAAAA")
	}
	me := a.Browser(t)
	p := sayLost(t, me, "alice", codes[0])
	if strings.HasSuffix(p.Location, "/lost?done") && !a.stopped(t, "alice") {
		t.Error("OT-07: over the limit a right code at /lost is answered with “we have checked your code”, and nothing was stopped")
	}
}

// TestAttackFactorTextUnderWay (F7, SM-03): messages that fail while new ones are asked for: nothing is locked against itself, nothing stays counted,
// every fate is on record.
func TestAttackFactorTextUnderWay(t *testing.T) {
	t.Parallel()
	for _, e := range storetest.Engines() {
		t.Run(e.Name, func(t *testing.T) {
			twilio := newMoody(t)
			var asked atomic.Int64
			twilio.mood.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(rand.N(20 * time.Millisecond))
				if asked.Add(1) == 1 || rand.N(16) != 0 { // seldom well: after three messages the limit would keep the rest from being sent
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"code":21610,"status":400,"message":"x"}`)
					return
				}
				well(w, r)
			}))
			log := &lines{}
			a := newAttack(t, e.New(t), servertest.Options{Log: log, Apply: servertest.Sample() + stormPolicy, SMS: sms.Config{Wire: "twilio", AccountSID: "AC0123456789abcdef0123456789abcdef",
				AuthToken: "0c0ffee00c0ffee00c0ffee00c0ffee0", From: "+46700000001", BaseURL: twilio.URL}})
			var browsers []*servertest.Browser
			var pages []*servertest.Page
			for range 4 {
				b := a.Browser(t)
				browsers, pages = append(browsers, b), append(pages, b.Follow(b.Press(secondPage(t, b, "alice"), "way", "sms")))
			}
			began := time.Now()
			parallel(4, func(i int) *servertest.Page {
				b, p := browsers[i], pages[i]
				for n := range 12 {
					time.Sleep(rand.N(15 * time.Millisecond))
					if p = b.Follow(b.Press(b.Get(p.URL.Path), "action", "resend")); p.Status != http.StatusOK {
						t.Errorf("F7: message %d got %d", n, p.Status)
						return p
					}
					if n%3 == 2 {
						a.clock.Add(10 * time.Second)
					}
				}
				return p
			})
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("F7: 48 messages took %v", took)
			}
			sent := a.sent(t)
			day := 0
			storetest.View(t, a.DB, func(tx *store.Tx) (err error) { day, err = tx.Rolling("sms:day"); return err })
			if day != sent {
				t.Errorf("F6: %d messages went out, and %d are counted", sent, day)
			}
			if strings.Contains(log.String(), "not on record") {
				t.Error("F7: what became of a message is not on record")
			}
			if n := len(a.Events(t, audit.SMSFailed)); n == 0 {
				t.Error("no message failed")
			}
		})
	}
}
