package store

import (
	"bytes"
	"database/sql"
	"slices"
	"testing"
	"time"
)

func TestEncode(t *testing.T) {
	type id string
	values, formats, err := encode([]any{"\\x41", id("x"), []byte{0, 1}, []byte(nil), nil, int64(-7), 7, nullable(""), sql.NullString{String: "s", Valid: true}})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{[]byte("\\x41"), []byte("x"), {0, 1}, nil, nil, []byte("-7"), []byte("7"), nil, []byte("s")}
	if !slices.EqualFunc(values, want, func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }) {
		t.Errorf("values %q", values)
	}
	if want := []int16{1, 1, 1, 1, 0, 0, 0, 0, 1}; !slices.Equal(formats, want) {
		t.Errorf("formats %v, want %v", formats, want)
	}
	if values, _, err := encode([]any{""}); err != nil || values[0] == nil {
		t.Errorf("an empty text became a null: %v", err)
	}
	for _, arg := range []any{true, 1.5, time.Now(), []string{"a"}, struct{}{}} {
		if _, _, err := encode([]any{arg}); err == nil {
			t.Errorf("%T was encoded", arg)
		}
	}
}

func TestDecode(t *testing.T) {
	var s string
	var n int64
	var b []byte
	big := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}
	for _, tt := range []struct {
		dest  any
		oid   uint32
		value []byte
		ok    bool
	}{
		{&s, 25, []byte("å"), true}, {&s, 1043, nil, false}, {&s, 25, nil, false}, {&s, 17, []byte("x"), false}, {&s, 20, big, false},
		{&n, 20, big, true}, {&n, 23, big[4:], true}, {&n, 20, nil, false}, {&n, 20, big[4:], false}, {&n, 1700, big, false},
		{&b, 17, []byte{0}, true}, {&b, 25, []byte("{}"), true}, {&b, 17, nil, true}, {&b, 20, big, false}, {new(bool), 16, []byte{1}, false},
	} {
		if err := decode(tt.dest, tt.oid, tt.value); (err == nil) != tt.ok {
			t.Errorf("%q of type %d into %T: %v", tt.value, tt.oid, tt.dest, err)
		}
	}
	if s != "å" || n != -2 || b != nil {
		t.Errorf("decoded %q, %d, %q", s, n, b)
	}
	kept := []byte{1}
	if err := decode(&b, 17, kept); err != nil || &b[0] == &kept[0] {
		t.Errorf("a value stays in the buffer of the connection: %v", err)
	}
}

func TestAddress(t *testing.T) {
	for address, most := range map[string]int{
		"postgres://h/d": 16, "postgres://h/d?pool_max_conns=3": 3, "postgres://h/d?pool_max_conns=0": 0,
		"postgres://h/d?pool_max_conns=x": 0, "postgres://h/d?pool_min_conns=3": 0, "postgres://h:x/d": 0,
	} {
		p, err := openLinks(address, 2*time.Second)
		if (err == nil) != (most > 0) || err == nil && cap(p.seats) != most {
			t.Errorf("%s: %v", address, err)
		}
		if err == nil && (p.config.RuntimeParams["pool_max_conns"] != "" || p.config.RuntimeParams["statement_timeout"] != "10000" || p.config.RuntimeParams["lock_timeout"] != "2000") {
			t.Errorf("%s: the server gets %v", address, p.config.RuntimeParams)
		}
	}
}
