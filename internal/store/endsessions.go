package store

import (
	"maps"
	"slices"
	"strconv"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/user"
)

// EndEverything is EndSessionsOf, and gives how many sessions and live grants it ended. Grants are on record by application, because some belong to
// no session, or outlived theirs.
func (t *Tx) EndEverything(id user.ID, keep user.SessionID, why audit.Reason) (sessions, grants int, err error) {
	t.do("update sessions set id = id where user_id = $1 and ended_at = 0", string(id)) // before the grants, see EndSession
	clients := map[string]int{}
	err = t.rows(func(s scanner) error {
		var client string
		err := s.Scan(&client)
		clients[client]++
		grants++
		return err
	}, `update grants set revoked_at = $3 where user_id = $1 and revoked_at = 0 and expires_at > $3
and ($2 = '' or session_id is null or session_id <> $2) returning client_id`, string(id), string(keep), micros(t.now))
	if err != nil {
		return 0, 0, err
	}
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		if err := t.Record(audit.Event{Kind: audit.TokenRevoked, Reason: why, Subject: string(id), Client: client,
			Detail: map[string]string{"grants": strconv.Itoa(clients[client])}}); err != nil {
			return 0, 0, err
		}
	}
	before := t.recorded
	err = t.EndSessionsOf(id, keep, why) // what is left of grants, too
	return t.recorded - before, grants, err
}
