package breach

import (
	"bytes"
	"crypto/sha1"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/frequency"
)

var update = flag.Bool("update", false, "write common.bin anew")

// builtIn has 40 bits of each hash, to be small.
var builtIn = shape{skip: 1, width: 4}

// commonest gives the words of the library that a policy could allow by their length: every password, and of each list of words and names
// the 24,000 that stand first. What comes after them in the encyclopedia's list is rare, and not worth its bytes.
func commonest() []string {
	var out []string
	for list, words := range frequency.FrequencyLists {
		if list != "passwords" {
			words = words[:min(len(words), 24_000)]
		}
		for _, w := range words {
			if utf8.RuneCountInString(w) >= 8 {
				out = append(out, strings.ToLower(w))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestCommon compares common.bin with the lists of the library.
func TestCommon(t *testing.T) {
	words := commonest()
	sums := make([][sha1.Size]byte, len(words))
	for i, w := range words {
		sums[i] = sha1.Sum([]byte(w))
	}
	slices.SortFunc(sums, func(a, b [sha1.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	path := filepath.Join(t.TempDir(), "common.bin")
	if *update {
		path = "common.bin"
	}
	if err := write(path, builtIn, func(w *writer) error { return addAll(w, sums) }); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil || !*update && !bytes.Equal(want, common) {
		t.Fatalf("common.bin is not of the library's lists (%v); run: go test ./internal/breach -run TestCommon -update", err)
	}
	list, err := New(bytes.NewReader(want), int64(len(want)))
	if err != nil || len(want) > 200<<10 {
		t.Fatalf("%d bytes: %v", len(want), err)
	}
	for _, w := range words {
		if yes, err := list.Has(w); !yes || err != nil {
			t.Fatalf("%q is not found: %v", w, err)
		}
	}
	t.Logf("%d words, %d bytes, %d bits of index", list.Len(), len(want), list.bits)
}

func addAll(w *writer, sums [][sha1.Size]byte) error {
	for _, s := range sums {
		if err := w.add(s); err != nil {
			return err
		}
	}
	return nil
}

func TestCommonHas(t *testing.T) {
	list, err := Common()
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{
		"password1": true, "qwertyuiop": true, "1q2w3e4r5t6y": true, "unbelievable": true, "relationship": true,
		"correct horse battery staple": false, // what every test and the sample data use
		"":                             false, "short": false, "tjugo gröna elefanter": false,
	} {
		if got, err := list.Has(password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
}
