package oidc_test

import (
	"net/url"
	"testing"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/server/servertest"
	"github.com/portvakt/portvakt/internal/store/storetest"
)

// TestEndedMeanwhile (RT-01): a code or refresh token whose grant ends between the look and the use was revoked, and nobody replayed it; one that a
// rival used meanwhile is a replay.
func TestEndedMeanwhile(t *testing.T) {
	t.Parallel()
	address := storetest.Postgres(t)
	s := newRefusals(t, address, "")
	conn := storetest.Connect(t, address)
	code := func() url.Values { return codeForm(s.code(t, "conf")) }
	refresh := func() url.Values { return refreshForm(s.tokens(t, "conf")["refresh_token"]) }
	for _, c := range []struct {
		name, change string
		form         func() url.Values
		kind         audit.Kind
		reason       audit.Reason
	}{
		{"a refresh, and a sign-out", "update grants set revoked_at = 1", refresh, audit.TokenRefused, audit.Revoked},
		{"a code, and a sign-out", "update grants set revoked_at = 1", code, audit.TokenRefused, audit.Revoked},
		{"a refresh, and its end", "update grants set expires_at = 1", refresh, audit.TokenRefused, audit.Expired},
		{"a code, and its end", "update grants set code_until = 1", code, audit.TokenRefused, audit.Expired},
		{"a refresh, and a rival", "update grants set gen = gen + 1", refresh, audit.TokenReplayed, audit.Replayed},
		{"a refresh, a rival and a sign-out", "update grants set gen = gen + 1, revoked_at = 1", refresh, audit.TokenReplayed, audit.Replayed},
		{"a code, and a rival", "update grants set code_used_at = 1", code, audit.CodeReplayed, audit.Replayed},
	} {
		form := c.form()
		got := storetest.InRow(t, conn, c.change, func() *servertest.Page { return s.post(t, "/token", "conf", form) })
		refused(t, "RT-01: "+c.name, got[0], "invalid_grant")
		events := s.Events(t, audit.TokenRefused, audit.TokenReplayed, audit.CodeReplayed)
		if last := events[len(events)-1]; last.Kind != c.kind || last.Reason != c.reason {
			t.Errorf("RT-01: %s is on record as %s, %s; want %s, %s", c.name, last.Kind, last.Reason, c.kind, c.reason)
		}
	}
}
