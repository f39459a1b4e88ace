package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/portvakt/portvakt/internal/admin"
	"github.com/portvakt/portvakt/internal/policy"
)

type policyCmd struct {
	Show     policyShowCmd     `cmd:"" help:"Show the policy in force, or what holds for some groups or for one person."`
	Set      policySetCmd      `cmd:"" help:"Change rules; what is not named stays. The running service follows within a second."`
	Rehearse policyRehearseCmd `cmd:"" help:"Say whom a change of rules would stop or burden, before it is set. Nothing is changed; that it was read is recorded."`
}

type policyShowCmd struct {
	Group []string `help:"What holds for a person of these groups." xor:"whom"`
	User  string   `help:"What holds for this person." xor:"whom" placeholder:"NAME"`
	JSON  bool     `name:"json" help:"One JSON object."`
}

// Run shows a policy: the whole one as an apply file has it.
func (c *policyShowCmd) Run(s *settings) error {
	return command(s, func(ctx context.Context, v *service) error {
		var p policy.Policy
		var err error
		groups, whole := c.Group, false
		switch {
		case c.User != "":
			p, groups, err = v.admin.PolicyOfUser(ctx, c.User)
		case len(c.Group) > 0:
			p, err = v.admin.PolicyOf(ctx, c.Group)
		default:
			p, err = v.admin.Policy(ctx)
			whole = true
		}
		if err != nil {
			return err
		}
		blocks := policyBlocks(p, !whole)
		switch {
		case c.JSON:
			return printJSON(blocks)
		case whole:
			return printYAML(map[string]any{"policies": blocks})
		}
		fmt.Printf("# what holds for %s\n", cmp.Or(c.User, "a person")+" of the groups "+join(groups))
		return printYAML(blocks)
	})
}

// block is a block of a policy in the order of its rules, as a file has it.
type block struct{ yaml.MapSlice }

// MarshalJSON gives an object, in the order that JSON gives it.
func (b block) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for _, item := range b.MapSlice {
		out[item.Key.(string)] = item.Value
	}
	return json.Marshal(out)
}

// MarshalYAML gives the rules in their order.
func (b block) MarshalYAML() (any, error) { return b.MapSlice, nil }

// policyBlocks writes every rule down, also one that says nothing; what holds for one person has kiosk besides, which no file can say.
func policyBlocks(p policy.Policy, person bool) *block {
	root := &block{}
	rules := p.Rules()
	for i, r := range rules {
		section, rest, _ := strings.Cut(r.Key, ".")
		in := root.child(section)
		if name, ok := strings.CutPrefix(rest, "groups."); ok {
			dot := strings.LastIndexByte(name, '.')
			in, rest = in.child("groups").child(name[:dot]), name[dot+1:]
		}
		value := r.Value
		if value == nil {
			value = ""
		}
		in.MapSlice = append(in.MapSlice, yaml.MapItem{Key: rest, Value: value})
		if person && section == "session" && (i+1 == len(rules) || !strings.HasPrefix(rules[i+1].Key, "session.")) {
			in.MapSlice = append(in.MapSlice, yaml.MapItem{Key: "kiosk", Value: p.Session.Kiosk})
		}
	}
	return root
}

// child gives the block of this name, which it makes behind the others if there is none.
func (b *block) child(name string) *block {
	for _, item := range b.MapSlice {
		if c, ok := item.Value.(*block); ok && item.Key == name {
			return c
		}
	}
	c := &block{}
	b.MapSlice = append(b.MapSlice, yaml.MapItem{Key: name, Value: c})
	return c
}

func printYAML(document any) error {
	text, err := yaml.MarshalWithOptions(document, yaml.IndentSequence(true))
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	return err
}

// proposed is what a policy is to become.
type proposed struct {
	Rules []string `arg:"" optional:"" sep:"none" help:"KEY=VALUE, such as password.min_length=14, password.groups.admins.min_length=16 or factors.allowed=[totp,webauthn]." placeholder:"KEY=VALUE"`
	File  string   `short:"f" help:"File with an apply file's block policies alone; - is standard input." placeholder:"FILE"`
}

func (p proposed) read() (admin.Proposal, error) {
	switch {
	case p.File == "" && len(p.Rules) == 0:
		return admin.Proposal{}, errors.New("give KEY=VALUE, such as password.min_length=14, or -f FILE; see: portvakt policy show")
	case p.File != "" && len(p.Rules) > 0:
		return admin.Proposal{}, errors.New("give KEY=VALUE or -f FILE, not both")
	case p.File == "":
		return admin.ProposalOf(p.Rules)
	}
	return given(p.File, admin.ReadProposal)
}

type policySetCmd struct {
	proposed
	DryRun bool `help:"Change nothing, only tell."`
}

// Run changes the policy and prints a line for each rule that changed.
func (c *policySetCmd) Run(s *settings) error {
	p, err := c.read()
	if err != nil {
		return err
	}
	return command(s, func(ctx context.Context, v *service) error {
		changes, err := v.admin.SetPolicy(ctx, cli, p, c.DryRun)
		for _, change := range changes {
			fmt.Println(change)
		}
		if err == nil && len(changes) == 0 {
			fmt.Println("nothing changed: this is the policy in force")
		}
		return err
	})
}

// policyChange is what an event of policy says, as policy set printed it: the rules and their values are JSON.
func policyChange(before, after string) string {
	was, is := map[string]any{}, map[string]any{}
	if err := errors.Join(json.Unmarshal([]byte(before), &was), json.Unmarshal([]byte(after), &is)); err != nil {
		return ""
	}
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(is)) {
		lines = append(lines, policy.Change{Key: key, Before: was[key], After: is[key]}.String())
	}
	return strings.Join(lines, "; ")
}
