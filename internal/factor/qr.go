package factor

import (
	"errors"
	"image/color"
	"strconv"

	"github.com/boombuler/barcode/qr"
)

// QRCode is a QR code (ISO/IEC 18004) without its quiet zone, which the page
// gives it (4 modules on each side). Size is the number of modules on a side,
// from 21 to 177. Path is the d of an SVG path in viewBox="0 0 Size Size".
type QRCode struct {
	Size int
	Path string
}

// QR makes the QR code of a text, of 1 to 2,331 bytes, that survives the loss
// of 15 % of it (error correction M). The error does not show the text.
func QR(text string) (QRCode, error) {
	if text == "" {
		return QRCode{}, errors.New("factor: no text for a QR code")
	}
	// Bytes always: the library's alphanumeric forms gain nothing for a URI.
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return QRCode{}, errors.New("factor: the text is too long for a QR code")
	}
	size := code.Bounds().Dx()
	path := make([]byte, 0, size*size*6)
	for y := range size {
		for x := 0; x < size; x++ {
			if code.At(x, y) != color.Black {
				continue
			}
			from := x
			for x+1 < size && code.At(x+1, y) == color.Black {
				x++
			}
			path = appendRun(path, from, y, x+1-from)
		}
	}
	return QRCode{Size: size, Path: string(path)}, nil
}

// appendRun draws n dark modules beside one another, from (x, y) on.
func appendRun(path []byte, x, y, n int) []byte {
	path = strconv.AppendInt(append(path, 'M'), int64(x), 10)
	path = strconv.AppendInt(append(path, ' '), int64(y), 10)
	path = strconv.AppendInt(append(path, 'h'), int64(n), 10)
	path = strconv.AppendInt(append(path, "v1h-"...), int64(n), 10)
	return append(path, 'z')
}
