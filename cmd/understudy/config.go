package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/config"
)

func configCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show the config file",
		Args:  cobra.ArbitraryArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(configCheckCommand(a), configShowCommand(a))
	return cmd
}

func configCheckCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the config and the files that it names, as `run` and `reload` do",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, path, err := a.loadConfig()
			switch {
			case asJSON:
				return a.printChecked(c, path, err)
			case err != nil:
				return err
			}
			for _, w := range c.Warnings() {
				fmt.Fprintln(a.stderr, "warning:", w)
			}
			_, err = fmt.Fprintf(a.stdout, "%s is good: watchdog %s of %d, %d sites, %d streams, hash %s\n", path, c.Node,
				len(c.Peers), len(c.Sites), len(c.Streams), c.Rules().Hash())
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checked is the JSON of `config check`.
type checked struct {
	OK        bool              `json:"ok"`
	File      string            `json:"file"`
	Node      string            `json:"node,omitempty"`
	Watchdogs int               `json:"watchdogs,omitempty"`
	Sites     int               `json:"sites,omitempty"`
	Streams   int               `json:"streams,omitempty"`
	Hash      string            `json:"hash,omitempty"`
	Problems  []*config.Problem `json:"problems"`
	Warnings  []*config.Problem `json:"warnings"`
}

// printChecked prints what came of the check; the exit code stays that of err.
func (a *app) printChecked(c *config.Config, path string, err error) error {
	r := checked{OK: err == nil, File: path, Problems: []*config.Problem{}, Warnings: []*config.Problem{}}
	var mistakes config.Errors
	switch {
	case err == nil:
		r.Node, r.Watchdogs, r.Sites, r.Streams = c.Node, len(c.Peers), len(c.Sites), len(c.Streams)
		r.Hash, r.Warnings = c.Rules().Hash(), append(r.Warnings, c.Warnings()...)
	case errors.As(err, &mistakes):
		r.Problems = mistakes
	default:
		r.Problems = []*config.Problem{{File: path, Text: err.Error()}}
	}
	if failed := printJSON(a.stdout, r); failed != nil {
		return failed
	}
	return quiet(err)
}

func configShowCommand(a *app) *cobra.Command {
	var asJSON, hash bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the effective config, every default spelled out",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.readConfig()
			switch {
			case err != nil:
				return err
			case hash:
				_, err = fmt.Fprintln(a.stdout, c.Rules().Hash())
				return err
			case asJSON:
				return c.ShowJSON(a.stdout)
			}
			return c.Show(a.stdout)
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&hash, "hash", false, "print only the hash of what must be equal on every watchdog")
	return cmd
}
