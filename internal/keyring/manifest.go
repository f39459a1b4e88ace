package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A manifest of version 2 has keys for every algorithm. Version 1 is from before PS256: it lacks that one and no other,
// so that a manifest from which keys were cut out is never taken for an old one.
const (
	manifestVersion = 2
	beforePS256     = 1
)

// manifest says which keys are in use. It is replaced whole, and last.
type manifest struct {
	Version    int     `json:"version"`
	SealingKey string  `json:"sealing_key"` // Ring.ID
	Keys       []entry `json:"keys"`
}

type entry struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Since   time.Time `json:"since"`
	SHA256  string    `json:"public_sha256"` // hex, of the PKIX DER
}

func (e entry) file() string { return signingPrefix + e.Alg + "-" + e.ID + ".pem" }

// parseManifest is strict: what this version would not have written is damage.
func parseManifest(data []byte) (manifest, error) {
	var m manifest
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return manifest{}, fmt.Errorf("is damaged (%w)", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return manifest{}, errors.New("is damaged (more follows its end)")
	}
	return m, m.check()
}

// check holds the rules of a manifest: known words, safe kids, no kid twice,
// and one next and one active key for each algorithm.
func (m manifest) check() error {
	if m.Version != manifestVersion && m.Version != beforePS256 {
		return fmt.Errorf("has version %d and this program knows version %d", m.Version, manifestVersion)
	}
	seen := make(map[string]bool)
	count := make(map[string]int)
	for _, e := range m.Keys {
		switch {
		case !slices.Contains(m.algorithms(), e.Alg):
			return fmt.Errorf("is damaged (unknown algorithm %.20q)", e.Alg)
		case e.State != Next && e.State != Active && e.State != Retired:
			return fmt.Errorf("is damaged (unknown state %.20q)", e.State)
		case !isThumbprint(e.ID): // it becomes part of a file name
			return fmt.Errorf("is damaged (bad kid %.50q)", e.ID)
		case seen[e.ID]:
			return fmt.Errorf("is damaged (kid %s twice)", e.ID)
		}
		seen[e.ID] = true
		count[e.Alg+e.State]++
	}
	for _, alg := range m.algorithms() {
		for _, state := range []string{Next, Active} {
			if n := count[alg+state]; n != 1 {
				return fmt.Errorf("is damaged (it names %d %s keys for %s instead of 1)", n, state, alg)
			}
		}
	}
	return nil
}

// algorithms lists those that the manifest has keys for.
func (m manifest) algorithms() []string {
	if m.Version == beforePS256 {
		return slices.DeleteFunc(algorithms(), func(alg string) bool { return alg == algPS256 })
	}
	return algorithms()
}

// rotated is the manifest after fresh, the new next key of its algorithm, has
// come: next is active, and active is retired.
func (m manifest) rotated(fresh entry, now time.Time) manifest {
	after := manifest{Version: m.Version, SealingKey: m.SealingKey}
	for _, e := range m.Keys {
		switch {
		case e.Alg != fresh.Alg:
		case e.State == Next:
			e.State, e.Since = Active, now
		case e.State == Active:
			e.State, e.Since = Retired, now
		}
		after.Keys = append(after.Keys, e)
	}
	after.Keys = append(after.Keys, fresh)
	return after
}

// stage writes the manifest beside the one in use. The rename that follows is
// the moment at which a change of the ring has happened.
func (m manifest) stage(f folder) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("keyring: the new %s %w", manifestName, err) // a fault of ours
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("keyring: encode %s: %w", manifestName, err)
	}
	return f.stage(manifestName, append(data, '\n'))
}

// stamped is now as a manifest keeps it: UTC, in whole seconds.
func stamped(now time.Time) time.Time { return now.UTC().Truncate(time.Second) }
