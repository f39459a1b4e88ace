package jose

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

const issuer = "https://idp.example"

var noon = time.Unix(1_800_000_000, 0)

// at is a NumericDate so many seconds from noon.
func at(seconds int) int64 { return noon.Unix() + int64(seconds) }

// raw stands in a claim set as it is.
type raw = json.RawMessage

// claimSet is base with the changes; a nil change takes a claim away.
func claimSet(base, change map[string]any) []byte {
	m := maps.Clone(base)
	maps.Copy(m, change)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	out, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}

func TestCheckAssertion(t *testing.T) {
	base := map[string]any{"iss": "pkj", "sub": "pkj", "aud": issuer, "jti": "j1", "exp": at(60), "iat": at(0)}
	type change = map[string]any
	tests := []struct {
		name   string
		change change
		want   string // part of the refusal; empty: taken
	}{
		{"plain", nil, ""},
		{"aud the token endpoint, where that is taken", change{"aud": issuer + "/token"}, ""},
		{"aud in a list of one", change{"aud": []string{issuer}}, "send one string"},
		{"aud in a list with another", change{"aud": []string{issuer, "https://evil.example"}}, "send one string"},
		{"aud another server", change{"aud": "https://evil.example"}, "its aud is"},
		{"aud the PAR endpoint", change{"aud": issuer + "/par"}, "its aud is"},
		{"aud with a slash", change{"aud": issuer + "/"}, "its aud is"},
		{"aud in other case", change{"aud": strings.ToUpper(issuer)}, "its aud is"},
		{"aud empty", change{"aud": ""}, "its aud is"},
		{"aud null", change{"aud": raw("null")}, "send one string"},
		{"aud missing", change{"aud": nil}, "aud is missing"},
		{"AUD", change{"aud": nil, "AUD": issuer}, "aud is missing"},
		{"iss another", change{"iss": "other"}, "its iss is"},
		{"sub another", change{"sub": "other"}, "its sub is"},
		{"sub missing", change{"sub": nil}, "its sub is"},
		{"iss missing", change{"iss": nil}, "its iss is"},
		{"iss a list", change{"iss": []string{"pkj"}}, "its iss is"},
		{"ISS beside", change{"ISS": "other"}, ""},
		{"exp missing", change{"exp": nil}, "no exp"},
		{"exp null", change{"exp": raw("null")}, "seconds since 1970"},
		{"exp a string", change{"exp": fmt.Sprint(at(60))}, "seconds since 1970"},
		{"exp negative", change{"exp": -1}, "seconds since 1970"},
		{"exp huge", change{"exp": raw("1e300")}, "seconds since 1970"},
		{"exp beyond floats", change{"exp": raw("1e999")}, "seconds since 1970"},
		{"exp in milliseconds", change{"exp": at(60) * 1000}, "seconds since 1970"},
		{"exp in 10 years", change{"exp": at(315_360_000)}, "let it expire within 10m"},
		{"exp in 10 minutes", change{"exp": at(600)}, ""},
		{"exp in 10 minutes and a second", change{"exp": at(601)}, "let it expire within 10m"},
		{"exp in 10 minutes of a clock ahead", change{"iat": at(8), "exp": at(608)}, ""},
		{"exp in 11 minutes of an honest clock", change{"exp": at(660)}, "let it expire within 10m"},
		{"exp with a fraction", change{"exp": raw("1800000059.5")}, ""},
		{"exp with an exponent", change{"exp": raw("1.80000006e9")}, ""},
		{"exp just past, within the skew", change{"exp": at(-59)}, ""},
		{"exp past the skew", change{"exp": at(-60)}, "it expired 1m0s ago"},
		{"exp 5 minutes past", change{"exp": at(-300)}, "it expired 5m0s ago"},
		{"iat 8 seconds ahead", change{"iat": at(8)}, ""},
		{"iat 60 seconds ahead", change{"iat": at(60)}, ""},
		{"iat 61 seconds ahead", change{"iat": at(61)}, "its iat is 1m1s ahead"},
		{"iat missing", change{"iat": nil}, ""},
		{"iat a word", change{"iat": "now"}, "its iat is"},
		{"nbf 8 seconds ahead", change{"nbf": at(8)}, ""},
		{"nbf 61 seconds ahead", change{"nbf": at(61)}, "its nbf is 1m1s ahead"},
		{"jti missing", change{"jti": nil}, "no jti"},
		{"jti empty", change{"jti": ""}, "jti is no string of 1 to 256"},
		{"jti a number", change{"jti": 1}, "jti is no string of 1 to 256"},
		{"jti long", change{"jti": strings.Repeat("j", 257)}, "jti is no string of 1 to 256"},
		{"jti with NUL", change{"jti": "a\x00b"}, "jti is no string of 1 to 256"},
		{"jti of 256 bytes", change{"jti": strings.Repeat("j", 256)}, ""},
	}
	want := WantAssertion{Client: "pkj", Audiences: []string{issuer, issuer + "/token"}, Now: noon}
	for _, tt := range tests {
		jti, until, err := CheckAssertion(claimSet(base, tt.change), want)
		if tt.want != "" {
			if !refused(err, tt.want) || jti != "" || !until.IsZero() {
				t.Errorf("JW-03: %s: %q %s %v, want %q", tt.name, jti, until, err, tt.want)
			}
			continue
		}
		if err != nil || jti == "" || !until.After(noon.Add(60*time.Second)) {
			t.Errorf("JW-03: %s: %q %s %v", tt.name, jti, until, err)
		}
	}
	if _, _, err := CheckAssertion(claimSet(base, nil), WantAssertion{Client: "pkj", Audiences: []string{issuer + "/other"}, Now: noon}); !refused(err, "its aud") {
		t.Errorf("JW-03: %v", err)
	}
	empty := map[string]any{"iss": "", "sub": "", "aud": "", "jti": "j", "exp": at(60)}
	if _, _, err := CheckAssertion(claimSet(empty, nil), WantAssertion{Audiences: []string{""}, Now: noon}); !refused(err, "its iss") {
		t.Errorf("JW-03: nothing asked for: %v", err)
	}
	for _, bad := range []string{"", "[]", `{"iss":"pkj","iss":"pkj"}`} {
		if _, _, err := CheckAssertion([]byte(bad), want); !refused(err, "payload") {
			t.Errorf("JW-03: %q: %v", bad, err)
		}
	}
}

// TestUntil: the moment that is given back is past the last one at which the same assertion would be taken.
func TestUntil(t *testing.T) {
	claims := claimSet(map[string]any{"iss": "pkj", "sub": "pkj", "aud": issuer, "jti": "j1", "exp": at(60)}, nil)
	want := WantAssertion{Client: "pkj", Audiences: []string{issuer}, Now: noon}
	_, until, err := CheckAssertion(claims, want)
	if err != nil {
		t.Fatal(err)
	}
	// An instance whose clock is a minute behind.
	want.Now = until.Add(-time.Minute)
	if _, _, err := CheckAssertion(claims, want); !refused(err, "expired") {
		t.Errorf("JW-02: still taken: %v", err)
	}
}

func TestCheckRequestObject(t *testing.T) {
	base := map[string]any{
		"iss": "conf", "client_id": "conf", "aud": issuer, "exp": at(300), "nbf": at(0), "iat": at(0), "jti": "j1", "sub": "conf",
		"response_type": "code", "redirect_uri": "https://app.example/cb", "state": "ä ☃",
	}
	type change = map[string]any
	plain := url.Values{"client_id": {"conf"}, "response_type": {"code"}, "redirect_uri": {"https://app.example/cb"}, "state": {"ä ☃"}}
	tests := []struct {
		name   string
		change change
		more   url.Values // beside plain
		want   string     // part of the refusal
	}{
		{"plain", nil, nil, ""},
		{"max_age a number", change{"max_age": 86400}, url.Values{"max_age": {"86400"}}, ""},
		{"max_age 0", change{"max_age": 0}, url.Values{"max_age": {"0"}}, ""},
		{"max_age negative", change{"max_age": -1}, url.Values{"max_age": {"-1"}}, ""},
		{"max_age of 2^70, exactly", change{"max_age": raw("1180591620717411303424")}, url.Values{"max_age": {"1180591620717411303424"}}, ""},
		{"max_age a string", change{"max_age": "60"}, url.Values{"max_age": {"60"}}, ""},
		{"max_age with a fraction", change{"max_age": raw("60.0")}, nil, "whole number"},
		{"max_age with an exponent", change{"max_age": raw("6e1")}, nil, "whole number"},
		{"claims an object", change{"claims": raw(`{ "id_token" : { "acr" : { "essential" : true, "value" : "2" } } }`)}, url.Values{"claims": {`{"id_token":{"acr":{"essential":true,"value":"2"}}}`}}, ""},
		{"claims as text", change{"claims": `{"userinfo":{}}`}, url.Values{"claims": {`{"userinfo":{}}`}}, ""},
		{"claims a list", change{"claims": []int{1}}, nil, "strings or whole numbers"},
		{"resource a list", change{"resource": []string{"https://a.example", "https://b.example"}}, url.Values{"resource": {"https://a.example", "https://b.example"}}, ""},
		{"resource of numbers", change{"resource": []int{1}}, nil, "no list of URIs"},
		{"resource of nothing", change{"resource": []string{}}, nil, "no list of URIs"},
		{"a list", change{"scope": []string{"openid"}}, nil, "strings or whole numbers"},
		{"an object", change{"scope": change{}}, nil, "strings or whole numbers"},
		{"true", change{"prompt": true}, nil, "strings or whole numbers"},
		{"null", change{"prompt": raw("null")}, nil, "strings or whole numbers"},
		{"a line end", change{"state": "a\nb"}, nil, "control character"},
		{"a name with NUL", change{"a\x00": "b"}, nil, "control character"},
		{"a name of nothing", change{"": "b"}, nil, "name is empty"},
		{"claims twice inside", change{"claims": raw(`{"a":1,"a":2}`)}, nil, `holds "a" twice`},
		{"empty text", change{"nonce": ""}, url.Values{"nonce": {""}}, ""},
		{"request inside", change{"request": "e30.e30.e30"}, nil, "cannot refer to another"},
		{"request_uri inside", change{"request_uri": "urn:a"}, nil, "cannot refer to another"},
		{"a secret inside", change{"client_secret": "s"}, nil, "no part of its request"},
		{"an assertion inside", change{"client_assertion": "s"}, nil, "no part of its request"},

		{"aud in a list of one", change{"aud": []string{issuer}}, nil, ""},
		{"aud in a list", change{"aud": []string{"https://other.example", issuer}}, nil, ""},
		{"aud another", change{"aud": "https://other.example"}, nil, "its aud"},
		{"aud others", change{"aud": []string{"https://other.example"}}, nil, "its aud"},
		{"aud a list with a number", change{"aud": []any{issuer, 1}}, nil, "its aud"},
		{"aud missing", change{"aud": nil}, nil, "its aud"},
		{"iss another", change{"iss": "other"}, nil, "its iss"},
		{"iss missing", change{"iss": nil}, nil, "its iss"},
		{"client_id of another client", change{"client_id": "other"}, nil, "its client_id"},
		{"client_id missing", change{"client_id": nil}, nil, "its client_id"},
		{"exp missing", change{"exp": nil}, nil, "no exp"},
		{"exp past", change{"exp": at(-61), "nbf": at(-300)}, nil, "it expired"},
		{"exp an hour after nbf", change{"exp": at(3600)}, nil, ""},
		{"exp more than an hour after nbf", change{"exp": at(3601)}, nil, "within 1h"},
		{"exp near, and long after nbf", change{"nbf": at(-3600), "exp": at(300)}, nil, "within 1h"},
		{"exp an hour ahead without nbf", change{"nbf": nil, "exp": at(3600)}, nil, ""},
		{"exp more than an hour ahead without nbf", change{"nbf": nil, "iat": nil, "exp": at(3601)}, nil, "within 1h"},
		{"iat ahead", change{"iat": at(61)}, nil, "its iat"},
		{"nbf ahead", change{"nbf": at(61)}, nil, "its nbf"},
		{"nbf 8 seconds ahead", change{"nbf": at(8)}, nil, ""},
		{"jti a number", change{"jti": 5}, nil, "jti"},
	}
	for _, tt := range tests {
		params, jti, until, err := CheckRequestObject(claimSet(base, tt.change), WantRequest{"conf", issuer, noon})
		if tt.want != "" {
			if !refused(err, tt.want) || params != nil || jti != "" || !until.IsZero() {
				t.Errorf("JW-05: %s: %v %v, want %q", tt.name, params, err, tt.want)
			}
			continue
		}
		want := maps.Clone(plain)
		maps.Copy(want, tt.more)
		if err != nil || jti != "j1" || !until.After(noon) || !reflect.DeepEqual(params, want) {
			t.Errorf("JW-05: %s: %v %q %v", tt.name, params, jti, err)
		}
	}
	_, jti, _, err := CheckRequestObject(claimSet(base, change{"jti": nil}), WantRequest{"conf", issuer, noon})
	if jti != "" || err != nil {
		t.Errorf("JW-05: without jti: %q %v", jti, err)
	}
	if _, _, _, err := CheckRequestObject(claimSet(base, change{"aud": ""}), WantRequest{"conf", "", noon}); !refused(err, "its aud") {
		t.Errorf("JW-05: nothing asked for: %v", err)
	}
}

// TestRequestObjectTokens are the tricks of JW-05 that the signature's check refuses.
func TestRequestObjectTokens(t *testing.T) {
	s := newSigner(t, ps256, "k")
	keys := parse(t, s.jwk(nil))
	want := Want{Algs: []string{ps256}, Typs: []string{"", "JWT", "oauth-authz-req+jwt"}, Limit: 32 << 10}
	long := `{"a":"` + strings.Repeat("a", 20<<10) + `"}`
	if _, _, err := keys.Verify(s.sign(t, s.header(`"typ":"oauth-authz-req+jwt"`), long), want); err != nil {
		t.Errorf("JW-05: 20 KiB of claims: %v", err)
	}
	for name, tt := range map[string][2]string{
		"2 MB":           {s.sign(t, s.header(), `{"a":"`+strings.Repeat("a", 2<<20)+`"}`), "longer than 32768"},
		"alg none":       {b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(`{}`)) + ".", "part 3 is empty"},
		"a client's own": {s.sign(t, s.header(`"typ":"client-authentication+jwt"`), `{}`), "another kind of token"},
	} {
		if _, _, err := keys.Verify(tt[0], want); !refused(err, tt[1]) {
			t.Errorf("JW-05: %s: %v", name, err)
		}
	}
}
