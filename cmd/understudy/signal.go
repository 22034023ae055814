package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func signalCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "signal NAME",
		Short: "Do what a signal to the watchdog does: USR1, USR2, HUP, TERM",
		Long: `USR1 fails over now every stream whose origin the watchdogs agree is down; USR2 toggles the hold of the group; HUP
reloads the config; TERM hands leadership over and stops.`,
		Args:      args(cobra.ExactArgs(1)),
		ValidArgs: api.Signals(),
		RunE: func(cmd *cobra.Command, names []string) error {
			name := strings.TrimPrefix(strings.ToUpper(names[0]), "SIG")
			if !slices.Contains(api.Signals(), name) {
				return usageError(cmd, fmt.Errorf("signal %q is none of %s", names[0], strings.Join(api.Signals(), ", ")))
			}
			return a.do(cmd.Context(), api.Request{Verb: api.VerbSignal, Signal: name})
		},
	}
}
