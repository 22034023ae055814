package main

import (
	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func reloadCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Check the watchdog's config file and take it over",
		Long: `Have the watchdog read its config file again. A bad one is refused, and the old one stays. Every watchdog is reloaded
by itself; while their configs differ, nothing begins (config_mismatch).`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd.Context(), api.Request{Verb: api.VerbReload})
		},
	}
}
