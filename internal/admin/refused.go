package admin

import (
	"errors"
	"fmt"

	"github.com/portvakt/portvakt/internal/client"
	"github.com/portvakt/portvakt/internal/user"
)

// ErrNoClient says that no application has this id.
var ErrNoClient = errors.New("no such client")

// refused is a sentence for the operator that errors.Is knows by its kind.
type refused struct {
	kind error
	text string
}

func (r refused) Error() string { return r.text }
func (r refused) Unwrap() error { return r.kind }

func noUser(name string) error {
	return refused{user.ErrNotFound, fmt.Sprintf("there is no user %q", name)}
}

func noClient(id client.ID) error {
	return refused{ErrNoClient, fmt.Sprintf("there is no client %q", id)}
}
