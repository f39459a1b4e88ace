package store

import (
	"time"

	"github.com/portvakt/portvakt/internal/user"
)

// Factor is one second factor of a person. A person has at most one soft token and one number, and any number of passkeys.
type Factor struct {
	ID        string
	User      user.ID
	Kind      user.FactorKind
	Name      string // the person's own word for it; may be empty
	Secret    string // opened: an otpauth URI, a number in E.164, or a passkey's credential as factor encodes it
	Handle    []byte // of a passkey: its credential id, unique among all persons
	Counter   int64  // the last step of a soft token, the sign count of a passkey
	CreatedAt time.Time
	UsedAt    time.Time // zero: never
	StoppedAt time.Time // not zero: it proves nothing until it is allowed again
}

const factorColumns = "f.id, f.user_id, f.kind, f.name, f.secret, f.handle, f.counter, f.created_at, f.used_at, f.stopped_at"

// factor reads a row of factorColumns and, if key is wanted, the owner's sealing key after them.
func (t *Tx) factor(s scanner, more ...any) (Factor, []byte, error) {
	var f Factor
	var secret []byte
	var created, used, stopped int64
	err := s.Scan(append([]any{&f.ID, (*string)(&f.User), (*string)(&f.Kind), &f.Name, &secret, &f.Handle, &f.Counter, &created, &used, &stopped}, more...)...)
	f.CreatedAt, f.UsedAt, f.StoppedAt = instant(created), instant(used), instant(stopped)
	return f, secret, err
}

// FactorsOf lists a person's factors, the oldest first, the stopped ones too.
func (t *Tx) FactorsOf(id user.ID) ([]Factor, error) {
	var all []Factor
	err := t.rows(func(s scanner) error {
		var key []byte
		f, sealed, err := t.factor(s, &key)
		if err != nil {
			return err
		}
		secret, err := t.unseal(key, string(f.Kind), sealed)
		f.Secret = string(secret)
		all = append(all, f)
		return err
	}, "select "+factorColumns+", u.sealing_key from factors f join users u on u.id = f.user_id where f.user_id = $1 order by f.created_at, f.kind, f.id", string(id))
	return all, err
}

// PasskeyByHandle gives the passkey with this credential id, or ErrNotFound.
func (t *Tx) PasskeyByHandle(handle []byte) (Factor, error) {
	return one(t, func(s scanner) (Factor, error) {
		var key []byte
		f, sealed, err := t.factor(s, &key)
		if err != nil {
			return f, err
		}
		secret, err := t.unseal(key, string(f.Kind), sealed)
		f.Secret = string(secret)
		return f, err
	}, "select "+factorColumns+", u.sealing_key from factors f join users u on u.id = f.user_id where f.handle = $1", handle)
}

// AddFactor stores a new factor and gives it an id. ErrTaken (at flush) if the person has one of a kind of which there is one
// alone, or if the passkey is somebody's already.
func (t *Tx) AddFactor(f Factor) error { return t.insertFactor(f, "") }

// PutFactor is AddFactor in place of the person's present soft token or number.
func (t *Tx) PutFactor(f Factor) error {
	return t.insertFactor(f, ` on conflict (user_id, kind) where kind in ('totp', 'sms') do update
set id = $1, name = $4, secret = $5, counter = $7, created_at = $8, used_at = 0, stopped_at = 0`)
}

func (t *Tx) insertFactor(f Factor, conflict string) error {
	secret, err := t.seal(f.User, string(f.Kind), []byte(f.Secret))
	if err != nil {
		return err
	}
	t.do("insert into factors (id, user_id, kind, name, secret, handle, counter, created_at, used_at, stopped_at) values ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)"+conflict,
		NewID(t.now), string(f.User), string(f.Kind), f.Name, secret, f.Handle, f.Counter, micros(t.now))
	return nil
}

// UseFactor notes that a factor proved something with this counter, which must be higher than every one before it, unless the
// factor counts nothing (both are 0). False: it is not, or the factor is gone or stopped. secret, unless empty, replaces the present one.
func (t *Tx) UseFactor(f Factor, counter int64, secret string) (bool, error) {
	sealed, replace := []byte{}, int64(0)
	if secret != "" {
		var err error
		replace = 1
		if sealed, err = t.seal(f.User, string(f.Kind), []byte(secret)); err != nil {
			return false, err
		}
	}
	var got string
	err := t.row([]any{&got}, `update factors set counter = $3, used_at = $4, secret = case when $6 = 1 then $5 else secret end
where id = $1 and user_id = $2 and stopped_at = 0 and (counter < $3 or counter = 0 and $3 = 0) returning id`,
		f.ID, string(f.User), counter, micros(t.now), sealed, replace)
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// RenameFactor gives a factor of this person another name (ErrConflict if it is not theirs).
func (t *Tx) RenameFactor(owner user.ID, id, name string) {
	t.must("update factors set name = $3 where id = $1 and user_id = $2", id, string(owner), name)
}

// RemoveFactor takes away one factor of this person (ErrConflict if it is not theirs).
func (t *Tx) RemoveFactor(owner user.ID, id string) {
	t.must("delete from factors where id = $1 and user_id = $2", id, string(owner))
}

// RemoveFactors takes away every second factor of a person: recovery codes and remembered devices too. What ends with them, sessions and then
// sign-ins, is the caller's to end.
func (t *Tx) RemoveFactors(id user.ID) {
	for _, table := range []string{"factors", "recovery_codes", "devices", "challenges"} {
		t.do("delete from "+table+" where user_id = $1", string(id))
	}
}

// StopFactor makes a factor prove nothing until it is allowed again. ErrConflict if it is stopped already or not theirs.
func (t *Tx) StopFactor(owner user.ID, id string) {
	t.must("update factors set stopped_at = $3 where id = $1 and user_id = $2 and stopped_at = 0", id, string(owner), micros(t.now))
}

// AllowFactor takes back a stop that is not older than limit (ErrConflict otherwise).
func (t *Tx) AllowFactor(owner user.ID, id string, limit time.Duration) {
	t.must("update factors set stopped_at = 0 where id = $1 and user_id = $2 and stopped_at > $3", id, string(owner), micros(t.now.Add(-limit)))
}

// PutRecoveryCodes gives a person these codes in place of any other. A code stands as a MAC.
func (t *Tx) PutRecoveryCodes(id user.ID, codes [][]byte) {
	t.do("delete from recovery_codes where user_id = $1", string(id))
	for _, code := range codes {
		t.do("insert into recovery_codes (id, user_id, created_at, used_at) values ($1, $2, $3, 0)", code, string(id), micros(t.now))
	}
}

// UseRecoveryCode spends a code; false if it is not one of this person's, or was used.
func (t *Tx) UseRecoveryCode(id user.ID, code []byte) (bool, error) {
	var got string
	err := t.row([]any{&got}, "update recovery_codes set used_at = $3 where id = $1 and user_id = $2 and used_at = 0 returning user_id",
		code, string(id), micros(t.now))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// RecoveryCode reports whether a code is one of this person's and unused.
func (t *Tx) RecoveryCode(id user.ID, code []byte) (bool, error) {
	var n int64
	err := t.row([]any{&n}, "select count(*) from recovery_codes where id = $1 and user_id = $2 and used_at = 0", code, string(id))
	return n > 0, err
}

// RecoveryCodesLeft counts a person's unused codes.
func (t *Tx) RecoveryCodesLeft(id user.ID) (int, error) {
	var n int64
	err := t.row([]any{&n}, "select count(*) from recovery_codes where user_id = $1 and used_at = 0", string(id))
	return int(n), err
}
