package server

import (
	"net/url"
	"strconv"
	"strings"
)

// language gives the first language of a list of BCP 47 tags that there are texts in (OpenID Connect Core §3.1.2.1
// ui_locales), or "".
func (p *pages) language(tags string) string {
	for _, tag := range strings.Fields(tags) {
		if lang := primary(tag); p.words[lang] != nil {
			return lang
		}
	}
	return ""
}

// preferred reads an Accept-Language header (RFC 9110 §12.5.4); English if nothing in it fits.
func (p *pages) preferred(header string) string {
	best, weight := "en", 0.0
	for i, part := range strings.Split(header, ",") {
		if i == 16 {
			break
		}
		tag, params, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = f
		}
		if lang := primary(strings.TrimSpace(tag)); p.words[lang] != nil && q > weight {
			best, weight = lang, q
		}
	}
	return best
}

// primary is the language of a tag such as sv-SE.
func primary(tag string) string {
	lang, _, _ := strings.Cut(strings.ToLower(tag), "-")
	return lang
}

// otherLanguage is the address of the same page in another language.
func otherLanguage(u *url.URL, lang string) string {
	q := u.Query()
	q.Set("ui_locales", lang)
	return u.EscapedPath() + "?" + q.Encode()
}
