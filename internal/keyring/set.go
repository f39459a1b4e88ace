package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// keySet is what one manifest says, read and checked. It does not change.
type keySet struct {
	manifest manifest
	stamp    fs.FileInfo // of manifest.json
	keys     []*signingKey
	byID     map[string]*signingKey
	active   map[string]*signingKey // by algorithm
	jwks     []byte
}

// load reads a whole folder. Another process may drop a key whose file
// the manifest just read still names; then the manifest has changed, and load
// reads again, three times at most.
func load(f folder) (sealer, *keySet, error) {
	for try := 1; ; try++ {
		seal, set, stamp, err := loadOnce(f)
		if err == nil {
			return seal, set, nil
		}
		if stamp == nil || try == 3 {
			return sealer{}, nil, err
		}
		if changed, statErr := f.changed(manifestName, stamp); statErr != nil || !changed {
			return sealer{}, nil, err
		}
	}
}

// loadOnce gives the manifest's stamp even if what follows the manifest fails.
func loadOnce(f folder) (sealer, *keySet, fs.FileInfo, error) {
	m, stamp, err := readManifest(f)
	if err != nil {
		return sealer{}, nil, stamp, err
	}
	seal, err := readSealing(f)
	if err != nil {
		return sealer{}, nil, stamp, err
	}
	if seal.id != m.SealingKey {
		return sealer{}, nil, stamp, f.fault(sealingName, "is not the key that "+manifestName+" was made with",
			"restore both from the same backup")
	}
	keys, err := readKeys(f, m.Keys)
	if err != nil {
		return sealer{}, nil, stamp, err
	}
	set := &keySet{manifest: m, stamp: stamp, keys: keys,
		byID: make(map[string]*signingKey, len(keys)), active: make(map[string]*signingKey)}
	for _, k := range keys {
		set.byID[k.ID] = k
		if k.State == Active {
			set.active[k.Alg] = k
		}
	}
	if set.jwks, err = encodeJWKS(keys); err != nil {
		return sealer{}, nil, stamp, fmt.Errorf("keyring: encode the key set: %w", err)
	}
	return seal, set, stamp, nil
}

func readManifest(f folder) (manifest, fs.FileInfo, error) {
	if err := f.check(); err != nil {
		return manifest{}, nil, err
	}
	data, stamp, err := f.read(manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		names, listErr := f.held()
		switch {
		case listErr != nil:
			return manifest{}, nil, listErr
		case len(names) == 0:
			return manifest{}, nil, fmt.Errorf("keyring: %s: %w", f.path, ErrMissing)
		}
		return manifest{}, nil, f.fault(manifestName, "is missing beside "+summary(names),
			restore+", or empty it if no database was made with it")
	}
	if err != nil {
		return manifest{}, nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return manifest{}, stamp, f.fault(manifestName, err.Error(), restore)
	}
	return m, stamp, nil
}

func readSealing(f folder) (sealer, error) {
	data, _, err := f.read(sealingName)
	if err != nil {
		return sealer{}, err
	}
	key, err := parseSealing(data)
	if err != nil {
		return sealer{}, f.fault(sealingName, err.Error(), restore)
	}
	return newSealer(key)
}

// readKeys reads the files side by side, for the checks of RSA keys take most
// of the time. The order is that of the JWKS.
func readKeys(f folder, entries []entry) ([]*signingKey, error) {
	keys, errs := make([]*signingKey, len(entries)), make([]error, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() {
			data, _, err := f.read(e.file())
			if err != nil {
				errs[i] = err
				return
			}
			if keys[i], err = parseKey(e, data); err != nil {
				errs[i] = f.fault(e.file(), err.Error(), restore)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err // one line: the first
		}
	}
	states := []string{Active, Next, Retired}
	slices.SortFunc(keys, func(a, b *signingKey) int {
		return cmp.Or(
			cmp.Compare(slices.Index(algorithms(), a.Alg), slices.Index(algorithms(), b.Alg)),
			cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)),
			b.Since.Compare(a.Since),
			cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}
