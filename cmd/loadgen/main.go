// Loadgen is a generic load generator for OAuth 2.0 and OpenID Connect servers, from the standard library alone.
//
// It speaks raw keep-alive HTTP/1.1 (one connection per worker and host) so that it stays cheaper than the servers it
// measures, and reads /proc/PID/stat to report CPU ms per operation. It sends traffic to loopback and nowhere else.
//
// Modes (-mode):
//
//	cold         exec -exec CMD, time until -path answers 200; repeat -n; report RSS
//	get          GET -path (JWKS, discovery, hello)
//	cc           client_credentials at the token endpoint
//	flow         authorize -> code -> token (-> userinfo) with PKCE S256
//	refresh      refresh_token chain per worker (first token through one flow)
//	introspect   introspection of one token per worker (-token-from cc|flow)
//	userinfo     userinfo with one token per worker (through one flow)
//	rss          print VmRSS/VmHWM of -pid
//	serve-hello  a bare net/http server on -listen that answers "hello": the yardstick of the machine;
//	             with -database also /read, /write, /both and /use, the trips that Portvakt makes to Postgres and nothing else
package main

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// options are the flags, each under its name on the command line.
type options struct {
	mode, label, base, path, listen, database          string
	token, authz, userinfo, introspect                 string
	id, secret, auth, redirect                         string
	scope, ccscope, authzExtra, tokenExtra             string
	form, totp, loginURL, loginJSON, cookie, authzJSON string
	headers, resolve, tokenFrom, pids, exec, report    string
	sso, verbose                                       bool
	workers, pgpid, n                                  int
	duration, warm                                     time.Duration
	maxOps                                             int64
}

// parse reads the flags; a + in a scope is a space. The flag package has printed what is wrong.
func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("loadgen", flag.ContinueOnError)
	f.StringVar(&o.mode, "mode", "get", "cold|get|cc|flow|refresh|introspect|userinfo|rss|serve-hello|sign-in")
	f.StringVar(&o.label, "label", "", "label copied to the output")
	f.StringVar(&o.base, "base", "http://127.0.0.1:4444", "base URL")
	f.StringVar(&o.path, "path", "/.well-known/openid-configuration", "path for get/cold")
	f.StringVar(&o.listen, "listen", "127.0.0.1:5554", "serve-hello: address to serve on")
	f.StringVar(&o.database, "database", "", "serve-hello: Postgres, for /read, /write, /both and /use")
	f.StringVar(&o.token, "token", "/oauth2/token", "token path or absolute URL")
	f.StringVar(&o.authz, "authz", "/oauth2/auth", "authorization path or absolute URL")
	f.StringVar(&o.userinfo, "userinfo", "/userinfo", "userinfo path or absolute URL; empty: skip in flow")
	f.StringVar(&o.introspect, "introspect", "/oauth2/introspect", "introspection path or absolute URL")
	f.StringVar(&o.id, "id", "", "client id")
	f.StringVar(&o.secret, "secret", "", "client secret")
	f.StringVar(&o.auth, "auth", "basic", "basic|post|none")
	f.StringVar(&o.redirect, "redirect", "http://127.0.0.1:5555/callback", "redirect_uri")
	f.StringVar(&o.scope, "scope", "openid", "scope")
	f.StringVar(&o.ccscope, "ccscope", "", "scope for client_credentials")
	f.StringVar(&o.authzExtra, "authz-extra", "", "extra authorize query, k=v&k=v")
	f.StringVar(&o.tokenExtra, "token-extra", "", "extra token form parameters, k=v&k=v")
	f.StringVar(&o.form, "form", "", "values to fill into HTML forms met on the way, k=v&k=v")
	f.StringVar(&o.totp, "totp", "", "sign-in: base32 secret of the soft token")
	f.StringVar(&o.loginURL, "login-url", "", "POST here once per worker before starting (JSON login)")
	f.StringVar(&o.loginJSON, "login-json", "", "body for -login-url")
	f.StringVar(&o.cookie, "cookie", "", "initial Cookie pairs a=b; c=d (sent to every host)")
	f.StringVar(&o.authzJSON, "authz-json", "", "POST this JSON to the authorize URL (camelCase query) and take the code from .data (Casdoor)")
	f.BoolVar(&o.sso, "sso", true, "do one warm-up flow per worker and keep its cookies")
	f.StringVar(&o.headers, "H", "", "extra headers, 'K: v' separated by |")
	f.StringVar(&o.resolve, "resolve", "", "scheme://host=addr,... : plain-text dial address for a URL origin")
	f.StringVar(&o.tokenFrom, "token-from", "cc", "introspect: cc|flow")
	f.IntVar(&o.workers, "c", 8, "concurrency")
	f.DurationVar(&o.duration, "d", 10*time.Second, "measured duration")
	f.DurationVar(&o.warm, "warm", time.Second, "warm-up (not counted)")
	f.Int64Var(&o.maxOps, "max", 0, "stop after this many operations (0: none)")
	f.StringVar(&o.pids, "pid", "", "server pid(s), comma separated, for CPU and RSS")
	f.IntVar(&o.pgpid, "pgpid", 0, "postmaster pid: CPU of it and its children")
	f.StringVar(&o.exec, "exec", "", "cold: command line (run by /bin/sh -c 'exec ...')")
	f.IntVar(&o.n, "n", 5, "cold: repetitions")
	f.BoolVar(&o.verbose, "v", false, "print the first errors and responses")
	f.StringVar(&o.report, "json", "", "append one JSON line to this file")
	err := f.Parse(args)
	o.scope, o.ccscope = strings.ReplaceAll(o.scope, "+", " "), strings.ReplaceAll(o.ccscope, "+", " ")
	return o, err
}

// generator is what the workers share: read-only after newGenerator, but for the count of requests.
type generator struct {
	options
	urls  struct{ authz, token, userinfo, introspect, path *url.URL }
	basic string            // the Authorization header of the client, with its line end (RFC 6749 §2.3.1)
	extra string            // further headers, each with its line end
	dial  map[string]string // URL origin -> address to dial
	sent  atomic.Int64      // HTTP requests of all workers
}

// newGenerator works out once what every request would else work out again.
func newGenerator(o options) (*generator, error) {
	g := &generator{options: o, dial: map[string]string{}}
	for kv := range strings.SplitSeq(o.resolve, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			g.dial[k] = v
		}
	}
	for h := range strings.SplitSeq(o.headers, "|") {
		if strings.TrimSpace(h) != "" {
			g.extra += strings.TrimSpace(h) + "\r\n"
		}
	}
	pair := url.QueryEscape(o.id) + ":" + url.QueryEscape(o.secret)
	g.basic = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) + "\r\n"
	for _, u := range []struct {
		to  **url.URL
		raw string
	}{{&g.urls.authz, o.authz}, {&g.urls.token, o.token}, {&g.urls.userinfo, o.userinfo}, {&g.urls.introspect, o.introspect}, {&g.urls.path, o.path}} {
		var err error
		if *u.to, err = g.abs(u.raw); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// abs makes a path absolute under -base; an empty one stays nil.
func (g *generator) abs(p string) (*url.URL, error) {
	if p == "" {
		return nil, nil
	}
	if !strings.Contains(p, "://") {
		p = strings.TrimRight(g.base, "/") + p
	}
	return url.Parse(p)
}

// emit appends one line to the -json file.
func (g *generator) emit(m map[string]any) error {
	if g.report == "" {
		return nil
	}
	m["label"], m["mode"] = g.label, g.mode
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(g.report, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	if err := start(o); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

// start runs one mode. Its error is for the last line before exit status 1.
func start(o options) error {
	g, err := newGenerator(o)
	if err != nil {
		return err
	}
	switch o.mode {
	case "serve-hello":
		return serveHello(o.listen, o.database)
	case "cold":
		return g.cold()
	case "rss":
		return g.rss()
	case "sign-in":
		return g.signIn()
	}
	return g.run()
}
