package sms

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

var update = flag.Bool("update", false, "write plan.txt anew")

const planHead = `# The world's numbering plans, from libphonenumber (Apache License 2.0) by way of github.com/nyaruka/phonenumbers; see plan.go.
# After a new version of it: go test ./internal/sms -run TestPlan -update
`

// TestPlan compares plan.txt with the data of the library.
func TestPlan(t *testing.T) {
	want := planHead + plan(t)
	if *update {
		if err := os.WriteFile("plan.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("plan.txt"); err != nil || string(got) != want {
		t.Errorf("plan.txt is not that of the library (%v); run: go test ./internal/sms -run TestPlan -update", err)
	}
}

// plan writes every territory of the library, in the order of codes, and those that share one as the library asks them.
func plan(t *testing.T) string {
	t.Helper()
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		t.Fatal(err)
	}
	rank := func(m *phonenumbers.PhoneMetadata) int {
		return int(m.GetCountryCode())*1000 + slices.Index(phonenumbers.GetRegionCodesForCountryCode(int(m.GetCountryCode())), m.GetId())
	}
	territories := slices.SortedFunc(slices.Values(all.GetMetadata()), func(a, b *phonenumbers.PhoneMetadata) int { return rank(a) - rank(b) })
	var out strings.Builder
	for _, m := range territories {
		fmt.Fprintf(&out, "%s %d\n", m.GetId(), m.GetCountryCode())
		for _, line := range []struct{ word, text string }{
			{"abroad", m.GetInternationalPrefix()}, {"trunk", m.GetNationalPrefixForParsing()},
			{"transform", m.GetNationalPrefixTransformRule()}, {"leading", m.GetLeadingDigits()},
			{"local", lengths(m.GetGeneralDesc().GetPossibleLengthLocalOnly())},
		} {
			if line.text != "" && line.text != "-" {
				fmt.Fprintf(&out, " %s %s\n", line.word, line.text)
			}
		}
		if m.GetSameMobileAndFixedLinePattern() {
			out.WriteString(" same\n")
		}
		for _, k := range []struct {
			word string
			desc *phonenumbers.PhoneNumberDesc
		}{
			{"all", m.GetGeneralDesc()}, {"fixed", m.GetFixedLine()}, {"mobile", m.GetMobile()}, {"premium", m.GetPremiumRate()},
			{"free", m.GetTollFree()}, {"shared", m.GetSharedCost()}, {"voip", m.GetVoip()}, {"personal", m.GetPersonalNumber()},
			{"pager", m.GetPager()}, {"company", m.GetUan()}, {"voicemail", m.GetVoicemail()},
		} {
			if p := k.desc.GetNationalNumberPattern(); p != "" && p != "NA" {
				fmt.Fprintf(&out, " %s %s %s\n", k.word, lengths(k.desc.GetPossibleLength()), p)
			}
		}
	}
	return out.String()
}

func lengths(of []int32) string {
	if len(of) == 0 {
		return "-"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(of), "[]"), " ", ",")
}

// asked is read as the library answers it.
func asked(s, region string) (Number, error) {
	p, err := phonenumbers.Parse(s, region)
	if err != nil || !phonenumbers.IsValidNumber(p) || p.GetExtension() != "" {
		return Number{}, ErrNumber
	}
	e164 := phonenumbers.Format(p, phonenumbers.E164)
	if len(e164) <= prefixLess+1 || len(e164) > len("+")+15 {
		return Number{}, ErrNumber
	}
	switch phonenumbers.GetNumberType(p) {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
	default:
		return Number{}, ErrNotMobile
	}
	country := phonenumbers.GetRegionCodeForNumber(p)
	if len(country) != 2 {
		return Number{}, ErrNotMobile
	}
	return Number{E164: e164, Country: country, Prefix: e164[:len(e164)-prefixLess]}, nil
}

func agrees(t *testing.T, s, region string) (mobile bool) {
	t.Helper()
	want, wantErr := asked(s, region)
	got, err := read(s, region)
	if got != want || err != wantErr {
		t.Errorf("read(%q, %q) = %q %s, %v; the library: %q %s, %v", s, region, got.E164, got.Country, err, want.E164, want.Country, wantErr)
	}
	return err == nil
}

// TestPlanAgrees writes numbers of every kind of every country in the ways that people write them, changes them a little, and
// compares with the library.
func TestPlanAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	regions := slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions()))
	count, mobile := 0, 0
	try := func(s, home string) {
		for _, region := range []string{home, "SE", regions[r.IntN(len(regions))], "", "XX"} {
			if count++; agrees(t, s, region) {
				mobile++
			}
		}
	}
	var examples []*phonenumbers.PhoneNumber
	for _, region := range regions {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			examples = append(examples, phonenumbers.GetExampleNumberForType(region, kind))
		}
	}
	for code := range phonenumbers.GetSupportedGlobalNetworkCallingCodes() {
		examples = append(examples, phonenumbers.GetExampleNumberForNonGeoEntity(code))
	}
	for _, n := range examples {
		if n == nil {
			continue
		}
		home, national := phonenumbers.GetRegionCodeForNumber(n), phonenumbers.GetNationalSignificantNumber(n)
		code := fmt.Sprint(n.GetCountryCode())
		trunk := phonenumbers.GetNddPrefixForRegion(home, true)
		for _, s := range []string{"+" + code + national, code + national, national, trunk + national, "0" + national, "+" + code + trunk + national,
			"00" + code + national, "011" + code + national, "+00" + code + national, "0011" + code + national, "810" + code + national} {
			try(s, home)
			b := []byte(s)
			switch i := r.IntN(len(b)); r.IntN(4) {
			case 0:
				b = slices.Delete(b, i, i+1)
			case 1:
				b = slices.Insert(b, max(1, i), '0'+byte(r.IntN(10)))
			default:
				b[max(1, i)%len(b)] = '0' + byte(r.IntN(10))
			}
			if len(b) > 0 {
				try(string(b), home)
			}
		}
	}
	if t.Logf("%d numbers, %d of them mobile", count, mobile); mobile < count/20 {
		t.Error("too few of them are any")
	}
}

func FuzzPlan(f *testing.F) {
	for _, s := range []string{"+46701740605", "0701740605", "46701740605", "0046701740605", "0111525512345678", "91123456789", "+"} {
		for _, region := range []string{"SE", "US", "", "AR", "IT", "MX", "BR"} {
			f.Add(s, region)
		}
	}
	f.Fuzz(func(t *testing.T, raw, region string) {
		if s, ok := clean(raw); ok {
			agrees(t, s, strings.ToUpper(region))
		}
	})
}
