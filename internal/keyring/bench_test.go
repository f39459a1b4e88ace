package keyring

import (
	"bytes"
	"testing"
)

func BenchmarkSign(b *testing.B) {
	r, _ := newRing(b)
	claims := bytes.Repeat([]byte("x"), 400)
	for _, alg := range algorithms() {
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(alg, "JWT", claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	r, _ := newRing(b)
	for _, alg := range algorithms() {
		token := mustSign(b, r, alg)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	r, _ := newRing(b)
	key, err := r.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	text := bytes.Repeat([]byte("x"), 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Seal(key, text, "event 12"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnseal(b *testing.B) {
	r, _ := newRing(b)
	key, err := r.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := r.Seal(key, bytes.Repeat([]byte("x"), 200), "event 12")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(key, sealed, "event 12"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenDir(b *testing.B) {
	_, dir := newRing(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReloadUnchanged(b *testing.B) {
	r, _ := newRing(b)
	b.ReportAllocs()
	for b.Loop() {
		if changed, err := r.Reload(); err != nil || changed {
			b.Fatal(changed, err)
		}
	}
}
