package servertest

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
)

// Browser keeps cookies and fills in forms; it follows no redirect by itself.
type Browser struct {
	t      testing.TB
	Client *http.Client
	Base   string
	Now    func() time.Time
	Header http.Header // sent with every request
}

// NewBrowser gives a fresh browser for the service at base.
func NewBrowser(t testing.TB, base string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t: t, Base: base, Now: time.Now, Header: http.Header{}, Client: &http.Client{Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Browser gives a fresh browser for the site.
func (s *Site) Browser(t testing.TB) *Browser {
	b := NewBrowser(t, s.URL)
	b.Now = s.Clock
	return b
}

// Page is an answer with its body read.
type Page struct {
	Status   int
	Header   http.Header
	Body     string
	URL      *url.URL
	Location string // absolute
}

// Do sends a request and reads the answer.
func (b *Browser) Do(r *http.Request) *Page {
	b.t.Helper()
	for k, v := range b.Header {
		r.Header[k] = v
	}
	resp, err := b.Client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &Page{Status: resp.StatusCode, Header: resp.Header, Body: string(body), URL: resp.Request.URL}
	if l := resp.Header.Get("Location"); l != "" {
		u, err := r.URL.Parse(l)
		if err != nil {
			b.t.Fatal(err)
		}
		p.Location = u.String()
	}
	return p
}

// Get fetches a path or address.
func (b *Browser) Get(address string) *Page {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.absolute(address), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Do(r)
}

// Post sends a form.
func (b *Browser) Post(address string, form url.Values) *Page {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.absolute(address), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.Do(r)
}

func (b *Browser) absolute(address string) string {
	if strings.HasPrefix(address, "/") {
		return b.Base + address
	}
	return address
}

// Follow follows redirects within the service and gives the first page that is none of them, or the redirect that
// leaves it.
func (b *Browser) Follow(p *Page) *Page {
	b.t.Helper()
	for range 10 {
		if p.Location == "" || !strings.HasPrefix(p.Location, b.Base+"/") {
			return p
		}
		p = b.Get(p.Location)
	}
	b.t.Fatal("ten redirects in a row")
	return nil
}

var (
	formPattern    = regexp.MustCompile(`(?s)<form\b[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	inputPattern   = regexp.MustCompile(`<input\b[^>]*>`)
	namePattern    = regexp.MustCompile(`\bname="([^"]*)"`)
	valuePattern   = regexp.MustCompile(`\bvalue="([^"]*)"`)
	alertPattern   = regexp.MustCompile(`(?s)role="alert"[^>]*>(.*?)<`)
	keyPattern     = regexp.MustCompile(`(?s)id="totp-key"[^>]*>(.*?)</code>|(?s)id="totp-key"[^>]*>(.*?)</`)
	optionsPattern = regexp.MustCompile(`data-options="([^"]*)"`)
	tagPattern     = regexp.MustCompile(`<[^>]*>`)
)

// Form gives the action and the fields of the page's first form, as they stand.
func (p *Page) Form(t testing.TB) (action string, fields url.Values) { return p.FormWith(t, "") }

// FormWith is Form for the first form in whose markup a text stands.
func (p *Page) FormWith(t testing.TB, text string) (action string, fields url.Values) {
	t.Helper()
	for _, m := range formPattern.FindAllStringSubmatch(p.Body, -1) {
		if !strings.Contains(m[0], text) {
			continue
		}
		fields = url.Values{}
		for _, in := range inputPattern.FindAllString(m[2], -1) {
			name := namePattern.FindStringSubmatch(in)
			if name == nil || strings.Contains(in, `type="checkbox"`) && !strings.Contains(in, " checked") {
				continue
			}
			value := ""
			if v := valuePattern.FindStringSubmatch(in); v != nil {
				value = html.UnescapeString(v[1])
			}
			fields.Set(html.UnescapeString(name[1]), value)
		}
		return html.UnescapeString(m[1]), fields
	}
	t.Fatalf("no form with %q on %s (%d):\n%s", text, p.URL, p.Status, p.Body)
	return "", nil
}

// Press presses the button with this name and value, with some fields of its form filled in.
func (b *Browser) Press(p *Page, name, value string, pairs ...string) *Page {
	b.t.Helper()
	return b.FillWith(p, `name="`+name+`" value="`+value+`"`, append(pairs, name, value)...)
}

// FillWith is Fill for the first form in whose markup a text stands.
func (b *Browser) FillWith(p *Page, text string, pairs ...string) *Page {
	b.t.Helper()
	action, fields := p.FormWith(b.t, text)
	for i := 0; i < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	return b.Post(action, fields)
}

// Passkey answers the passkey form of the page with an authenticator: its Get or Create.
func (b *Browser) Passkey(p *Page, answer func(options []byte) ([]byte, error), pairs ...string) *Page {
	b.t.Helper()
	m := optionsPattern.FindStringSubmatch(p.Body)
	if m == nil {
		b.t.Fatalf("no options for a passkey on %s (%d):\n%s", p.URL, p.Status, p.Body)
	}
	response, err := answer([]byte(html.UnescapeString(m[1])))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.FillWith(p, `name="passkey"`, append(pairs, "passkey", string(response))...)
}

// Alert is the text of the page's alert, or "".
func (p *Page) Alert() string {
	m := alertPattern.FindStringSubmatch(p.Body)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(html.UnescapeString(m[1]))
}

// Fill sends the page's first form with some fields filled in.
func (b *Browser) Fill(p *Page, pairs ...string) *Page {
	b.t.Helper()
	return b.FillWith(p, "", pairs...)
}

// SignIn goes through the pages that p leads to: password, then the code of the soft token behind totp, or, if totp is
// empty and the page asks for it, an enrolment. It gives the first answer after that.
func (b *Browser) SignIn(p *Page, username, password, totp string) *Page {
	b.t.Helper()
	p = b.Follow(p)
	p = b.Follow(b.Fill(p, "username", username, "password", password))
	if !strings.Contains(p.Body, `name="code"`) {
		return p
	}
	if totp == "" {
		totp = "otpauth://totp/x?secret=" + p.Key(b.t)
	}
	return b.Fill(p, "code", Code(b.t, totp, b.Now()))
}

// Key is the typed key of an enrolment page.
func (p *Page) Key(t testing.TB) string {
	t.Helper()
	m := keyPattern.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("no key on the page:\n%s", p.Body)
	}
	return strings.Join(strings.Fields(tagPattern.ReplaceAllString(m[1]+m[2], "")), "")
}

// Code is the present code of a soft token.
func Code(t testing.TB, uri string, now time.Time) string {
	t.Helper()
	token, err := factor.ParseTOTP(uri)
	if err != nil {
		t.Fatal(err)
	}
	return token.Code(now)
}

// Cookie is the value of the browser's cookie, or "".
func (b *Browser) Cookie(name string) string {
	for _, c := range b.Client.Jar.Cookies(b.base()) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// SetCookie gives the browser a cookie, as somebody might who had it before.
func (b *Browser) SetCookie(name, value string) {
	b.Client.Jar.SetCookies(b.base(), []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func (b *Browser) base() *url.URL {
	b.t.Helper()
	u, err := url.Parse(b.Base)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// Forget drops a cookie of the service.
func (b *Browser) Forget(name string) {
	b.Client.Jar.SetCookies(b.base(), []*http.Cookie{{Name: name, Path: "/", MaxAge: -1}})
}
