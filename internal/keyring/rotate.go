package keyring

import "time"

// Rotate makes the next key of alg the active one, the active one retired, and
// a new next key. Keys of any algorithm that were retired for more than 30 days
// are dropped: their tokens verify no longer.
//
// It works on the folder as it is, not on what r has read, and waits for its
// lock: two commands come one after the other. The new key's file is lasting
// before the manifest names it. If Rotate fails, the folder opens with the old
// keys or with the new, and Keys tells which after a Reload.
func (r *Ring) Rotate(alg string, now time.Time) error {
	fresh, err := generate(alg) // slow, so before the locks
	if err != nil {
		return err
	}
	now = stamped(now)
	fresh.State, fresh.Created, fresh.Since = stateNext, now, now

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
	if err := writeKey(r.dir, fresh); err != nil {
		return err
	}
	m := r.set.Load().manifest.rotated(fresh.entry(), now)
	if err := m.write(r.dir); err != nil {
		return err
	}
	r.dir.sweep(m, now)
	return r.refresh()
}
