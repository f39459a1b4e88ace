package mail

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// parting is how long a server may take to answer QUIT; what it has taken by then is taken.
const parting = time.Second

// relay is the SMTP server that takes our mail, and how to reach it.
type relay struct {
	host, addr string                         // addr is host:port
	implicit   bool                           // TLS from the first byte
	plain      bool                           // loopback: nobody listens in, and a local server's certificate names another host
	login      func() (user, password string) // nil: nobody signs in; a function, so that no print of a relay shows it
	from       netmail.Address                // its domain names us in Message-ID
	roots      *x509.CertPool                 // nil: the system's
	dial       func(ctx context.Context, network, addr string) (net.Conn, error)
}

// newRelay reads smtp://… and smtps://…. Its errors never show the address: where a password has a slash or an @ in it,
// no part of what was parsed is known not to be the password.
func newRelay(wire string, from netmail.Address) (*relay, error) {
	u, err := url.Parse(wire)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("mail is not an address like smtp://user:pass@host:port; in user and pass, write special characters as %XX")
	}
	r := &relay{host: u.Hostname(), implicit: u.Scheme == "smtps", from: from, dial: new(net.Dialer).DialContext}
	r.plain = !r.implicit && loopback(r.host)
	port := u.Port()
	switch {
	case port == "" && r.implicit:
		port = "465" // RFC 8314 §7.3
	case port == "":
		port = "587" // RFC 6409 §3.1
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("mail: the port is not a number from 1 to 65535")
	}
	r.addr = net.JoinHostPort(r.host, port)
	if u.User != nil {
		user := u.User.Username()
		password, _ := u.User.Password()
		if user == "" || password == "" || control(user+password) {
			return nil, errors.New("mail: give both user and password, as in smtp://user:pass@host:port, or neither")
		}
		r.login = func() (string, string) { return user, password }
	}
	if from.Address == "" {
		return nil, errors.New("mail-from is empty; give the sender's address, like portvakt@example.se")
	}
	return r, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// deliver holds one conversation (RFC 5321 §3). It owns the connection: whatever ends it, the connection is closed, and
// when ctx ends, so does a read or write under way.
func (r *relay) deliver(ctx context.Context, m Message, at time.Time) error {
	text, err := r.compose(m, at)
	if err != nil {
		return fmt.Errorf("mail: compose: %w", err)
	}
	raw, err := r.dial(ctx, "tcp", r.addr)
	if err != nil {
		return r.fault(ctx, "connect", err)
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()

	c, err := r.greet(ctx, raw)
	if err != nil {
		return err
	}
	defer func() {
		if raw.SetDeadline(time.Now().Add(parting)) == nil {
			_ = c.Quit()
		}
	}()
	if err := r.signIn(c); err != nil {
		return r.fault(ctx, "sign in", err)
	}
	return r.hand(ctx, c, m.To, text)
}

// greet brings the conversation to where secrets may be said: encrypted, or on loopback.
func (r *relay) greet(ctx context.Context, raw net.Conn) (*smtp.Client, error) {
	conn, secret := raw, &tls.Config{ServerName: r.host, RootCAs: r.roots, MinVersion: tls.VersionTLS12}
	if r.implicit {
		encrypted := tls.Client(raw, secret)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, r.fault(ctx, "TLS", err)
		}
		conn = encrypted
	}
	c, err := smtp.NewClient(conn, r.host)
	if err != nil {
		return nil, r.fault(ctx, "greeting", err)
	}
	if err := c.Hello(r.name()); err != nil {
		return nil, r.fault(ctx, "EHLO", err)
	}
	if r.implicit || r.plain {
		return c, nil
	}
	if offered, _ := c.Extension("STARTTLS"); !offered {
		return nil, fmt.Errorf("mail: %s offers no STARTTLS, and without it nothing is sent; try smtps:// or another port", r.addr)
	}
	if err := c.StartTLS(secret); err != nil {
		return nil, r.fault(ctx, "STARTTLS", err)
	}
	return c, nil
}

// name is what we call ourselves (RFC 5321 §4.1.4): this machine's full name, or the sender's domain where it has none.
func (r *relay) name() string {
	if host, err := os.Hostname(); err == nil && strings.Contains(host, ".") {
		return host
	}
	return r.domain()
}

func (r *relay) domain() string { return r.from.Address[strings.LastIndexByte(r.from.Address, '@')+1:] }

// signIn takes the first mechanism of the server's that we know. Each is safe here: the line is encrypted or local.
func (r *relay) signIn(c *smtp.Client) error {
	if r.login == nil {
		return nil
	}
	user, password := r.login()
	_, offered := c.Extension("AUTH")
	for mechanism := range strings.FieldsSeq(strings.ToUpper(offered)) {
		switch mechanism {
		case "PLAIN":
			return c.Auth(smtp.PlainAuth("", user, password, r.host, true))
		case "LOGIN":
			return c.Auth(smtp.LoginAuth(user, password, r.host, true))
		case "SCRAM-SHA-256":
			return c.Auth(smtp.ScramSHA256Auth(user, password))
		}
	}
	return errNoMechanism
}

var errNoMechanism = errors.New("the server offers none of PLAIN, LOGIN and SCRAM-SHA-256")

// hand gives the message over (RFC 5321 §3.3). It has one recipient, so what the server says of it after its last line it
// says of that recipient; several servers know their people only then.
func (r *relay) hand(ctx context.Context, c *smtp.Client, to string, text []byte) error {
	c.SkipSMTPUTF8(ascii(to)) // RFC 6531 §3.4: asked for where it is needed alone
	if able, _ := c.Extension("SMTPUTF8"); !able && !ascii(to) {
		return fmt.Errorf("mail: %s: recipient: outside ASCII, which the server cannot write to: %w", r.addr, ErrRefused)
	}
	if err := c.Mail((&netmail.Address{Address: r.from.Address}).String()); err != nil {
		return r.fault(ctx, "sender", err)
	}
	if err := c.Rcpt("<" + to + ">"); err != nil {
		return r.fault(ctx, "recipient", final(err))
	}
	w, err := c.Data()
	if err != nil {
		return r.fault(ctx, "data", err)
	}
	if _, err := w.Write(text); err != nil {
		return r.fault(ctx, "message", err)
	}
	if err := w.Close(); err != nil {
		return r.fault(ctx, "message", final(err))
	}
	return nil
}

// compose writes the message (RFC 5322) with its body quoted-printable (RFC 2045 §6.7).
func (r *relay) compose(m Message, at time.Time) ([]byte, error) {
	msg := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&r.from)
	if err := msg.To(m.To); err != nil {
		return nil, err
	}
	msg.Subject(m.Subject)
	msg.SetDateWithValue(at)
	msg.SetMessageIDWithValue(strings.ToLower(rand.Text()) + "@" + r.domain())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: no machine shall answer
	msg.SetBodyString(gomail.TypeTextPlain, m.Body)
	var out bytes.Buffer
	_, err := msg.WriteTo(&out)
	return out.Bytes(), err
}

// fault tells at which step it ended. Of an answer it keeps the code, 550 5.1.1, and never the words: these often repeat
// the address, and may repeat anything else that was said.
func (r *relay) fault(ctx context.Context, step string, err error) error {
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch reply, answered := errors.AsType[*textproto.Error](err); {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, ErrRefused):
	case answered:
		err = errors.New(code(reply))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the server closed the connection")
	case errors.Is(err, errNoMechanism) || errors.As(err, &certificate) || errors.As(err, &network):
	default:
		err = errors.New("the server's answer makes no sense")
	}
	return fmt.Errorf("mail: %s: %s: %w", r.addr, step, err)
}

// final turns an answer for good (RFC 5321 §4.2.1: 5yz) into ErrRefused. 530 is about us, who did not sign in (RFC 4954 §6).
func final(err error) error {
	reply, ok := errors.AsType[*textproto.Error](err)
	if !ok || reply.Code < 500 || reply.Code > 599 || reply.Code == 530 {
		return err
	}
	return fmt.Errorf("%s: %w", code(reply), ErrRefused)
}

// code gives an answer's code and, if it has one, its enhanced code (RFC 3463 §2).
func code(reply *textproto.Error) string {
	out := strconv.Itoa(reply.Code)
	first, _, _ := strings.Cut(reply.Msg, " ")
	if len(first) <= 9 && strings.Count(first, ".") == 2 && strings.Trim(first, "0123456789.") == "" {
		out += " " + first
	}
	return out
}
