package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/store"
)

// Device authorization (RFC 8628): what has no browser asks here, a person approves it on a page (devicepage.go), and the device
// polls the token endpoint meanwhile. fosite knows nothing of it. The approved request is a grant like any other, with the request's id.
// A remembered browser, which the rest of the code calls a device, is something else.
const (
	deviceLife = 10 * time.Minute // of device code and user code
	devicePace = 5 * time.Second  // between two polls, and what each early one adds (RFC 8628 §3.5)
	pollSlack  = time.Second      // by which a poll may come early: networks are not even
)

var (
	errPending = &fosite.RFC6749Error{ErrorField: "authorization_pending", CodeField: http.StatusBadRequest,
		DescriptionField: "The person has not decided yet. Ask again after the interval."}
	errSlowDown = &fosite.RFC6749Error{ErrorField: "slow_down", CodeField: http.StatusBadRequest,
		DescriptionField: "The person has not decided yet, and this came too soon. Wait 5 seconds longer between any two requests from now on."}
	errDenied = &fosite.RFC6749Error{ErrorField: "access_denied", CodeField: http.StatusBadRequest,
		DescriptionField: "The person refused the request. Begin anew if they want to try again."}
	errTooLate = &fosite.RFC6749Error{ErrorField: "expired_token", CodeField: http.StatusBadRequest,
		DescriptionField: "The device code has expired. Begin anew at the device authorization endpoint."}
	errDeviceCode = fosite.ErrInvalidGrant.WithHint("The device code is not one that this client can use: it was used, revoked or never given to it.")
)

// waits reports whether an answer only tells a device to poll again. It is no refusal, and is not recorded.
func waits(err error) bool { return err == errPending || err == errSlowDown }

// deviceResponse is RFC 8628 §3.2.
type deviceResponse struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int64  `json:"expires_in"`
	Interval   int64  `json:"interval"`
}

// DeviceAuthorization answers the device authorization endpoint (RFC 8628 §3.1). The client authenticates as at the token endpoint.
func (p *Provider) DeviceAuthorization(w http.ResponseWriter, r *http.Request, o audit.Origin) {
	ctx, u := p.begin(r.Context(), o)
	out, err := u.askDevice(ctx, r)
	if err != nil {
		p.refuseToken(ctx, w, u, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (u *unit) askDevice(ctx context.Context, r *http.Request) (*deviceResponse, error) {
	if err := postForm(r); err != nil {
		return nil, err
	}
	if _, err := u.p.authenticate(ctx, r, r.PostForm); err != nil {
		return nil, err
	}
	if err := u.fromElsewhere(ctx, r); err != nil {
		return nil, err
	}
	scope, err := u.deviceScope(r)
	if err != nil {
		return nil, err
	}
	g := store.DeviceGrant{ID: store.NewID(u.now), Client: u.client.ID, Scope: scope, Pace: devicePace, Expires: u.now.Add(deviceLife)}
	code := ""
	event := audit.Event{Kind: audit.DeviceAsked, Actor: string(g.Client), Client: string(g.Client), Detail: map[string]string{"grant": g.ID, "scope": scope}}
	u.certified(&event)
	err = u.p.db.Change(ctx, u.origin, func(t *store.Tx) error {
		if err := u.spend(t); err != nil {
			return err
		}
		u.take(t, deviceRoom, 1)
		for range 3 { // there are 25,600,000,000
			code = newUserCode()
			g.Code = u.p.userCodeMAC(code)
			made, err := t.CreateDeviceGrant(g)
			if err != nil {
				return err
			}
			if made {
				return t.Record(event)
			}
		}
		return errors.New("oidc: three user codes in a row were taken")
	})
	switch {
	case u.replayed:
		return nil, u.spent(err)
	case errors.Is(err, store.ErrConflict):
		u.reason = audit.Delayed
		return nil, errDeviceRoom
	case err != nil:
		u.fault = err
		return nil, err
	}
	page := u.p.issuer + PathDevice
	return &deviceResponse{DeviceCode: u.p.minter.mint(wire{kind: kindDevice, grant: g.ID, more: 0}), UserCode: ShownUserCode(code), URI: page,
		Complete: page + "?user_code=" + ShownUserCode(code), ExpiresIn: int64(deviceLife.Seconds()), Interval: int64(devicePace.Seconds())}, nil
}

// deviceScope checks what an authenticated client asks for.
func (u *unit) deviceScope(r *http.Request) (string, error) {
	asked := r.PostForm.Get("scope")
	switch {
	case !u.client.Grant(client.GrantDevice):
		return "", fosite.ErrUnauthorizedClient.WithHintf("The client is not registered for the grant type %s.", client.GrantDevice)
	case r.PostForm.Has("resource") || r.PostForm.Has("audience"):
		return "", errTarget
	case len(asked) > maxScope:
		return "", errLongScope
	}
	scopes := dedupe(asked)
	for _, scope := range scopes {
		if !u.client.Allows(scope) {
			return "", fosite.ErrInvalidScope.WithHintf("The client is not registered for the scope %q.", scope)
		}
	}
	return joinScopes(scopes), nil
}

// userCodeLetters are 20 consonants: they spell no words, and none is taken for another or for a digit (RFC 8628 §6.1).
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// newUserCode gives one of 20^8 codes, each as likely.
func newUserCode() string {
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var b [1]byte
		rand.Read(b[:])                                       // never fails (crypto/rand)
		if n := int(b[0]); n < 256-256%len(userCodeLetters) { // the rest would make the first letters likelier
			code = append(code, userCodeLetters[n%len(userCodeLetters)])
		}
	}
	return string(code)
}

// UserCode reads a user code as people type it: in any case, with or without a dash, spaces or other marks. "" is what cannot be one.
func UserCode(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, typed)
	if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
		return ""
	}
	return code
}

// ShownUserCode is a user code as a device and a page show it: four letters, a dash, four letters.
func ShownUserCode(code string) string {
	if len(code) != userCodeLength {
		return code
	}
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// userCodeMAC is how a user code stands in its row: so few are pending at a time that a stolen database must not name them.
func (p *Provider) userCodeMAC(code string) []byte { return p.devices.mac(nil, []byte("code "+code)) }

// deviceToken answers a device's poll (RFC 8628 §3.4, §3.5). One that has to wait costs a read and a write.
func (p *Provider) deviceToken(ctx context.Context, u *unit, r *http.Request) (*tokenResponse, error) {
	if _, err := p.authenticate(ctx, r, r.PostForm); err != nil {
		return nil, err
	}
	code := r.PostForm.Get("device_code")
	w, ok := p.minter.read(code)
	switch {
	case !u.client.Grant(client.GrantDevice):
		return nil, fosite.ErrUnauthorizedClient.WithHintf("The client is not registered for the grant type %s.", client.GrantDevice)
	case code == "":
		return nil, fosite.ErrInvalidRequest.WithHint("The parameter device_code is missing.")
	case !ok || w.kind != kindDevice:
		return nil, errDeviceCode
	}
	err := u.load(ctx, code, kindDevice)
	if u.grant == nil && u.fault == nil { // nobody had approved it when that was read
		if err := u.poll(ctx, w.grant); err != nil {
			return nil, err
		}
		err = u.load(ctx, code, kindDevice)
	}
	if err != nil {
		return nil, errDeviceCode
	}
	switch g := u.grant; {
	case g.Client != u.client.ID:
		u.reason = audit.WrongClient
	case !g.CodeUsed.IsZero():
		u.reuse, u.reason = true, audit.Replayed
	case !u.now.Before(g.CodeUntil):
		u.reason = audit.Expired
		return nil, errTooLate
	default:
		return u.redeemDevice(ctx)
	}
	return nil, errDeviceCode
}

// poll counts one poll of a request, and uses up what came with it. Its error says what the device is told; nil: it was approved meanwhile.
func (u *unit) poll(ctx context.Context, id string) error {
	var found store.DevicePoll
	err := u.p.db.Housekeep(ctx, func(t *store.Tx) (err error) {
		if err = u.spend(t); err != nil {
			return err
		}
		found, err = t.PollDeviceGrant(id, u.client.ID, pollSlack, devicePace)
		return err
	})
	u.reason = ""
	switch {
	case u.replayed:
		return u.spent(err)
	case err == nil:
		u.once = nil
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		u.reason = audit.Expired // long ago
		return errDeviceCode
	case errors.Is(err, store.ErrConflict):
		u.reason = audit.WrongClient
		return errDeviceCode
	case err != nil:
		u.fault = err
		return err
	case found.State == store.GrantApproved:
		return nil
	case found.State == store.GrantRefused:
		u.reason = audit.Disowned
		return errDenied
	case !u.now.Before(found.Expires):
		u.reason = audit.Expired
		return errTooLate
	case found.Early:
		return errSlowDown
	}
	return errPending
}

// redeemDevice mints what comes of an approved request. Its code is used by the commit, once.
func (u *unit) redeemDevice(ctx context.Context) (*tokenResponse, error) {
	if err := u.bound(); err != nil {
		return nil, err
	}
	u.redeem = true
	s := strategy{u.p}
	access, _, err := s.GenerateAccessToken(ctx, nil)
	if err != nil {
		return nil, err
	}
	refresh := ""
	if has(u.data.scopes(), "offline_access") && u.client.Grant(client.GrantRefresh) {
		if refresh, _, err = s.GenerateRefreshToken(ctx, nil); err != nil {
			return nil, err
		}
	}
	return u.p.answer(u, access, refresh)
}
