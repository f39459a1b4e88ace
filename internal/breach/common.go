package breach

import (
	"bytes"
	_ "embed" // for common.bin
)

// common.bin is made by TestCommon of the frequency lists of zxcvbn (MIT licence; Copyright (c) 2012-2016 Dan Wheeler and Dropbox, Inc.)
// by way of github.com/trustelem/zxcvbn (MIT licence; Copyright (c) 2018 Vincent Vanackere and Trustelem): the passwords that people
// choose most, and single words and names, with 8 characters or more, since no policy allows fewer.
//
//go:embed common.bin
var common []byte

// Common gives the list that is built in: 38,000 passwords, in lower case.
func Common() (*List, error) { return New(bytes.NewReader(common), int64(len(common))) }
