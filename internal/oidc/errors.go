package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/store"
)

// wireError is RFC 6749 §5.2.
type wireError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

var (
	errUnsupportedGrantType = fosite.ErrUnsupportedGrantType.WithHint("The grant types are those of grant_types_supported in the discovery document.")
	errDuplicate            = fosite.ErrInvalidRequest.WithHint("A parameter is given more than once.")
	errNotForm              = fosite.ErrInvalidRequest.WithHint("The body must be application/x-www-form-urlencoded.")
	errTarget               = &fosite.RFC6749Error{ErrorField: "invalid_target", CodeField: http.StatusBadRequest, // RFC 8707 §2
		DescriptionField: "A resource asked for is not among those registered for this client, or goes beyond those granted."}
	errTargetParts = errTarget.WithHint("An opaque access token can be for all the resources granted, or for some of the first four and no others.")
	errAudience    = errTarget.WithHint("The parameter audience is not supported; use resource (RFC 8707).")
	errRequestURI  = &fosite.RFC6749Error{ErrorField: "invalid_request_uri", CodeField: http.StatusBadRequest, // RFC 9101 §7
		DescriptionField: "The request_uri is unknown, was used already, or is older than a minute. Push the request again."}
	errUnmet = &fosite.RFC6749Error{ErrorField: "unmet_authentication_requirements", CodeField: http.StatusBadRequest, // OpenID Connect Core Error Code unmet_authentication_requirements 1.0 §2
		DescriptionField: "No value of the essential acr claim can be reached here; see acr_values_supported."}
	errLongScope = fosite.ErrInvalidScope.WithHint("The scope is longer than 1024 bytes.")
	errTooLarge  = fosite.ErrInvalidRequest.WithHint("The body is too large or not well formed.")
)

// postForm reads a form and refuses parameters that come twice (RFC 6749 §3.2), but for those that may.
func postForm(r *http.Request, repeated ...string) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return errNotForm
	}
	if err := r.ParseForm(); err != nil {
		return errTooLarge
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && !slices.Contains(repeated, name) {
			return errDuplicate
		}
	}
	return nil
}

// publicError maps whatever fosite says to the codes that the RFCs know; what it invents becomes the nearest of them.
func publicError(err error) string {
	var e *fosite.RFC6749Error
	if !errors.As(err, &e) {
		return "server_error"
	}
	switch code := e.ErrorField; code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "unsupported_response_type", "login_required", "interaction_required", "consent_required",
		"account_selection_required", "unmet_authentication_requirements", "invalid_target", "invalid_token", "invalid_dpop_proof", "use_dpop_nonce", "invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported", "registration_not_supported",
		"invalid_client_metadata", "invalid_redirect_uri", "invalid_software_statement", // RFC 7591 §3.2.2
		"authorization_pending", "slow_down", "expired_token", // RFC 8628 §3.5
		"temporarily_unavailable", "server_error":
		return code
	case "scope_not_granted":
		return "invalid_scope"
	case "invalid_state", "insufficient_entropy", "unsupported_response_mode", "error":
		return "invalid_request"
	}
	return "server_error"
}

// describe gives the sentence for the application's developer.
func describe(err error) string {
	var e *fosite.RFC6749Error
	if !errors.As(err, &e) {
		return ""
	}
	if e.HintField != "" {
		return describable(e.HintField)
	}
	return describable(e.DescriptionField)
}

// describable keeps to the characters that error_description may have (RFC 6749 §4.1.2.1, §5.2).
func describable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, strings.ReplaceAll(s, "§", "section "))
}

// writeError answers a refusal at a JSON endpoint.
func writeError(w http.ResponseWriter, err error) {
	code, status := publicError(err), http.StatusBadRequest
	switch code {
	case "invalid_client":
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="portvakt"`) // RFC 6749 §5.2
	case "server_error":
		status = http.StatusInternalServerError
	case "temporarily_unavailable":
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "2")
	}
	if wait := full(err); wait > 0 {
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	writeJSON(w, status, wireError{code, describe(err)})
}

// writeFault answers when we failed: try later if the store cannot answer, else a server error that says nothing more.
func (p *Provider) writeFault(w http.ResponseWriter, err error) {
	Fault(w, err)
	if errors.Is(err, store.ErrOutage) || errors.Is(err, context.Canceled) {
		w.Header().Set("Retry-After", "2")
		writeJSON(w, http.StatusServiceUnavailable, wireError{"temporarily_unavailable", "The service cannot answer now. Try again in a moment."})
		return
	}
	writeJSON(w, http.StatusInternalServerError, wireError{"server_error", ""})
}

// Late answers a request whose body did not come in time. Nothing of it was looked at, and nothing is recorded.
func Late(w http.ResponseWriter) {
	writeJSON(w, http.StatusRequestTimeout, wireError{"invalid_request", "The body did not come in time. Send it again."})
}

// Fault hands err to a response writer that wants to log it (server's does).
func Fault(w http.ResponseWriter, err error) {
	if l, ok := w.(interface{ LogFault(error) }); ok {
		l.LogFault(err)
	}
}

// writeJSON answers with v and nothing that may be cached (RFC 6749 §5.1).
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		Fault(w, err)
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

var (
	jsonType = []string{"application/json;charset=UTF-8"}
	noStore  = []string{"no-store"}
)
