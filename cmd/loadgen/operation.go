package main

import (
	"bytes"
	"fmt"
	"net/url"
)

// prepare signs a worker in, if asked, and returns its operation: what one count of the result is.
func (c *client) prepare() (func() error, error) {
	if c.g.loginURL != "" {
		if err := c.login(); err != nil {
			return nil, err
		}
	}
	switch c.g.mode {
	case "get":
		return c.get, nil
	case "cc":
		return func() error { _, err := c.credentials(); return err }, nil
	case "flow":
		return c.prepareFlow()
	case "refresh":
		return c.prepareRefresh()
	case "introspect":
		return c.prepareIntrospect()
	case "userinfo":
		m, err := c.flow(false)
		if err != nil {
			return nil, err
		}
		token := str(m, "access_token")
		return func() error { return c.userinfoCall(token) }, nil
	}
	return nil, fmt.Errorf("unknown mode %s", c.g.mode)
}

// login posts -login-json once; the session is in the cookies of the answer.
func (c *client) login() error {
	u, err := c.g.abs(c.g.loginURL)
	if err != nil {
		return err
	}
	r, err := c.do("POST", u, jsonHdr, c.g.loginJSON)
	if err != nil {
		return err
	}
	if r.status/100 != 2 {
		return fmt.Errorf("login: %d %.300s", r.status, r.body)
	}
	return nil
}

// get asks for -path; anything but 200 is an error.
func (c *client) get() error {
	r, err := c.do("GET", c.g.urls.path, "", "")
	if err == nil && r.status != 200 {
		err = fmt.Errorf("get: %d %.200s", r.status, r.body)
	}
	return err
}

// prepareFlow signs in once with -sso, so that the operation is a flow with a session; without it each flow signs in.
func (c *client) prepareFlow() (func() error, error) {
	if c.g.sso {
		if _, err := c.flow(true); err != nil {
			return nil, err
		}
	}
	return func() error {
		if !c.g.sso {
			c.jar = jar{}
		}
		_, err := c.flow(true)
		return err
	}, nil
}

// prepareRefresh follows rotation: each answer's refresh token is the next request's.
func (c *client) prepareRefresh() (func() error, error) {
	m, err := c.flow(false)
	if err != nil {
		return nil, err
	}
	token := str(m, "refresh_token")
	if token == "" {
		return nil, fmt.Errorf("no refresh_token: %v", m)
	}
	return func() error {
		m, err := c.tokenCall(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
		if err != nil {
			return err
		}
		if next := str(m, "refresh_token"); next != "" {
			token = next
		}
		return nil
	}, nil
}

// prepareIntrospect asks about one token again and again (RFC 7662 §2); an inactive answer is an error.
func (c *client) prepareIntrospect() (func() error, error) {
	take := c.credentials
	if c.g.tokenFrom != "cc" {
		take = func() (map[string]any, error) { return c.flow(false) }
	}
	m, err := take()
	if err != nil {
		return nil, err
	}
	body := url.Values{"token": {str(m, "access_token")}}.Encode()
	h := formHdr
	if c.g.secret != "" {
		h += c.g.basic
	}
	return func() error {
		r, err := c.do("POST", c.g.urls.introspect, h, body)
		if err != nil {
			return err
		}
		if r.status != 200 || !bytes.Contains(r.body, []byte(`"active":true`)) {
			return fmt.Errorf("introspect: %d %.200s", r.status, r.body)
		}
		return nil
	}, nil
}
