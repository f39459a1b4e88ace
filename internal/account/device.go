package account

import (
	"cmp"

	"github.com/portvakt/portvakt/internal/store"
)

// TellDevice queues the mail about a device on which an application was signed in as a person: where the person said yes, and the address that
// the device asked from, which is not theirs if somebody talked them into it (RFC 8628 §5.4).
func (s *Service) TellDevice(t *store.Tx, p *store.Person, app, from string) error {
	return s.Notify.Mail(t, p, "mail.device_connected", "app", app, "address", cmp.Or(t.Origin().IP, "–"), "from", cmp.Or(from, "–"))
}
