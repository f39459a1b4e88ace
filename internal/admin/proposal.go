package admin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/portvakt/portvakt/internal/policy"
)

// Proposal names rules of the policy and what they are to be. What it does not name stays as it is.
type Proposal struct{ rules []rule }

// rule sets one rule: to text, or as from has it.
type rule struct {
	key, text string
	from      *policy.Policy
}

// ProposalOf reads KEY=VALUE arguments. Whether a rule exists and a value is within bounds is seen when they are put over a policy.
func ProposalOf(args []string) (Proposal, error) {
	var p Proposal
	seen := map[string]bool{}
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if key = strings.TrimSpace(key); !ok {
			return p, fmt.Errorf("%q is not KEY=VALUE, such as password.min_length=14", a)
		}
		if seen[key] {
			return p, fmt.Errorf("%s stands twice; give it once", key)
		}
		seen[key] = true
		p.rules = append(p.rules, rule{key: key, text: value})
	}
	return p, nil
}

// policyFile is an apply file with nothing but policies; the other blocks are read to be refused by name.
type policyFile struct {
	Groups   any           `yaml:"groups"`
	Users    any           `yaml:"users"`
	Clients  any           `yaml:"clients"`
	Policies policy.Policy `yaml:"policies"`
}

// ReadProposal reads a file that has an apply file's block policies and nothing else. An unknown key is an error with its line.
func ReadProposal(r io.Reader) (Proposal, error) {
	var p Proposal
	var file policyFile
	top, err := document{"the policy file", policyFault}.read(r, &file)
	if err != nil {
		return p, err
	}
	for _, block := range []string{"groups", "users", "clients"} {
		if _, ok := top[block]; ok {
			return p, fmt.Errorf("the policy file has a block %s: besides policies:; here policies stand alone, and portvakt apply takes the rest", block)
		}
	}
	policies, _ := top["policies"].(map[string]any)
	if len(policies) == 0 {
		return p, errors.New("the policy file says nothing under policies:, such as policies: {password: {min_length: 14}}")
	}
	for _, key := range append(policy.Keys(""), groupKeys(file.Policies)...) {
		if stands(policies, key) {
			p.rules = append(p.rules, rule{key: key, from: &file.Policies})
		}
	}
	return p, nil
}

// groupKeys lists the rules of every group that p names.
func groupKeys(p policy.Policy) []string {
	var out []string
	for _, g := range policyGroupNames(p) {
		for _, key := range policy.Keys(g) {
			if strings.Contains(key, ".groups.") {
				out = append(out, key)
			}
		}
	}
	return out
}

// stands reports whether a document has a value at key.
func stands(doc map[string]any, key string) bool {
	section, rest, _ := strings.Cut(key, ".")
	block, _ := doc[section].(map[string]any)
	if name, ok := strings.CutPrefix(rest, "groups."); ok {
		groups, _ := block["groups"].(map[string]any)
		i := strings.LastIndexByte(name, '.')
		block, _ = groups[name[:i]].(map[string]any)
		rest = name[i+1:]
	}
	return block[rest] != nil
}

// policyFault is yamlFault for this kind of file; of an unknown key it names the closest that there are.
func policyFault(name string, text []byte, err error) error {
	said := yamlFault(name, text, err).Error()
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		if what, ok := strings.CutSuffix(said, "; see docs/contract.md §5"); ok {
			if said = what + " here; see docs/contract.md §5"; !slices.Contains(fileWords(), unknown.Token.Value) {
				said = what + "; the closest are " + strings.Join(policy.Closest(unknown.Token.Value, fileWords()), ", ")
			}
		}
	}
	return errors.New(said)
}

// fileWords are the words that a policy file has for keys.
func fileWords() []string {
	out := []string{"policies", "groups"}
	seen := map[string]bool{}
	for _, key := range policy.Keys("any") {
		section, _, _ := strings.Cut(key, ".")
		for _, w := range []string{section, key[strings.LastIndexByte(key, '.')+1:]} {
			if !seen[w] {
				seen[w] = true
				out = append(out, w)
			}
		}
	}
	return out
}

// over gives the policy that p makes of was, or every fault of it. groups are those that there are.
func (p Proposal) over(was policy.Policy, groups []string) (policy.Policy, error) {
	is := was
	var faults []error
	for _, r := range p.rules {
		var err error
		if r.from != nil {
			is, err = is.Take(*r.from, r.key)
		} else {
			is, err = is.With(r.key, r.text)
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return was, err
	}
	is = is.Normal()
	return is, errors.Join(is.Validate(), policyOfGroups(is, groups))
}
