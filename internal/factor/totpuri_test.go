package factor

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // rfcSeed[:20]

func TestParseTOTP(t *testing.T) {
	want := TOTP{Secret: []byte(rfcSeed[:20]), Digits: 6, Period: 30, Algorithm: "SHA1"}
	with := func(f func(*TOTP)) TOTP { w := want; f(&w); return w }
	for uri, want := range map[string]TOTP{
		"otpauth://totp/x?secret=" + b32:                                                  want,
		"otpauth://totp/ACME:alice@example.com?issuer=ACME&secret=" + b32:                 want,
		"OTPAUTH://TOTP/x?secret=" + b32:                                                  want,
		"otpauth://totp?secret=" + b32:                                                    want,
		"otpauth://totp/x?secret=" + strings.ToLower(b32):                                 want,
		"otpauth://totp/x?secret=GEZD+GNBV%20GY3T+QOJQ+GEZD+GNBV+GY3TQOJQ":                want,
		"otpauth://totp/x?image=http://x&digits=6&period=30&algorithm=sha1&secret=" + b32: want,
		"otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ":                                        with(func(w *TOTP) { w.Secret = w.Secret[:10] }),
		"otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGE======":                                with(func(w *TOTP) { w.Secret = w.Secret[:11] }),
		"otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGE":                                      with(func(w *TOTP) { w.Secret = w.Secret[:11] }),
		"otpauth://totp/x?digits=8&period=60&algorithm=SHA512&secret=" + b32:              with(func(w *TOTP) { w.Digits, w.Period, w.Algorithm = 8, 60, "SHA512" }),
		"otpauth://totp/x?algorithm=Sha256&secret=" + b32:                                 with(func(w *TOTP) { w.Algorithm = "SHA256" }),
	} {
		got, err := ParseTOTP(uri)
		if err != nil || !same(got, want) {
			t.Errorf("%s: %v, %v", uri, got, err)
		}
	}
}

func TestParseTOTPRefusals(t *testing.T) {
	for _, uri := range []string{
		"",
		b32,
		"https://totp/x?secret=" + b32,
		"otpauth:totp/x?secret=" + b32,
		"otpauth://hotp/x?counter=0&secret=" + b32,
		"otpauth://totp.example/x?secret=" + b32,
		"otpauth://totp:80/x?secret=" + b32,
		"otpauth://totp/x",
		"otpauth://totp/x?secret=",
		"otpauth://totp/x?secret=======",
		"otpauth://totp/x?secret=GEZDGNBVGY3TQOI",   // 9 bytes
		"otpauth://totp/x?secret=GEZDGNBVGY3TQOJQG", // 17 characters
		"otpauth://totp/x?secret=" + b32 + "1",
		"otpauth://totp/x?secret=" + b32 + "&secret=" + b32,
		"otpauth://totp/x?secret=" + strings.Repeat(b32, 7),
		"otpauth://totp/x?secret=" + strings.Repeat(b32, 200),
		"otpauth://totp/x?digits=7&secret=" + b32,
		"otpauth://totp/x?digits=0&secret=" + b32,
		"otpauth://totp/x?digits=&secret=" + b32,
		"otpauth://totp/x?digits=06&secret=" + b32,
		"otpauth://totp/x?digits=6&digits=8&secret=" + b32,
		"otpauth://totp/x?period=15&secret=" + b32,
		"otpauth://totp/x?period=0&secret=" + b32,
		"otpauth://totp/x?period=-30&secret=" + b32,
		"otpauth://totp/x?period=99999999999999999999&secret=" + b32,
		"otpauth://totp/x?algorithm=MD5&secret=" + b32,
		"otpauth://totp/x?algorithm=&secret=" + b32,
		"otpauth://totp/x?algorithm=SHA-1&secret=" + b32,
		"otpauth://totp/x?a;b&secret=" + b32,
		"otpauth://totp/%zz?secret=" + b32,
		"otpauth://totp/x?secret=%zz" + b32,
	} {
		got, err := ParseTOTP(uri)
		if err == nil || !same(got, TOTP{}) {
			t.Errorf("%s: %v, %v", uri, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "GEZD") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func same(a, b TOTP) bool {
	return bytes.Equal(a.Secret, b.Secret) && a.Digits == b.Digits && a.Period == b.Period && a.Algorithm == b.Algorithm
}

func TestURI(t *testing.T) {
	totp := TOTP{Secret: []byte(rfcSeed[:20]), Digits: 6, Period: 30, Algorithm: "SHA1"}
	const tail = "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1&digits=6&period=30"
	for _, tt := range []struct{ issuer, account, want string }{
		{"ACME", "alice@example.com", "otpauth://totp/ACME:alice%40example.com" + tail + "&issuer=ACME"},
		{"ACME AB", "a+b", "otpauth://totp/ACME%20AB:a%2Bb" + tail + "&issuer=ACME%20AB"},
		{"https://id.example", "AD:alice", "otpauth://totp/https-%2F%2Fid.example:AD-alice" + tail + "&issuer=https-%2F%2Fid.example"},
		{"Övik", "åsa", "otpauth://totp/%C3%96vik:%C3%A5sa" + tail + "&issuer=%C3%96vik"},
		{"a&secret=x", "b?#/%", "otpauth://totp/a%26secret%3Dx:b%3F%23%2F%25" + tail + "&issuer=a%26secret%3Dx"},
		{"", "alice", "otpauth://totp/alice" + tail},
		{"A", "\xff", "otpauth://totp/A:%EF%BF%BD" + tail + "&issuer=A"},
	} {
		got := totp.URI(tt.issuer, tt.account)
		if got != tt.want {
			t.Errorf("URI is\n%s, want\n%s", got, tt.want)
		}
		if back, err := ParseTOTP(got); err != nil || !same(back, totp) {
			t.Errorf("%s is read as %v, %v", got, back, err)
		}
		u, err := url.Parse(got)
		if err != nil || strings.Count(u.Path, ":") > 1 || u.Query().Get("issuer") != strings.ReplaceAll(tt.issuer, ":", "-") {
			t.Errorf("%s: %v", got, err)
		}
	}
	if got := totp.Key(); got != "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ" {
		t.Errorf("key %q", got)
	}
	totp.Secret = totp.Secret[:11]
	if got := totp.Key(); got != "GEZD GNBV GY3T QOJQ GE" {
		t.Errorf("key %q", got)
	}
}

// What parses can be written, read again and used.
func FuzzParseTOTP(f *testing.F) {
	f.Add("otpauth://totp/ACME:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1&digits=6&period=30&issuer=ACME", "ACME", "alice")
	f.Add("otpauth://totp/x?secret=gezd+gnbv+gy3t+qojq&digits=8&period=60&algorithm=sha512", "a:b", "%zz")
	f.Add("otpauth://hotp/x?secret=&counter=1", "", "")
	f.Fuzz(func(t *testing.T, uri, issuer, account string) {
		totp, err := ParseTOTP(uri)
		if err != nil {
			if !same(totp, TOTP{}) {
				t.Errorf("%v with %v", totp, err)
			}
			return
		}
		if !slices.Contains([]int{6, 8}, totp.Digits) || len(totp.Secret) < 10 {
			t.Errorf("%q gives %v", uri, totp)
		}
		again, err := ParseTOTP(totp.URI(issuer, account))
		if err != nil && len(totp.URI(issuer, account)) <= maxURI || err == nil && !same(again, totp) {
			t.Errorf("%q is read again as %v, %v", uri, again, err)
		}
		at := time.Unix(1_000_000_000, 0)
		if _, ok := totp.Check(totp.Code(at), at, 0); !ok {
			t.Errorf("%q refuses its own code", uri)
		}
	})
}
