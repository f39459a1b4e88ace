package main

import (
	"strconv"
	"strings"
	"time"
)

// jar holds cookies by host (without port), then name. Paths, domains and flags are not looked at: every host here is
// this machine.
type jar map[string]map[string]string

// header writes the Cookie value for a host; first stands before the jar's own pairs.
func (j jar) header(host, first string) string {
	var sb strings.Builder
	sb.WriteString(first)
	for k, v := range j[host] {
		if sb.Len() > 0 {
			sb.WriteString("; ")
		}
		sb.WriteString(k)
		sb.WriteByte('=')
		sb.WriteString(v)
	}
	return sb.String()
}

// store reads one Set-Cookie value; an empty or expired cookie is removed (RFC 6265 §5.3).
func (j jar) store(host, value string, now time.Time) {
	pair, attributes, _ := strings.Cut(value, ";")
	k, v, ok := strings.Cut(strings.TrimSpace(pair), "=")
	if !ok {
		return
	}
	gone := v == ""
	for p := range strings.SplitSeq(attributes, ";") {
		a, b, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch strings.ToLower(a) {
		case "max-age":
			if x, err := strconv.Atoi(b); err == nil && x <= 0 {
				gone = true
			}
		case "expires":
			for _, f := range []string{time.RFC1123, "Mon, 02-Jan-2006 15:04:05 MST"} {
				if t, err := time.Parse(f, b); err == nil && t.Before(now) {
					gone = true
				}
			}
		}
	}
	if gone {
		delete(j[host], k)
		return
	}
	if j[host] == nil {
		j[host] = map[string]string{}
	}
	j[host][k] = v
}
