package fetch

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// Reach says how far a call may go. Its zero value is the strictest. Add them: Inside|Loopback.
type Reach uint8

const (
	// Public reaches only what everybody can reach.
	Public Reach = 0
	// Inside reaches the house network too (RFC 1918, RFC 6598, RFC 4193), for clients that an administrator registered.
	// Link-local addresses and the metadata services of clouds stay out of reach.
	Inside Reach = 1
	// Loopback reaches this machine too, also by http, where the URL's own host is a loopback address or localhost: for
	// development and for applications beside Portvakt. No other name leads there.
	Loopback Reach = 2
)

// Check says whether a URL is one that can be called at all with this reach, for the one who registers it. It asks no
// name server, so a URL that passes may still be refused when it is called. Its error is ErrRefused and says what to do.
func Check(rawURL string, reach Reach) error {
	_, err := parse(rawURL, reach)
	return err
}

func parse(rawURL string, reach Reach) (*url.URL, error) {
	no := func(format string, args ...any) (*url.URL, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
	}
	if len(rawURL) > urlMax {
		return no("the URL is longer than %d bytes", urlMax)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return no("%.100q is not of the form https://host/path", rawURL)
	}
	if u.User != nil {
		return no("the URL holds a user name; leave out what stands before @")
	}
	if strings.Contains(rawURL, "#") {
		return no("the URL holds a fragment; leave out # and what follows")
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return no("%.20q is no port", p)
		}
	}
	host := u.Hostname()
	own := ownMachine(host)
	if own && reach&Loopback == 0 {
		return no("%s is this machine, which this client may not name", host)
	}
	if u.Scheme != "https" && !(own && u.Scheme == "http") {
		return no("the URL begins with %.20q; use https", u.Scheme)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || own {
		return u, nil // a name is judged by the addresses that are dialled
	}
	if s := scopeOf(reach); !s.admits(ip) {
		return no("%s is %s; name a host that can be reached", ip, s.fault())
	}
	return u, nil
}

// ownMachine holds for localhost and the loopback addresses, in their plain form, and for no other name.
func ownMachine(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() && !ip.Is4In6() && ip.Zone() == ""
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// scope is the kind of address that one transport dials.
type scope uint8

const (
	public scope = iota
	inside
	loopback
)

func scopeOf(r Reach) scope {
	if r&Inside != 0 {
		return inside
	}
	return public
}

// dialer dials the addresses of s and no others. A dial goes on without its call, so it has a limit of its own.
func (s scope) dialer(names *net.Resolver) *net.Dialer {
	return &net.Dialer{Timeout: callTime, Control: s.control, Resolver: names}
}

// control is a net.Dialer's: it sees each address as it is about to be dialled, after all names are resolved.
func (s scope) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return fmt.Errorf("%w: %.100q is no address", ErrRefused, address)
	}
	if !s.admits(to.Addr()) {
		return fmt.Errorf("%w: %s is %s", ErrRefused, to.Addr(), s.fault())
	}
	return nil
}

func (s scope) fault() string {
	return [...]string{
		public:   "not a public address",
		inside:   "neither a public address nor one of a house network",
		loopback: "not an address of this machine",
	}[s]
}

func (s scope) admits(ip netip.Addr) bool {
	// A mapped IPv4 address is a disguise: who means IPv4 is dialled as IPv4. An address with a zone is link-local.
	if !ip.IsValid() || ip.Is4In6() || ip.Zone() != "" {
		return false
	}
	switch s {
	case loopback:
		return ip.IsLoopback()
	case inside:
		return !within(metadata(), ip) && (within(house(), ip) || global(ip))
	default:
		return !within(metadata(), ip) && global(ip)
	}
}

// global holds for the unicast addresses that IANA's special-purpose registries call globally reachable, or leave out
// (RFC 6890). Of IPv6 only 2000::/3 is given out at all (RFC 4291 §2.4), which leaves out ::/96, NAT64 (64:ff9b::/96,
// 64:ff9b:1::/48), site-local, link-local, unique local and multicast addresses.
func global(ip netip.Addr) bool {
	if ip.Is4() {
		return !within(special4(), ip)
	}
	return netip.MustParsePrefix("2000::/3").Contains(ip) && !within(special6(), ip)
}

func within(nets []netip.Prefix, ip netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

func special4() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8",       // this network (RFC 791)
		"10.0.0.0/8",      // private (RFC 1918)
		"100.64.0.0/10",   // shared by carriers (RFC 6598)
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local (RFC 3927), with most clouds' metadata
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments (RFC 6890)
		"192.0.2.0/24",    // documentation (RFC 5737)
		"192.88.99.0/24",  // relays of 6to4 (RFC 7526)
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks (RFC 2544)
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/3",     // multicast, reserved, broadcast
	)
}

func special6() []netip.Prefix {
	return prefixes(
		"2001::/23",     // protocol assignments, with Teredo, benchmarks and ORCHID (RFC 2928)
		"2001:db8::/32", // documentation (RFC 3849)
		"2002::/16",     // 6to4 (RFC 3056): an IPv4 address in disguise
		"3fff::/20",     // documentation (RFC 9637)
	)
}

// house lists what a house network is made of.
func house() []netip.Prefix {
	return prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
}

// metadata lists where clouds hand out credentials, as far as that is not link-local.
func metadata() []netip.Prefix {
	return prefixes(
		"168.63.129.16/32",   // Azure
		"100.100.100.200/32", // Alibaba
		"fd00:ec2::/32",      // Amazon: fd00:ec2::254, and its time and name servers
		"fd20:ce::254/128",   // Google
	)
}

// prefixes parses the few of a list; a dial costs a thousand times more.
func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
