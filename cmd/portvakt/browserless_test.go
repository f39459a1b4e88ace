package main

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
)

// visitor is a browser without the browser: it keeps cookies, follows redirects within the service and fills in forms by
// the meaning of their fields (contract §3).
type visitor struct {
	client *http.Client
	base   *url.URL
	at     *url.URL // of the page
	status int
	page   string
}

func newVisitor(base string) (*visitor, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{base: u, at: u}
	v.client = &http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		v.at = r.URL
		if r.URL.Host != u.Host {
			return http.ErrUseLastResponse // an application's address: that is where the visit ends
		}
		return nil
	}}
	return v, nil
}

func (v *visitor) do(r *http.Request) error {
	v.at = r.URL
	resp, err := v.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	v.status, v.page = resp.StatusCode, string(body)
	return err
}

// open visits a path of the service.
func (v *visitor) open(path string) error {
	r, err := http.NewRequest(http.MethodGet, v.base.String()+path, nil)
	if err != nil {
		return err
	}
	return v.do(r)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input([^>]*)>`)
	alertTag = regexp.MustCompile(`(?s)role="alert"[^>]*>(.*?)<`)
)

// attribute reads one of a tag; "" if it has none.
func attribute(tag, name string) string {
	m := regexp.MustCompile(`(?:^|\s)` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// fill sends the first form that has every field of values, named by its autocomplete word. Hidden fields go along.
func (v *visitor) fill(values map[string]string) error {
	for _, form := range formTag.FindAllStringSubmatch(v.page, -1) {
		sent, left := url.Values{}, len(values)
		for _, input := range inputTag.FindAllStringSubmatch(form[2], -1) {
			name, value := attribute(input[1], "name"), attribute(input[1], "value")
			for _, word := range strings.Fields(attribute(input[1], "autocomplete")) {
				if given, ok := values[word]; ok {
					value = given
					left -= min(left, 1)
				}
			}
			sent.Set(name, value)
		}
		if left > 0 {
			continue
		}
		target, err := v.at.Parse(attribute(form[1], "action"))
		if err != nil {
			return err
		}
		r, err := http.NewRequest(http.MethodPost, target.String(), strings.NewReader(sent.Encode()))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return v.do(r)
	}
	return fmt.Errorf("no form at %s has the fields %v (status %d):\n%s", v.at, values, v.status, v.page)
}

// alert is what the page complains about.
func (v *visitor) alert() string {
	if m := alertTag.FindStringSubmatch(v.page); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// cookie gives the value of a cookie that the visitor holds.
func (v *visitor) cookie(name string) string {
	for _, c := range v.client.Jar.Cookies(v.base) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// prove answers the sign-in page at hand with password and, if uri is not empty, the soft token's code.
func (v *visitor) prove(username, password, uri string) error {
	if err := v.fill(map[string]string{"username": username, "current-password": password}); err != nil || uri == "" {
		return err
	}
	code, err := codeOf(uri, time.Now())
	if err != nil {
		return err
	}
	return v.fill(map[string]string{"one-time-code": code})
}

// codeOf gives what an authenticator app shows for a key.
func codeOf(uri string, now time.Time) (string, error) {
	t, err := factor.ParseTOTP(uri)
	if err != nil {
		return "", err
	}
	return t.Code(now), nil
}

// signIn begins at the person's own page, and fails unless it is shown in the end.
func (v *visitor) signIn(username, password, uri string) error {
	if err := v.open("/account"); err != nil {
		return err
	}
	if err := v.prove(username, password, uri); err != nil {
		return err
	}
	if !v.signedIn() {
		return errors.New("not signed in: " + v.alert())
	}
	return nil
}

// signedIn reports whether the page at hand is the person's own.
func (v *visitor) signedIn() bool { return v.status == http.StatusOK && v.at.Path == "/account" }
