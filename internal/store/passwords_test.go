package store

import (
	"context"
	"testing"
)

// TestErased: with a person go the passwords that they had. Postgres has the same schema (TestSchemas).
func TestErased(t *testing.T) {
	db := openLite(t)
	err := db.Housekeep(context.Background(), func(tx *Tx) error {
		for _, id := range []string{"anna", "bo"} {
			tx.do(`insert into users (id, username, username_key, name, email, email_key, phone, locale, groups, roles, password, password_made,
  password_changed_at, sealing_key, created_at, disabled_at) values ($1, $1, $1, '', '', '', '', '', '', '', 'x', '', 0, '', 0, 0)`, id)
			tx.do("insert into password_history (user_id, phc, created_at) values ($1, 'x', 1), ($1, 'y', 2)", id)
		}
		tx.do("delete from users where id = 'anna'")
		var left int64
		if err := tx.row([]any{&left}, "select count(*) from password_history"); err != nil || left != 2 {
			t.Errorf("%d are left, %v", left, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
