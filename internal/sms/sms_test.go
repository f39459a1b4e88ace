package sms

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestOpen(t *testing.T) {
	good := func(change func(*Config)) Config {
		c := Config{Wire: "twilio", AccountSID: testSID, AuthToken: testToken, From: "+46700000001"}
		change(&c)
		return c
	}
	credentials := "sms: twilio needs twilio-account-sid and twilio-auth-token"
	ways := "sms: twilio needs exactly one of twilio-from, twilio-messaging-service-sid, twilio-verify-service-sid"
	symbol := "holds something that is neither a letter nor a digit"
	base := "sms: twilio-base-url is not of the form https://host or https://host/path"
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""},
		{Config{Wire: "off"}, ""},
		{Config{Wire: "log"}, ""},
		{good(func(*Config) {}), ""},
		{good(func(c *Config) { c.From, c.MessagingServiceSID = "", "MG1" }), ""},
		{good(func(c *Config) { c.From, c.VerifyServiceSID = "", "VA1" }), ""},
		{good(func(c *Config) { c.BaseURL = "https://proxy.example/twilio" }), ""},
		{Config{Wire: "Twilio"}, `sms: "Twilio" is none of twilio, file:PATH, log, off`},
		{Config{Wire: "file:"}, "sms: file needs a path: file:PATH"},
		{Config{Wire: "file:/nowhere/at/all"}, "sms: open /nowhere/at/all: no such file or directory"},
		{good(func(c *Config) { c.AccountSID = "" }), credentials},
		{good(func(c *Config) { c.AuthToken = "" }), credentials},
		{good(func(c *Config) { c.From = "" }), ways},
		{good(func(c *Config) { c.VerifyServiceSID = "VA1" }), ways},
		{good(func(c *Config) { c.AuthToken += "\n" }), "sms: twilio-auth-token " + symbol},
		{good(func(c *Config) { c.AccountSID = "../x" }), "sms: twilio-account-sid " + symbol},
		{good(func(c *Config) { c.From, c.VerifyServiceSID = "", "VA/../1" }), "sms: twilio-verify-service-sid " + symbol},
		{good(func(c *Config) { c.BaseURL = "localhost:9" }), base},
		{good(func(c *Config) { c.BaseURL = "https://a:b@host" }), base},
		{good(func(c *Config) { c.BaseURL = "https://host?x" }), base},
	} {
		o, err := Open(tt.cfg)
		if got := errorText(err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.cfg, got, tt.want)
		}
		if err != nil {
			noSecret(t, err.Error())
			continue
		}
		if want := tt.cfg.Wire != "" && tt.cfg.Wire != "off"; o.On() != want {
			t.Errorf("%v: on %v", tt.cfg, o.On())
		}
		o.Close()
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOff(t *testing.T) {
	o := open(t, Config{})
	if err := o.Send(message(), func(error) { t.Error("told") }); !errors.Is(err, ErrOff) || o.On() || o.Stats() != (Stats{}) {
		t.Errorf("%v, on %v, %+v", err, o.On(), o.Stats())
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sms.jsonl")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 7200))
	o := open(t, Config{Wire: "file:" + path, Now: func() time.Time { return at }})
	const all = 50
	done := make(chan error, all)
	for i := range all {
		m := Message{To: testTo, Body: strconv.Itoa(i) + "\n<å>", Expires: at.Add(time.Minute)}
		if err := o.Send(m, func(err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range all {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for line := range strings.Lines(string(data)) {
		var got map[string]string
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(got) != 3 || got["to"] != testTo || got["body"] != strconv.Itoa(i)+"\n<å>" || got["at"] != "2026-07-01T10:00:00Z" {
			t.Errorf("line %d: %s", i, line)
		}
		i++
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || i != all {
		t.Errorf("%v, %v, %d lines", info.Mode(), err, i)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	m := message()
	m.Expires = at.Add(time.Minute)
	if _, err := sendAndWait(o, m); !errors.Is(err, ErrUnavailable) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is gone: %v", err)
	}
}

func TestLog(t *testing.T) {
	var out lockedBuffer
	cfg := at("", &out)
	cfg.Wire = "log"
	if _, err := sendAndWait(open(t, cfg), message()); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, testTo) || !strings.Contains(s, testCode) || strings.Contains(s, testToken) {
		t.Errorf("logged %s", s)
	}
}
