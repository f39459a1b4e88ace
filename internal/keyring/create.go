package keyring

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Create makes a ring in dir: the folder (mode 0700; one that is there loses
// the rights of everyone), a sealing key, and a next and an active key for each
// algorithm. It refuses a folder that holds anything but README.md, .gitignore,
// .lock and lost+found. It takes from a quarter of a second to two seconds.
func Create(dir string, now time.Time) (*Ring, error) { return create(folder{path: dir}, now) }

func create(f folder, now time.Time) (*Ring, error) {
	if err := makeDir(f.path); err != nil {
		return nil, err
	}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := refuseHeld(f); err != nil {
		return nil, err
	}
	if err := tighten(f.path); err != nil {
		return nil, err
	}
	keys, err := firstKeys(algorithms(), stamped(now))
	if err != nil {
		return nil, err
	}
	key := make([]byte, keySize)
	rand.Read(key)
	seal, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	if err := f.write(sealingName, formatSealing(key)); err != nil {
		return nil, err
	}
	m := manifest{Version: manifestVersion, SealingKey: seal.id}
	for _, k := range keys {
		if err := writeKey(f, k); err != nil {
			return nil, err
		}
		m.Keys = append(m.Keys, k.entry())
	}
	if err := m.stage(f); err != nil {
		return nil, err
	}
	if err := f.publish(manifestName); err != nil {
		return nil, err
	}
	return Open(f.path)
}

// makeDir makes the folder, and makes it lasting, if it is not there.
func makeDir(dir string) error {
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
		return syncDir(filepath.Dir(filepath.Clean(dir)))
	}
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	return nil
}

// tighten takes the rights of everyone from a folder that was there.
func tighten(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		if err := os.Chmod(dir, mode&^0o007); err != nil {
			return fmt.Errorf("keyring: %s is open to everyone (%w): chmod 700 it", dir, bare(err))
		}
	}
	return nil
}

func refuseHeld(f folder) error {
	names, err := f.held()
	switch {
	case err != nil:
		return err
	case len(names) == 0:
		return nil
	case slices.Contains(names, manifestName):
		return f.fault(manifestName, "is there already", "open this ring, or name another folder")
	}
	return fmt.Errorf("keyring: %s holds %s and no %s: empty the folder if no database was made with it, else restore it from a backup",
		f.path, summary(names), manifestName)
}

// summary names the first of several files, so that an error stays one line.
func summary(names []string) string {
	if len(names) == 1 {
		return strings.ToValidUTF8(names[0], "?")
	}
	return fmt.Sprintf("%s and %d more", strings.ToValidUTF8(names[0], "?"), len(names)-1)
}

// firstKeys makes an active and a next key for each of algs, side by side.
func firstKeys(algs []string, now time.Time) ([]*signingKey, error) {
	states := []string{Active, Next}
	keys := make([]*signingKey, len(algs)*len(states))
	errs := make([]error, len(keys))
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := generate(algs[i/len(states)])
			if err != nil {
				errs[i] = err
				return
			}
			keys[i] = k.as(states[i%len(states)], now)
		})
	}
	wg.Wait()
	return keys, errors.Join(errs...)
}

func writeKey(f folder, k *signingKey) error {
	data, err := k.encode()
	if err != nil {
		return err
	}
	return f.write(k.entry().file(), data)
}
