package store

import "context"

// BrowserOrigin reports whether a public client is registered that runs in browsers at this origin (client.Origins). The answer is at most
// about half a second old. While the registrations stand, all of them are read once; what is asked for takes no room.
func (db *DB) BrowserOrigin(ctx context.Context, origin string) (bool, error) {
	db.cache.mu.RLock()
	known, ok, revision := db.cache.origins, db.cache.fresh(), db.cache.revision
	db.cache.mu.RUnlock()
	if known != nil && ok {
		return known[origin], nil
	}
	read := map[string]bool{}
	err := db.View(ctx, func(t *Tx) error {
		return t.Clients(func(c Client) error {
			for _, o := range c.Origins() {
				read[o] = true
			}
			return nil
		})
	})
	if err != nil {
		return false, err
	}
	db.cache.mu.Lock()
	defer db.cache.mu.Unlock()
	if db.cache.clients != nil && db.cache.revision == revision {
		db.cache.origins = read
	}
	return read[origin], nil
}
