package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/twilio/twilio-go/client"
	messages "github.com/twilio/twilio-go/rest/api/v2010"
	verify "github.com/twilio/twilio-go/rest/verify/v2"
)

// twilio is the wire to Twilio. twilio-go writes the requests; what comes back is read in call and judged here, because
// the library knows neither a context nor a base URL, reads TWILIO_EDGE and TWILIO_REGION, and drops the status of
// answers that are not JSON.
type twilio struct {
	cfg       Config
	base      *url.URL // nil: Twilio itself
	transport http.RoundTripper
}

func newTwilio(cfg Config, transport http.RoundTripper) (*twilio, error) {
	if cfg.AccountSID == "" || cfg.AuthToken == "" {
		return nil, errors.New("sms: twilio needs twilio-account-sid and twilio-auth-token")
	}
	ways := 0
	for _, s := range []string{cfg.From, cfg.MessagingServiceSID, cfg.VerifyServiceSID} {
		if s != "" {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("sms: twilio needs exactly one of twilio-from, twilio-messaging-service-sid, twilio-verify-service-sid")
	}
	for _, s := range [][2]string{
		{"twilio-account-sid", cfg.AccountSID},
		{"twilio-auth-token", cfg.AuthToken},
		{"twilio-messaging-service-sid", cfg.MessagingServiceSID},
		{"twilio-verify-service-sid", cfg.VerifyServiceSID},
	} {
		// Two of them are put into a path as they are, and twilio-go sends nothing with others in the first two.
		if strings.ContainsFunc(s[1], func(r rune) bool { return !isAlphanumeric(r) }) {
			return nil, fmt.Errorf("sms: %s holds something that is neither a letter nor a digit", s[0])
		}
	}
	t := &twilio{cfg: cfg, transport: transport}
	if cfg.BaseURL == "" {
		return t, nil
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("sms: twilio-base-url is not of the form https://host or https://host/path")
	}
	if t.base = u; u.Path == "" {
		u.Path = "/" // else JoinPath makes a relative path
	}
	return t, nil
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// send makes one call, which makes at most two HTTP requests.
func (t *twilio) send(ctx context.Context, m Message) (verdict, error) {
	if t.cfg.VerifyServiceSID != "" && m.Code == "" {
		// Twilio would make up a code that nobody here knows.
		return unknown, errors.New("sms: a message without a code cannot go through Verify")
	}
	c := &call{ctx: ctx, base: t.base, next: t.transport}
	lib := &client.Client{
		Credentials: client.NewCredentials(t.cfg.AccountSID, t.cfg.AuthToken),
		HTTPClient: &http.Client{Transport: c, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	}
	lib.SetAccountSid(t.cfg.AccountSID)
	handler := &client.RequestHandler{Client: lib} // NewRequestHandler reads TWILIO_EDGE and TWILIO_REGION

	// What the library returns is not looked at: it holds the number and says less than the call has seen.
	if t.cfg.VerifyServiceSID != "" {
		p := new(verify.CreateVerificationParams).SetTo(m.To).SetChannel("sms").SetCustomCode(m.Code)
		_, _ = verify.NewApiService(handler).CreateVerification(t.cfg.VerifyServiceSID, p)
		return judge(c)
	}
	p := new(messages.CreateMessageParams).SetTo(m.To).SetBody(m.Body)
	if t.cfg.From != "" {
		p.SetFrom(t.cfg.From)
	} else {
		p.SetMessagingServiceSid(t.cfg.MessagingServiceSID)
	}
	_, _ = messages.NewApiService(handler).CreateMessage(p)
	return judge(c)
}

// judge reads what a call has seen. Its errors hold the status, Twilio's code and our own words, never Twilio's: those
// name the number.
func judge(c *call) (verdict, error) {
	if c.status == 0 {
		return down, fmt.Errorf("%w: %s", ErrUnavailable, reason(c.err))
	}
	var said struct {
		SID  string `json:"sid"`
		Code int    `json:"code"`
	}
	// Twilio's codes have five digits; anything else may be a code or a number of ours.
	if json.Unmarshal(c.answer, &said) != nil || said.SID == "" && (said.Code < 10000 || said.Code > 99999) {
		return down, fmt.Errorf("%w: an answer %d that is not Twilio's", ErrUnavailable, c.status)
	}
	if said.SID != "" {
		if c.status/100 == 2 {
			return answered, nil
		}
		return down, fmt.Errorf("%w: answer %d with a sid", ErrUnavailable, c.status)
	}
	v, kind := fault(c.status, said.Code)
	return v, fmt.Errorf("%w: answer %d, code %d", kind, c.status, said.Code)
}

// fault tells an outage from a refusal. The code goes first where the status would mislead: a person who picks the number
// must not open the breaker for all others with it, and a setting of ours must not look like a fault of the number.
// https://www.twilio.com/docs/api/errors
func fault(status, code int) (verdict, error) {
	switch code {
	case 60205, 60410, 60605: // landline, Fraud Guard, Geo-Permissions: 403, but about this number
		return answered, ErrRefused
	case 60203: // five sends to this number in 10 minutes: 429, but about this number, and it passes
		return unknown, ErrUnavailable
	case 60204, // Verify without custom codes
		21212, 21601, 21603, 21606, 21607, 21611, 21659, 21660, // the sender
		21701, 21703, 21704, 21705, // the messaging service, or its senders
		21602, 21617: // the text
		return unknown, ErrUnavailable
	}
	switch {
	case status == http.StatusNotFound: // no such account or service
		return unknown, ErrUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusRequestTimeout,
		status == http.StatusTooManyRequests, status/100 != 4:
		return down, ErrUnavailable
	}
	return answered, ErrRefused
}
