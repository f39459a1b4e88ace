package fetch

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	const everywhere, house, own, never = "public inside", "inside", "loopback", ""
	tests := map[string]string{
		"8.8.8.8": everywhere, "1.1.1.1": everywhere, "100.63.255.255": everywhere, "100.128.0.0": everywhere,
		"172.15.255.255": everywhere, "172.32.0.0": everywhere, "192.167.255.255": everywhere, "223.255.255.255": everywhere,
		"2a00:1450:4001::1": everywhere, "2606:4700::1111": everywhere, "2001:4860:4860::8888": everywhere, "2001:200::": everywhere,

		"10.0.0.0": house, "10.255.255.255": house, "172.16.0.1": house, "172.31.255.255": house, "192.168.0.1": house,
		"100.64.0.0": house, "100.127.255.255": house, "fc00::1": house, "fd12:3456::1": house,

		"127.0.0.1": own, "127.255.255.255": own, "::1": own,

		// nobody, whatever the reach
		"0.0.0.0": never, "0.1.2.3": never, "::": never,
		"169.254.169.254": never, "169.254.0.1": never, "fe80::1": never, "fe80::1%lo": never, "febf::1": never,
		"168.63.129.16": never, "100.100.100.200": never, "fd00:ec2::254": never, "fd20:ce::254": never,
		"192.0.0.1": never, "192.0.0.192": never, "192.0.2.1": never, "198.51.100.1": never, "203.0.113.1": never, "198.18.0.1": never, "198.19.255.255": never,
		"192.88.99.1": never, "224.0.0.1": never, "239.255.255.255": never, "240.0.0.1": never, "255.255.255.255": never,
		"ff02::1": never, "ff0e::1": never, "fec0::1": never, "100::1": never, "5f00::1": never, "4000::1": never, "1fff::1": never,
		"2001:db8::1": never, "3fff::1": never, "2001::1": never, "2001:2::1": never, "2001:10::1": never, "2001:20::1": never,
		// IPv4 in disguise: mapped, compatible, translated, 6to4, NAT64
		"::ffff:127.0.0.1": never, "::ffff:10.0.0.1": never, "::ffff:169.254.169.254": never, "::ffff:8.8.8.8": never,
		"::127.0.0.1": never, "::10.0.0.1": never, "::ffff:0:10.0.0.1": never,
		"2002:7f00:1::": never, "2002:a9fe:a9fe::": never, "2002:808:808::": never,
		"64:ff9b::10.0.0.1": never, "64:ff9b::8.8.8.8": never, "64:ff9b:1::a00:1": never,
	}
	scopes := map[string]scope{"public": public, "inside": inside, "loopback": loopback}
	for s, want := range tests {
		ip := netip.MustParseAddr(s)
		for name, sc := range scopes {
			err := sc.control("tcp", net.JoinHostPort(s, "443"), nil)
			may := strings.Contains(" "+want+" ", " "+name+" ")
			if (err == nil) != may || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("%s, %s: %v", s, name, err)
			}
			if sc.admits(ip) != may {
				t.Errorf("%s, %s: %t", s, name, !may)
			}
		}
	}
	if err := public.control("udp4", "8.8.8.8:53", nil); !errors.Is(err, ErrRefused) {
		t.Error("UDP was let through")
	}
	if err := public.control("tcp", "example.com:443", nil); !errors.Is(err, ErrRefused) {
		t.Error("a name was let through")
	}
	if public.admits(netip.Addr{}) || inside.admits(netip.Addr{}) {
		t.Error("no address was let through")
	}
}

func TestCheck(t *testing.T) {
	const all = Inside | Loopback
	tests := []struct {
		url   string
		reach Reach
		want  string // part of the refusal; empty: taken
	}{
		{"https://app.example/jwks", Public, ""},
		{"https://app.example:8443/jwks?a=b", Public, ""},
		{"https://8.8.8.8/", Public, ""},
		{"https://[2a00::1]:8443/", Public, ""},
		{"https://10.0.0.1/", Inside, ""},
		{"https://[fd12::1]/", Inside, ""},
		{"https://app.intern/", Public, ""}, // a name is judged when it is dialled
		{"http://127.0.0.1:8080/k", Loopback, ""},
		{"http://[::1]:8080/k", all, ""},
		{"http://localhost:8080/k", Loopback, ""},
		{"https://LocalHost./k", Loopback, ""},
		{"https://127.0.0.1/k", Loopback, ""},

		{"http://app.example/jwks", all, "use https"},
		{"ftp://app.example/jwks", all, "use https"},
		{"file:///etc/passwd", all, "is not of the form"},
		{"//app.example/jwks", all, "use https"},
		{"https:app.example", all, "is not of the form"},
		{"https:///jwks", all, "is not of the form"},
		{"https://:443/", all, "is not of the form"},
		{"", all, "is not of the form"},
		{"https://app.example\n/", all, "is not of the form"},
		{"https://a b/", all, "is not of the form"},
		{"https://me:pw@app.example/", all, "user name"},
		{"https://app.example@10.0.0.1/", all, "user name"},
		{"https://@app.example/", all, "user name"},
		{"https://app.example/#k", all, "fragment"},
		{"https://app.example/#", all, "fragment"},
		{"https://app.example:/", all, "no port"},
		{"https://app.example:0/", all, "no port"},
		{"https://app.example:65536/", all, "no port"},
		{"https://app.example/" + strings.Repeat("a", 2000), all, "longer than 2000 bytes"},

		{"https://10.0.0.1/", Public, "not a public address"},
		{"https://10.0.0.1/", Loopback, "not a public address"},
		{"https://100.64.0.1/", Public, "not a public address"},
		{"https://[fd12::1]/", Public, "not a public address"},
		{"https://169.254.169.254/latest/", all, "neither a public address"},
		{"http://169.254.169.254/latest/", all, "use https"},
		{"https://[::ffff:169.254.169.254]/", all, "neither a public address"},
		{"https://[::ffff:127.0.0.1]/", all, "neither a public address"},
		{"http://[::ffff:127.0.0.1]/", all, "use https"},
		{"https://[64:ff9b::a00:1]/", all, "neither a public address"},
		{"https://[fe80::1%25lo]/", all, "neither a public address"},
		{"https://[::1%25lo]/", all, "neither a public address"},
		{"https://0.0.0.0/", all, "neither a public address"},
		{"https://127.0.0.1/", Inside, "this machine"},
		{"https://[::1]/", Public, "this machine"},
		{"https://localhost/", Inside, "this machine"},
		{"https://LOCALHOST./", Public, "this machine"},
		// These are names to Go and lead nowhere; a dial would be checked all the same.
		{"http://127.1/", all, "use https"},
		{"http://2130706433/", all, "use https"},
		{"http://localhost.example/", all, "use https"},
		{"http://app.localhost/", all, "use https"},
	}
	for _, tt := range tests {
		err := Check(tt.url, tt.reach)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.80q with reach %d: %v, want %q", tt.url, tt.reach, err, tt.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://app.example/", "https://[::ffff:10.0.0.1]/", "http://localhost:1", "https://a@b:1/#", "https://127.0.0.1%2e/", "https://[fe80::1%25eth0]:443"} {
		f.Add(s, byte(3))
	}
	f.Fuzz(func(t *testing.T, raw string, b byte) {
		reach := Reach(b) & (Inside | Loopback)
		u, err := parse(raw, reach)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		own := ownMachine(u.Hostname())
		if u.User != nil || u.Fragment != "" || own && reach&Loopback == 0 || u.Scheme != "https" && !(own && u.Scheme == "http") {
			t.Errorf("%q was taken as %s", raw, u)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !own && !scopeOf(reach).admits(ip) {
			t.Errorf("%q was taken", raw)
		}
	})
}
