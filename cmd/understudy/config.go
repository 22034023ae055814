package main

import (
	"fmt"

	"github.com/spf13/cobra"
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
	return &cobra.Command{
		Use:   "check",
		Short: "Check the config and the files that it names, as `run` and `reload` do",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, path, err := a.loadConfig()
			if err != nil {
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
