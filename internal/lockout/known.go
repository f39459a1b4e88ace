package lockout

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/portvakt/portvakt/internal/user"
)

// A browser in which a person has signed in gets a cookie that says so (OWASP Device Cookies). Its tries are counted by
// themselves, so that nobody who guesses elsewhere, not even behind the same address, keeps the person out. The cookie
// is a name for the counter and a MAC over that name and the person's id; it signs nobody in.

// known gives the name of the counter if cookie says that id has signed in with it before.
func (s *Service) known(cookie string, id user.ID) (string, bool) {
	name, mac, ok := strings.Cut(cookie, ".")
	if !ok || len(name) != 26 {
		return "", false
	}
	got, err := base64.RawURLEncoding.DecodeString(mac)
	return name, err == nil && hmac.Equal(got, s.knownMAC(name, id))
}

// browserLane is the counter of that name.
func browserLane(id user.ID, name string) string { return string(id) + ":known:" + name }

func (s *Service) knownMAC(name string, id user.ID) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte("known " + name + " " + string(id)))
	return m.Sum(nil)
}

// MakeKnown gives the cookie for a browser in which id has just signed in: a new one, or "" where it has one already.
func (s *Service) MakeKnown(cookie string, id user.ID) string {
	if _, ok := s.known(cookie, id); ok {
		return ""
	}
	name := rand.Text()
	return name + "." + base64.RawURLEncoding.EncodeToString(s.knownMAC(name, id))
}
