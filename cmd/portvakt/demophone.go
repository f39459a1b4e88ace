package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
)

// phone plays everybody's phone in the demo: it shows the codes of the soft tokens that were put on it, by typing the
// key as one would into any authenticator app. It knows nothing of the service's own secrets.
type phone struct {
	pages  *demoPages
	mu     sync.Mutex
	tokens []phoneToken
}

type phoneToken struct {
	account string
	totp    factor.TOTP
}

// add puts a token on the phone. One that is on it already is not added again.
func (p *phone) add(account string, t factor.TOTP) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.tokens, func(o phoneToken) bool { return bytes.Equal(o.totp.Secret, t.Secret) }) {
		return
	}
	if account == "" {
		account = fmt.Sprintf("Account %d", len(p.tokens)+1)
	}
	p.tokens = append(p.tokens, phoneToken{account, t})
}

// phonePage is what the phone shows, and how long its codes last.
type phonePage struct {
	Codes      []phoneCode // the newest account first
	Left       int         // seconds, rounded up
	LeftMillis int64
	Alert      string
}

type phoneCode struct{ Account, Code string }

func (p *phone) page(now time.Time, alert string) phonePage {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 30_000 - now.UnixMilli()%30_000
	out := phonePage{Left: int((left + 999) / 1000), LeftMillis: left, Alert: alert}
	for _, t := range slices.Backward(p.tokens) {
		code := t.totp.Code(now)
		out.Codes = append(out.Codes, phoneCode{t.account, code[:len(code)/2] + " " + code[len(code)/2:]})
	}
	return out
}

// scan puts a token on the phone: an otpauth address, which names its account, or a key as it is typed.
func (p *phone) scan(key string) (alert string) {
	key = strings.Join(strings.Fields(key), "")
	account := ""
	if u, err := url.Parse(key); err == nil && u.Scheme == "otpauth" {
		_, account, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
	} else {
		key = "otpauth://totp/x?secret=" + url.QueryEscape(strings.ReplaceAll(key, "-", ""))
	}
	t, err := factor.ParseTOTP(key)
	if err != nil {
		return "That is not a key. Copy it from the page that asks you to set up the app."
	}
	p.add(account, t)
	return ""
}

func (p *phone) show(w http.ResponseWriter, _ *http.Request) {
	p.pages.render(w, http.StatusOK, "phone", p.page(time.Now(), ""))
}

func (p *phone) take(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if alert := p.scan(r.PostFormValue("key")); alert != "" {
		p.pages.render(w, http.StatusOK, "phone", p.page(time.Now(), alert))
		return
	}
	http.Redirect(w, r, "/phone", http.StatusSeeOther)
}
