package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

var noOrigin audit.Origin

const insertEvent = `insert into events (id, at, kind, outcome, reason, actor, subject, client_id, session_id, request, detail, sealed_by, personal)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

// eventFrom are the values of insertEvent as a select has them, which tells no types.
const eventFrom = "select $1::text, $2::bigint, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text, $11::text, $12::text, $13::bytea"

// Record queues e with the origin and the instant of this unit. It fails only if the event cannot be made; the row
// itself is written with the next flush.
func (t *Tx) Record(e audit.Event) error {
	if e.Kind.Sentence() == "" {
		return fmt.Errorf("store: event kind %q is not on the list", e.Kind)
	}
	if e.Actor == "" {
		e.Actor = t.origin.Actor
	}
	if e.Outcome == "" {
		e.Outcome = audit.Success
	}
	sealedBy, personal, err := t.sealPersonal(user.ID(e.Subject))
	if err != nil {
		return err
	}
	t.recorded++
	t.add(insertEvent, t.db.eventID(t.now), micros(t.now), string(e.Kind), string(e.Outcome), string(e.Reason), e.Actor, e.Subject,
		e.Client, e.Session, t.origin.Request, encodeDetail(e.Detail), sealedBy, personal)
	return nil
}

// encodeDetail is json.Marshal of a map for the hot path: nearly all details are plain ASCII words.
func encodeDetail(detail map[string]string) string {
	var room [8]string // on the stack
	keys := slices.AppendSeq(room[:0], maps.Keys(detail))
	slices.Sort(keys)
	b := make([]byte, 0, 128)
	b = append(b, '{')
	for _, key := range keys {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendString(b, detail[key])
	}
	return string(append(b, '}'))
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always marshals
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// sealPersonal seals the origin's address and agent under the key of the person the event is about, or of the month.
func (t *Tx) sealPersonal(subject user.ID) (sealedBy string, sealed []byte, err error) {
	if t.origin.IP == "" && t.origin.Agent == "" {
		return "", []byte{}, nil
	}
	key, err := t.personKey(subject)
	if err != nil {
		return "", nil, err
	}
	sealedBy = "user"
	if key == nil {
		m := month(t.now)
		sealedBy = m
		if key, err = t.monthKey(m); err != nil {
			return "", nil, err
		}
	}
	sealed, err = t.db.sealer.Seal(key, []byte(t.origin.IP+"\n"+t.origin.Agent), "event")
	return sealedBy, sealed, err
}

// EventFilter narrows Events. Zero fields do not narrow.
type EventFilter struct {
	After   string // events after this id
	Before  string
	Subject user.ID
	Kinds   []audit.Kind
	Since   time.Time
	Until   time.Time
	Newest  bool // newest first
	Limit   int  // 0: 100
}

// Events calls each for the events that f lets through, oldest first unless f.Newest. Personal parts whose key is gone
// come back empty.
func (t *Tx) Events(f EventFilter, each func(audit.Event) error) error {
	if f.Limit == 0 {
		f.Limit = 100
	}
	order, after, before := "asc", f.After, f.Before
	if f.Newest {
		order = "desc"
	}
	if before == "" {
		before = "~" // sorts after every id
	}
	until := micros(f.Until)
	if until == 0 {
		until = 1 << 62
	}
	query := `select e.id, coalesce(e.seq, 0), e.at, e.kind, e.outcome, e.reason, e.actor, e.subject, e.client_id, e.session_id, e.request, e.detail,
  e.sealed_by, e.personal, coalesce(u.sealing_key, m.sealing_key)
from events e
left join users u on e.sealed_by = 'user' and u.id = e.subject
left join month_keys m on m.month = e.sealed_by
where e.id > $1 and e.id < $2 and e.at >= $3 and e.at < $4 and ($5 = '' or e.subject = $5)` + kindFilter(f.Kinds) + `
order by e.id ` + order + ` limit $6`
	return t.rows(func(s scanner) error {
		e, err := t.scanEvent(s)
		if err != nil {
			return err
		}
		return each(e)
	}, query, after, before, micros(f.Since), until, string(f.Subject), int64(f.Limit))
}

// kindFilter writes the kinds into the text: they are words of a closed list, and the two engines know no common way
// to bind a list.
func kindFilter(kinds []audit.Kind) string {
	quoted := make([]string, 0, len(kinds))
	for _, k := range kinds {
		if slices.Contains(audit.Kinds(), k) {
			quoted = append(quoted, "'"+string(k)+"'")
		}
	}
	if len(quoted) == 0 {
		return ""
	}
	return " and e.kind in (" + strings.Join(quoted, ", ") + ")"
}

func (t *Tx) scanEvent(s scanner) (audit.Event, error) {
	var e audit.Event
	var at int64
	var detail, sealedBy string
	var sealed, key []byte
	err := s.Scan(&e.ID, &e.Seq, &at, (*string)(&e.Kind), (*string)(&e.Outcome), (*string)(&e.Reason), &e.Actor, &e.Subject,
		&e.Client, &e.Session, &e.Request, &detail, &sealedBy, &sealed, &key)
	if err != nil {
		return e, err
	}
	e.At = instant(at)
	if detail != "{}" {
		if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
			return e, fmt.Errorf("store: the detail of event %s is damaged: %w", e.ID, err)
		}
	}
	if len(sealed) == 0 || len(key) == 0 {
		return e, nil
	}
	personal, err := t.unseal(key, "event", sealed)
	if err != nil {
		return e, errors.Join(fmt.Errorf("store: the personal part of event %s", e.ID), err)
	}
	e.IP, e.Agent, _ = strings.Cut(string(personal), "\n")
	return e, nil
}
