package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/portvakt/portvakt/internal/audit"
	"github.com/portvakt/portvakt/internal/store"
	"github.com/portvakt/portvakt/internal/user"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List events, the newest last."`
	Follow auditFollowCmd `cmd:"" help:"Print events as they happen."`
	Export auditExportCmd `cmd:"" help:"Print the whole trail, one JSON object a line."`
}

// line is an event as it leaves the service (contract §6).
type line struct {
	Seq       *int64            `json:"seq"` // null until the log is sealed
	ID        string            `json:"id"`
	Time      time.Time         `json:"time"`
	Kind      audit.Kind        `json:"kind"`
	Outcome   audit.Outcome     `json:"outcome"`
	Reason    audit.Reason      `json:"reason"`
	Actor     string            `json:"actor"`
	Subject   string            `json:"subject"`
	Client    string            `json:"client"`
	Session   string            `json:"session"`
	IP        string            `json:"ip"`
	UserAgent string            `json:"user_agent"`
	Request   string            `json:"request"`
	Detail    map[string]string `json:"detail"`
}

func lineOf(e audit.Event) line {
	l := line{ID: e.ID, Time: e.At, Kind: e.Kind, Outcome: e.Outcome, Reason: e.Reason, Actor: e.Actor, Subject: e.Subject,
		Client: e.Client, Session: e.Session, IP: e.IP, UserAgent: e.Agent, Request: e.Request, Detail: e.Detail}
	if e.Seq > 0 {
		l.Seq = &e.Seq
	}
	if l.Detail == nil {
		l.Detail = map[string]string{}
	}
	return l
}

// filter narrows what a command shows.
type filter struct {
	User  string        `help:"Events about this user name."`
	Kind  []string      `help:"Events of these kinds."`
	Since time.Duration `help:"Events of the last …, such as 24h."`
}

func (f filter) resolve(ctx context.Context, v *service) (store.EventFilter, error) {
	var out store.EventFilter
	if f.User != "" {
		p, _, err := v.admin.User(ctx, f.User)
		if err != nil {
			return out, err
		}
		out.Subject = p.ID
	}
	for _, k := range f.Kind {
		if audit.Kind(k).Sentence() == "" {
			return out, fmt.Errorf("there is no event kind %q; the kinds are: %s", k, allKinds())
		}
		out.Kinds = append(out.Kinds, audit.Kind(k))
	}
	if f.Since < 0 {
		return out, fmt.Errorf("since %s: give how far back, such as 24h", f.Since)
	}
	if f.Since > 0 {
		out.Since = v.db.Now().Add(-f.Since)
	}
	return out, nil
}

func allKinds() string {
	var words []string
	for _, k := range audit.Kinds() {
		words = append(words, string(k))
	}
	return strings.Join(words, " ")
}

type auditListCmd struct {
	filter
	Limit int  `help:"How many." default:"100"`
	JSON  bool `name:"json" help:"One JSON object a line."`
}

// Run lists the newest events.
func (c *auditListCmd) Run(s *settings) error {
	if c.Limit < 1 {
		return fmt.Errorf("limit %d: give 1 or more", c.Limit)
	}
	return command(s, func(ctx context.Context, v *service) error {
		f, err := c.resolve(ctx, v)
		if err != nil {
			return err
		}
		f.Newest, f.Limit = true, c.Limit
		var newest []audit.Event
		err = v.admin.Events(ctx, cli, f, func(e audit.Event) error { newest = append(newest, e); return nil })
		if err != nil {
			return err
		}
		names, err := v.usernames(ctx)
		if err != nil {
			return err
		}
		t := newTable(c.JSON, "TIME", "KIND", "OUTCOME", "WHO", "CLIENT", "ADDRESS", "DETAIL")
		for i := len(newest) - 1; i >= 0; i-- {
			e := newest[i]
			if err := t.row(lineOf(e), stamp(e.At), string(e.Kind), outcome(e), who(e, names), dash(e.Client), dash(e.IP), details(e)); err != nil {
				return err
			}
		}
		return t.out.Flush()
	})
}

// usernames maps ids to names for people who read the list.
func (v *service) usernames(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	err := v.admin.Users(ctx, func(p *store.Person) error { names[string(p.ID)] = p.Username; return nil })
	return names, err
}

func who(e audit.Event, names map[string]string) string {
	id := e.Subject
	if id == "" {
		id = e.Actor
	}
	if name := names[id]; name != "" {
		return name
	}
	return dash(id)
}

func outcome(e audit.Event) string {
	if e.Reason == "" {
		return string(e.Outcome)
	}
	return string(e.Outcome) + ": " + string(e.Reason)
}

func details(e audit.Event) string {
	if e.Kind == audit.PolicyChanged {
		return dash(policyChange(e.Detail["before"], e.Detail["after"]))
	}
	var words []string
	for _, key := range []string{"method", "step", "factor", "acr", "scope", "error", "fields", "link", "group", "alg", "read"} {
		if value := e.Detail[key]; value != "" {
			words = append(words, key+"="+value)
		}
	}
	return dash(strings.Join(words, " "))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type auditExportCmd struct{ filter }

// Run prints every event, oldest first, a page at a time.
func (c *auditExportCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		f, err := c.resolve(ctx, v)
		if err != nil {
			return err
		}
		f.Limit = 1000
		for first := true; ; first = false {
			n := 0
			print := func(e audit.Event) error { n, f.After = n+1, e.ID; return printJSON(lineOf(e)) }
			if first {
				err = v.admin.Events(ctx, cli, f, print)
			} else {
				err = v.db.View(ctx, func(t *store.Tx) error { return t.Events(f, print) })
			}
			if err != nil || n < f.Limit {
				return err
			}
		}
	})
}

type auditFollowCmd struct{ filter }

// settle is how long an event may take from its instant to being visible: a change that began earlier may commit later.
const settle = 10 * time.Second

// Run prints events as they become visible, until it is interrupted.
func (c *auditFollowCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		f, err := c.resolve(ctx, v)
		if err != nil {
			return err
		}
		if f.Since.IsZero() {
			f.Since = v.db.Now()
		}
		f.Limit = 10000
		printed := map[string]time.Time{}
		err = v.admin.Events(ctx, cli, store.EventFilter{Subject: user.ID(f.Subject), Limit: 1}, func(audit.Event) error { return nil })
		for err == nil && ctx.Err() == nil {
			err = v.db.View(ctx, func(t *store.Tx) error {
				return t.Events(f, func(e audit.Event) error {
					if _, done := printed[e.ID]; done {
						return nil
					}
					printed[e.ID] = e.At
					return printJSON(lineOf(e))
				})
			})
			if behind := v.db.Now().Add(-settle); behind.After(f.Since) {
				f.Since = behind
			}
			for id, at := range printed {
				if at.Before(f.Since) {
					delete(printed, id)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
}
