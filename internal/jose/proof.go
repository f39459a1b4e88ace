package jose

import (
	"net/url"
	"strings"
	"time"
)

// maxMember is the most bytes of a nonce or of an access token's hash.
const maxMember = 512

// Proof is what a DPoP proof says (RFC 9449 §4.2). Its signature is right; everything else is what the sender claims.
type Proof struct {
	Alg             string
	JKT             string    // thumbprint of the key that signed it
	JTI             string    // 1 to 256 bytes; the caller accepts it once
	Method          string    // htm
	URL             string    // htu, as it was sent
	Issued          time.Time // iat
	Nonce           string    // empty: none
	AccessTokenHash string    // ath; empty: none

	claims object
}

// ParseProof reads a DPoP proof and checks its signature by the key that it brings along (RFC 9449 §4.3, steps 2 to 7).
// Errors are ErrToken.
func ParseProof(token string) (Proof, error) {
	t, err := parseToken(token, Want{Typs: []string{"dpop+jwt"}}, true)
	if err != nil {
		return Proof{}, err
	}
	claims, err := t.jws.Verify(t.own.public)
	if err != nil {
		return Proof{}, refuse("its signature is not of its jwk")
	}
	p := Proof{Alg: t.Alg}
	if p.JKT, err = t.own.thumbprint(); err != nil {
		return Proof{}, refuse("its jwk: %w", err)
	}
	if p.claims, err = parseObject(claims); err != nil {
		return Proof{}, refuse("its payload %w", err)
	}
	if err := p.read(); err != nil {
		return Proof{}, err
	}
	return p, nil
}

func (p *Proof) read() error {
	var err error
	if p.JTI, err = p.claims.identifier(); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		to   *string
	}{{"htm", &p.Method}, {"htu", &p.URL}, {"nonce", &p.Nonce}, {"ath", &p.AccessTokenHash}} {
		if *m.to, err = p.claims.text(m.name); err != nil {
			return refuse("its %w", err)
		}
	}
	at, issued, err := p.claims.date("iat")
	if err != nil {
		return err
	}
	if p.JTI == "" || p.Method == "" || p.URL == "" || !issued {
		return refuse("a proof holds jti, htm, htu and iat (RFC 9449 §4.2)")
	}
	if len(p.Nonce) > maxMember || len(p.AccessTokenHash) > maxMember {
		return refuse("its nonce or ath is longer than %d bytes", maxMember)
	}
	p.Issued = at
	return nil
}

// Check holds a proof against the request that brought it: its method, its URL without regard to query and fragment,
// and now (RFC 9449 §4.3, steps 8, 9 and 11). A proof is good until age after it was issued, and may come from a clock
// that is up to 60 seconds ahead; a jti has to be remembered until Issued plus age plus the drift between instances.
// The nonce and the access token's hash are the caller's to compare. Errors are ErrToken.
func (p Proof) Check(method, requestURL string, now time.Time, age time.Duration) error {
	if p.Method != method {
		return refuse("its htm is %.20q and the request is a %s", p.Method, method)
	}
	got, want := plainURL(p.URL), plainURL(requestURL)
	if got == "" || got != want {
		return refuse("its htu is %.100q; it has to be %s", p.URL, want)
	}
	if ahead := p.Issued.Sub(now); ahead > skew {
		return refuse("its iat is %s ahead; set the clock that signs it", ahead.Round(time.Second))
	}
	if old := now.Sub(p.Issued); old >= age {
		return refuse("it is %s old; sign a new proof for each request", old.Round(time.Second))
	}
	// A proof needs neither, but who sets them means them (RFC 7519 §4.1.4, §4.1.5).
	exp, ok, err := p.claims.date("exp")
	if err != nil {
		return err
	}
	if ok && now.Sub(exp) >= skew {
		return refuse("its exp is past")
	}
	nbf, _, err := p.claims.date("nbf")
	if err != nil {
		return err
	}
	if nbf.Sub(now) > skew {
		return refuse("its nbf is ahead")
	}
	return nil
}

// plainURL normalises a URL as far as RFC 9449 §4.3 asks for it: scheme and host in lower case, no default port, no
// empty path (RFC 3986 §6.2.2.1, §6.2.3), no query, no fragment. It is empty for what is no URL of a request.
func plainURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" || hasControl(raw) {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme { // url.Parse lowers it
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return ""
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + strings.TrimSuffix(host, ":") + path
}
