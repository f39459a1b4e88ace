package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// response is one answer. Its body is the client's buffer: it is valid until the next request of that client.
type response struct {
	status   int
	location string
	body     []byte
	closed   bool

	length  int // -1: not said
	chunked bool
}

// hostConn is one kept connection.
type hostConn struct {
	c net.Conn
	r *bufio.Reader
}

// client is one worker's browser: its connections, its cookies and its buffers. It is not safe for concurrent use.
type client struct {
	g     *generator
	conns map[string]*hostConn
	jar   jar
	buf   []byte
	body  []byte
}

func newClient(g *generator) *client {
	return &client{g: g, conns: map[string]*hostConn{}, jar: jar{}}
}

// close ends the connections; the client may be used again.
func (c *client) close() {
	for _, hc := range c.conns {
		_ = hc.c.Close()
	}
	clear(c.conns)
}

// dial returns the connection to a URL's host. It refuses every address that is not loopback.
func (c *client) dial(u *url.URL) (*hostConn, string, error) {
	addr, ok := c.g.dial[u.Scheme+"://"+u.Host]
	if !ok {
		addr = u.Host
		if u.Port() == "" {
			addr += ":80"
		}
		if u.Scheme != "http" {
			return nil, "", fmt.Errorf("no -resolve for %s://%s", u.Scheme, u.Host)
		}
	}
	if h, _, err := net.SplitHostPort(addr); err != nil || h != "127.0.0.1" && h != "localhost" && h != "::1" {
		return nil, "", fmt.Errorf("refusing to send traffic to %s", addr)
	}
	if hc := c.conns[addr]; hc != nil {
		return hc, addr, nil
	}
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, "", err
	}
	hc := &hostConn{nc, bufio.NewReaderSize(nc, 16<<10)}
	c.conns[addr] = hc
	return hc, addr, nil
}

// do sends one request and reads its answer. A kept connection that the server has closed meanwhile is dialled again,
// once. hdr is whole lines with their line ends.
func (c *client) do(method string, u *url.URL, hdr, body string) (*response, error) {
	for try := 0; ; try++ {
		hc, addr, err := c.dial(u)
		if err != nil {
			return nil, err
		}
		r, err := c.once(hc, method, u, hdr, body)
		if err != nil {
			_ = hc.c.Close()
			delete(c.conns, addr)
			if try == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
				continue
			}
			return nil, err
		}
		if r.closed {
			_ = hc.c.Close()
			delete(c.conns, addr)
		}
		return r, nil
	}
}

// once writes a request in one piece and reads the answer, within 60 s.
func (c *client) once(hc *hostConn, method string, u *url.URL, hdr, body string) (*response, error) {
	b := c.buf[:0]
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, u.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, u.Host...)
	b = append(b, "\r\nUser-Agent: loadgen\r\nAccept: */*\r\n"...)
	b = append(b, c.g.extra...)
	b = append(b, hdr...)
	if ck := c.jar.header(u.Hostname(), c.g.cookie); ck != "" {
		b = append(b, "Cookie: "...)
		b = append(b, ck...)
		b = append(b, "\r\n"...)
	}
	if method == "POST" {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	b = append(b, body...)
	c.buf = b
	if err := hc.c.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := hc.c.Write(b); err != nil {
		return nil, err
	}
	c.g.sent.Add(1)
	r, err := c.readHead(hc.r, u.Hostname())
	if err != nil {
		return nil, err
	}
	return r, c.readBody(hc.r, r)
}

// readHead reads the status line and those headers that matter here; cookies go to the jar.
func (c *client) readHead(in *bufio.Reader, host string) (*response, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 12 {
		return nil, fmt.Errorf("bad status line %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return nil, err
	}
	r := &response{status: status, length: -1}
	for {
		line, err = in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return r, nil
		}
		k, v, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		c.header(r, k, bytes.TrimSpace(v), host)
	}
}

// header switches on the length of a name first: most headers cost one comparison.
func (c *client) header(r *response, k, v []byte, host string) {
	is := func(name string) bool { return bytes.EqualFold(k, []byte(name)) }
	switch len(k) {
	case 8:
		if is("location") {
			r.location = string(v)
		}
	case 10:
		if is("set-cookie") {
			c.jar.store(host, string(v), time.Now())
		} else if is("connection") && bytes.EqualFold(v, []byte("close")) {
			r.closed = true
		}
	case 14:
		if is("content-length") {
			if n, err := strconv.Atoi(string(v)); err == nil {
				r.length = n
			}
		}
	case 17:
		r.chunked = r.chunked || is("transfer-encoding") && bytes.EqualFold(v, []byte("chunked"))
	}
}

// readBody reads by status, chunks, length or end of connection, in that order (RFC 9112 §6.3).
func (c *client) readBody(in *bufio.Reader, r *response) error {
	c.body = c.body[:0]
	switch {
	case r.status == 204 || r.status == 304:
	case r.chunked:
		if err := c.readChunks(in); err != nil {
			return err
		}
	case r.length > 0:
		if cap(c.body) < r.length {
			c.body = make([]byte, r.length)
		}
		c.body = c.body[:r.length]
		if _, err := io.ReadFull(in, c.body); err != nil {
			return err
		}
	case r.length < 0 && r.closed:
		rest, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		c.body = rest
	}
	r.body = c.body
	return nil
}

// readChunks appends chunks to the body (RFC 9112 §7.1); servers here send no trailers.
func (c *client) readChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		o := len(c.body)
		c.body = append(c.body, make([]byte, size)...)
		if _, err := io.ReadFull(in, c.body[o:]); err != nil {
			return err
		}
		if _, err := in.ReadSlice('\n'); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}
