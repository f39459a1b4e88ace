package sms

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

var (
	errTwice   = errors.New("sms: twilio-go asked for the same message again")
	errTooLong = errors.New("sms: an answer over 64 KiB")
)

// newTransport reads no environment, and uses a connection for one message: an idle one may be gone when it is needed,
// and net/http prints what comes in on an idle one to the standard log, numbers and all.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: answerMax,
		// A dial goes on without its request, so it has limits of its own; two dials fit into an attempt.
		DialContext:         (&net.Dialer{Timeout: attempt * 2 / 5}).DialContext,
		TLSHandshakeTimeout: attempt,
	}
}

// call is the RoundTripper of one message. It gives the request the context and the host that twilio-go cannot, reads and
// closes every body whatever the library does with it, and lets no message out twice: a second request is made only
// when the first found no connection, and a second RoundTrip is refused.
type call struct {
	ctx  context.Context
	base *url.URL // nil: as the library has it
	next http.RoundTripper

	asked  bool
	status int    // of the answer, 0 when there is none
	answer []byte // at most 64 KiB
	err    error  // why there is none
}

func (c *call) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if c.asked {
		return nil, errTwice
	}
	c.asked = true
	res, err := c.once(req)
	if err != nil && unreached(err) && c.ctx.Err() == nil {
		res, err = c.once(req)
	}
	if err != nil {
		c.err = err
		return nil, err
	}
	c.status = res.StatusCode
	return res, nil
}

// once makes one request and reads the whole answer.
func (c *call) once(req *http.Request) (*http.Response, error) {
	out := req.Clone(c.ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	if c.base != nil {
		out.URL, out.Host = c.base.JoinPath(out.URL.Path), c.base.Host
	}
	res, err := c.next.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	c.answer, err = io.ReadAll(io.LimitReader(res.Body, answerMax+1))
	if err == nil && len(c.answer) > answerMax {
		err = errTooLong
	}
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(c.answer))
	return res, nil
}

// unreached holds for errors of connecting, the dialer's own 0.8 s among them: not one byte of the request has left.
func unreached(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// reason puts an error into words that hold nothing of the request or of the answer.
func reason(err error) string {
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return "nothing was asked"
	case unreached(err) && errors.As(err, &op):
		return "no connection: " + op.Err.Error()
	case errors.As(err, &cert):
		return cert.Error()
	case errors.Is(err, errTooLong):
		return "an answer over 64 KiB"
	case errors.Is(err, context.Canceled):
		return "closing"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no whole answer within " + attempt.Round(time.Second).String()
	default:
		return "the connection broke"
	}
}
