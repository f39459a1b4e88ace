package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/client"
)

const guides = "../../docs/connect"

var (
	applyBlock = regexp.MustCompile("(?s)\n```yaml portvakt.yaml\n(.*?)\n```\n")
	quotation  = regexp.MustCompile(`\*[^*]+\*|"[^"]+"`)
	localLink  = regexp.MustCompile(`\]\(([^)#:]+)[^)]*\)`)
	tag        = regexp.MustCompile(`<[^>]*>`)
)

// TestGuides: each page of docs/connect fits a sitting, its links lead somewhere, its lines for the apply file are taken as they stand, and
// what it quotes of Portvakt is what Portvakt answers to that mistake. docs/connect/try.sh tries the rest, with the programs themselves.
func TestGuides(t *testing.T) {
	in := newInstallation(t)
	in.run("{groups: [staff], policies: {factors: {required: false}}, users: [{username: anna, name: Anna, groups: [staff], password: "+demoPassword+"}]}", "apply", "-f", "-")
	pages, err := filepath.Glob(guides + "/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("%d guides: %v", len(pages), err)
	}
	texts := map[string]string{}
	for _, page := range pages {
		text := read(t, page)
		if n := strings.Count(text, "\n"); n > 100 {
			t.Errorf("%s has %d lines; it is to fit a sitting: 100", page, n)
		}
		for _, link := range localLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(guides, link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, block := range applyBlock.FindAllStringSubmatch(text, -1) {
			in.run(block[1], "apply", "-f", "-")
		}
		_, texts[page], _ = strings.Cut(text, "\n## Mistakes\n")
	}
	script := read(t, guides+"/try.sh")
	printed, err := apps.New(nil, "https://login.example.se").Snippets(client.Client{})
	if err != nil || len(printed) == 0 {
		t.Fatalf("%d snippets: %v", len(printed), err)
	}
	for _, one := range printed {
		if !regexp.MustCompile(`printed [a-z]+ ` + one.Stack + ` [|>]`).MatchString(script) {
			t.Errorf("try.sh does not run what /apps prints for %s", one.Stack)
		}
	}
	_, base := in.serve()
	said := strings.Join(mistakes(t, base), "\n")
	t.Log(said)
	for page, text := range texts {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "| Spring:") || strings.HasPrefix(line, "| console:") {
				continue // another program's words
			}
			for _, m := range quotation.FindAllStringSubmatch(line, -1) {
				if !strings.Contains(said, strings.Trim(m[0], `*"`)) {
					t.Errorf("%s: Portvakt does not say %s", page, m[0])
				}
			}
		}
	}
}

// mistakes makes those of the guides, as somebody who is signed in, and gives what Portvakt said.
func mistakes(t *testing.T, base string) (said []string) {
	t.Helper()
	v, err := newVisitor(base)
	if err == nil {
		err = v.signIn("anna", demoPassword, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	visit := func(path string) {
		t.Helper()
		if err := v.open(path); err != nil {
			t.Fatal(err)
		}
		said = append(said, html.UnescapeString(tag.ReplaceAllString(v.page, "")), v.at.Query().Get("error_description"))
	}
	refused := func(form string) {
		t.Helper()
		resp, err := http.Post(base+"/token", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var refusal map[string]string
		if err := json.NewDecoder(resp.Body).Decode(&refusal); err != nil {
			t.Fatal(err)
		}
		said = append(said, refusal["error_description"])
	}
	verifier := strings.Repeat("guide-", 8)
	sum := sha256.Sum256([]byte(verifier))
	const wiki, board = "https%3A%2F%2Fwiki.example.se%2Foauth2%2Fcallback", "https%3A%2F%2Fboard.example.se%2Fsigned-in"
	challenge := "&code_challenge_method=S256&code_challenge=" + base64.RawURLEncoding.EncodeToString(sum[:])
	ask := "/authorize?response_type=code&state=a-state-of-the-guide"
	visit(ask + "&client_id=wiki&scope=openid&redirect_uri=" + wiki + "%2F" + challenge)
	visit(ask + "&client_id=wiki&scope=openid&redirect_uri=" + strings.Replace(wiki, "https", "http", 1) + challenge)
	visit(ask + "&client_id=wiki&scope=openid&redirect_uri=https%3A%2F%2Fhere.example%2F" + challenge)
	visit(ask + "&client_id=wiki&scope=openid&redirect_uri=" + wiki)
	visit(ask + "&client_id=wiki&scope=openid+phone&redirect_uri=" + wiki + challenge)
	visit("/logout?client_id=wiki&post_logout_redirect_uri=" + wiki)
	refused("grant_type=authorization_code&code=x&client_id=desk&client_secret=x")
	refused("grant_type=client_credentials&client_id=billing")
	visit(ask + "&client_id=board&scope=openid&redirect_uri=" + board + challenge)
	refused("grant_type=authorization_code&client_id=board&redirect_uri=" + board + "&code_verifier=" + verifier + "&code=" + v.at.Query().Get("code"))
	return said
}
