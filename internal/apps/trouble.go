package apps

import (
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// Trouble is one thing that went wrong, as often as it did.
type Trouble struct {
	Cause   string // one of the words of cause
	Args    []any  // names and values that the cause's sentence has
	Error   string // the error code that the application got
	Hint    string // the sentence that it got beside the code, in English
	Count   int
	Last    time.Time
	Request string // the reference of the last one
}

// grouped puts what went wrong in the same way together; the newest first.
func grouped(all []store.Trouble, c store.Client) []Trouble {
	var out []Trouble
	at := map[[6]string]int{}
	for _, one := range all {
		key := [6]string{string(one.Kind), string(one.Reason), one.Detail["error"], one.Detail["hint"], one.Detail["redirect"], one.Detail["status"]}
		if i, known := at[key]; known {
			out[i].Count++
			continue
		}
		at[key] = len(out)
		t := Trouble{Error: one.Detail["error"], Hint: one.Detail["hint"], Count: 1, Last: one.At, Request: one.Request}
		t.Cause, t.Args = cause(one, c)
		out = append(out, t)
	}
	return out
}

// Causes is the closed list of what cause gives. Each has a sentence in each language that says what is wrong and what to do.
func Causes() []string {
	return strings.Fields("redirect_slash redirect_last redirect_case redirect_scheme redirect_fragment redirect_query redirect_port redirect_host redirect_path redirect_other " +
		"redirect_missing redirect_none secret assertion certificate expired verifier wrong_client revoked grant pkce scope grant_type target request_object request_uri dpop " +
		"not_allowed login_required interaction response_type unmet request code_replayed token_replayed logout_status logout_silent device other")
}

// cause names what went wrong, with what its sentence needs.
func cause(t store.Trouble, c store.Client) (string, []any) {
	switch t.Kind {
	case audit.CodeReplayed:
		return "code_replayed", nil
	case audit.TokenReplayed:
		return "token_replayed", nil
	case audit.DeviceRefused:
		return "device", nil
	case audit.LogoutFailed:
		if status := t.Detail["status"]; status != "" && status != "0" {
			return "logout_status", []any{"status", status}
		}
		return "logout_silent", nil
	}
	if text, ok := t.Detail["redirect"]; ok {
		d := client.ParseDifference(text)
		return "redirect_" + d.Kind, []any{"at", d.At, "of", d.Of}
	}
	if word := byReason(t.Reason, t.Detail["error"], c); word != "" {
		return word, nil
	}
	if strings.Contains(t.Detail["hint"], "code_challenge") {
		return "pkce", nil
	}
	if word := byError(t.Detail["error"]); word != "" {
		return word, nil
	}
	return "other", []any{"error", t.Detail["error"]}
}

// byReason is for what the application is told less of than its owner.
func byReason(r audit.Reason, code string, c store.Client) string {
	switch {
	case code == "invalid_client" && c.AuthMethod == client.AuthPrivateKey:
		return "assertion"
	case code == "invalid_client" && c.AuthMethod == client.AuthTLS:
		return "certificate"
	case code == "invalid_client":
		return "secret"
	case r == audit.WrongVerifier:
		return "verifier"
	case r == audit.WrongClient:
		return "wrong_client"
	case code == "invalid_grant" && r == audit.Expired:
		return "expired"
	case code == "invalid_grant" && (r == audit.Revoked || r == audit.Disabled):
		return "revoked"
	case r == audit.NotAllowed:
		return "not_allowed"
	}
	return ""
}

func byError(code string) string {
	switch code {
	case "invalid_grant":
		return "grant"
	case "invalid_scope":
		return "scope"
	case "unauthorized_client", "unsupported_grant_type":
		return "grant_type"
	case "invalid_target":
		return "target"
	case "invalid_request_object":
		return "request_object"
	case "invalid_request_uri", "stale_request":
		return "request_uri"
	case "invalid_dpop_proof", "use_dpop_nonce":
		return "dpop"
	case "login_required":
		return "login_required"
	case "interaction_required":
		return "interaction"
	case "unsupported_response_type":
		return "response_type"
	case "unmet_authentication_requirements":
		return "unmet"
	case "invalid_request", "bad_request":
		return "request"
	case "access_denied", "not_allowed":
		return "not_allowed"
	}
	return ""
}
