package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"

	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

// pseudonyms gives people and sessions the names under which one sector knows them (OpenID Connect Core §8.1), and finds them by those. A
// name is base64url( IV 16 | id ), where IV is an HMAC of sector, purpose and id, and the id is enciphered with AES-256-CTR under the IV: the
// construction of RFC 5297 with another PRF. So an id has one name in a sector, whatever its form; nobody without the key can tell whose two
// names are, make one, or carry one over from another sector. Nothing is stored. It is safe for concurrent use.
type pseudonyms struct {
	ivs   *macs
	block cipher.Block
}

// What a name stands for.
const (
	ofPerson  = "sub"
	ofSession = "sid"
)

func newPseudonyms(ivs, key []byte) *pseudonyms {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key of a purpose has 32 bytes
	}
	return &pseudonyms{newMACs(ivs), block}
}

func (n *pseudonyms) iv(sector, purpose, id string) []byte {
	return n.ivs.mac(nil, []byte(sector+"\n"+purpose+"\n"+id))[:aes.BlockSize]
}

func (n *pseudonyms) name(sector, purpose, id string) string {
	out := append(n.iv(sector, purpose, id), id...)
	cipher.NewCTR(n.block, out[:aes.BlockSize]).XORKeyStream(out[aes.BlockSize:], out[aes.BlockSize:])
	return rawURL.EncodeToString(out)
}

// id gives what name stands for, or false if it is no name of this purpose in this sector.
func (n *pseudonyms) id(sector, purpose, name string) (string, bool) {
	raw, err := rawURL.DecodeString(name)
	if err != nil || len(raw) <= aes.BlockSize {
		return "", false
	}
	iv, id := raw[:aes.BlockSize], raw[aes.BlockSize:]
	cipher.NewCTR(n.block, iv).XORKeyStream(id, id)
	return string(id), hmac.Equal(iv, n.iv(sector, purpose, string(id)))
}

// subjectFor is the sub under which c knows a person, and personOf whom c means by a sub; false if nobody can be meant.
func (p *Provider) subjectFor(c *store.Client, who user.ID) string {
	if !c.Pairwise() || who == "" {
		return string(who)
	}
	return p.names.name(c.Sector(), ofPerson, string(who))
}

func (p *Provider) personOf(c *store.Client, sub string) (user.ID, bool) {
	if !c.Pairwise() || sub == "" {
		return user.ID(sub), true
	}
	id, ok := p.names.id(c.Sector(), ofPerson, sub)
	return user.ID(id), ok
}

// sessionFor is the sid under which c knows a session, which has many applications and would tell two sectors that they know the same person.
// sessionOf reads it back.
func (p *Provider) sessionFor(c *store.Client, session user.SessionID) string {
	if !c.Pairwise() || session == "" {
		return string(session)
	}
	return p.names.name(c.Sector(), ofSession, string(session))
}

func (p *Provider) sessionOf(c *store.Client, sid string) (user.SessionID, bool) {
	if !c.Pairwise() || sid == "" {
		return user.SessionID(sid), true
	}
	id, ok := p.names.id(c.Sector(), ofSession, sid)
	return user.SessionID(id), ok
}
