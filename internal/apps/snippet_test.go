package apps_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/client"
)

// TestSnippets: a stack is offered for a registration only where the text does all that the registration asks for. docs/connect/try.sh runs the
// texts with the stacks themselves.
func TestSnippets(t *testing.T) {
	t.Parallel()
	service := apps.New(nil, "https://login.example.se")
	for name, c := range map[string]struct {
		client client.Client
		fits   string
		says   string // in what is printed for each of them
	}{
		"a secret":              {client.Client{AuthMethod: client.AuthBasic}, "go spring oauth2-proxy apache node", "https://login.example.se"},
		"none":                  {client.Client{AuthMethod: client.AuthNone}, "go spring node browser", "https://login.example.se"},
		"a key":                 {client.Client{AuthMethod: client.AuthPrivateKey}, "", ""},
		"a secret, bound":       {client.Client{AuthMethod: client.AuthBasic, DPoPBound: true}, "node", "DPoP"},
		"none, bound":           {client.Client{AuthMethod: client.AuthNone, DPoPBound: true}, "node browser", "DPoP"},
		"a secret, pushed":      {client.Client{AuthMethod: client.AuthPost, RequirePAR: true}, "node", "WithPAR"},
		"none, pushed":          {client.Client{AuthMethod: client.AuthNone, RequirePAR: true}, "node", "WithPAR"},
		"a secret, signed":      {client.Client{AuthMethod: client.AuthBasic, RequireSigned: true}, "", ""},
		"a secret, of no grant": {client.Client{AuthMethod: client.AuthBasic, GrantTypes: []string{client.GrantClientCredentials}}, "", ""},
	} {
		c.client.ID = "app"
		c.client.Normalise()
		all, err := service.Snippets(c.client)
		if err != nil {
			t.Fatal(err)
		}
		var fits []string
		for _, one := range all {
			if !apps.Stack(one.Stack) {
				t.Errorf("%s is no stack", one.Stack)
			}
			if one.Fits {
				fits = append(fits, one.Stack)
			}
			if said := strings.Contains(one.Text, c.says); one.Fits && !said {
				t.Errorf("%s: %s does not say %s:\n%s", name, one.Stack, c.says, one.Text)
			}
		}
		if !slices.Equal(fits, strings.Fields(c.fits)) {
			t.Errorf("%s: offered are %v, not %s", name, fits, c.fits)
		}
	}
	if apps.Stack("cobol") {
		t.Error("cobol is a stack")
	}
}
