package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// RolesOf gives the roles that a person holds now; none for nobody.
func (t *Tx) RolesOf(id user.ID) ([]string, error) {
	var roles string
	if err := t.row([]any{&roles}, "select roles from users where id = $1", string(id)); err != nil && err != ErrNotFound {
		return nil, err
	}
	return strings.Fields(roles), nil
}

// ClientsOf gives the registrations that name a person as an owner, by id.
func (t *Tx) ClientsOf(id user.ID) ([]Client, error) {
	var all []Client
	err := t.rows(func(s scanner) error {
		c, err := scanClient(s)
		if err == nil && slices.Contains(c.Owners, string(id)) { // the text found the id, wherever it stands
			all = append(all, c)
		}
		return err
	}, "select "+clientColumns+` from clients where metadata like '%"owners":[%"' || cast($1 as text) || '"%' order by id`, string(id))
	return all, err
}

// Trouble is one refusal or failure of an application, without anything of a person.
type Trouble struct {
	At      time.Time
	Kind    audit.Kind
	Reason  audit.Reason
	Request string
	Detail  map[string]string
}

// TroubleOf gives at most limit refusals and failures of one application since a time, newest first.
func (t *Tx) TroubleOf(id client.ID, since time.Time, limit int) ([]Trouble, error) {
	var all []Trouble
	err := t.rows(func(s scanner) error {
		var at int64
		var detail string
		var one Trouble
		if err := s.Scan(&at, (*string)(&one.Kind), (*string)(&one.Reason), &one.Request, &detail); err != nil {
			return err
		}
		one.At = instant(at)
		all = append(all, one)
		if err := json.Unmarshal([]byte(detail), &all[len(all)-1].Detail); err != nil {
			return fmt.Errorf("store: the detail of an event is damaged: %w", err)
		}
		return nil
	}, `select e.at, e.kind, e.reason, e.request, e.detail from events e
where e.client_id = $1 and e.outcome <> 'success' and e.client_id <> '' and e.at >= $2 and e.kind in (`+troubleKinds+`) order by e.id desc limit $3`,
		string(id), micros(since), int64(limit))
	return all, err
}

// troubleKinds are the kinds that tell a developer something.
const troubleKinds = `'authorize.refused', 'token.refused', 'code.replayed', 'token.replayed', 'logout.failed', 'device_grant.refused'`
