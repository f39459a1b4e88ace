package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/portvakt/portvakt/internal/account"
	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/apps"
	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/breach"
	"github.com/portvakt/portvakt/internal/factor"
	"github.com/portvakt/portvakt/internal/fetch"
	"github.com/portvakt/portvakt/internal/keyring"
	"github.com/portvakt/portvakt/internal/lockout"
	"github.com/portvakt/portvakt/internal/login"
	"github.com/portvakt/portvakt/internal/mail"
	"github.com/portvakt/portvakt/internal/mtls"
	"github.com/portvakt/portvakt/internal/notify"
	"github.com/portvakt/portvakt/internal/oidc"
	"github.com/portvakt/portvakt/internal/passwords"
	"github.com/portvakt/portvakt/internal/rotation"
	"github.com/portvakt/portvakt/internal/server"
	"github.com/portvakt/portvakt/internal/sms"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

// service is everything that the commands share, wired.
type service struct {
	settings  *settings
	db        *store.DB
	ring      *keyring.Ring
	hasher    *factor.Hasher
	passwords *passwords.Service
	breached  *breach.List // nil for none
	keys      *rotation.Service
	oidc      *oidc.Provider
	admin     *admin.Service
	notify    *notify.Service
	texts     *sms.Outbox
	log       *slog.Logger
}

// wiring says how open may go about it.
type wiring struct {
	migrate bool          // bring a Postgres schema up to date; SQLite always is
	serves  bool          // it will sign
	timeout time.Duration // of one change; commands take their time
	clock   func() time.Time
}

// cli is the origin of what the command line does.
var cli = audit.Origin{Actor: "cli"}

// open opens keys and database and refuses what does not belong together.
func open(ctx context.Context, s *settings, w wiring) (*service, error) {
	var issuers *mtls.Authorities // of clients' certificates
	if s.ClientCertificateCA != "" {
		var err error
		if issuers, err = mtls.Open(s.ClientCertificateCA); err != nil {
			return nil, fmt.Errorf("client-certificate-ca: %w", err)
		}
	}
	ring, err := keyring.Open(s.Keys)
	if errors.Is(err, keyring.ErrMissing) {
		ring, err = firstKeys(ctx, s, w)
	}
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, s.Database, store.Options{Sealer: ring, Now: w.clock, Timeout: w.timeout})
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, db, w, ring); err != nil {
		db.Close()
		return nil, err
	}
	v := &service{settings: s, db: db, ring: ring, hasher: factor.NewHasher(factor.Params{}, runtime.GOMAXPROCS(0)), log: newLog(s.LogFormat)}
	v.keys = rotation.New(rotation.Options{DB: db, Ring: ring, Every: time.Duration(s.KeyRotation), Log: v.log})
	if w.serves {
		if err := v.keys.Complete(ctx, cli); err != nil { // the keys that are there go on
			v.log.Warn("keys of an older version lack an algorithm, which cannot be made", "has", ring.Algorithms(), "error", err)
		}
	}
	v.oidc = oidc.New(oidc.Options{DB: db, Ring: ring, Issuer: s.Issuer, Fetch: fetch.New(fetch.Options{}), Log: v.log, Authorities: issuers})
	if err := v.messengers(w.clock); err != nil {
		db.Close()
		return nil, err
	}
	if s.PasswordBlocklist != "" {
		if v.breached, err = breach.Open(s.PasswordBlocklist); err != nil {
			v.close()
			return nil, fmt.Errorf("password-blocklist: %w", err)
		}
	}
	v.passwords = passwords.New(passwords.Options{DB: db, Hasher: v.hasher, Organisation: s.Organisation, Breached: v.breached})
	v.admin = admin.New(db, v.hasher, v.passwords, v.oidc.SecretMAC)
	return v, nil
}

// messengers opens what text messages and mail go out by.
func (v *service) messengers(clock func() time.Time) error {
	s := v.settings
	texts, err := sms.Open(sms.Config{Wire: s.SMS, AccountSID: s.TwilioAccountSid, AuthToken: s.TwilioAuthToken, From: s.TwilioFrom,
		MessagingServiceSID: s.TwilioMessagingServiceSid, VerifyServiceSID: s.TwilioVerifyServiceSid, BaseURL: s.TwilioBaseUrl, Now: clock, Log: v.log})
	if err != nil {
		return err
	}
	post, err := mail.Open(mail.Config{Wire: s.Mail, From: s.MailFrom, Now: clock, Log: v.log})
	if err != nil {
		return err
	}
	all, err := words.Load(web.FS)
	if err != nil {
		return err
	}
	v.texts = texts
	v.notify = notify.New(notify.Options{DB: v.db, SMS: texts, Post: post, Words: all, Issuer: s.issuerURL(), Brand: s.Organisation,
		Key: v.ring.Secret("notify"), Log: v.log})
	return nil
}

// close gives back what open took.
func (v *service) close() {
	v.texts.Close()
	if v.breached != nil {
		v.breached.Close()
	}
	v.db.Close()
}

// firstKeys makes the keys, but only for a database that knows of none: keys that were lost are never replaced.
func firstKeys(ctx context.Context, s *settings, w wiring) (*keyring.Ring, error) {
	db, err := store.Open(ctx, s.Database, store.Options{Timeout: w.timeout})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	has, wants, err := db.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if err := suits(has, wants, db.Postgres() && !w.migrate); err != nil {
		return nil, err
	}
	known := ""
	if has > 0 {
		err = db.View(ctx, func(t *store.Tx) (err error) { known, err = t.Value("keyring"); return err })
		if err != nil {
			return nil, err
		}
	}
	if known != "" {
		return nil, fmt.Errorf("the folder %s holds no keys, but the database was sealed with keys %s; restore the folder from its backup", s.Keys, known)
	}
	now := time.Now
	if w.clock != nil {
		now = w.clock
	}
	return keyring.Create(s.Keys, now())
}

// prepare brings the schema up to date or refuses it, and ties the database to its keys.
func prepare(ctx context.Context, db *store.DB, w wiring, ring *keyring.Ring) error {
	has, wants, err := db.Schema(ctx)
	if err != nil {
		return err
	}
	if err := suits(has, wants, db.Postgres() && !w.migrate); err != nil {
		return err
	}
	if has != wants {
		if _, err := db.Migrate(ctx); err != nil {
			return err
		}
	}
	known := ""
	err = db.View(ctx, func(t *store.Tx) (err error) { known, err = t.Value("keyring"); return err })
	if err == nil && known == "" {
		err = db.Change(ctx, cli, func(t *store.Tx) (err error) {
			if known, err = t.ClaimValue("keyring", ring.ID()); err != nil {
				return err
			}
			return t.Record(audit.Event{Kind: audit.KeyCreated, Detail: map[string]string{"keyring": ring.ID()}})
		})
	}
	if err != nil {
		return err
	}
	if known != ring.ID() {
		return fmt.Errorf("the keys are %s, but the database was sealed with keys %s; use the folder that belongs to this database", ring.ID(), known)
	}
	return nil
}

func newLog(format string) *slog.Logger {
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	if format == "text" || format == "auto" && terminal {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, nil))
}

// server builds the HTTP face.
func (v *service) server() (*server.Server, error) {
	proxies, err := v.settings.proxies()
	if err != nil {
		return nil, err
	}
	issuer := v.settings.issuerURL()
	var passkeys *factor.Passkeys
	if net.ParseIP(issuer.Hostname()) == nil { // browsers tie passkeys to a name (WebAuthn L3 §5.1.2)
		if passkeys, err = factor.NewPasskeys(issuer.Hostname(), v.settings.Organisation, []string{issuer.Scheme + "://" + issuer.Host}); err != nil {
			return nil, err
		}
	}
	recovery := v.ring.Secret("recovery")
	return server.New(server.Options{
		Issuer: issuer, Brand: v.settings.Organisation, DB: v.db, OIDC: v.oidc,
		Login: login.New(login.Options{DB: v.db, Hasher: v.hasher, Passwords: v.passwords, Lockout: lockout.New(v.ring.Secret("lane")), Issuer: v.settings.Organisation, Key: v.ring.Secret("lane"), Recovery: recovery,
			Passkeys: passkeys, Notify: v.notify}),
		Account: account.New(account.Options{DB: v.db, Hasher: v.hasher, Passwords: v.passwords, Lockout: lockout.New(v.ring.Secret("lane")), Issuer: v.settings.Organisation, Notify: v.notify, Passkeys: passkeys, Key: recovery}),
		Apps:    apps.New(v.db, strings.TrimSuffix(v.settings.Issuer, "/")),
		FormKey: v.ring.Secret("form"), Proxies: proxies, Cert: v.settings.certificateHeader(), Log: v.log, Ready: v.ready,
	})
}
