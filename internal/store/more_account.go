package store

import (
	"cmp"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// PersonByLogin gives the person whom login, a user name or mail address, names; user.ErrNotFound if there is none.
func (t *Tx) PersonByLogin(login string) (*Person, error) {
	return t.person("u.id = "+byLogin, user.Fold(login))
}

// HoldSession makes the unit fail (ErrConflict) unless this session of the person still counts.
func (t *Tx) HoldSession(owner user.ID, id user.SessionID) {
	t.must("update sessions set id = id where id = $1 and user_id = $2 and ended_at = 0 and expires_at > $3", string(id), string(owner), micros(t.now))
}

// DropSignIns ends every sign-in of a person that is under way: what it has proved, it may have proved with a factor that counts no more.
func (t *Tx) DropSignIns(id user.ID) {
	t.do("delete from flows where user_id = $1 and session_id = '' and used_at = 0", string(id))
}

// StopFactors makes these factors of a person prove nothing until they are allowed again, and records it. With them end the sign-ins under
// way, the remembered devices, and every session but keep with what came of it. ErrConflict (at flush) if one is stopped already or not theirs.
func (t *Tx) StopFactors(id user.ID, factors []Factor, keep user.SessionID, why audit.Reason) error {
	for _, f := range factors {
		t.StopFactor(id, f.ID)
		err := t.Record(audit.Event{Kind: audit.FactorStopped, Reason: why, Actor: cmp.Or(t.origin.Actor, string(id)), Subject: string(id), Session: string(keep),
			Detail: map[string]string{"factor": string(f.Kind), "id": f.ID}})
		if err != nil {
			return err
		}
	}
	t.ForgetDevices(id)
	err := t.EndSessionsOf(id, keep, why)
	t.DropSignIns(id)
	return err
}

// StopAll is StopFactors for every factor that is not stopped, and every session. It gives them. The person is held.
func (t *Tx) StopAll(id user.ID, why audit.Reason) ([]Factor, error) {
	have, err := t.FactorsOf(id)
	if err != nil {
		return nil, err
	}
	var active []Factor
	for _, f := range have {
		if f.StoppedAt.IsZero() {
			active = append(active, f)
		}
	}
	return active, t.StopFactors(id, active, "", why)
}

// AllowAll takes back every stop of a person who is held that is not older than limit, and records it. It gives the factors.
func (t *Tx) AllowAll(id user.ID, limit time.Duration) ([]Factor, error) {
	have, err := t.FactorsOf(id)
	if err != nil {
		return nil, err
	}
	var allowed []Factor
	for _, f := range have {
		if f.StoppedAt.IsZero() || !f.StoppedAt.After(t.now.Add(-limit)) {
			continue
		}
		t.AllowFactor(id, f.ID, limit)
		allowed = append(allowed, f)
		err := t.Record(audit.Event{Kind: audit.FactorAllowed, Subject: string(id), Detail: map[string]string{"factor": string(f.Kind), "id": f.ID}})
		if err != nil {
			return nil, err
		}
	}
	return allowed, nil
}
