package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// The names under which systems install Chromium; .ci/setup looks for the same.
var chromiumNames = [...]string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// stepTime is how long a browser may take for one step: a page, a click, a field.
const stepTime = 15 * time.Second

// chromium is one running browser without a screen.
type chromium struct {
	t   *testing.T
	ctx context.Context
}

// startChromium starts one that can reach nothing but this machine. It ends with the test.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // as root it does not start with one
	}
	path := ""
	for _, name := range chromiumNames {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Fatal("Chromium is missing; run: apt-get install -y chromium")
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(options, chromedp.ExecPath(path))...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &chromium{t, ctx}
}

// tab is one tab. It notes what no page of ours may do, and the test fails for it when the tab is closed.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	wrong  []string
	may    []string // addresses of which the browser's log may tell errors
	visits []string // addresses of documents, redirects included
}

// person opens a tab with cookies of its own, as another person's browser. language is what it prefers.
func (c *chromium) person(t *testing.T, language string) *tab {
	t.Helper()
	b := openTab(t, c.ctx, chromedp.WithNewBrowserContext())
	call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": language}})
	return b
}

// another opens a second tab of the same person.
func (b *tab) another() *tab {
	b.t.Helper()
	return openTab(b.t, b.ctx)
}

func openTab(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	b := &tab{t: t}
	ctx, cancel := chromedp.NewContext(parent, append(options, chromedp.WithListener(b.watch))...)
	b.ctx = ctx
	t.Cleanup(func() {
		cancel()
		for _, w := range b.wrong {
			t.Error(w)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	call(b, audits.Enable, cdp.Empty{})
	return b
}

// withoutScript switches JavaScript off.
func (b *tab) withoutScript() {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	out, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return out
}

// watch notes errors of the console, violations of a content security policy and requests that leave the machine.
func (b *tab) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	note := func(format string, args ...any) { b.wrong = append(b.wrong, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !b.expected(e.Entry.URL) {
			note("browser log: %s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			for _, arg := range e.Args {
				note("console: %s %s", arg.Value, arg.Description)
			}
		}
	case *runtime.EventExceptionThrown:
		note("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL)
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			d := e.Issue.Details.ContentSecurityPolicyIssueDetails
			note("content security policy: %s against %s", d.BlockedURL, d.ViolatedDirective)
		}
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument {
			b.visits = append(b.visits, e.Request.URL)
		}
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme != "about" && !onThisMachine(u.Hostname()) {
			note("a request left the machine: %s", e.Request.URL)
		}
	}
}

// mayLog lets the browser's log tell errors of what begins with these addresses.
func (b *tab) mayLog(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.may = append(b.may, addresses...)
}

func (b *tab) expected(address string) bool {
	return slices.ContainsFunc(b.may, func(prefix string) bool { return strings.HasPrefix(address, prefix) })
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// visited gives the documents asked for since it was last called.
func (b *tab) visited() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.visits
	b.visits = nil
	return out
}

// sized makes the tab's window so large.
func (b *tab) sized(width, height int64) {
	b.t.Helper()
	inTab(b, "size", chromedp.EmulateViewport(width, height))
}

// inTab does one thing within stepTime. When it fails, the test ends and says what the person saw.
func inTab[T any](b *tab, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		b.fail("%s: %v", what, err)
	}
	return out
}

// fail ends the test with the address and the text of the page; go test -artifacts keeps its picture.
func (b *tab) fail(format string, args ...any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
	if picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100)); err == nil {
		_ = os.WriteFile(filepath.Join(b.t.ArtifactDir(), "failed.png"), picture, 0o600)
	}
	b.t.Fatalf("%s\nat %s, which says:\n%s", fmt.Sprintf(format, args...), at, text)
}

// open goes to an address.
func (b *tab) open(address string) {
	b.t.Helper()
	b.arrive("open "+address, chromedp.Navigate(address))
}

// press clicks a link or a button and waits for the page that it leads to.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.arrive("press "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// click clicks what leads nowhere.
func (b *tab) click(selector string) {
	b.t.Helper()
	inTab(b, "click "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// arrive waits for a page to load, which must say what language it is in.
func (b *tab) arrive(what string, step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, step); err != nil {
		b.fail("%s: %v", what, err)
	}
	if b.language() == "" {
		b.fail("%s: the page does not say its language", what)
	}
}

func (b *tab) language() string {
	b.t.Helper()
	return inTab(b, "language", chromedp.AttributeValue(chromedp.CSS("html"), "lang")).Value
}

// fill types into an empty field.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	inTab(b, "fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

func (b *tab) clear(selector string) {
	b.t.Helper()
	inTab(b, "clear "+selector, chromedp.Clear(chromedp.CSS(selector), chromedp.NodeVisible))
}

// text waits for an element and gives its text.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return b.reads(selector, "a text", func(string) bool { return true })
}

// says waits until an element shows the text.
func (b *tab) says(selector, want string) {
	b.t.Helper()
	b.reads(selector, strconv.Quote(want), func(got string) bool { return got == want })
}

// reads asks again until the answer is wanted: a page may go on to another by itself, and in the middle of a question.
func (b *tab) reads(selector, want string, wanted func(string) bool) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	for {
		got, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector), chromedp.NodeVisible))
		if got = strings.TrimSpace(got); err == nil && wanted(got) {
			return got
		}
		if ctx.Err() != nil {
			b.fail("%s says %q, want %s: %v", selector, got, want, err)
		}
	}
}

func (b *tab) value(selector string) string {
	b.t.Helper()
	return inTab(b, "value of "+selector, chromedp.Value(chromedp.CSS(selector)))
}

func (b *tab) address() string {
	b.t.Helper()
	return inTab(b, "address", chromedp.Location())
}

// at fails unless the tab is at the address.
func (b *tab) at(want string) {
	b.t.Helper()
	if got := b.address(); got != want {
		b.fail("the tab is at %s, want %s", got, want)
	}
}

// changed waits, for as long as limit, until an element shows another text, and gives it.
func (b *tab) changed(selector, old string, limit time.Duration) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.PollFunction[string](`(selector, old) => {
		const text = document.querySelector(selector).textContent;
		return text !== old && text;
	}`, chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(0), chromedp.WithPollingArgs(selector, old)))
	if err != nil {
		b.fail("%s still says %q after %s: %v", selector, old, limit, err)
	}
	return text
}

// authenticator is a tab's own, which keeps passkeys and unlocks without being asked.
type authenticator struct {
	b  *tab
	id webauthn.AuthenticatorID
}

// noteAsked keeps how a page asks for a passkey.
const noteAsked = `(() => {
	const get = CredentialsContainer.prototype.get;
	CredentialsContainer.prototype.get = function (options) {
		if (options?.publicKey) window.asked = options.mediation ?? "modal";
		return get.call(this, options);
	};
})()`

// authenticator gives the tab one, as a phone or a computer has it. Pages see a tab that has the focus, as in front of a person.
func (b *tab) authenticator() authenticator {
	b.t.Helper()
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: noteAsked})
	call(b, webauthn.Enable, webauthn.EnableParams{})
	made := call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
		HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
	return authenticator{b, made.AuthenticatorID}
}

// present says whether somebody is at it. A request that began while nobody was stays open for good.
func (a authenticator) present(yes bool) {
	a.b.t.Helper()
	call(a.b, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: a.id, Enabled: yes})
}

// verifies says whether it knows its owner's finger.
func (a authenticator) verifies(yes bool) {
	a.b.t.Helper()
	call(a.b, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a.id, IsUserVerified: yes})
}

// forgets empties it.
func (a authenticator) forgets() {
	a.b.t.Helper()
	call(a.b, webauthn.ClearCredentials, webauthn.ClearCredentialsParams{AuthenticatorID: a.id})
}

// asked waits until the page has asked for a passkey in this manner.
func (a authenticator) asked(mediation string) {
	a.b.t.Helper()
	inTab(a.b, "asked for a passkey: "+mediation, chromedp.PollFunction[bool]("(want) => window.asked === want", chromedp.WithPollingArgs(mediation)))
}

// picture keeps what the tab shows, at a phone's size and at a desk's, light and dark; with go test -artifacts alone.
func (b *tab) picture(name string, width, height int64) {
	b.t.Helper()
	if f := flag.Lookup("test.artifacts"); f == nil || f.Value.String() != "true" {
		return
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"phone", 390, 844}, {"desk", 1280, 800}} {
		b.sized(size.width, size.height)
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			inTab(b, "picture", chromedp.Poll[bool]("document.getAnimations().length === 0")) // colours change slowly
			picture := inTab(b, "picture", chromedp.FullScreenshot(100))
			if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+"-"+size.name+"-"+scheme+".png"), picture, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.scheme("")
	b.sized(width, height)
}

// scheme is what the person prefers: light, dark or nothing.
func (b *tab) scheme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}
