package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/portvakt/portvakt/internal/admin"
)

type policyRehearseCmd struct {
	proposed
	Days int  `help:"How many days of sign-ins: 30 or 90." enum:"30,90" default:"30"`
	JSON bool `name:"json" help:"One JSON object."`
}

// Run tells what a change of rules would do.
func (c *policyRehearseCmd) Run(s *settings) error {
	p, err := c.read()
	if err != nil {
		return err
	}
	return command(s, func(ctx context.Context, v *service) error {
		// As server gives them to the sign-in.
		site := admin.Site{Texts: v.notify.On(), Passkeys: net.ParseIP(s.issuerURL().Hostname()) == nil}
		r, err := v.admin.Rehearse(ctx, cli, p, c.Days, site)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(r)
		}
		return printRehearsal(r)
	})
}

// printRehearsal tells first what would change, then whom it stops, then the rest of it.
func printRehearsal(r *admin.Rehearsal) error {
	for _, c := range r.Changes {
		fmt.Println(c)
	}
	if len(r.Changes) == 0 {
		fmt.Println("nothing would change: this is the policy in force")
	}
	if len(r.Later) > 0 {
		fmt.Println("not told here, since it bears on what people do from then on:", strings.Join(r.Later, ", "))
	}
	f, p, s, b := r.Factors, r.Passwords, r.Sessions, r.Browsers
	fmt.Printf("\nof %s who may sign in, %d can with the factors that they have; %s surely good enough\n", people(r.People), f.Ready, counted(p.Good, "password"))
	fmt.Printf("%s under way, %s remembered\n\n", counted(s.Alive, "session"), counted(b.Remembered, "browser"))
	if err := printWhom([]finding{
		{"could not sign in at all", f.Shut},
		{"must set up a factor", f.SetUp},
		{"must set up another factor: has only kinds that are not allowed", f.Disallowed},
		{"must set up another factor: none reaches factors.minimum", f.Minimum},
		{"must replace the password: older than max_age", p.Must},
		{"must perhaps replace the password at the next sign-in", p.Perhaps},
		{"sessions that would end", s.Ended},
		{"sessions that would be locked", s.Locked},
		{"sessions that would be shorter", s.Shortened},
		{"works at a kiosk", s.Kiosk},
		{"remembered browsers that would be forgotten", b.Forgotten},
		{"freed: would sign in with less", f.Freed},
		{"freed: would not have to replace the password", p.Freed},
		{"freed: sessions that would be unlocked or count again", s.Freed},
		{"freed: browsers that would be remembered again", b.Freed},
	}); err != nil {
		return err
	}
	return printApplications(r.Applications, r.Days)
}

type finding struct {
	what string
	whom admin.Whom
}

// printWhom leaves out what is so for nobody.
func printWhom(all []finding) error {
	all = slices.DeleteFunc(all, func(f finding) bool { return f.whom.Count+f.whom.Already == 0 })
	if len(all) == 0 {
		fmt.Println("nobody is stopped or burdened")
		return nil
	}
	t := newTable(false, "PEOPLE", "NEW", "ALREADY", "WHO IS NEW")
	for _, f := range all {
		_ = t.row(nil, f.what, strconv.Itoa(f.whom.Count), strconv.Itoa(f.whom.Already), some(f.whom.People))
	}
	return t.out.Flush()
}

func printApplications(apps []admin.Application, days int) error {
	fmt.Println()
	if len(apps) == 0 {
		fmt.Printf("no application is touched, by its people or by the sign-ins of the last %d days\n", days)
		return nil
	}
	fmt.Printf("sign-ins of the last %d days, how many of them would be refused or asked for more, and people who would be shut out or must set up a factor:\n", days)
	t := newTable(false, "APPLICATION", "NAME", "SIGN-INS", "REFUSED", "ASKED MORE", "SHUT OUT", "MUST SET UP", "WHO")
	for _, a := range apps {
		if a.ID == "" {
			a.Name = "(Portvakt's own pages)"
		}
		who := slices.Concat(a.Refused.People, a.Asked.People, a.Shut.People, a.SetUp.People)
		slices.Sort(who)
		_ = t.row(nil, dash(a.ID), dash(a.Name), strconv.Itoa(a.SignIns), strconv.Itoa(a.Refused.Count), strconv.Itoa(a.Asked.Count),
			strconv.Itoa(a.Shut.Count), strconv.Itoa(a.SetUp.Count), some(slices.Compact(who)))
	}
	return t.out.Flush()
}

// some names as many as fit on a line; --json has all.
func some(names []string) string {
	const most = 12
	if len(names) <= most {
		return join(names)
	}
	return strings.Join(names[:most], ",") + fmt.Sprintf(" and %d more", len(names)-most)
}

func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}
