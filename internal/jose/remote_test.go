package jose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portvakt/portvakt/internal/fetch"
)

const keysAt = "https://app.example/jwks"

// site is what stands at a jwks_uri: it counts, and takes a second for each answer.
type site struct {
	mu     sync.Mutex
	calls  int
	jwks   []byte
	maxAge time.Duration
	err    error
}

func (s *site) get(ctx context.Context, _ string, _ fetch.Reach, limit int) (fetch.Answer, error) {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if ctx.Err() != nil {
		return fetch.Answer{}, ctx.Err()
	}
	return fetch.Answer{Body: s.jwks, MaxAge: s.maxAge}, s.err
}

func (s *site) set(jwks []byte, maxAge time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jwks, s.maxAge, s.err = jwks, maxAge, err
}

// remote is a Remote in front of a site, and a way to count the calls that a wait and a verification make.
func remote(t *testing.T, s *site) (*Remote, func(wait time.Duration, token string, calls int, want error)) {
	r := &Remote{get: s.get, sets: map[place]*remoteSet{}}
	return r, func(wait time.Duration, token string, calls int, want error) {
		t.Helper()
		time.Sleep(wait)
		before := s.calls
		_, _, err := r.Verify(t.Context(), keysAt, fetch.Public, token, Want{Typs: anyType()})
		if !errors.Is(err, want) || want == nil && err != nil || s.calls-before != calls {
			t.Errorf("%d calls, want %d; error %v, want %v", s.calls-before, calls, err, want)
		}
	}
}

func TestRemoteOverHTTP(t *testing.T) {
	k := newSigner(t, es256, "k")
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Cache-Control", "max-age=600")
		w.Write(keySet(k.jwk(nil)))
	}))
	defer server.Close()
	r := NewRemote(fetch.New(fetch.Options{}))
	token := k.sign(t, k.header(), `{"iss":"pkj"}`)
	for range 3 {
		claims, h, err := r.Verify(t.Context(), server.URL, fetch.Loopback, token, Want{Typs: anyType()})
		if err != nil || string(claims) != `{"iss":"pkj"}` || h.Kid != "k" {
			t.Errorf("%s %v %v", claims, h, err)
		}
	}
	if _, _, err := r.Verify(t.Context(), server.URL, fetch.Inside, token, Want{Typs: anyType()}); !errors.Is(err, ErrUnreachable) || !errors.Is(err, fetch.ErrRefused) {
		t.Errorf("what one client may reach, another saw: %v", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("JW-01: jku was fetched") }))
	defer silent.Close()
	for _, name := range []string{"jku", "x5u"} {
		if _, _, err := r.Verify(t.Context(), server.URL, fetch.Loopback, k.sign(t, k.header(`"`+name+`":"`+silent.URL+`"`), `{}`), Want{Typs: anyType()}); !errors.Is(err, ErrToken) {
			t.Errorf("JW-01: %s: %v", name, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestRemoteCaches(t *testing.T) {
	k := newSigner(t, edDSA, "k")
	token := k.sign(t, k.header(), `{}`)
	for _, tt := range []struct{ maxAge, good time.Duration }{
		{-1, 10 * time.Minute}, {0, time.Minute}, {time.Second, time.Minute}, {5 * time.Minute, 5 * time.Minute}, {time.Hour, time.Hour}, {24 * time.Hour, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &site{jwks: keySet(k.jwk(nil)), maxAge: tt.maxAge}
			_, check := remote(t, s)
			check(0, token, 1, nil)
			check(0, token, 0, nil)
			check(tt.good-time.Millisecond, token, 0, nil)
			check(time.Millisecond, token, 1, nil)
		})
	}
}

func TestRemoteRotates(t *testing.T) {
	a, b, c := newSigner(t, edDSA, "a"), newSigner(t, edDSA, "b"), newSigner(t, edDSA, "c")
	sign := func(s signer) string { return s.sign(t, s.header(), `{}`) }
	synctest.Test(t, func(t *testing.T) {
		s := &site{jwks: keySet(a.jwk(nil)), maxAge: time.Hour}
		_, check := remote(t, s)
		check(0, sign(a), 1, nil)
		s.set(keySet(b.jwk(nil)), time.Hour, nil)
		check(0, sign(b), 0, ErrToken) // asked a moment ago
		check(0, sign(a), 0, nil)
		check(time.Minute, sign(b), 1, nil) // an unknown kid asks anew
		check(0, sign(a), 0, ErrToken)
		for range 5 {
			check(10*time.Second, sign(c), 0, ErrToken)
		}
		check(10*time.Second, sign(c), 1, ErrToken)
		check(0, sign(c), 0, ErrToken)

		unnamed := signer{edDSA, c.private, ""}
		s.set(keySet(unnamed.jwk(nil)), time.Hour, nil)
		check(time.Minute, unnamed.sign(t, unnamed.header(), `{}`), 1, nil) // nor does a key need a kid for that
		// A wrong signature under a known kid asks nobody.
		s.set(keySet(a.jwk(nil)), time.Hour, nil)
		check(time.Hour, sign(a), 1, nil)
		check(time.Minute, b.sign(t, a.header(), `{}`), 0, ErrToken)
		check(0, "a.b", 0, ErrToken)
	})
}

func TestRemoteFails(t *testing.T) {
	a, b := newSigner(t, edDSA, "a"), newSigner(t, edDSA, "b")
	tokenA, tokenB := a.sign(t, a.header(), `{}`), b.sign(t, b.header(), `{}`)
	down := errors.New("down")
	for name, s := range map[string]*site{
		"no answer":      {err: down},
		"no keys":        {jwks: []byte(`<html>`)},
		"private keys":   {jwks: keySet(a.jwk(map[string]any{"d": "AA"}))},
		"nothing usable": {jwks: keySet(a.jwk(map[string]any{"use": "enc"}))},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, check := remote(t, s)
			check(0, tokenA, 1, ErrUnreachable)
			if s.err == nil {
				check(0, tokenA, 0, ErrKeys)
			} else {
				check(0, tokenA, 0, down)
			}
			check(9*time.Second, tokenA, 0, ErrUnreachable)
			check(time.Second, tokenA, 1, ErrUnreachable)
			s.set(keySet(a.jwk(nil)), time.Minute, nil)
			check(10*time.Second, tokenA, 1, nil)

			s.set(nil, 0, down)
			check(time.Minute, tokenA, 1, nil) // the last set goes on
			check(0, tokenA, 0, nil)
			check(0, tokenB, 0, ErrUnreachable) // and nobody knows whether it is still the last
			check(10*time.Second, tokenA, 1, nil)
			check(58*time.Minute, tokenA, 1, nil)
			check(time.Minute, tokenA, 1, nil)
			check(time.Minute, tokenA, 1, ErrUnreachable) // for an hour
			s.set(keySet(b.jwk(nil)), time.Hour, nil)
			check(10*time.Second, tokenB, 1, nil)
			s.set(nil, 0, down)
			check(time.Minute, tokenA, 1, ErrUnreachable)
			check(30*time.Second, tokenA, 0, ErrUnreachable) // an unknown kid asks once a minute, also of a dead server
			check(0, tokenB, 0, nil)
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestRemoteAsksOnce(t *testing.T) {
	k := newSigner(t, edDSA, "k")
	token := k.sign(t, k.header(), `{}`)
	synctest.Test(t, func(t *testing.T) {
		s := &site{jwks: keySet(k.jwk(nil))}
		r, check := remote(t, s)
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		if _, _, err := r.Verify(gone, keysAt, fetch.Public, token, Want{Typs: anyType()}); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
			t.Errorf("who hung up: %v", err)
		}
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				if _, _, err := r.Verify(t.Context(), keysAt, fetch.Public, token, Want{Typs: anyType()}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		check(0, token, 0, nil)
		if s.calls != 1 {
			t.Errorf("%d calls", s.calls)
		}
	})
}

func TestRemoteIsBounded(t *testing.T) {
	k := newSigner(t, edDSA, "k")
	token := k.sign(t, k.header(), `{}`)
	synctest.Test(t, func(t *testing.T) {
		s := &site{jwks: keySet(k.jwk(nil)), maxAge: time.Hour}
		r, check := remote(t, s)
		check(0, token, 1, nil)
		ask := func(i int) {
			if _, _, err := r.Verify(t.Context(), fmt.Sprint("https://app.example/", i), fetch.Public, token, Want{Typs: anyType()}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range maxSets + 10 {
			ask(i)
			check(0, token, 0, nil) // what is used stays
		}
		if len(r.sets) != maxSets {
			t.Errorf("%d sets", len(r.sets))
		}
		before := s.calls
		ask(0)
		ask(maxSets)
		if s.calls != before+1 {
			t.Error("the set that was used longest ago is not the one that went")
		}
	})
}
