package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

const machineYAML = `
users: [{username: anna, password: correct horse battery staple}]
clients: [{client_id: machine, client_secret: a-secret-of-the-machine, grant_types: [client_credentials], scope: openid}]
policies: {factors: {required: false}}
`

// token asks for a token as the machine of machineYAML.
func token(t *testing.T, base string) (*http.Response, map[string]any) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}
	r, err := http.NewRequest(http.MethodPost, base+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("machine", "a-secret-of-the-machine")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return answer(t, r)
}

// answer sends a request and reads the JSON that comes back.
func answer(t *testing.T, r *http.Request) (*http.Response, map[string]any) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatalf("%s %s answers %s, no JSON: %s", r.Method, r.URL, resp.Status, text)
	}
	return resp, body
}

func ready(t *testing.T, base string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, base+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, body := answer(t, r)
	return resp.StatusCode, body
}

// TestDiskFull: on a full disk everything that would have to be written down is answered with "try later", /readyz
// names the storage, and all of it works again as soon as there is room.
func TestDiskFull(t *testing.T) {
	in := newInstallation(t)
	small := filepath.Join(in.dir, "small")
	unmount, err := mountSmall(small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unmount)
	in.database = "sqlite:" + filepath.Join(small, "portvakt.db")
	in.run(machineYAML, "apply", "-f", "-")
	p, base := in.serve()

	v, err := newVisitor(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.open("/account"); err != nil {
		t.Fatal(err)
	}
	signInPage := *v
	issued := 0
	if resp, body := token(t, base); resp.StatusCode != http.StatusOK {
		t.Fatalf("before: %s %v", resp.Status, body)
	}
	issued++

	if err := fillDisk(small); err != nil {
		t.Fatal(err)
	}
	onFullDisk(t, base, v)
	if err := removeBallast(small); err != nil {
		t.Fatal(err)
	}
	if resp, body := token(t, base); resp.StatusCode != http.StatusOK {
		t.Errorf("with room again: %s %v", resp.Status, body)
	}
	issued++
	v.at, v.page = signInPage.at, signInPage.page
	if err := v.prove("anna", "correct horse battery staple", ""); err != nil || !v.signedIn() {
		t.Errorf("the same page with room again: status %d at %s: %s (%v)", v.status, v.at, v.alert(), err)
	}
	if status, body := ready(t, base); status != http.StatusOK {
		t.Errorf("readyz with room again: %d %v", status, body)
	}
	said := in.stop(p)
	for _, secret := range []string{"a-secret-of-the-machine", "correct horse battery staple"} {
		if strings.Contains(said, secret) {
			t.Errorf("the log of the full disk holds %q", secret)
		}
	}
	if got := strings.Count(in.run("", "audit", "list", "--json", "--kind", "token.issued"), "\n"); got != issued {
		t.Errorf("%d tokens were issued and %d recorded", issued, got)
	}
}

// onFullDisk asks for what has to be written down: a token, and a sign-in by the right password.
func onFullDisk(t *testing.T, base string, v *visitor) {
	t.Helper()
	for range 3 {
		resp, body := token(t, base)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || body["error"] != "temporarily_unavailable" {
			t.Errorf("on a full disk: %s, Retry-After %q, %v", resp.Status, resp.Header.Get("Retry-After"), body)
		}
	}
	if err := v.prove("anna", "correct horse battery staple", ""); err != nil || v.status != http.StatusServiceUnavailable || v.cookie("portvakt") != "" {
		t.Errorf("a right password on a full disk: status %d, session %q (%v)", v.status, v.cookie("portvakt"), err)
	}
	if status, body := ready(t, base); status != http.StatusServiceUnavailable || len(body["not_ready"].([]any)) != 1 || body["not_ready"].([]any)[0] != "storage" {
		t.Errorf("readyz on a full disk: %d %v", status, body)
	}
}
