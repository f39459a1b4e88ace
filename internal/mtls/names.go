package mtls

import (
	"bytes"
	"encoding/asn1"
	"net/netip"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/portvakt/portvakt/internal/client"
)

// relativeNameSET is a relative distinguished name (RFC 5280 §4.1.2.4); its own name tells encoding/asn1 that it is a set.
type relativeNameSET []struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// sameName reports whether a subject is the name wanted: as many relative names, in the order of RFC 4514 §2.1, which is the reverse, and in each
// the same types and values, in any order. Text is compared by its characters, whatever string type the certificate has it in: no case is
// folded, no space dropped and nothing normalised, so that one registration means one name (RFC 8705 §2.1 asks for a predictable comparison).
func sameName(subject []byte, wanted [][]client.Attribute) bool {
	var name []relativeNameSET
	rest, err := asn1.Unmarshal(subject, &name)
	if err != nil || len(rest) > 0 || len(name) != len(wanted) {
		return false
	}
	slices.Reverse(name)
	for i, set := range name {
		if !sameSet(set, wanted[i]) {
			return false
		}
	}
	return true
}

// sameSet uses up one of set for each wanted.
func sameSet(set relativeNameSET, wanted []client.Attribute) bool {
	if len(set) != len(wanted) {
		return false
	}
	used := make([]bool, len(set))
	for _, w := range wanted {
		found := false
		for i := 0; i < len(set) && !found; i++ {
			if !used[i] && set[i].Type.String() == w.Type && sameValue(set[i].Value, w) {
				used[i], found = true, true
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func sameValue(v asn1.RawValue, wanted client.Attribute) bool {
	if wanted.DER != nil {
		return bytes.Equal(v.FullBytes, wanted.DER)
	}
	text, ok := characters(v)
	return ok && text == wanted.Text
}

// characters reads the string types that names have (X.680 §41). Of those with more than ASCII whose reading is not certain there is none.
func characters(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String:
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, asn1.TagT61String, tagVisibleString:
		return string(v.Bytes), !slices.ContainsFunc(v.Bytes, func(b byte) bool { return b >= utf8.RuneSelf })
	case asn1.TagBMPString:
		units := make([]uint16, 0, len(v.Bytes)/2)
		for b := v.Bytes; len(b) >= 2; b = b[2:] {
			units = append(units, uint16(b[0])<<8|uint16(b[1]))
		}
		return string(utf16.Decode(units)), len(v.Bytes)%2 == 0 && !slices.ContainsFunc(units, func(u uint16) bool { return utf16.IsSurrogate(rune(u)) })
	}
	return "", false
}

const tagVisibleString = 26

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// The kinds of alternative names (RFC 5280 §4.2.1.6).
const (
	kindEmail = 1
	kindDNS   = 2
	kindURI   = 6
	kindIP    = 7
)

// alternative is how a name stands among alternative names; an address is there in 4 or 16 bytes.
func alternative(n client.Named) (kind int, value []byte) {
	switch n.Field {
	case client.CertificateDNS:
		return kindDNS, []byte(n.Value)
	case client.CertificateURI:
		return kindURI, []byte(n.Value)
	case client.CertificateEmail:
		return kindEmail, []byte(n.Value)
	case client.CertificateIP:
		if ip, err := netip.ParseAddr(n.Value); err == nil {
			return kindIP, ip.AsSlice()
		}
	}
	return 0, nil
}

// listed reports whether alternative names have this one, byte for byte. They are read here because the ready ones of crypto/x509 went through
// parsers of addresses. A common name is none (RFC 9525 §2).
func listed(names []byte, kind int, value []byte) bool {
	var all []asn1.RawValue
	rest, err := asn1.Unmarshal(names, &all)
	return err == nil && len(rest) == 0 && len(value) > 0 && slices.ContainsFunc(all, func(n asn1.RawValue) bool {
		return n.Class == asn1.ClassContextSpecific && n.Tag == kind && !n.IsCompound && bytes.Equal(n.Bytes, value)
	})
}
