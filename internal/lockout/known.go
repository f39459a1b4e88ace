package lockout

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// A browser in which a person has signed in gets a cookie that says so (OWASP Device Cookies). Its tries are counted by
// themselves, so that nobody who guesses elsewhere, not even behind the same address, keeps the person out. The cookie
// is a name for the counter and, of each person, a MAC over that name, the person's id and when their password was set: who knew an older one has no
// budget of guesses at the next. It signs nobody in.

// maxPeople is how many people share a browser that is known for each.
const maxPeople = 4

// known gives the name of the counter if cookie says that p has signed in with it before, and since the password was set.
func (s *Service) known(cookie string, p *store.Person) (string, bool) {
	name, macs := split(cookie)
	if name == "" || p == nil {
		return "", false
	}
	want := s.knownMAC(name, p)
	for _, mac := range macs {
		if got, err := base64.RawURLEncoding.DecodeString(mac); err == nil && hmac.Equal(got, want) {
			return name, true
		}
	}
	return "", false
}

// split reads a cookie; of what none of ours looks like it gives nothing.
func split(cookie string) (name string, macs []string) {
	name, rest, ok := strings.Cut(cookie, ".")
	macs = strings.Split(rest, ".")
	if !ok || len(name) != 26 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || len(macs) > maxPeople {
		return "", nil
	}
	return name, macs
}

// Known names the browser that cookie says p has signed in with before; "": it is not one.
func (s *Service) Known(cookie string, p *store.Person) string {
	if name, ok := s.known(cookie, p); ok {
		return name
	}
	return ""
}

// browserLane is the counter of that name.
func browserLane(id user.ID, name string) string { return string(id) + ":known:" + name }

func (s *Service) knownMAC(name string, p *store.Person) []byte {
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "known %s %s %d", name, p.ID, p.PasswordChanged.UnixMicro())
	return m.Sum(nil)
}

// MakeKnown gives the cookie for a browser in which p has just signed in, "" where it has it already. Of others who share the browser the
// last few stay known.
func (s *Service) MakeKnown(cookie string, p *store.Person) string {
	if _, ok := s.known(cookie, p); ok {
		return ""
	}
	name, macs := split(cookie)
	if name == "" {
		name = rand.Text()
	}
	all := append([]string{base64.RawURLEncoding.EncodeToString(s.knownMAC(name, p))}, macs...)
	return name + "." + strings.Join(all[:min(len(all), maxPeople)], ".")
}
