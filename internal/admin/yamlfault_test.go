package admin

import (
	"fmt"
	"strings"
	"testing"
)

// TestFaultsQuoteNoSecret: what is wrong with a file is told with its line and without the secret that stands there, which has a meaning in YAML if
// nobody puts quotation marks around it.
func TestFaultsQuoteNoSecret(t *testing.T) {
	const secret = "S3cret-of-a-client"
	for _, before := range []string{"*", "|", ">", ">-", "|2 ", "&a *", "@", "`", `"`, "'", "[", "!!bool ", "!", "!!str ", "! ", "x: "} {
		text := "client_id: wiki\nclient_secret: " + before + secret + "\n"
		_, err := ReadClient(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), "line 2: ") || strings.Contains(err.Error(), secret[:6]) {
			t.Errorf("%q is told as: %v", text, err)
		}
		text = fmt.Sprintf("users:\n  - username: anna\n    password: %s%s\n", before, secret)
		_, err = ReadFile(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), "line 3: ") || strings.Contains(err.Error(), secret[:6]) {
			t.Errorf("%q is told as: %v", text, err)
		}
	}
}
