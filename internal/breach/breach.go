// Package breach keeps lists of passwords that others know, in a file small enough to carry and quick enough to ask at every change.
//
// A file holds SHA-1 hashes cut short, sorted, and an index by their first bits. A look-up is two small reads, whatever the size of the
// file, and keeps nothing in memory. A password that is on the list is always found. One that is not is taken for listed by chance:
// with a billion entries less than once in 60 million look-ups for an imported list (56 bits of each hash), and once in 25 million for the
// list that is built in (40 bits of each). SHA-1 is the form that the lists are published in; nothing rests on its strength.
//
// The file, all numbers big-endian:
//
//	 0  "portvakt-breach", and the version, 1
//	16  which byte of a hash an entry begins with, how many bytes an entry has, how many bits the index goes by; 5 zeros
//	24  the number of entries, 8 bytes
//	32  SHA-256 over the 32 bytes above and the index
//	64  the entries; then the index: for each value of the first bits how many entries stand before its own, 8 bytes each, and their number
package breach

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	magic  = "portvakt-breach\x01" // the last byte is the version
	header = 64                    // bytes
	place  = 8                     // bytes of a number in the index

	gulp = 16 << 10 // bytes that a look-up reads at once, at most
)

// ErrFile is what errors.Is finds when a file is not a list, is another version's, or is damaged.
var ErrFile = errors.New("not a usable blocklist")

// List is an open list. It is safe for concurrent use.
type List struct {
	shape
	r io.ReaderAt
	n int64
	f *os.File // nil if there is none to close
}

// shape says how hashes stand in a file.
type shape struct {
	skip, width, bits int // see the package's comment
}

func (s shape) valid() bool {
	return s.width >= 1 && s.skip >= 0 && s.skip+s.width <= sha1.Size && s.bits >= 8*s.skip && s.bits >= 1 && s.bits <= maxBits && s.bits <= 8*(s.skip+s.width)
}

// slots is how many numbers the index has.
func (s shape) slots() int64 { return 1<<s.bits + 1 }

func (s shape) size(n int64) int64 { return header + n*int64(s.width) + s.slots()*place }

// bucket is the value of a hash's first bits.
func (s shape) bucket(sum [sha1.Size]byte) int64 {
	return int64(binary.BigEndian.Uint64(sum[:8]) >> (64 - s.bits))
}

// Open opens the list in the file at path. ErrFile if it is none.
func Open(path string) (*List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%w: it is a folder", ErrFile)
	}
	var l *List
	if err == nil {
		l, err = New(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.f = f
	return l, nil
}

// New is Open for what is read by r, of so many bytes. It reads the header and the index, and compares their checksum.
func New(r io.ReaderAt, size int64) (*List, error) {
	var head [header]byte
	n, err := r.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	name := len(magic) - 1
	switch {
	case n < len(magic) || string(head[:name]) != magic[:name]:
		return nil, fmt.Errorf("%w: it was not made by: portvakt blocklist import", ErrFile)
	case head[name] != magic[name]:
		return nil, fmt.Errorf("%w: it is of version %d and this program reads version %d; import it anew", ErrFile, head[name], magic[name])
	case n < header:
		return nil, truncated(size)
	}
	l := &List{r: r, shape: shape{skip: int(head[16]), width: int(head[17]), bits: int(head[18])}, n: int64(binary.BigEndian.Uint64(head[24:32]))}
	switch {
	case !l.valid() || !bytes.Equal(head[19:24], make([]byte, 5)):
		return nil, fmt.Errorf("%w: its header makes no sense; import it anew", ErrFile)
	case l.n < 0 || l.n > size || l.size(l.n) != size:
		return nil, truncated(size)
	}
	if err := l.verify(head); err != nil {
		return nil, err
	}
	return l, nil
}

func truncated(size int64) error {
	return fmt.Errorf("%w: it is truncated or damaged, %d bytes; import it anew", ErrFile, size)
}

// verify reads the index once: its checksum, and that it only rises.
func (l *List) verify(head [header]byte) error {
	sum := sha256.New()
	sum.Write(head[:32])
	index := io.NewSectionReader(l.r, l.size(l.n)-l.slots()*place, l.slots()*place)
	buf, last, rises := make([]byte, 64<<10), int64(0), true
	for {
		n, err := io.ReadFull(index, buf)
		sum.Write(buf[:n])
		for i := 0; i+place <= n; i += place {
			at := int64(binary.BigEndian.Uint64(buf[i:]))
			rises = rises && at >= last
			last = at
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if subtle.ConstantTimeCompare(sum.Sum(nil), head[32:]) != 1 || !rises || last != l.n {
		return fmt.Errorf("%w: its checksum is wrong; import it anew", ErrFile)
	}
	return nil
}

// Close gives the file back. No call may follow it.
func (l *List) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

// Len is how many hashes are on the list.
func (l *List) Len() int64 { return l.n }

// Has reports whether a password is on the list, in this spelling. An error is one of reading.
func (l *List) Has(password string) (bool, error) { return l.has(sha1.Sum([]byte(password))) }

func (l *List) has(sum [sha1.Size]byte) (bool, error) {
	var around [2 * place]byte
	if _, err := l.r.ReadAt(around[:], l.size(l.n)-l.slots()*place+l.bucket(sum)*place); err != nil {
		return false, fmt.Errorf("breach: read the index: %w", err)
	}
	low, high := int64(binary.BigEndian.Uint64(around[:])), int64(binary.BigEndian.Uint64(around[place:]))
	if low < 0 || high > l.n {
		return false, fmt.Errorf("%w: it changed since it was opened", ErrFile)
	}
	want, w := sum[l.skip:l.skip+l.width], int64(l.width)
	for (high-low)*w > gulp { // only in a list whose hashes crowd together
		middle := low + (high-low)/2
		at := make([]byte, w)
		if err := l.entries(at, middle); err != nil {
			return false, err
		}
		if bytes.Compare(at, want) <= 0 {
			low = middle
		} else {
			high = middle
		}
	}
	if high <= low {
		return false, nil
	}
	some := make([]byte, (high-low)*w)
	if err := l.entries(some, low); err != nil {
		return false, err
	}
	for ; len(some) > 0; some = some[w:] {
		if bytes.Equal(some[:w], want) {
			return true, nil
		}
	}
	return false, nil
}

// entries reads those from one on.
func (l *List) entries(into []byte, from int64) error {
	if _, err := l.r.ReadAt(into, header+from*int64(l.width)); err != nil {
		return fmt.Errorf("breach: read entries: %w", err)
	}
	return nil
}
