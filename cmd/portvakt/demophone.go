package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
)

// phone plays everybody's phone in the demo: it shows their text messages and mail, and the codes of the soft tokens that were put on
// it, by typing the key as one would into any authenticator app. It knows nothing of the service's own secrets.
type phone struct {
	pages    *demoPages
	messages *inbox
	now      func() time.Time
	path     string // of the file that keeps the tokens

	mu     sync.Mutex
	tokens []phoneToken
}

type phoneToken struct {
	account string
	totp    factor.TOTP
}

// keptToken is a token in the file, which its owner alone may read.
type keptToken struct {
	Account string `json:"account"`
	Key     string `json:"key"` // as an otpauth address
}

// newPhone has the tokens that were kept in dir.
func newPhone(dir string, now func() time.Time) (*phone, error) {
	p := &phone{now: now, path: filepath.Join(dir, "phone.json")}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	var kept []keptToken
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	for _, k := range kept {
		t, err := factor.ParseTOTP(k.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p.path, k.Account, err)
		}
		p.tokens = append(p.tokens, phoneToken{k.Account, t})
	}
	return p, nil
}

// has reports whether there is a token of the account.
func (p *phone) has(account string) bool {
	return slices.ContainsFunc(p.tokens, func(t phoneToken) bool { return t.account == account })
}

// token gives the newest one of an account, and makes it if there is none.
func (p *phone) token(account string) (factor.TOTP, error) {
	for _, t := range slices.Backward(p.tokens) {
		if t.account == account {
			return t.totp, nil
		}
	}
	t := factor.NewTOTP()
	return t, p.add(account, t)
}

// add puts a token on the phone. One that is on it already is not added again.
func (p *phone) add(account string, t factor.TOTP) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.tokens, func(o phoneToken) bool { return bytes.Equal(o.totp.Secret, t.Secret) }) {
		return nil
	}
	if account == "" {
		account = fmt.Sprintf("Account %d", len(p.tokens)+1)
	}
	p.tokens = append(p.tokens, phoneToken{account, t})
	return p.keep()
}

// keep writes the file anew, whole or not at all.
func (p *phone) keep() error {
	kept := make([]keptToken, len(p.tokens))
	for i, t := range p.tokens {
		kept[i] = keptToken{t.account, t.totp.URI("Exempelbolaget", t.account)}
	}
	text, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(p.path+".new", p.path)
}

// phonePage is what the phone shows, and how long its codes last.
type phonePage struct {
	Codes      []phoneCode // the newest account first
	Left       int         // seconds, rounded up
	LeftMillis int64
	Messages   []message
	Alert      string
}

type phoneCode struct{ Account, Code, Plain string }

func (p *phone) page(now time.Time) phonePage {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := 30_000 - now.UnixMilli()%30_000
	out := phonePage{Left: int((left + 999) / 1000), LeftMillis: left}
	for _, t := range slices.Backward(p.tokens) {
		code := t.totp.Code(now)
		out.Codes = append(out.Codes, phoneCode{t.account, code[:len(code)/2] + " " + code[len(code)/2:], code})
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
	if err := p.add(account, t); err != nil {
		return "The key cannot be kept: " + err.Error()
	}
	return ""
}

func (p *phone) show(w http.ResponseWriter, _ *http.Request) { p.render(w, "") }

// render shows the phone as it is now.
func (p *phone) render(w http.ResponseWriter, alert string) {
	page := p.page(p.now())
	var err error
	if page.Messages, err = p.messages.newest(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	page.Alert = alert
	p.pages.render(w, http.StatusOK, "phone", page)
}

func (p *phone) take(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if alert := p.scan(r.PostFormValue("key")); alert != "" {
		p.render(w, alert)
		return
	}
	http.Redirect(w, r, "/phone", http.StatusSeeOther)
}
