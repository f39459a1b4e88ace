package main

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/portvakt/portvakt/internal/factor"
)

// phone plays everybody's phone in the demo: it shows the codes of the soft tokens that were put on it, by typing the
// key as one would into any authenticator app. It knows nothing of the service's own secrets.
type phone struct {
	mu     sync.Mutex
	tokens []phoneToken
}

type phoneToken struct {
	account string
	totp    factor.TOTP
}

func (p *phone) add(account string, t factor.TOTP) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = append(p.tokens, phoneToken{account, t})
}

// phonePage is what the phone shows. Left is how many seconds the codes last; the page comes again after that.
type phonePage struct {
	Codes []phoneCode
	Left  int
	Alert string
}

type phoneCode struct{ Account, Code string }

func (p *phone) page(now time.Time, alert string) phonePage {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := phonePage{Left: 30 - int(now.Unix()%30), Alert: alert}
	for i := len(p.tokens) - 1; i >= 0; i-- { // the newest first
		code := p.tokens[i].totp.Code(now)
		out.Codes = append(out.Codes, phoneCode{p.tokens[i].account, code[:3] + " " + code[3:]})
	}
	return out
}

// scan puts a token on the phone: an otpauth address, or a key as it is typed.
func (p *phone) scan(account, key string) string {
	key = strings.TrimSpace(key)
	if !strings.HasPrefix(key, "otpauth://") {
		key = "otpauth://totp/x?secret=" + strings.ReplaceAll(strings.ReplaceAll(key, " ", ""), "-", "")
	}
	t, err := factor.ParseTOTP(key)
	if err != nil {
		return "That is not a key. Copy it from the page that asks you to set up the app."
	}
	if account = strings.TrimSpace(account); account == "" {
		account = "new"
	}
	p.add(account, t)
	return ""
}

// ServeHTTP shows the codes, and takes a key.
func (p *phone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	alert := ""
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		if alert = p.scan(r.PostFormValue("account"), r.PostFormValue("key")); alert == "" {
			http.Redirect(w, r, "/phone", http.StatusSeeOther)
			return
		}
	}
	demoRender(w, "phone", p.page(time.Now(), alert))
}
