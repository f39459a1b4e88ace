package breach

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// lines are those of a list ordered by hash; the first word was seen once, the second twice, and so on.
func lines(words ...string) []string {
	var out []string
	for i, w := range words {
		out = append(out, fmt.Sprintf("%X:%d", sha1.Sum([]byte(w)), i+1))
	}
	slices.Sort(out)
	return out
}

func holds(t *testing.T, path string, want map[string]bool) {
	t.Helper()
	list, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	for word, want := range want {
		if got, err := list.Has(word); got != want || err != nil {
			t.Errorf("%q: %v, %v; want %v", word, got, err, want)
		}
	}
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	to, all := filepath.Join(dir, "to"), lines("once", "twice", "thrice")
	each := map[string]bool{"once": true, "twice": true, "thrice": true, "never": false, "Once": false}
	seldom := map[string]bool{"once": false, "twice": true, "thrice": true}
	for _, c := range []struct {
		name, text  string
		least, kept int64
		want        map[string]bool
	}{
		{"plain", strings.Join(all, "\n") + "\n", 1, 3, each},
		{"no newline at the end", strings.Join(all, "\n"), 1, 3, each},
		{"Windows", "\ufeff" + strings.Join(all, "\r\n") + "\r\n", 0, 3, each},
		{"lower case", strings.ToLower(strings.Join(all, "\n")), 1, 3, each},
		{"the same twice", strings.Join([]string{all[0], all[0], all[1], all[1], all[1], all[2]}, "\n"), 1, 3, each},
		{"seen twice", strings.Join(all, "\n"), 2, 2, seldom},
	} {
		got, err := Import(t.Context(), put(t, filepath.Join(dir, "from"), c.text), to, c.least)
		if err != nil || got.Kept != c.kept || got.Files != 0 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
			continue
		}
		holds(t, to, c.want)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestImportRefused: nothing is made of what cannot be read, and what was there stays.
func TestImportRefused(t *testing.T) {
	dir := t.TempDir()
	all := lines("once", "twice", "thrice")
	to := put(t, filepath.Join(dir, "to"), "what was there")
	for name, c := range map[string]struct {
		text  string
		least int64
		want  string
	}{
		"unsorted":    {all[1] + "\n" + all[0], 1, "from, line 2: the hash is lower than the one before; take the list that is ordered by hash, or sort it"},
		"cut off":     {all[0] + "\n" + all[1][:20], 1, "line 2: want 40 hexadecimal digits"},
		"cut count":   {all[0] + "\n" + all[1][:41], 1, "line 2: want 40"},
		"no count":    {all[0][:40], 1, "line 1: want 40"},
		"NTLM":        {"31D6CFE0D16AE931B73C59D7E0C089C0:5", 1, "line 1: want 40"},
		"passwords":   {"password1\nqwertyuiop\n", 1, "line 1: want 40"},
		"a long line": {all[0] + "\n" + strings.Repeat("A", 1<<20), 1, "line 2: want 40"},
		"no digits":   {strings.Repeat("G", 40) + ":1", 1, "line 1: want 40"},
		"negative":    {all[0][:41] + "-1", 1, "line 1: want 40"},
		"empty line":  {all[0] + "\n\n" + all[1], 1, "line 2: want 40"},
		"empty":       {"", 1, "there is nothing in it to keep"},
		"too seldom":  {strings.Join(all, "\n"), 4, "there is nothing in it to keep"},
	} {
		if _, err := Import(t.Context(), put(t, filepath.Join(dir, "from"), c.text), to, c.least); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := Import(ended, put(t, filepath.Join(dir, "from"), strings.Repeat(all[0]+"\n", 10_001)), to, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("when it was stopped: %v", err)
	}
	if _, err := Import(t.Context(), filepath.Join(dir, "none"), to, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no source: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if text, err := os.ReadFile(to); err != nil || string(text) != "what was there" {
		t.Errorf("%.40q, %v", text, err)
	}
}

// TestImportFolder: the downloader's folder, a file for each five digits, however they are named.
func TestImportFolder(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	if _, err := Import(t.Context(), dir, to, 1); err == nil || !strings.Contains(err.Error(), "five hexadecimal digits") {
		t.Errorf("an empty folder: %v", err)
	}
	name := []func(string) string{
		func(s string) string { return s }, strings.ToLower, func(s string) string { return s + ".txt" }, func(s string) string { return strings.ToLower(s) + ".txt" },
	}
	want := map[string]bool{"word": false}
	for i := range 400 {
		word := fmt.Sprint("word", i)
		line := lines(word)[0]
		put(t, filepath.Join(dir, name[i%4](line[:5])), strings.Repeat("0", 35)+":0\r\n"+line[5:]+"\r\n") // some answers are padded with what was never seen
		want[word] = true
	}
	put(t, filepath.Join(dir, "README"), "not a list")
	put(t, filepath.Join(dir, "00000.tmp"), "not a list")
	got, err := Import(t.Context(), dir, to, 1)
	if err != nil || got.Files != 400 || got.Kept != 400 || got.Lines != 800 {
		t.Fatalf("%+v, %v", got, err)
	}
	holds(t, to, want)
	put(t, filepath.Join(dir, "00000"), lines("whole")[0])
	if _, err := Import(t.Context(), dir, to, 1); err == nil || !strings.Contains(err.Error(), "00000, line 1: want 35 hexadecimal digits") {
		t.Errorf("with whole hashes: %v", err)
	}
}

// TestImportMemory: what an import takes does not grow with what it reads.
func TestImportMemory(t *testing.T) {
	dir := t.TempDir()
	took := func(n int) uint64 {
		f, err := os.Create(filepath.Join(dir, "from"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			fmt.Fprintf(f, "%08X%032X:7\n", i*1000, i)
		}
		f.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Import(t.Context(), f.Name(), filepath.Join(dir, "to"), 1); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, more := took(1000), took(200_000)
	if more > few+few/10 {
		t.Errorf("it allocates %d bytes for 1,000 lines and %d for 200,000", few, more)
	}
}

func BenchmarkImport(b *testing.B) {
	dir, n := b.TempDir(), 1_000_000
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%08X%032X:7\n", i*1000, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "from"), []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := Import(b.Context(), filepath.Join(dir, "from"), filepath.Join(dir, "to"), 1); err != nil {
			b.Fatal(err)
		}
	}
}
