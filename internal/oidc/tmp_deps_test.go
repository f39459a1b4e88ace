package oidc

import (
	_ "github.com/alecthomas/kong"
	_ "github.com/chromedp/chromedp"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/go-webauthn/webauthn/webauthn"
	_ "github.com/goccy/go-yaml"
	_ "github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/ory/fosite/compose"
	_ "github.com/pquerna/otp/totp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/twilio/twilio-go/rest/api/v2010"
	_ "golang.org/x/crypto/argon2"
	_ "golang.org/x/oauth2"
	_ "golang.org/x/text/unicode/norm"
	_ "modernc.org/sqlite"
)
