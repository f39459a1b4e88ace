package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// ErrChanged says that the keys of the folder are no longer those that the
// caller saw: somebody else was first. The ring knows the new ones.
var ErrChanged = errors.New("keyring: somebody else has changed these keys meanwhile")

// ErrElsewhere says that a rotation which was recorded has its new key in
// another copy of the folder.
var ErrElsewhere = errors.New("keyring: the keys were rotated in another copy of this folder")

// Rotation is what a Rotate is about to do: the kids of an algorithm as they
// will be.
type Rotation struct {
	Alg, Active, Retired, Next string
}

// change is every change of an open ring. It works on the folder as it is, not
// on what r has read, and under its lock: two come one after the other. edit
// gives the new manifest, after it has written the key files that it names.
// When nothing is left to do but to rename the manifest, record is called; if
// that fails, so does the change, and nothing has happened.
func (r *Ring) change(now time.Time, edit func(*keySet) (manifest, error), record func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.dir.check(); err != nil {
		return err
	}
	unlock, err := r.dir.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.refresh(); err != nil {
		return err
	}
	m, err := edit(r.set.Load())
	if err != nil {
		return err
	}
	if err := m.stage(r.dir); err != nil {
		return err
	}
	if err := record(); err != nil {
		_ = os.Remove(r.dir.file(manifestName + tempSuffix)) // or by the next change
		return err
	}
	if err := r.dir.publish(manifestName); err != nil {
		return err
	}
	r.dir.sweep(m, now)
	return r.refresh()
}

// Rotate makes the key next the active one of its algorithm, the active one
// retired, and a new next key. If next is not a next key any more, that is
// ErrChanged: of many callers that have seen the same keys one rotates.
//
// record writes down what is about to happen, when the new key and the new
// manifest are on the disk and a rename is all that is left. Its error is
// Rotate's, and the keys are as they were. If the process ends or the rename
// fails after record, the folder opens with the old keys, and Resume finishes.
func (r *Ring) Rotate(next string, now time.Time, record func(Rotation) error) error {
	now = stamped(now)
	var what Rotation
	return r.change(now, func(set *keySet) (manifest, error) {
		k := set.byID[next]
		if k == nil || k.State != Next {
			return manifest{}, ErrChanged
		}
		fresh, err := generate(k.Alg)
		if err != nil {
			return manifest{}, err
		}
		what = Rotation{Alg: k.Alg, Active: next, Retired: set.active[k.Alg].ID, Next: fresh.ID}
		if err := writeKey(r.dir, fresh.as(Next, now)); err != nil {
			return manifest{}, err
		}
		return set.manifest.rotated(fresh.entry(), now), nil
	}, func() error { return record(what) })
}

// Resume finishes a Rotate that was recorded: active is the key that it was to
// make active, next the one that it made. If that has happened it does nothing.
// If the file of next is not there, that is ErrElsewhere: another copy of the
// folder has it, and with a next key of its own this one would sign with what
// nobody else publishes.
func (r *Ring) Resume(active, next string, now time.Time) error {
	now = stamped(now)
	done := errors.New("done")
	err := r.change(now, func(set *keySet) (manifest, error) {
		k := set.byID[active]
		if k == nil || k.State != Next {
			return manifest{}, done
		}
		if !isThumbprint(next) || set.byID[next] != nil {
			return manifest{}, ErrElsewhere
		}
		name := entry{ID: next, Alg: k.Alg}.file()
		data, _, err := r.dir.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			return manifest{}, ErrElsewhere
		}
		if err != nil {
			return manifest{}, err
		}
		fresh, err := decodeKey(k.Alg, data)
		if err == nil && fresh.ID != next {
			err = errors.New("is another key than its name says")
		}
		if err != nil {
			return manifest{}, r.dir.fault(name, err.Error(), restore)
		}
		return set.manifest.rotated(fresh.as(Next, now).entry(), now), nil
	}, func() error { return nil })
	if err == done {
		return nil
	}
	return err
}

// Drop takes keys away at once, with their files: what a retired key has signed
// verifies no more, and a next key is replaced by another. An active key is
// refused. Kids that the folder does not know are passed over; if it knows
// none, that is ErrChanged. record is as for Rotate and gets the keys; what is
// recorded and not done is done by calling Drop again.
func (r *Ring) Drop(kids []string, now time.Time, record func([]Key) error) error {
	now = stamped(now)
	var gone []Key
	err := r.change(now, func(set *keySet) (manifest, error) {
		m := set.manifest
		m.Keys = slices.Clone(m.Keys)
		for i, e := range m.Keys {
			switch {
			case !slices.Contains(kids, e.ID):
				continue
			case e.State == Active:
				return manifest{}, fmt.Errorf("keyring: %s is the active key for %s: rotate %s first, then it is retired", e.ID, e.Alg, e.Alg)
			case e.State == Next:
				fresh, err := generate(e.Alg)
				if err != nil {
					return manifest{}, err
				}
				if err := writeKey(r.dir, fresh.as(Next, now)); err != nil {
					return manifest{}, err
				}
				m.Keys[i] = fresh.entry()
			}
			gone = append(gone, set.byID[e.ID].Key)
		}
		m.Keys = slices.DeleteFunc(m.Keys, func(e entry) bool { return slices.Contains(kids, e.ID) })
		if len(gone) == 0 {
			return manifest{}, ErrChanged
		}
		return m, nil
	}, func() error { return record(gone) })
	if err != nil {
		return err
	}
	for _, k := range gone {
		err := os.Remove(r.dir.file(entry{ID: k.ID, Alg: k.Alg}.file()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // an old one was swept
			return fmt.Errorf("keyring: the key %s is used no more, but its file stays (%w): remove it", k.ID, bare(err))
		}
	}
	return r.dir.sync()
}

// Complete makes active and next keys for the algorithms that a folder of an
// older version lacks. It touches no key that is there, and does nothing, not
// even take the lock, where none is missing. record is as for Rotate and gets
// the new keys; they sign at once, for nothing was signed by their algorithm.
func (r *Ring) Complete(now time.Time, record func([]Key) error) error {
	if r.set.Load().manifest.Version == manifestVersion {
		return nil
	}
	now = stamped(now)
	var made []Key
	err := r.change(now, func(set *keySet) (manifest, error) {
		had := set.manifest.algorithms()
		keys, err := firstKeys(slices.DeleteFunc(algorithms(), func(alg string) bool { return slices.Contains(had, alg) }), now)
		if err != nil {
			return manifest{}, err
		}
		if len(keys) == 0 {
			return manifest{}, ErrChanged // another process was first
		}
		m := set.manifest
		m.Version, m.Keys = manifestVersion, slices.Clone(m.Keys)
		for _, k := range keys {
			if err := writeKey(r.dir, k); err != nil {
				return manifest{}, err
			}
			m.Keys, made = append(m.Keys, k.entry()), append(made, k.Key)
		}
		return m, nil
	}, func() error { return record(made) })
	if errors.Is(err, ErrChanged) {
		return nil
	}
	return err
}
