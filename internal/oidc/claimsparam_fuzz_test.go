package oidc

import (
	"encoding/json"
	"testing"
)

// FuzzClaims: what is taken is a JSON object, names at most one person, and asks for nothing that this service does not have.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"id_token":{"email":null,"sub":{"value":"x"}},"userinfo":{"acr":{"essential":true,"values":["a"]}}}`, `{"id_token":{"a":[]},"id_token":{}}`, "{\"\xff\":1}", `{"userinfo":{"groups":{"essential":1}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asked, err := parseClaims(text)
		if err != nil {
			return
		}
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) != nil || object == nil {
			t.Errorf("%q was taken", text)
		}
		for _, claim := range append(asked.idToken, asked.userInfo...) {
			if scopeOf(claim) == "" {
				t.Errorf("%q asks for %q", text, claim)
			}
		}
		if len(asked.subject) > maxSubject {
			t.Errorf("%q names %q", text, asked.subject)
		}
	})
}
