package sms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		raw, region string
		want        string // E.164, or "" with err
		country     string
		err         error
	}{
		{"+46701740605", "SE", "+46701740605", "SE", nil},
		{"0701740605", "SE", "+46701740605", "SE", nil},
		{"0701740605", "se", "+46701740605", "SE", nil},
		{"070-174 06 05", "SE", "+46701740605", "SE", nil},
		{"  070–174 06 05\n", "SE", "+46701740605", "SE", nil}, // an en dash
		{"070.174.06.05", "SE", "+46701740605", "SE", nil},
		{"070/174 06 05", "SE", "+46701740605", "SE", nil},
		{"+46 (0)70-174 06 05", "SE", "+46701740605", "SE", nil},
		{"+46 070 174 06 05", "SE", "+46701740605", "SE", nil},
		{"46701740605", "SE", "+46701740605", "SE", nil},
		{"0046701740605", "SE", "+46701740605", "SE", nil},
		{"0046 (0)70 174 06 05", "SE", "+46701740605", "SE", nil},
		{"0046701740605", "US", "+46701740605", "SE", nil}, // 011 is the way abroad there
		{"011 46 70 174 06 05", "US", "+46701740605", "SE", nil},
		{"0046701740605", "", "+46701740605", "SE", nil},
		{"+46701740605", "XX", "+46701740605", "SE", nil},
		{"٠٧٠١٧٤٠٦٠٥", "SE", "+46701740605", "SE", nil},
		{"+۴۶ ۷۰ ۱۷۴ ۰۶ ۰۵", "SE", "+46701740605", "SE", nil},
		{"＋４６（０）７０－１７４０６０５", "SE", "+46701740605", "SE", nil},
		{"\u202a+46\u00a070\u200b1740605\u202c", "SE", "+46701740605", "SE", nil}, // from an address book
		{"+447911123456", "SE", "+447911123456", "GG", nil},                       // Guernsey, not GB
		{"+447400123456", "SE", "+447400123456", "GB", nil},
		{"07400 123456", "GB", "+447400123456", "GB", nil},
		{"+1 (201) 555-0123", "SE", "+12015550123", "US", nil}, // fixed or mobile, nobody knows
		{"+4790123456", "SE", "+4790123456", "NO", nil},
		{"+4520123456", "SE", "+4520123456", "DK", nil},
		{"+358 40 1234567", "SE", "+358401234567", "FI", nil},
		{"+4915123456789", "SE", "+4915123456789", "DE", nil},
		{"+393123456789", "SE", "+393123456789", "IT", nil},
		{"+5491123456789", "SE", "+5491123456789", "AR", nil},

		{"+46900123456", "SE", "", "", ErrNotMobile}, // premium
		{"+469001234567", "SE", "", "", ErrNotMobile},
		{"0900 123 45 67", "SE", "", "", ErrNotMobile},
		{"+46939123456", "SE", "", "", ErrNotMobile},
		{"+469391234567", "SE", "", "", ErrNotMobile},
		{"+469441234567", "SE", "", "", ErrNotMobile},
		{"+19002345678", "SE", "", "", ErrNotMobile},
		{"+4782012345", "SE", "", "", ErrNotMobile},
		{"+4590123456", "SE", "", "", ErrNotMobile},
		{"+358600123456", "SE", "", "", ErrNotMobile},
		{"+449012345678", "SE", "", "", ErrNotMobile},
		{"020-123456", "SE", "", "", ErrNotMobile},     // toll free
		{"+18005550123", "SE", "", "", ErrNotMobile},   // toll free
		{"0771-123456", "SE", "", "", ErrNotMobile},    // shared cost
		{"0740123456", "SE", "", "", ErrNotMobile},     // pager
		{"010-123 45 67", "SE", "", "", ErrNotMobile},  // UAN
		{"08-123 456", "SE", "", "", ErrNotMobile},     // fixed line
		{"+447012345678", "SE", "", "", ErrNotMobile},  // personal number
		{"+8816312345678", "SE", "", "", ErrNotMobile}, // satellite, mobile and of no country
		{"+80012345678", "SE", "", "", ErrNotMobile},   // international freephone

		{"070-174 06 05 ext 12", "SE", "", "", ErrNumber},
		{"+46701740605;ext=12", "SE", "", "", ErrNumber},
		{"+46701740605 #12", "SE", "", "", ErrNumber},
		{"+46701740605,12", "SE", "", "", ErrNumber},
		{"+46701740605x12", "SE", "", "", ErrNumber},
		{"tel:0701740605;phone-context=+46", "SE", "", "", ErrNumber},
		{"+1-800-FLOWERS", "US", "", "", ErrNumber},
		{"abc 0701740605", "SE", "", "", ErrNumber},
		{"0701740605/0701740606", "SE", "", "", ErrNumber},
		{"++46701740605", "SE", "", "", ErrNumber},
		{"+4646701740605", "SE", "", "", ErrNumber},
		{"070+1740605", "SE", "", "", ErrNumber},
		{"०७०१७४०६०५", "SE", "", "", ErrNumber}, // digits that libphonenumber does not take
		{"0701740605", "", "", "", ErrNumber},
		{"+4670", "SE", "", "", ErrNumber},
		{"112", "SE", "", "", ErrNumber},
		{"72456", "SE", "", "", ErrNumber},
		{"", "SE", "", "", ErrNumber},
		{"+", "SE", "", "", ErrNumber},
		{"00", "SE", "", "", ErrNumber},
		{"0701740605\xff", "SE", "", "", ErrNumber},
		{"0701740605\x00", "SE", "", "", ErrNumber},
		{strings.Repeat(" ", 200) + "0701740605", "SE", "", "", ErrNumber},
		{strings.Repeat("0", 60) + "701740605", "SE", "", "", ErrNumber},
	} {
		n, err := Parse(tt.raw, tt.region)
		if n.E164 != tt.want || n.Country != tt.country || !errors.Is(err, tt.err) {
			t.Errorf("Parse(%q, %q) = %q %q, %v; want %q %q, %v", tt.raw, tt.region, n.E164, n.Country, err, tt.want, tt.country, tt.err)
		}
		if err == nil && n.Prefix != n.E164[:len(n.E164)-4] {
			t.Errorf("Parse(%q): prefix %q of %q", tt.raw, n.Prefix, n.E164)
		}
	}
}

func TestMasked(t *testing.T) {
	n, err := Parse("+46701740605", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Masked(); got != "••• •• 05" {
		t.Errorf("masked: %q", got)
	}
	for _, short := range []string{"", "05", "+46105"} {
		if got := (Number{E164: short}).Masked(); got != "••• •• ••" {
			t.Errorf("masked %q: %q", short, got)
		}
	}
}

// TestPrinted prints every value of the package in every way and looks for what must not be there.
func TestPrinted(t *testing.T) {
	n, err := Parse(testTo, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Wire: "twilio", AccountSID: testSID, AuthToken: testToken, From: "+46700000001"}
	o, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	m := message()
	var out bytes.Buffer
	for _, v := range []any{n, &n, m, &m, cfg, &cfg, o, []Number{n}, []Message{m}, map[string]Config{"c": cfg}, struct{ N Number }{n}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		switch v.(type) {
		case []Number, struct{ N Number }: // a Number may be stored as JSON
		default:
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		}
	}
	for _, v := range []any{m, cfg} {
		data, _ := json.Marshal(v) // refuses Config, which holds a func
		out.Write(data)
	}
	noSecret(t, out.String())
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"070-174 06 05", "+46 (0)70 174 06 05", "0046701740605", "٠٧٠١٧٤٠٦٠٥", "+1 201 555 0123",
		"+525512345678", "+5491123456789", "+390612345678", "+8816312345678", "+2905123", "011 46 701740605",
		"+46701740605;ext=1", "", "+"} {
		for _, region := range []string{"SE", "US", "", "AR", "IT"} {
			f.Add(s, region)
		}
	}
	f.Fuzz(func(t *testing.T, raw, region string) {
		n, err := Parse(raw, region)
		if err != nil {
			if !errors.Is(err, ErrNumber) && !errors.Is(err, ErrNotMobile) || n != (Number{}) {
				t.Fatalf("Parse(%q, %q) = %q, %v", raw, region, n.E164, err)
			}
			return
		}
		digits, ok := strings.CutPrefix(n.E164, "+")
		if !ok || len(digits) < 6 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" ||
			n.Prefix != n.E164[:len(n.E164)-4] || len(n.Country) != 2 {
			t.Fatalf("Parse(%q, %q) = %q %q %q", raw, region, n.E164, n.Country, n.Prefix)
		}
		for _, r := range []string{region, "", "SE", "US"} {
			if again, err := Parse(n.E164, r); err != nil || again != n {
				t.Fatalf("Parse(%q, %q) = %q, and that in %q = %q, %v", raw, region, n.E164, r, again.E164, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("070-174 06 05", "SE"); err != nil {
			b.Fatal(err)
		}
	}
}
