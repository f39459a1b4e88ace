// Package fetch is the only way in which Portvakt calls an address that a client registered: jwks_uri,
// backchannel_logout_uri, sector_identifier_uri. Whoever registers a client picks where we call, so each call is held
// to a Reach, and the address that is dialled is what is checked: a name that changes its mind between the check and
// the dial gains nothing (DNS rebinding).
//
// What holds for every call: https with TLS 1.2 or later (http only to this machine, where that is allowed), no
// redirects, no proxy, no cookies, no user name in the URL, no compression, one connection a call, headers up to
// 32 KiB, bodies up to the caller's limit, and 5 seconds for all of it.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Errors. What is neither of them is the network: no answer came that is HTTP, or it broke off; trying later may help.
// All may be shown to developers: they hold the URL's host, addresses, status and Location, and nothing of a body.
var (
	// ErrRefused says that the URL, or an address that its name leads to, is none that we call. No request was sent.
	ErrRefused = errors.New("fetch: refused")
	// ErrAnswer says that the other side answered, and not with what is asked of it: its status, size or encoding.
	ErrAnswer = errors.New("fetch: unusable answer")
)

const (
	callTime   = 5 * time.Second // for a whole call, from the name's lookup to the last byte
	headersMax = 32 << 10        // bytes of an answer's status line and headers
	urlMax     = 2000            // bytes
)

// Options are what a Client may be told. The zero value works.
type Options struct {
	Roots *x509.CertPool // who may sign servers' certificates; nil: whom this machine trusts
	Agent string         // the User-Agent header; empty: Portvakt
}

// Client makes the calls. It is safe for concurrent use and keeps no connection between calls: they are rare, and a
// connection that was allowed to one caller is then never lent to another.
type Client struct {
	agent                    string
	public, inside, loopback *http.Transport
}

// New makes a Client.
func New(o Options) *Client {
	if o.Agent == "" {
		o.Agent = "Portvakt"
	}
	return &Client{
		agent:    o.Agent,
		public:   newTransport(o.Roots, public),
		inside:   newTransport(o.Roots, inside),
		loopback: newTransport(o.Roots, loopback),
	}
}

func newTransport(roots *x509.CertPool, s scope) *http.Transport {
	return &http.Transport{
		Proxy: nil, // not the environment's either
		// The resolver is Go's: getaddrinfo reads 127.1, 0x7f.1 and 2130706433 as addresses, and cannot be stopped.
		DialContext:            s.dialer(&net.Resolver{PreferGo: true}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    callTime,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: headersMax,
	}
}

// Answer is what a Get brought.
type Answer struct {
	Body        []byte
	ContentType string        // the media type alone, in lower case; empty when there is none or it is malformed
	MaxAge      time.Duration // of Cache-Control, 0 for no-cache and no-store, negative when it says nothing
}

// Get asks for a document of at most limit bytes. Everything but status 200 is ErrAnswer.
func (c *Client) Get(ctx context.Context, rawURL string, reach Reach, limit int) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, rawURL, reach, nil)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	host := resp.Request.URL.Host
	if resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("%w: %s answered %d; it has to answer 200 with the document", ErrAnswer, host, resp.StatusCode)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return Answer{}, fmt.Errorf("%w: %s answered with Content-Encoding %.20q, which was not asked for", ErrAnswer, host, e)
	}
	if resp.ContentLength > int64(limit) {
		return Answer{}, tooLong(host, limit)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return Answer{}, fmt.Errorf("fetch: the answer of %s broke off: %w", host, timely(ctx, err))
	}
	if len(body) > limit {
		return Answer{}, tooLong(host, limit)
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	return Answer{body, kind, maxAge(resp.Header.Values("Cache-Control"))}, nil
}

// PostForm sends a form and returns the status of the answer, whose body is not read. What the status means is the
// caller's to say, but a redirect is ErrAnswer: who registered the address has to register the right one.
func (c *Client) PostForm(ctx context.Context, rawURL string, reach Reach, form url.Values) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := c.do(ctx, http.MethodPost, rawURL, reach, form)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// do makes one request and gives back the answer, its body unread.
func (c *Client) do(ctx context.Context, method, rawURL string, reach Reach, form url.Values) (*http.Response, error) {
	u, err := parse(rawURL, reach)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrRefused, err)
	}
	req.Header.Set("User-Agent", c.agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		req.Header.Set("Accept", "application/json, */*;q=0.5")
	}
	// A transport follows no redirects and keeps no cookies; an http.Client would.
	resp, err := c.transport(u, reach).RoundTrip(req)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			return nil, fmt.Errorf("fetch: %s leads to an address that is not called: %w", u.Host, err)
		}
		return nil, fmt.Errorf("fetch: no answer from %s: %w", u.Host, timely(ctx, err))
	}
	if resp.StatusCode/100 == 3 {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: %s answered %d, a redirect to %.200q; redirects are not followed, register the last address", ErrAnswer, u.Host, resp.StatusCode, resp.Header.Get("Location"))
	}
	return resp, nil
}

func (c *Client) transport(u *url.URL, reach Reach) *http.Transport {
	switch {
	case ownMachine(u.Hostname()):
		return c.loopback
	case reach&Inside != 0:
		return c.inside
	}
	return c.public
}

func tooLong(host string, limit int) error {
	return fmt.Errorf("%w: %s answered with more than %d bytes", ErrAnswer, host, limit)
}

// timely prefers the reason why a call was ended to what that broke.
func timely(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it took too long (a whole call has at most %s): %w", callTime, context.DeadlineExceeded)
	}
	return err
}

// maxAge reads Cache-Control (RFC 9111 §5.2.2). What is malformed says nothing; the first max-age counts.
func maxAge(values []string) time.Duration {
	age := time.Duration(-1)
	for d := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err == nil && age < 0 {
				age = time.Duration(n) * time.Second
			}
		}
	}
	return age
}
