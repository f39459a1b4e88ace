package breach

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	maxBits = 20  // of the index: 8 MiB of the file and of memory while it is written
	crowd   = 256 // entries of one value of the index, where its bits suffice
)

// imported is the shape of a list of any size, with 16 bits or more.
var imported = shape{skip: 2, width: 5}

// errOrder says that hashes did not rise.
var errOrder = errors.New("breach: hashes are not sorted")

// writer makes a file of hashes that come sorted, in memory that does not grow with their number.
type writer struct {
	shape
	w      io.WriteSeeker
	buf    *bufio.Writer
	counts []int64 // by the first maxBits
	last   [sha1.Size]byte
	n      int64
}

// newWriter begins a file; the bits of s are chosen when it is finished.
func newWriter(w io.WriteSeeker, s shape) *writer {
	s.bits = maxBits
	out := &writer{shape: s, w: w, buf: bufio.NewWriterSize(w, 1<<20), counts: make([]int64, s.slots()-1)}
	out.buf.Write(make([]byte, header)) // written when all is known
	return out
}

// add appends one. A hash that is there already is passed over; errOrder if it is lower than the one before.
func (w *writer) add(sum [sha1.Size]byte) error {
	kept := w.skip + w.width
	switch cmp := bytes.Compare(sum[:], w.last[:]); {
	case w.n > 0 && cmp < 0:
		return errOrder
	case w.n > 0 && bytes.Equal(sum[:kept], w.last[:kept]):
		w.last = sum
		return nil
	}
	w.last = sum
	w.n++
	w.counts[w.bucket(sum)]++
	_, err := w.buf.Write(w.last[w.skip:kept])
	return err
}

// finish writes the index and the header.
func (w *writer) finish() error {
	s := w.shape
	for s.bits = max(8*s.skip, 1); s.bits < maxBits && s.bits < 8*(s.skip+s.width) && w.n>>s.bits > crowd; {
		s.bits++
	}
	head := binary.BigEndian.AppendUint64(append([]byte(magic), byte(s.skip), byte(s.width), byte(s.bits), 0, 0, 0, 0, 0), uint64(w.n))
	sum := sha256.New()
	sum.Write(head)
	out, before := io.MultiWriter(w.buf, sum), int64(0)
	var number [place]byte
	for i, n := range w.counts {
		if i%(1<<(maxBits-s.bits)) == 0 {
			binary.BigEndian.PutUint64(number[:], uint64(before))
			if _, err := out.Write(number[:]); err != nil {
				return err
			}
		}
		before += n
	}
	binary.BigEndian.PutUint64(number[:], uint64(before))
	if _, err := out.Write(number[:]); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if _, err := w.w.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := w.w.Write(sum.Sum(head))
	return err
}

// write makes the file at path of what fill adds. It is whole and on the disk, or is not there and what stood there before still is.
func write(path string, s shape, fill func(*writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := newWriter(f, s)
	if err = fill(w); err != nil {
		return err
	}
	if w.n == 0 {
		return errors.New("there is nothing in it to keep; the list would refuse no password")
	}
	if err = w.finish(); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil { // it holds no secret, and the service may run as somebody else
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("make the new name last: %w", err)
	}
	defer dir.Close()
	return dir.Sync()
}
