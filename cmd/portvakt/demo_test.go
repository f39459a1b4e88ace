package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/factor"
)

// TestPhoneKept: what is on the phone is there again after the demo was stopped, for nobody else to read.
func TestPhoneKept(t *testing.T) {
	dir := t.TempDir()
	p, err := newPhone(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	bertil, err := p.token("bertil")
	if err != nil {
		t.Fatal(err)
	}
	typed := factor.NewTOTP()
	if alert := p.scan(typed.Key()); alert != "" {
		t.Fatal(alert)
	}
	if alert := p.scan("not a key!"); alert == "" {
		t.Error("what is no key was taken for one")
	}
	info, err := os.Stat(p.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	again, err := newPhone(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if got := again.page(now).Codes; len(got) != 2 || got[1].Account != "bertil" || got[1].Plain != bertil.Code(now) || got[0].Plain != typed.Code(now) {
		t.Errorf("the phone shows %v", got)
	}
	if err := os.WriteFile(p.path, []byte(`[{"account":"bertil","key":"no key"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newPhone(dir, time.Now); err == nil || !strings.Contains(err.Error(), p.path) {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestSampleAgain: a person who has changed their soft token keeps the new one when the demo starts again with the same data.
func TestSampleAgain(t *testing.T) {
	dir := t.TempDir()
	s := &settings{Issuer: "http://localhost:8080", Organisation: "Exempelbolaget", LogFormat: "json",
		Database: "sqlite:" + filepath.Join(dir, "portvakt.db"), Keys: filepath.Join(dir, "keys")}
	v, err := open(t.Context(), s, wiring{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	begin := func() string {
		p, err := newPhone(dir, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.sample(t.Context(), "http://localhost:8081", p); err != nil {
			t.Fatal(err)
		}
		bertil, _, err := v.admin.User(t.Context(), "bertil")
		if err != nil {
			t.Fatal(err)
		}
		return bertil.TOTP
	}
	first := begin()
	if again := begin(); first == "" || again != first {
		t.Errorf("the soft token changed from %q to %q", first, again)
	}
	file := &admin.File{Users: samplePeople()[1:2]}
	file.Users[0].Groups, file.Users[0].TOTP = []string{"staff"}, factor.NewTOTP().URI("Exempelbolaget", "bertil")
	if _, err := v.admin.Apply(t.Context(), cli, file, false); err != nil {
		t.Fatal(err)
	}
	if again := begin(); again != file.Users[0].TOTP {
		t.Errorf("a new soft token was put back to %q", again)
	}
}

// TestInbox: the phone shows the newest 20 of both files, and the terminal tells what comes.
func TestInbox(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 22, 14, 3, 0, 0, time.Local)
	write := func(name, format string, args ...any) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintf(f, format, args...)
	}
	text := func(body string, after time.Duration) {
		write("sms.jsonl", `{"to":"+46701740607","body":%q,"at":%q}`+"\n", body, at.Add(after).Format(time.RFC3339))
	}
	for i := range 19 {
		text(fmt.Sprintf("earlier %d", i), 0)
	}
	b, err := newInbox(dir, samplePeople())
	if err != nil {
		t.Fatal(err)
	}
	out := &transcript{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go b.follow(ctx, out)
	write("mail.jsonl", `{"to":"anna@example.se","subject":"Something`)
	text("Intranet: 123456 is your code, mark AB, 14:04. Do not give it to anybody.\n\n@localhost #123456", time.Minute)
	write("mail.jsonl", ` new","body":"Hello\n","at":%q}`+"\n", at.Add(time.Minute+time.Second).Format(time.RFC3339Nano))
	limit := time.After(patience)
	for {
		said, more := out.so()
		if strings.Count(said, "\n") == 2 {
			if !strings.Contains(said, "  14:04  +46701740607  Intranet: 123456 is your code, mark AB, 14:04. Do not") ||
				!strings.Contains(said, "  14:04  anna@example.se  Something new\n") {
				t.Errorf("the terminal says\n%s", said)
			}
			break
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("the terminal says\n%s", said)
		}
	}
	all, err := b.newest()
	if err != nil || len(all) != 20 || all[0].Subject != "Something new" || all[1].Code() != "123456" || all[1].Who != "cecilia" || all[2].Body != "earlier 18" {
		t.Errorf("%d messages: %+v (%v)", len(all), all[:3], err)
	}
}
