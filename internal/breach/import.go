package breach

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Imported says what came of an import.
type Imported struct {
	Lines, Kept int64
	Files       int // of a folder; 0 for one file
}

// WholeFolder is how many files the official downloader makes.
const WholeFolder = 1 << (4 * prefixLen)

const (
	prefixLen = 5 // hexadecimal digits that name a file of a folder
	sumLen    = 2 * sha1.Size
)

// Import makes the list to of the Have I Been Pwned list at source: the file "ordered by hash", whose lines are SHA-1 in hexadecimal, a
// colon and how often it was seen; or the folder of the official downloader, a file for each five first digits whose lines hold
// the other 35. Hashes seen fewer than least times are left out. It may be of any size, and is read once from front to back. When ctx
// ends, nothing is left of it.
func Import(ctx context.Context, source, to string, least int64) (Imported, error) {
	info, err := os.Stat(source)
	if err != nil {
		return Imported{}, err
	}
	in := &importer{ctx: ctx, least: max(least, 1)}
	err = write(to, imported, func(w *writer) error {
		in.w = w
		if info.IsDir() {
			return in.folder(source)
		}
		return in.file(source, "")
	})
	if err != nil {
		return Imported{}, fmt.Errorf("import %s: %w", source, err)
	}
	in.Kept = in.w.n
	return in.Imported, nil
}

type importer struct {
	Imported
	ctx   context.Context
	w     *writer
	least int64
}

// The ways that a file of a folder may be named.
func spellings(prefix int) [4]string {
	upper, lower := fmt.Sprintf("%05X", prefix), fmt.Sprintf("%05x", prefix)
	return [4]string{upper + ".txt", upper, lower + ".txt", lower}
}

// folder reads the files of a folder in the order of their hashes. What it knows of them is a byte each.
func (in *importer) folder(source string) error {
	dir, err := os.Open(source)
	if err != nil {
		return err
	}
	defer dir.Close()
	known := make([]uint8, WholeFolder) // which of the spellings, from 1
	for {
		names, err := dir.Readdirnames(4096)
		for _, name := range names {
			stem, _, _ := bytes.Cut([]byte(name), []byte(".txt"))
			prefix, bad := strconv.ParseUint(string(stem), 16, 32)
			if bad != nil || len(stem) != prefixLen {
				continue
			}
			for i, s := range spellings(int(prefix)) {
				if s == name {
					known[prefix] = uint8(i + 1)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for prefix, spelling := range known {
		if spelling == 0 {
			continue
		}
		in.Files++
		names := spellings(prefix)
		if err := in.file(filepath.Join(source, names[spelling-1]), names[1]); err != nil {
			return err
		}
	}
	if in.Files == 0 {
		return errors.New("the folder has no file named by five hexadecimal digits, like 00A3F or 00A3F.txt")
	}
	return nil
}

// file reads the lines of one file; prefix stands before each.
func (in *importer) file(path, prefix string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	line := 0
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%s, line %d: %s", filepath.Base(path), line, fmt.Sprintf(format, args...))
	}
	for r := bufio.NewReaderSize(f, 1<<16); ; {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return nil
		}
		line++
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		sum, seen, ok := parse(prefix, bytes.TrimRight(text, "\r\n"))
		if !ok {
			return fault("want %d hexadecimal digits of SHA-1, a colon and a number; this is another kind of list, or a download that was cut off", sumLen-len(prefix))
		}
		if in.Lines++; in.Lines%10_000 == 0 && in.ctx.Err() != nil {
			return in.ctx.Err()
		}
		if seen < in.least {
			continue
		}
		if err := in.w.add(sum); errors.Is(err, errOrder) {
			return fault("the hash is lower than the one before; take the list that is ordered by hash, or sort it (LC_ALL=C sort)")
		} else if err != nil {
			return err
		}
	}
}

// parse reads HASH:COUNT without its first digits, which are prefix.
func parse(prefix string, line []byte) (sum [sha1.Size]byte, seen int64, ok bool) {
	digits, count, found := bytes.Cut(line, []byte(":"))
	if !found || len(prefix)+len(digits) != sumLen {
		return sum, 0, false
	}
	var whole [sumLen]byte
	copy(whole[copy(whole[:], prefix):], digits)
	if _, err := hex.Decode(sum[:], whole[:]); err != nil {
		return sum, 0, false
	}
	n, err := strconv.ParseUint(string(count), 10, 63)
	return sum, int64(n), err == nil
}
