// Package keyring keeps the files in keys/: one sealing key, and signing keys
// that are next, active or retired.
//
// The folder holds, all of mode 0600:
//
//	sealing.key              one line: "portvakt-sealing-key-v1 " and 32 bytes in base64
//	signing-<alg>-<kid>.pem  PKCS#8 (RFC 5958), one for each signing key
//	manifest.json            the kid, state, times and public SHA-256 of each key
//	.lock                    empty; taken with flock(2) by every change
//
// The algorithms are RS256 and PS256 (2048 bits each, with keys of their own),
// ES256 (P-256) and EdDSA (Ed25519), RFC 7518 §3.1 and RFC 8037 §3.1. Each has
// exactly one next and one active key; a kid is the key's SHA-256 thumbprint
// (RFC 7638). A retired key verifies until it is dropped; see Key.Over.
//
// What it promises:
//
//   - Open never makes a key. (Complete does, for what an older version lacks.) A file that is missing, damaged, of another ring
//     or open to everyone (mode & 0o007) is an error of one line that names the
//     file, what is wrong and what to do.
//   - Every file appears whole (temporary name, fsync, rename, fsync of the
//     folder). After a crash inside a change the folder opens with the old keys
//     or with the new. After a crash inside Create it is refused until emptied.
//   - The manifest is the only list. A key file that it does not name is not used.
//   - Key material leaves a Ring only as signatures, ciphertexts and what Secret
//     derives.
//
// A rotation makes the next key active at once. Relying parties know it already
// if it was published for longer than they cache the JWKS; to wait for that is
// up to the caller, who reads Key.Since.
//
// The package needs a Unix (flock and file modes). Layer 1; imports no other
// package of Portvakt.
package keyring

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrMissing says that the folder holds nothing at all, or is not there. It is
// the only error of Open after which Create may be called.
var ErrMissing = errors.New("no keys in this folder")

// Ring is an open keys folder. All methods may be called at the same time.
type Ring struct {
	dir  folder
	seal sealer
	mu   sync.Mutex // orders changes and Reload; readers never take it
	set  atomic.Pointer[keySet]
}

// Key describes a signing key. ID is its kid, Alg one of Algorithms, State is
// next, active or retired, and Since is when that state began: of a next key
// when it was published.
type Key struct {
	ID, Alg, State string
	Created, Since time.Time
}

// Over reports whether a key has been retired for more than 30 days. All that
// it signed has expired, by far: an ID token lives for an hour. The rest is for
// an id_token_hint, which may have expired (OpenID Connect RP-Initiated Logout
// 1.0 §2).
func (k Key) Over(now time.Time) bool {
	return k.State == Retired && now.Sub(k.Since) > keepRetired
}

// The states of a signing key. A next key is published and does not sign yet, a
// retired one verifies what it has signed.
const (
	Next    = "next"
	Active  = "active"
	Retired = "retired"

	// keepRetired is how long a retired key verifies at least.
	keepRetired = 30 * 24 * time.Hour
)

// algorithms lists what a ring signs with, in the order of the JWKS. RS256 is
// first: OpenID Connect Core §15.1 makes it mandatory.
func algorithms() []string { return []string{algRS256, algPS256, algES256, algEdDSA} }

// Open reads the ring in dir and checks every file of it: modes, the sealing
// key against the manifest, each signing key against its kid and SHA-256.
// It answers ErrMissing if dir is not there or is empty but for README.md,
// .gitignore, .lock and lost+found.
func Open(dir string) (*Ring, error) {
	r := &Ring{dir: folder{path: dir}}
	seal, set, err := load(r.dir)
	if err != nil {
		return nil, err
	}
	r.seal = seal
	r.set.Store(set)
	return r, nil
}

// ID names the sealing key in 16 hex digits. A database remembers it, so that
// it is never opened with the keys of another.
func (r *Ring) ID() string { return r.seal.id }

// String is the ID, so that a Ring that is printed shows no key.
func (r *Ring) String() string { return "keyring " + r.seal.id }

// Keys lists the signing keys: by algorithm, and there active, next, retired.
func (r *Ring) Keys() []Key {
	set := r.set.Load()
	keys := make([]Key, len(set.keys))
	for i, k := range set.keys {
		keys[i] = k.Key
	}
	return keys
}

// Algorithms lists what this ring signs with, RS256 first.
func (r *Ring) Algorithms() []string { return r.set.Load().manifest.algorithms() }

// Reload takes over the keys of the folder if manifest.json is another file
// than the one read last (by inode, size or mtime). With no change it costs one
// stat. On an error the old keys stay in use and the next Reload tries again.
// A ring with another sealing key is such an error: that needs a restart.
func (r *Ring) Reload() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed, err := r.dir.changed(manifestName, r.set.Load().stamp)
	if err != nil || !changed {
		return false, err
	}
	if err := r.refresh(); err != nil {
		return false, err
	}
	return true, nil
}

// refresh reads the folder into r. The caller holds mu.
func (r *Ring) refresh() error {
	seal, set, err := load(r.dir)
	if err != nil {
		return err
	}
	if seal.id != r.seal.id {
		return r.dir.fault(sealingName, fmt.Sprintf("is now key %s, and %s is in use", seal.id, r.seal.id),
			"put the files of this ring back, or restart with the new ones")
	}
	r.set.Store(set)
	return nil
}
