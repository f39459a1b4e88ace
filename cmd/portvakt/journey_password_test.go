package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/portvakt/portvakt/internal/words"
	"github.com/portvakt/portvakt/web"
)

var linkPath = regexp.MustCompile(`/link/[A-Z2-7]{52}`)

// TestNewPassword types passwords as somebody with an invitation would, in Swedish on a phone and in English at a desk: the page says how
// good each is, without asking anybody, and lets any be sent; the answer is the server's.
func TestNewPassword(t *testing.T) {
	texts, err := words.Load(web.FS)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PORTVAKT_ORGANISATION", "Mjölkbolaget")
	in := newInstallation(t)
	in.run("policies: {password: {min_classes: 2, words: [Solsidan]}}", "apply", "-f", "-")
	_, address := in.serve()
	c := startChromium(t)
	for i, w := range []walk{{lang: "sv", width: 390, height: 844}, {lang: "en", width: 1280, height: 800}} {
		w.demo, w.browser, w.texts = &demo{installation: in}, c, texts
		b := w.person()
		path := linkPath.FindString(in.run("", "user", "add", "anna"+strconv.Itoa(i), "--full-name", "Anna Ångström", "--email", "a"+strconv.Itoa(i)+"@exempel.se"))
		b.open(address + path)
		w.typed(b)
		w.sent(b)
	}
}

const judged = ".strength [role=status]"

// typed: what is said of each password while it grows, and how far the bar is.
func (w *walk) typed(b *tab) {
	w.t.Helper()
	bar := func(want string) {
		w.t.Helper()
		inTab(b, "bar "+want, chromedp.Poll[bool]("!document.querySelector('.strength').hidden && document.querySelector('meter').value "+want))
	}
	still := func() {
		w.t.Helper()
		inTab(b, "the button stays where it is", chromedp.Poll[bool]("(window.place ??= document.querySelector('form .button').offsetTop) === document.querySelector('form .button').offsetTop"))
	}
	inTab(b, "nothing is said", chromedp.Poll[bool]("document.querySelector('.strength').hidden"))
	w.picture(b, "empty-"+w.lang)
	b.fill("#password", "A\u030angst") // as some keyboards write it: five characters
	w.says(b, judged, "strength.missing", "n", 7)
	bar("== 25")
	still()
	b.fill("#password", "röm202")
	w.says(b, judged, "strength.missing", "n", 1)
	w.picture(b, "missing-"+w.lang)
	b.fill("#password", "6")
	w.says(b, judged, "strength.context")
	bar("== 60")
	w.picture(b, "context-"+w.lang)
	b.fill("#password", " grön")
	w.says(b, judged, "strength.good")
	bar("== 100")
	w.picture(b, "good-"+w.lang)
	for _, c := range []struct{ password, key string }{
		{"mjölkbolaget1", "strength.context"}, {"SOLSIDAN solsidan", "strength.context"}, {"exempel2026!", "strength.context"},
		{"abcabcabcabc", "strength.pattern"}, {"Qwertyuiop123", "strength.pattern"}, {"1qaz2wsx3edc", "strength.pattern"}, {"🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊", "strength.pattern"},
		{"grönaelefanter", "strength.classes"}, {"gröna elefanter", "strength.good"}, {"anna sol mjölk katt hav", "strength.good"},
	} {
		w.emptied(b)
		b.fill("#password", c.password)
		w.says(b, judged, c.key, "n", 2)
		still()
	}
	w.emptied(b)
}

func (w *walk) emptied(b *tab) {
	w.t.Helper()
	inTab(b, "empty the field", chromedp.Poll[bool]("(document.querySelector('#password').value = '') === ''"))
}

// sent: a poor password is sent like any other, and refused by the server; a good one is taken.
func (w *walk) sent(b *tab) {
	w.t.Helper()
	for _, c := range []struct{ password, key string }{
		{"abcabcabcabc1 ", "alert.mismatch"}, {"abcabcabcabc", "alert.classes"}, {"Qwertyuiop123", "alert.listed"}, {"Ångström 2026", "alert.context"},
	} {
		b.fill("#password", c.password)
		b.fill("#repeat", strings.TrimSpace(c.password))
		b.press(submit)
		w.says(b, "[role=alert]", c.key, "n", 2)
	}
	w.picture(b, "refused-"+w.lang)
	b.fill("#password", "gröna elefanter sjunger")
	b.fill("#repeat", "gröna elefanter sjunger")
	b.press(submit)
	w.says(b, "h1", "signin.title")
}
