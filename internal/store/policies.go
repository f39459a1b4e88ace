package store

import (
	"encoding/json"
	"fmt"

	"github.com/portvakt/portvakt/internal/policy"
)

// PolicyRow reads the policy past the cache, and how it stands in its row, for SwapPolicy; "" if none was set.
func (t *Tx) PolicyRow() (policy.Policy, string, error) {
	p, body := policy.Default(), ""
	err := t.row([]any{&body}, "select body from policies where name = 'policy'")
	if err == ErrNotFound {
		return p, "", nil
	}
	if err != nil {
		return p, "", err
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return p, body, fmt.Errorf("store: the policy is damaged: %w", err)
	}
	return p, body, nil
}

// SwapPolicy stores the policy in place of the one that stood as was in its row (ErrConflict if another does now).
func (t *Tx) SwapPolicy(p policy.Policy, was string) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if was == "" {
		t.must("insert into policies (name, body, updated_at) values ('policy', $1, $2) on conflict (name) do nothing", string(body), micros(t.now))
	} else {
		t.must("update policies set body = $1, updated_at = $2 where name = 'policy' and body = $3", string(body), micros(t.now), was)
	}
	t.bump()
	return nil
}
