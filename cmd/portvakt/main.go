// Command portvakt is sign-in for the people who work somewhere: an OpenID Connect provider in one binary.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

// commands is the whole command line; contract §2 lists it.
type commands struct {
	settings `embed:""`
	Config   configFile `help:"YAML file with settings; a flag wins over the environment, the environment over the file." placeholder:"FILE"`

	Serve   serveCmd   `cmd:"" help:"Run the service."`
	Demo    demoCmd    `cmd:"" help:"Try it: sample people and a sample application, on this machine alone."`
	Migrate migrateCmd `cmd:"" help:"Bring the database schema up to date."`
	Apply   applyCmd   `cmd:"" help:"Make users, groups, clients and policies as a file says."`
	User    userCmd    `cmd:"" help:"People."`
	Client  clientCmd  `cmd:"" help:"Applications."`
	Policy  policyCmd  `cmd:"" help:"Rules for passwords, factors and sessions: show, set, rehearse."`
	Keys    keysCmd    `cmd:"" help:"Signing keys."`
	Audit   auditCmd   `cmd:"" help:"The audit trail."`
	Blocked blockedCmd `cmd:"" name:"blocklist" help:"Passwords that others know."`
	Version versionCmd `cmd:"" help:"Version, commit and Go version."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run gives the exit status: 0 done, 1 refused or failed, 2 wrong usage.
func run(args []string) int {
	var c commands
	parser, err := newParser(&c)
	if err != nil {
		return complain(err, 1)
	}
	if err := unknownEnvironment(parser.Model); err != nil {
		return complain(err, 2)
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return complain(fmt.Errorf("%w; see: portvakt --help", err), 2)
	}
	if err := c.settings.check(); err != nil {
		return complain(err, 1)
	}
	if err := ctx.Run(&c.settings); err != nil {
		return complain(err, 1)
	}
	return 0
}

func newParser(c *commands) (*kong.Kong, error) {
	return kong.New(c, kong.Name("portvakt"), kong.Description("Sign-in for the people who work here: OpenID Connect, two factors, one binary."),
		kong.DefaultEnvars("PORTVAKT"), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
}
