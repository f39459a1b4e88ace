package factor

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// grid is a QR code drawn: grid[y][x] is dark or not.
type grid [][]bool

// draw follows the path as a browser would, and refuses all that QR would not write.
func draw(t *testing.T, c QRCode) grid {
	t.Helper()
	g := make(grid, c.Size)
	for y := range g {
		g[y] = make([]bool, c.Size)
	}
	run := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)
	if rest := run.ReplaceAllString(c.Path, ""); rest != "" {
		t.Fatalf("the path has %.40q in it", rest)
	}
	for _, m := range run.FindAllStringSubmatch(c.Path, -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		n, _ := strconv.Atoi(m[3])
		if m[3] != m[4] || n < 1 || y >= c.Size || x+n > c.Size || x > 0 && g[y][x-1] {
			t.Fatalf("run %s in a code of %d", m[0], c.Size)
		}
		for i := range n {
			g[y][x+i] = true
		}
	}
	return g
}

// layout is what ISO/IEC 18004 says of a version at error correction M: check
// bytes in each block, data bytes of each block, places of alignment patterns.
type layout struct {
	check int
	data  []int
	align []int
}

func layouts(version int) layout {
	return map[int]layout{
		1:  {10, []int{16}, nil},
		2:  {16, []int{28}, []int{6, 18}},
		6:  {16, []int{27, 27, 27, 27}, []int{6, 34}},
		7:  {18, []int{31, 31, 31, 31}, []int{6, 22, 38}},
		8:  {22, []int{38, 38, 39, 39}, []int{6, 24, 42}},
		9:  {22, []int{36, 36, 36, 37, 37}, []int{6, 26, 46}},
		10: {26, []int{43, 43, 43, 43, 44}, []int{6, 28, 50}},
	}[version]
}

// reserved reports whether a module is no data: finders with their borders and
// the format (§6.3.3, §7.9), timing, alignment, and version from 7 on (§7.10).
func reserved(x, y, size int, align []int) bool {
	if x == 6 || y == 6 || x < 9 && y < 9 || x < 9 && y >= size-8 || x >= size-8 && y < 9 {
		return true
	}
	if size >= 45 && (x < 6 && y >= size-11 || y < 6 && x >= size-11) {
		return true
	}
	for _, ax := range align {
		for _, ay := range align {
			corner := ax == 6 && ay == 6 || ax == 6 && ay == size-7 || ax == size-7 && ay == 6
			if !corner && x >= ax-2 && x <= ax+2 && y >= ay-2 && y <= ay+2 {
				return true
			}
		}
	}
	return false
}

// format reads the level and the mask beside the first finder (§7.9.1).
func (g grid) format() (level, mask int) {
	bits := 0
	for _, p := range [][2]int{{0, 8}, {1, 8}, {2, 8}, {3, 8}, {4, 8}, {5, 8}, {7, 8}, {8, 8}} {
		bits <<= 1
		if g[p[1]][p[0]] {
			bits |= 1
		}
	}
	bits ^= 0x5412 >> 7
	return bits >> 6, bits >> 3 & 7
}

func masked(mask, x, y int) bool {
	switch mask {
	case 0:
		return (x+y)%2 == 0
	case 1:
		return y%2 == 0
	case 2:
		return x%3 == 0
	case 3:
		return (x+y)%3 == 0
	case 4:
		return (y/2+x/3)%2 == 0
	case 5:
		return x*y%2+x*y%3 == 0
	case 6:
		return (x*y%2+x*y%3)%2 == 0
	}
	return ((x+y)%2+x*y%3)%2 == 0
}

// codewords reads the data area in its zigzag (§7.7.3).
func (g grid) codewords(align []int, mask int) []byte {
	var out []byte
	size, acc, n := len(g), 0, 0
	up := true
	for right := size - 1; right > 0; right -= 2 {
		if right == 6 {
			right--
		}
		for i := range size {
			y := i
			if up {
				y = size - 1 - i
			}
			for _, x := range []int{right, right - 1} {
				if reserved(x, y, size, align) {
					continue
				}
				acc <<= 1
				if g[y][x] != masked(mask, x, y) {
					acc |= 1
				}
				if n++; n%8 == 0 {
					out = append(out, byte(acc))
					acc = 0
				}
			}
		}
		up = !up
	}
	return out
}

// blocks undoes the interleaving (§7.6) and gives each block with its check bytes.
func blocks(words []byte, l layout) [][]byte {
	out := make([][]byte, len(l.data))
	longest := l.data[len(l.data)-1]
	for i := range longest + l.check {
		for b, n := range l.data {
			if i >= n && i < longest { // a short block has no such byte
				continue
			}
			out[b] = append(out[b], words[0])
			words = words[1:]
		}
	}
	return out
}

// whole reports whether a block is a codeword of its Reed-Solomon code: its
// polynomial is zero at α^0 … α^(check-1) in GF(256) mod 0x11d (§7.5.2).
func whole(block []byte, check int) bool {
	mul := func(a, b int) int {
		p := 0
		for ; b > 0; b >>= 1 {
			if b&1 == 1 {
				p ^= a
			}
			if a <<= 1; a > 255 {
				a ^= 0x11d
			}
		}
		return p
	}
	for i, root := 0, 1; i < check; i, root = i+1, mul(root, 2) {
		sum := 0
		for _, c := range block {
			sum = mul(sum, root) ^ int(c)
		}
		if sum != 0 {
			return false
		}
	}
	return true
}

// decode reads a code in byte mode as a phone would, without mending any error.
func decode(t *testing.T, c QRCode) string {
	t.Helper()
	g := draw(t, c)
	finders(t, g)
	level, mask := g.format()
	if level != 0 {
		t.Errorf("error correction is %02b, want 00 for M", level)
	}
	version := (c.Size - 17) / 4
	l := layouts(version)
	if c.Size != 17+4*version || l.check == 0 {
		t.Fatalf("size %d", c.Size)
	}
	var data []byte
	for i, b := range blocks(g.codewords(l.align, mask), l) {
		if !whole(b, l.check) {
			t.Errorf("block %d does not fit its check bytes", i)
		}
		data = append(data, b[:len(b)-l.check]...)
	}
	bits := ""
	for _, b := range data {
		bits += fmt.Sprintf("%08b", b)
	}
	count := 8
	if version > 9 {
		count = 16
	}
	mode, bits := bits[:4], bits[4:]
	n, _ := strconv.ParseUint(bits[:count], 2, 16)
	if mode != "0100" {
		t.Fatalf("mode %s, want 0100 for bytes", mode)
	}
	var text strings.Builder
	for i := range int(n) {
		b, _ := strconv.ParseUint(bits[count+8*i:count+8*i+8], 2, 8)
		text.WriteByte(byte(b))
	}
	return text.String()
}

func finders(t *testing.T, g grid) {
	t.Helper()
	size := len(g)
	for _, at := range [][2]int{{0, 0}, {size - 7, 0}, {0, size - 7}} {
		for y := range 7 {
			for x := range 7 {
				ring := max(abs(x-3), abs(y-3))
				if g[at[1]+y][at[0]+x] != (ring != 2) {
					t.Fatalf("no finder pattern at %v", at)
				}
			}
		}
	}
	for i := 8; i < size-8; i++ {
		if g[6][i] != (i%2 == 0) || g[i][6] != (i%2 == 0) {
			t.Fatal("no timing pattern")
		}
	}
}

func abs(n int) int { return max(n, -n) }

func TestQR(t *testing.T) {
	totp := TOTP{Secret: []byte(rfcSeed[:20])}
	for _, text := range []string{
		"x",
		"12345",
		"-12",
		"HELLO WORLD",
		"otpauth://totp/x?secret=GE",
		totp.URI("A", "alice"),
		totp.URI("ACME", "alice@example.com"),
		totp.URI("Örnsköldviks kommun", "åsa.öberg@ornskoldsvik.example"),
		totp.URI("ACME Corporation of Somewhere", "alice.long.name@department.example.com"),
		strings.Repeat("abcdefg ", 26),
	} {
		c, err := QR(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := decode(t, c); got != text {
			t.Errorf("%q is read as %q", text, got)
		}
	}
	if c, err := QR(strings.Repeat("x", 2331)); err != nil || c.Size != 177 {
		t.Errorf("2,331 bytes: size %d, %v", c.Size, err)
	}
	for _, text := range []string{"", strings.Repeat("x", 2332)} {
		if c, err := QR(text); err == nil || c != (QRCode{}) || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%d bytes: %v, %v", len(text), c, err)
		}
	}
}

func BenchmarkQR(b *testing.B) {
	uri := NewTOTP().URI("ACME", "alice@example.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := QR(uri); err != nil {
			b.Fatal(err)
		}
	}
}
