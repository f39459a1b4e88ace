package server

import (
	"errors"
	"html/template"
	"net"
	"net/url"
	"strings"
)

// formTarget gives back an address that an answer may be posted to: https, or http on loopback (RFC 8252 §7.3), and neither user
// nor fragment in it. Ask before rendering, to tell the person what is wrong; the page itself refuses any other.
func formTarget(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("server: answer target does not parse")
	}
	host := u.Hostname()
	loopback := host == "localhost" || net.ParseIP(host).IsLoopback()
	if host == "" || u.User != nil || strings.Contains(raw, "#") || u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return "", errors.New("server: answer target is neither https nor http on loopback")
	}
	return raw, nil
}

// link gives back an address that a page may link to, a path of this site or http(s), and "" for any other: no link is shown then.
func link(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || strings.Contains(raw, `\`) {
		return ""
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(raw, "/") || u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
		return raw
	}
	return ""
}

// attrs marks a field: the focus, whether it is at fault, and where that and its hint are told (WCAG 2.2 SC 3.3.1, 4.1.2).
func attrs(alert, field, value, hint string, focus bool) template.HTMLAttr {
	var out []string
	if focus {
		out = append(out, "autofocus")
	}
	if blames(alert, field, value) {
		out = append(out, `aria-invalid="true"`)
	}
	var told []string
	if alert != "" && (focus || blames(alert, field, value)) {
		told = append(told, "alert")
	}
	if hint != "" {
		told = append(told, hint)
	}
	if told != nil {
		out = append(out, `aria-describedby="`+strings.Join(told, " ")+`"`)
	}
	return template.HTMLAttr(strings.Join(out, " "))
}

// blames reports whether an alert is about a field. One that is about the sign-in as a whole blames none.
func blames(alert, field, value string) bool {
	switch alert {
	case "alert.credentials":
		return field == "username" || field == "password"
	case "alert.code", "alert.code_used", "alert.code_sms", "alert.code_sms_used":
		return field == "code"
	case "alert.recovery":
		return field == "recovery"
	case "alert.user_code":
		return field == "user_code"
	case "alert.number", "alert.number_country":
		return field == "phone"
	case "alert.short", "alert.long", "alert.not_text", "alert.classes", "alert.context", "alert.listed", "alert.used", "alert.password":
		return field == "password"
	case "alert.current":
		return field == "current"
	case "alert.mismatch":
		return field == "repeat"
	case "alert.username_taken", "alert.username_bad":
		return field == "username"
	case "alert.email_bad":
		return field == "email"
	case "alert.name_bad":
		return field == "name"
	case "alert.missing":
		return value == ""
	default:
		return false
	}
}
