package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a fake server does in place of an answer.
const (
	hang  = "hang"  // it reads on and never says anything again
	early = "early" // it closes the connection
)

// fakeSMTP speaks the server's half of RFC 5321, STARTTLS (RFC 3207) and AUTH (RFC 4954). Its mood says how it answers a
// verb: "RCPT": "550 no such user". The greeting is the verb "", the line after a message ".".
type fakeSMTP struct {
	mood     map[string]string
	secret   *tls.Config // not nil: offers STARTTLS, and AUTH once encrypted; else AUTH at once
	implicit bool        // TLS from the first byte
	auth     string      // the mechanisms offered
	ext      []string    // further lines of the answer to EHLO
	user     string
	password string

	mu       sync.Mutex
	got      []received
	lines    []string // every command of every conversation
	plain    []string // those that came unencrypted
	sessions sync.WaitGroup
}

// received is one message that the server took.
type received struct {
	from, to, text string
	encrypted      bool
	user           string // who signed in
}

// listen serves on loopback until the test ends. Its end waits for every conversation without ending any: a client that
// leaves a connection open hangs the test.
func (f *fakeSMTP) listen(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f.sessions.Go(func() { f.serve(conn) })
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-accepting
		f.sessions.Wait()
	})
	return ln.Addr().String()
}

func (f *fakeSMTP) messages() []received {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func (f *fakeSMTP) commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lines)
}

// talk is one conversation.
type talk struct {
	f    *fakeSMTP
	conn net.Conn
	text *textproto.Conn
	now  received
}

func (f *fakeSMTP) serve(conn net.Conn) {
	t := &talk{f: f, conn: conn}
	defer func() { t.conn.Close() }()
	if f.implicit {
		t.conn = tls.Server(conn, f.secret)
		t.now.encrypted = true
	}
	t.text = textproto.NewConn(t.conn)
	if !t.answer("", "220 fake ESMTP") {
		return
	}
	for {
		line, err := t.text.ReadLine()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.lines = append(f.lines, line)
		if !t.now.encrypted {
			f.plain = append(f.plain, line)
		}
		f.mu.Unlock()
		verb, rest, _ := strings.Cut(line, " ")
		if !t.step(strings.ToUpper(verb), rest) {
			return
		}
	}
}

// answer says what the mood has for verb, else what is usual. False ends the conversation.
func (t *talk) answer(verb, usual string) bool {
	if other, ok := t.f.mood[verb]; ok {
		usual = other
	}
	switch usual {
	case hang:
		_, _ = io.Copy(io.Discard, t.text.R)
		return false
	case early:
		return false
	}
	return t.text.PrintfLine("%s", usual) == nil
}

func (t *talk) step(verb, rest string) bool {
	if _, moody := t.f.mood[verb]; moody {
		return t.answer(verb, "")
	}
	switch verb {
	case "EHLO":
		return t.answer(verb, t.greeting())
	case "HELO":
		return t.answer(verb, "250 fake")
	case "STARTTLS":
		if !t.answer(verb, "220 go ahead") {
			return false
		}
		t.conn = tls.Server(t.conn, t.f.secret)
		t.text, t.now = textproto.NewConn(t.conn), received{encrypted: true}
		return true
	case "AUTH":
		return t.authenticate(rest)
	case "MAIL":
		t.now.from = rest
		return t.answer(verb, "250 2.1.0 ok")
	case "RCPT":
		t.now.to = rest
		return t.answer(verb, "250 2.1.5 ok")
	case "DATA":
		return t.take()
	case "QUIT":
		t.answer(verb, "221 2.0.0 bye")
		return false
	}
	return t.answer(verb, "500 5.5.1 what?")
}

func (t *talk) greeting() string {
	lines := append([]string{"fake"}, t.f.ext...)
	if t.f.secret != nil && !t.now.encrypted {
		lines = append(lines, "STARTTLS")
	} else if t.f.auth != "" {
		lines = append(lines, "AUTH "+t.f.auth)
	}
	out := ""
	for _, l := range lines[:len(lines)-1] {
		out += "250-" + l + "\r\n"
	}
	return out + "250 " + lines[len(lines)-1]
}

func (t *talk) authenticate(rest string) bool {
	mechanism, first, _ := strings.Cut(rest, " ")
	user, password := "", ""
	switch mechanism {
	case "PLAIN":
		text, _ := base64.StdEncoding.DecodeString(first)
		if parts := strings.Split(string(text), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		for _, ask := range []struct {
			prompt string
			into   *string
		}{{"Username:", &user}, {"Password:", &password}} {
			if !t.answer("AUTH", "334 "+base64.StdEncoding.EncodeToString([]byte(ask.prompt))) {
				return false
			}
			line, err := t.text.ReadLine()
			if err != nil {
				return false
			}
			text, _ := base64.StdEncoding.DecodeString(line)
			*ask.into = string(text)
		}
	}
	if user != t.f.user || password != t.f.password {
		return t.answer("AUTH", "535 5.7.8 no: "+user+" with "+password)
	}
	t.now.user = user
	return t.answer("AUTH", "235 2.7.0 welcome")
}

func (t *talk) take() bool {
	if !t.answer("DATA", "354 go on") {
		return false
	}
	// Read with its line ends as they came; textproto's DotReader would hide a bare LF.
	text, err := readDots(t.text.R)
	if err != nil {
		return false
	}
	if _, moody := t.f.mood["."]; !moody {
		t.now.text = text
		t.f.mu.Lock()
		t.f.got = append(t.f.got, t.now)
		t.f.mu.Unlock()
	}
	return t.answer(".", "250 2.0.0 taken")
}

// readDots reads a message up to its last line and takes the dots off (RFC 5321 §4.5.2).
func readDots(r *bufio.Reader) (string, error) {
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return text.String(), nil
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
}

// certificate makes a certificate for name, and the pool that believes it.
func certificate(t *testing.T, name string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
