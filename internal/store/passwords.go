package store

import (
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// kept is how many earlier passwords of a person stay; no policy asks for more (policy.Password).
const kept = 24

// SetPassword stores a new PHC string, records it, and ends every session of the person but keep. Where was is not empty
// it must still be the present one, so that of two changes at once one fails (ErrConflict). made is under what rules the password was
// made (passwords.Made), empty for a hash that came from elsewhere. The present password goes to the earlier ones.
func (t *Tx) SetPassword(id user.ID, was, phc, made string, keep user.SessionID) error {
	t.must(`update users set id = id where id = $1 and ($2 = '' or password = $2)`, string(id), was) // holds the row: what is kept is what goes
	t.do(`insert into password_history (user_id, phc, created_at)
  select id, password, case when cast($2 as bigint) > last then cast($2 as bigint) else last + 1 end
  from (select u.id, u.password, coalesce((select max(h.created_at) from password_history h where h.user_id = u.id), 0) as last
    from users u where u.id = $1 and u.password <> '') p`, string(id), micros(t.now))
	t.do(`delete from password_history where user_id = $1 and created_at <=
  (select created_at from password_history where user_id = $1 order by created_at desc limit 1 offset $2)`, string(id), kept)
	t.must(`update users set password = $2, password_made = $3, password_changed_at = $4 where id = $1`, string(id), phc, made, micros(t.now))
	t.do("delete from links where user_id = $1 and used_at = 0", string(id)) // an older link must not undo this
	t.ForgetDevices(id)
	if err := t.Record(audit.Event{Kind: audit.PasswordChanged, Subject: string(id)}); err != nil {
		return err
	}
	return t.EndSessionsOf(id, keep, audit.Changed)
}

// PasswordMade says under what rules the password was made that a person was created with.
func (t *Tx) PasswordMade(id user.ID, made string) {
	t.must("update users set password_made = $2 where id = $1", string(id), made)
}

// Passwords gives the PHC string of a person's present password, "" where there is none, and those of at most so many before it, the
// latest first. Who does not exist has none.
func (t *Tx) Passwords(id user.ID, before int) (present string, earlier []string, err error) {
	err = t.rows(func(s scanner) error {
		var phc string
		var at int64
		err := s.Scan(&phc, &at)
		if at == 0 {
			present = phc
		} else {
			earlier = append(earlier, phc)
		}
		return err
	}, `select password, 0 as at from users where id = $1 union all
  select phc, created_at from (select phc, created_at from password_history where user_id = $1 order by created_at desc limit $2) h
  order by 2 desc`, string(id), before)
	return present, earlier, err
}
