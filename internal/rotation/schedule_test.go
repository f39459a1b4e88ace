package rotation

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// A clock that goes back and forth rotates once, is not trusted with more, and is named.
func TestClockJumps(t *testing.T) {
	w := newWorld(t, storetest.Engines()[0])
	i, other := w.instance(), w.instance()
	rotations := func() int { return len(i.events(audit.KeyRotated)) }
	far := 10 * 365 * day
	for range 5 {
		for _, step := range []time.Duration{far, 0, 5 * time.Second, Published, -far - 5*time.Second - Published, 0, time.Minute, -time.Minute} {
			w.clock.Add(step)
			i.tick()
			other.tick()
		}
	}
	if n := rotations(); n != 4 {
		t.Errorf("%d rotations are on record, want one for each algorithm", n)
	}
	if n := strings.Count(w.log.String(), "the clock is behind the signing keys"); n != 2 {
		t.Errorf("two instances warned %d times", n)
	}
	w.clock.Add(far + every - time.Minute) // back by less than was gone forward: the keys are of an age again
	i.tick()
	if n := rotations(); n != 4 {
		t.Errorf("%d rotations before the keys are old", n)
	}
	w.clock.Add(2 * time.Minute)
	i.tick()
	if n := rotations(); n != 8 {
		t.Errorf("%d rotations when the keys are old again, want 8", n)
	}
	// By hand it goes on at once.
	w.clock.Add(-far)
	_, err := i.Rotate(context.Background(), storetest.Origin, "EdDSA", false)
	refused(t, err, "wait until 2037")
	if _, err := i.Rotate(context.Background(), storetest.Origin, "EdDSA", true); err != nil {
		t.Error(err)
	}
}

// A retired key verifies for 30 days and goes then, by schedule, with its event, also where nothing is rotated.
func TestDropsByItself(t *testing.T) {
	w := newWorld(t, storetest.Engines()[0])
	w.every = 0
	i := w.instance()
	token, err := i.ring.Sign("ES256", "JWT", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	old := i.kids("ES256", keyring.Active)
	w.clock.Add(Published)
	if _, err := i.Rotate(context.Background(), storetest.Origin, "ES256", false); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(30 * day)
	i.tick()
	if _, err := i.ring.Verify(token); err != nil {
		t.Errorf("after 30 days: %v", err)
	}
	w.clock.Add(time.Second)
	i.tick()
	i.tick()
	if _, err := i.ring.Verify(token); err != keyring.ErrToken {
		t.Errorf("after more than 30 days: %v", err)
	}
	e := i.events(audit.KeyDropped)
	if len(e) != 1 || e[0].Detail["kid"] != old[0] || e[0].Reason != audit.Expired || e[0].Actor != "schedule" || len(i.ring.Keys()) != 8 {
		t.Errorf("on record is %v", e)
	}
}

// The way out of a leak: the next key goes, then the active one, at once.
func TestLeak(t *testing.T) {
	w := newWorld(t, storetest.Engines()[0])
	i, ctx := w.instance(), context.Background()
	leaked := append(i.kids("RS256", keyring.Active), i.kids("RS256", keyring.Next)...)
	refused(t, i.Drop(ctx, storetest.Origin, leaked[0]), "is the active key for RS256: rotate RS256 first")
	refused(t, i.Drop(ctx, storetest.Origin, "none"), "there is no key none")
	if err := i.Drop(ctx, storetest.Origin, leaked[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Rotate(ctx, storetest.Origin, "RS256", true); err != nil {
		t.Fatal(err)
	}
	if err := i.Drop(ctx, storetest.Origin, leaked[0]); err != nil {
		t.Fatal(err)
	}
	for _, k := range i.ring.Keys() {
		if slices.Contains(leaked, k.ID) {
			t.Errorf("still there: %v", k)
		}
	}
	if e := i.events(audit.KeyDropped, audit.KeyRotated); len(e) != 3 || e[0].Detail["kid"] != leaked[1] || e[2].Detail["state"] != "retired" {
		t.Errorf("on record is %v", e)
	}
}

// party is a relying party that keeps each key set that it got for 10 minutes.
type party struct {
	*testing.T
	sets []fetched
}

type fetched struct {
	at   time.Time
	json string
	keys jose.JSONWebKeySet
}

func (p *party) fetch(now time.Time, ring *keyring.Ring) {
	f := fetched{at: now, json: string(ring.JWKS())}
	if n := len(p.sets); n > 0 && p.sets[n-1].json == f.json {
		f.keys = p.sets[n-1].keys
	} else if err := json.Unmarshal([]byte(f.json), &f.keys); err != nil {
		p.Fatal(err)
	}
	p.sets = append(p.sets, f)
	p.sets = slices.DeleteFunc(p.sets, func(f fetched) bool { return now.Sub(f.at) > 10*time.Minute })
}

// signed is a token of a key. It is signed anew all the time; at is the last one.
type signed struct {
	at         time.Time
	alg, token string
	tried      map[string]bool // key sets
}

// verifies wants a token to verify with every set in hand.
func (p *party) verifies(now time.Time, s *signed) {
	p.Helper()
	for _, f := range p.sets {
		if s.tried[f.json] {
			continue
		}
		s.tried[f.json] = true
		jws, err := jose.ParseSignedCompact(s.token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.alg)})
		if err != nil {
			p.Fatal(err)
		}
		if _, err := jws.Verify(f.keys); err != nil {
			p.Fatalf("%s: a token of %s, %s, does not verify with the key set of %s: %v", now, s.at, s.alg, f.at, err)
		}
	}
}

// sign signs by each algorithm; tokens are kept by key.
func (i instance) sign(now time.Time, tokens map[string]*signed) {
	i.t.Helper()
	for _, k := range i.ring.Keys() {
		if k.State != keyring.Active {
			continue
		}
		if tokens[k.ID] == nil {
			token, err := i.ring.Sign(k.Alg, "JWT", []byte(`{"sub":"7"}`))
			if err != nil {
				i.t.Fatal(err)
			}
			tokens[k.ID] = &signed{alg: k.Alg, token: token, tried: map[string]bool{}}
		}
		tokens[k.ID].at = now
	}
}

// TestAlwaysVerifies plays 16 hours of two instances that rotate every few hours, by schedule and by hand, and notice
// each other's changes up to 4 minutes late. At every moment, whoever keeps a key set for 10 minutes verifies every
// token of the last hour with every set in hand, wherever token and set come from.
func TestAlwaysVerifies(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, storetest.Engines()[0])
	w.every = 4 * time.Hour
	both, late := []instance{w.instance(), w.instance()}, make([]int, 2)
	p, tokens := &party{T: t}, map[string]*signed{}
	for range 16 * 60 {
		w.clock.Add(time.Minute)
		now := w.clock.Now()
		for n, i := range both {
			i.tick()
			if chance.IntN(100) == 0 { // refused if it is too early
				_, _ = i.Rotate(context.Background(), storetest.Origin, i.ring.Algorithms()[chance.IntN(4)], false)
			}
			if late[n]++; late[n] > 4 || chance.IntN(3) == 0 {
				if _, err := i.ring.Reload(); err != nil {
					t.Fatal(err)
				}
				late[n] = 0
			}
			i.sign(now, tokens)
		}
		p.fetch(now, both[chance.IntN(2)].ring)
		for _, s := range tokens {
			if now.Sub(s.at) <= time.Hour {
				p.verifies(now, s)
			}
		}
	}
	n := len(both[0].events(audit.KeyRotated))
	if n < 4*16/4-4 {
		t.Errorf("only %d rotations", n)
	}
	t.Logf("%d rotations", n)
}
