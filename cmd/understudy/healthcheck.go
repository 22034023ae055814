package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func healthcheckCommand(a *app) *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 if the watchdog is ready, 1 if not: for containers",
		Long: `Ask /readyz of the config's http.listen, or of --addr: raft has joined and committed lately. It says nothing of the
origin, nor of leadership.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr := a.addr
			if addr == "" {
				c, err := a.readConfig()
				if err != nil {
					return err
				}
				addr = "http://" + c.HTTP.Listen
			}
			c, err := api.URLClient(addr)
			if err != nil {
				return &exit{exitUsage, fmt.Errorf("--addr: %w", err)}
			}
			path := api.PathReady
			if live {
				path = api.PathLive
			}
			ok, text, err := c.Check(cmd.Context(), path)
			switch {
			case err != nil:
				return &exit{exitFailed, err}
			case !ok:
				return &exit{exitFailed, fmt.Errorf("%s: %s", path, clean(text))}
			}
			_, err = fmt.Fprintln(a.stdout, clean(text))
			return err
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask /livez instead: do the loops of the process advance?")
	return cmd
}
