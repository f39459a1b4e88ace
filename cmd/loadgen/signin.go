package main

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 6238 soft tokens
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// signIn gives password and code at -base as a person would, through the forms, and prints the cookies of the session
// for -cookie. -form has username and password, -totp the soft token's secret.
func (g *generator) signIn() error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	client := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	resp, err := client.Get(g.base + "/account")
	if err != nil {
		return err
	}
	given, err := url.ParseQuery(g.form)
	if err != nil {
		return err
	}
	for range 5 {
		page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil {
			return err
		}
		form := formRe.FindSubmatch(page)
		if form == nil || !strings.Contains(resp.Request.URL.Path, "/login/") {
			break
		}
		fields := url.Values{}
		for _, in := range inputRe.FindAllSubmatch(form[2], -1) {
			a := attrs(string(in[1]))
			if name := a["name"]; name == "code" {
				fields.Set(name, soft(g.totp, time.Now()))
			} else if name != "" {
				fields.Set(name, a["value"])
			}
			if given.Has(a["name"]) {
				fields.Set(a["name"], given.Get(a["name"]))
			}
		}
		if resp, err = client.PostForm(resp.Request.URL.String(), fields); err != nil {
			return err
		}
	}
	if resp.StatusCode != http.StatusOK || strings.Contains(resp.Request.URL.Path, "/login/") {
		return fmt.Errorf("not signed in: %s at %s", resp.Status, resp.Request.URL)
	}
	return printCookies(jar, g.base)
}

func printCookies(jar http.CookieJar, base string) error {
	u, err := url.Parse(base)
	if err != nil {
		return err
	}
	var pairs []string
	for _, c := range jar.Cookies(u) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	if len(pairs) == 0 {
		return errors.New("the service set no cookie")
	}
	_, err = fmt.Println(strings.Join(pairs, "; "))
	return err
}

// soft is the code of a soft token: SHA-1, six digits, 30 seconds (RFC 6238 §4).
func soft(secret string, now time.Time) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return ""
	}
	m := hmac.New(sha1.New, key)
	var step [8]byte
	binary.BigEndian.PutUint64(step[:], uint64(now.Unix()/30))
	m.Write(step[:])
	sum := m.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1000000)
}
